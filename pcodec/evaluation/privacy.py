"""What an attacker learns from speech: who spoke, and how sure he can be.

Task: the measures of the VoicePrivacy challenge (Tomashenko et al. 2022, 2024) at the size of this project's corpus. An
attacker has enrolled speakers with some speech of each, hears a trial, and compares. What he enrolls, and what his
recognizer has learned from, makes him ignorant, lazy-informed or semi-informed: that is decided by what is given here.
The higher his equal error rate, the more private the speech; a half is chance. A weak recognizer overstates privacy:
its error on natural speech belongs beside every number.

Conventions: embeddings (N, D), a row a piece of speech; scores are higher for more alike; trials are tables with the
columns enrolled, tested (speakers), score, same. Intervals draw speakers, as `pcodec.evaluation.intervals` does.

Contents: `trials`, `equal_error_rate`, `linkability`, `interval`, `by_chance`; `similarity`, `distinctiveness_gain`,
`deidentification`; `pitch_correlation`.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.signal

from pcodec import PcodecError, features
from pcodec.evaluation.metrics import VOICED
from pcodec.speech import audio

BINS = 100  # of scores, at most, with ten mated trials each at least: as in the challenge's toolkit
LOWEST = 75.0  # Hz; a lower pitch counts as none
DRAWS = 500


def trials(
    enrolled: np.ndarray, enrolled_speakers, tested: np.ndarray, tested_speakers, kinds: dict | None = None
) -> pd.DataFrame:
    """Embeddings of what an attacker has (N, D) and hears (M, D), and whose they are -> every trial, a cosine each.

    An enrolled speaker is the mean of his pieces, each of length 1. With `kinds`, speaker: kind (a gender), only
    speakers of one kind are compared. Raises `PcodecError` for an embedding that is not a number or nothing.
    """
    sides = []
    for what, rows, speakers in (("enrolled", enrolled, enrolled_speakers), ("tested", tested, tested_speakers)):
        rows = np.asarray(rows, dtype=np.float64)
        if len(rows) != len(speakers) or not len(rows):
            raise PcodecError(f"{len(rows)} embeddings of {len(speakers)} pieces of {what} speech")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(rows).all() or not lengths.all():
            raise PcodecError(f"an embedding of {what} speech is zero or not a number")
        sides.append((rows / lengths, np.asarray(speakers)))
    (rows, owners), (heard, speakers) = sides
    known = sorted(set(owners), key=str)
    models = np.stack([rows[owners == name].mean(axis=0) for name in known])
    models /= np.linalg.norm(models, axis=1, keepdims=True)
    table = pd.DataFrame({
        "enrolled": np.repeat(known, len(heard)), "tested": np.tile(speakers, len(known)),
        "score": (models @ heard.T).ravel(),
    })  # fmt: skip
    if kinds is not None:
        table = table[table.enrolled.map(kinds) == table.tested.map(kinds)].reset_index(drop=True)
    return table.assign(same=table.enrolled == table.tested)


def _checked(table):
    """Scores and whether the speakers are the same, as arrays."""
    scores, same = table.score.to_numpy(np.float64), table.same.to_numpy(bool)
    if not np.isfinite(scores).all():
        raise PcodecError("a score is not a number")
    if same.all() or not same.any():
        raise PcodecError("trials of the same speaker and of different speakers are needed")
    return scores, same


def equal_error_rate(table: pd.DataFrame, weights: np.ndarray | None = None) -> float:
    """The rate, 0 to 1, at which as many trials of the same speaker are missed as of others are let through.

    Between two scores the rates are joined by straight lines. `weights` of trials are those of `interval`.
    """
    scores, same = _checked(table)
    weights = np.ones(len(scores)) if weights is None else weights
    order = np.argsort(scores, kind="stable")
    scores, same, weights = scores[order], same[order], weights[order]
    last = np.append(scores[1:] != scores[:-1], True)  # thresholds lie between different scores
    missed = np.append(0.0, np.cumsum(weights * same)[last]) / (weights * same).sum()
    passed = 1.0 - np.append(0.0, np.cumsum(weights * ~same)[last]) / (weights * ~same).sum()
    after = np.argmax(missed >= passed)
    gap = passed - missed  # falls from 1 to -1
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(missed[after - 1] + share * (missed[after] - missed[after - 1]))


def linkability(table: pd.DataFrame, weights: np.ndarray | None = None) -> float:
    """D_sys (Gomez-Barrero et al. 2017): 0 if scores say nothing, 1 if each says whether the speakers are the same.

    Histograms of mated and non-mated scores give the likelihood ratio LR of each bin; D = 2 LR / (1 + LR) - 1 where LR
    > 1, else 0; D_sys is its mean over mated scores. Few trials make it larger: compare `by_chance`.
    """
    scores, same = _checked(table)
    weights = np.ones(len(scores)) if weights is None else weights
    edges = np.linspace(scores.min(), scores.max(), int(np.clip(same.sum() // 10, 2, BINS)) + 1)
    mated, others = (np.histogram(scores[own], edges, weights=weights[own])[0] for own in (same, ~same))
    mated, others = mated / mated.sum(), others / others.sum()
    ratio = np.divide(mated, others, out=np.full(len(mated), np.inf), where=others > 0)
    local = np.where(ratio > 1, 1.0 - 2.0 / (1.0 + ratio), 0.0)
    return float((local * mated).sum())


def interval(
    table: pd.DataFrame, statistic: Callable = equal_error_rate, draws: int = DRAWS, seed: int = 1
) -> tuple[float, float, float]:
    """`statistic` of trials, low and high of its 95 % interval, over speakers drawn with replacement.

    A trial counts as often as its speaker was drawn, one of two speakers as often as both were. Draws without a trial
    of either kind are left out.
    """
    same = _checked(table)[1]
    names = sorted({*table.enrolled, *table.tested}, key=str)
    first, second = (pd.Categorical(table[side], names).codes for side in ("enrolled", "tested"))
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = np.where(same, drawn[first], drawn[first] * drawn[second]).astype(np.float64)
        if weights[same].any() and weights[~same].any():
            kept = weights > 0
            found.append(statistic(table[kept], weights[kept]))
    if not found:
        raise PcodecError(f"{len(names)} speakers are too few to draw from")
    low, high = np.quantile(found, [0.025, 0.975])
    return statistic(table), float(low), float(high)


def by_chance(table: pd.DataFrame, statistic: Callable = linkability, draws: int = 100, seed: int = 1) -> float:
    """What `statistic` is where scores say nothing: its mean over trials whose scores are shuffled."""
    rng = np.random.default_rng(seed)
    return float(np.mean([statistic(table.assign(score=rng.permutation(table.score))) for _ in range(draws)]))


def similarity(first: np.ndarray, first_speakers, second: np.ndarray, second_speakers) -> pd.DataFrame:
    """Embeddings (N, D), (M, D) of the same speakers' pieces -> how alike speakers are, (speakers, speakers), -1 to 1.

    Means of cosines; of a piece with itself none is counted, where both are the same array.
    """
    scores = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second)]
    scores = scores[0] @ scores[1].T
    whose = [pd.Categorical(speakers) for speakers in (first_speakers, second_speakers)]
    names = whose[0].categories
    if list(names) != list(whose[1].categories):
        raise PcodecError("the similarity of speakers needs the same speakers on both sides")
    if first is second:
        if whose[0].value_counts().min() < 2:
            raise PcodecError("the similarity of a speaker with himself needs two pieces of him")
        np.fill_diagonal(scores, np.nan)
    means = [[np.nanmean(scores[np.ix_(whose[0] == one, whose[1] == other)]) for other in names] for one in names]
    return pd.DataFrame(means, names, names)


def _dominance(table):
    """|mean of the diagonal - mean beside it| of a similarity of speakers."""
    values, own = table.to_numpy(), np.eye(len(table), dtype=bool)
    if len(values) < 2:
        raise PcodecError("speakers can be told apart if there are two")
    return abs(values[own].mean() - values[~own].mean())


def distinctiveness_gain(original: pd.DataFrame, converted: pd.DataFrame) -> float:
    """G_VD in dB (Noe et al. 2020): 0 where converted voices differ as much as the original ones, less where less.

    Both are `similarity` of speech with itself.
    """
    with np.errstate(divide="ignore"):
        return float(10.0 * np.log10(_dominance(converted) / _dominance(original)))


def deidentification(original: pd.DataFrame, across: pd.DataFrame) -> float:
    """DeID (Noe et al. 2020): 0 where a converted voice is as near to its own original as before, 1 where to any.

    `similarity` of original speech with itself, and with converted speech.
    """
    return float(1.0 - _dominance(across) / _dominance(original))


def pitch_contour(samples: np.ndarray) -> np.ndarray:
    """Pitch (F,) in Hz, every 10 ms; 0 where speech is unvoiced."""
    analysed = features.analyze(samples).features
    pitch = audio.RATE / features.lag(analysed[:, features.FEATURES["pitch"]])
    voiced = (analysed[:, features.FEATURES["correlation"]] + 0.5 > VOICED) & (pitch >= LOWEST)
    return np.where(voiced, pitch, 0.0)


def pitch_correlation(original: np.ndarray, converted: np.ndarray) -> tuple[float, float]:
    """Pearson's correlation of two signals' pitch contours: over all frames, and over those voiced in both.

    rho_F0 of the challenge of 2022: the shorter contour is stretched to the longer one, and either shifted to where
    their cross-correlation is largest; unvoiced frames are 0. Raises `PcodecError` where a signal is not voiced.
    """
    contours = [pitch_contour(original), pitch_contour(converted)]
    for name, contour in zip(("original", "converted"), contours, strict=True):
        if not contour.any():
            raise PcodecError(f"no frame of the {name} signal is voiced")
    length = max(map(len, contours))
    first, second = (np.interp(np.linspace(0, len(each) - 1, length), np.arange(len(each)), each) for each in contours)
    shift = int(np.argmax(scipy.signal.correlate(first, second))) - (length - 1)
    first, second = first[max(0, shift) : length + min(0, shift)], second[max(0, -shift) : length - max(0, shift)]
    both = (first > 0) & (second > 0)
    return _pearson(first, second), _pearson(first[both], second[both])


def _pearson(first, second):
    """0 where one does not change."""
    if len(first) < 2 or not first.std() or not second.std():
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
