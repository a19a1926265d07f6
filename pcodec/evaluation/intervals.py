"""Intervals that respect speakers.

Task: how sure is a mean over utterances? Utterances of one speaker are not independent: drawing utterances alone would
give an interval that is too narrow. So speakers are drawn first, then their utterances (a two-stage bootstrap, Davison
and Hinkley 1997, section 3.8).

Conventions: speakers weigh the same, however many utterances they have. Notebooks 07_validation_loss, 09_objective.

Contents: `interval`, `redrawn_means`.
"""

import numpy as np

from pcodec import PcodecError


def interval(values: np.ndarray, speakers: np.ndarray, draws: int = 2000, seed: int = 1) -> tuple[float, float, float]:
    """Values (utterances,) and their speakers -> mean of the speakers' means, low and high of its 95 % interval.

    Raises `PcodecError` if a value is not a number or has no speaker.
    """
    if len(values) == 0 or len(values) != len(speakers):
        raise PcodecError(f"{len(values)} values of {len(speakers)} utterances")
    values, speakers = np.asarray(values, dtype=float), np.asarray(speakers)
    if not np.isfinite(values).all():
        raise PcodecError("a value is not a number")
    by_speaker = [values[speakers == name] for name in sorted(set(speakers), key=str)]
    rng = np.random.default_rng(seed)
    low, high = np.quantile(redrawn_means(by_speaker, draws, rng), [0.025, 0.975])
    return float(np.mean([own.mean() for own in by_speaker])), float(low), float(high)


def redrawn_means(by_speaker: list[np.ndarray], draws: int, rng: np.random.Generator) -> np.ndarray:
    """Values of each speaker -> (draws,): the mean of the speakers' means after drawing speakers, then their values,
    with replacement."""
    chosen = rng.integers(len(by_speaker), size=(draws, len(by_speaker)))
    means = np.empty(chosen.shape)
    for i, own in enumerate(by_speaker):
        here = chosen == i
        means[here] = rng.choice(own, (here.sum(), len(own))).mean(axis=1)
    return means.mean(axis=1)
