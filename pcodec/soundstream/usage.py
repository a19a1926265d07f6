"""What the codes of a residual quantizer say: how often words are used, and how many bits are in them.

Conventions: codes (P, S) are those of P frames at S stages. Bits are per code.

Contents: `order`, `count`.
"""

import numpy as np
import pandas as pd

from pcodec.soundstream.entropy import WORDS, Model


def order(words: np.ndarray) -> np.ndarray:
    """The place (W,) of each word (W, D), sorted by their first principal component."""
    centred = words - words.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    return np.argsort(np.argsort(centred @ axis))


def count(model: Model, signals: list[np.ndarray]) -> pd.DataFrame:
    """Of each stage, in the codes of unseen signals: stage, used (words), entropy, coded, after_the_last (bits).

    `entropy` is that of their own histogram, with the correction of Miller and Madow; `coded` what they cost an ideal
    coder that knows how often the model has met each word, `after_the_last` one that also knows the word before.
    """
    every = np.concatenate(signals).astype(np.int64)
    after, rows = model.bits(signals).mean(axis=0), []
    for stage, column in enumerate(every.T):
        counts = np.bincount(column, minlength=WORDS)
        share = counts[counts > 0] / len(column)
        entropy = -(share * np.log2(share)).sum() + (len(share) - 1) / (2 * len(column) * np.log(2))
        coded = -np.log2(model.single[stage][column]).mean()
        rows.append((stage + 1, (counts > 0).sum(), entropy, coded, after[stage]))
    return pd.DataFrame(rows, columns=["stage", "used", "entropy", "coded", "after_the_last"])
