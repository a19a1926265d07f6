"""Intervals over speakers, then utterances: coverage, width, refusals."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.evaluation import intervals


def test_interval_covers_and_respects_speakers():
    """A difference planted per speaker: drawing utterances alone would give a far too narrow interval."""
    covered, widths, naive = 0, [], []
    for trial in range(50):
        rng = np.random.default_rng(trial)
        speakers = np.repeat(np.arange(10), 20)
        values = 1.0 + rng.normal(0, 1.0, 10)[speakers] + rng.normal(0, 0.1, 200)
        mean, low, high = intervals.interval(values, speakers, draws=300)
        assert low <= mean <= high
        covered += low <= 1.0 <= high
        widths.append(high - low)
        naive.append(2 * 1.96 * values.std() / np.sqrt(200))
    assert covered / 50 > 0.8
    assert np.mean(widths) > 3 * np.mean(naive)


def test_spread_of_redrawn_means_is_that_of_the_two_stages():
    """Planted: speakers of very different means, spreads and numbers of utterances, against the formula."""
    rng = np.random.default_rng(1)
    by_speaker = [rng.normal(mean, spread, n) for mean, spread, n in ((0, 1, 3), (5, 4, 7), (-2, 0, 2), (9, 2, 20))]
    drawn = intervals.redrawn_means(by_speaker, 40_000, rng)
    means = [own.mean() for own in by_speaker]
    variance = (np.var(means) + np.mean([own.var() / len(own) for own in by_speaker])) / len(by_speaker)
    assert drawn.mean() == pytest.approx(np.mean(means), abs=4 * np.sqrt(variance / 40_000))
    assert drawn.var() == pytest.approx(variance, rel=0.03)


def test_interval_of_a_constant_and_refusals():
    assert intervals.interval(np.full(6, 2.5), np.repeat(["a", "b"], 3)) == (2.5, 2.5, 2.5)
    with pytest.raises(PcodecError, match="3 values of 2 utterances"):
        intervals.interval(np.zeros(3), np.array(["a", "b"]))
    with pytest.raises(PcodecError, match="not a number"):
        intervals.interval(np.array([1.0, np.nan]), np.array(["a", "b"]))
