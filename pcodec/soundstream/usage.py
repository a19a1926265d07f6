"""What the codes of a residual quantizer say: how often words are used, and how many bits are in them.

Conventions: codes (P, S) are those of P frames at S stages. Bits are per code.

Contents: `order`, `count`.
"""

import numpy as np
import pandas as pd

WORDS = 256
SEEN = 1.0  # with which every word is taken to have been seen, in a model of how often they are
SHARED = 256.0  # codes after a word that its own counts must outweigh, before they are believed


def order(words: np.ndarray) -> np.ndarray:
    """The place (W,) of each word (W, D), sorted by their first principal component."""
    centred = words - words.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    return np.argsort(np.argsort(centred @ axis))


def count(known: list[np.ndarray], others: list[np.ndarray]) -> pd.DataFrame:
    """Of each stage: stage, used (words), entropy, coded, after_the_last (bits), of signals' codes `others`.

    `entropy` is that of their own histogram, with the correction of Miller and Madow; `coded` what they cost an ideal
    coder that has counted the words of `known` signals, `after_the_last` one that has counted pairs.
    """
    rows = []
    for stage in range(known[0].shape[1]):
        learnt, coded = ([codes[:, stage].astype(int) for codes in signals] for signals in (known, others))
        every = np.concatenate(coded)
        counts = np.bincount(every, minlength=WORDS)
        share = counts[counts > 0] / len(every)
        entropy = -(share * np.log2(share)).sum() + (len(share) - 1) / (2 * len(every) * np.log(2))
        single = np.bincount(np.concatenate(learnt), minlength=WORDS) + SEEN
        single = single / single.sum()
        pairs = np.zeros((WORDS, WORDS))
        for codes in learnt:
            np.add.at(pairs, (codes[:-1], codes[1:]), 1.0)
        after = (pairs + SHARED * single) / (pairs.sum(axis=1, keepdims=True) + SHARED)
        steps = np.concatenate([np.log2(after[codes[:-1], codes[1:]]) for codes in coded])
        rows.append((stage + 1, (counts > 0).sum(), entropy, -np.log2(single[every]).mean(), -steps.mean()))
    return pd.DataFrame(rows, columns=["stage", "used", "entropy", "coded", "after_the_last"])
