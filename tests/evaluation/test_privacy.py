"""Promises that privacy is not overstated: errors of attackers, links between recordings and pitch are as defined."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from pcodec import PcodecError
from pcodec.evaluation import privacy
from pcodec.speech import audio

SPEAKERS = [f"{number:02d}" for number in range(12)]


def drawn(separation, pieces=20, seed=1):
    """Embeddings of pieces of speakers whose directions are orthogonal, with noise."""
    rng = np.random.default_rng(seed)
    whose = np.repeat(SPEAKERS, pieces)
    return separation * np.eye(len(SPEAKERS))[np.repeat(range(len(SPEAKERS)), pieces)] + rng.normal(
        size=(len(whose), len(SPEAKERS))
    ), whose


def gaussian(distance, count=200_000, seed=1):
    rng = np.random.default_rng(seed)
    same = np.arange(count) % 2 == 0
    return pd.DataFrame({"score": rng.normal(size=count) + distance * same, "same": same})


def test_who_is_told_apart_by_every_score_has_no_error():
    rows, whose = drawn(1000.0)
    table = privacy.trials(rows, whose, rows, whose)
    assert len(table) == len(SPEAKERS) * len(rows) and table.same.mean() == pytest.approx(1 / len(SPEAKERS))
    assert privacy.equal_error_rate(table) == 0 and privacy.linkability(table) == 1
    assert privacy.interval(table) == (0, 0, 0)


def test_scores_that_say_nothing_are_chance():
    rows, whose = drawn(0.0, pieces=60)
    half = np.arange(len(rows)) % 2 == 0
    table = privacy.trials(rows[half], whose[half], rows[~half], whose[~half])
    rate, low, high = privacy.interval(table, draws=200)
    assert low < 0.5 < high and rate == pytest.approx(0.5, abs=0.08)
    assert privacy.linkability(table) == pytest.approx(privacy.by_chance(table), abs=0.1)


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0, 3.0])
def test_planted_error_and_linkability(distance):
    table = gaussian(distance)
    assert privacy.equal_error_rate(table) == pytest.approx(scipy.stats.norm.cdf(-distance / 2), abs=0.004)
    x = np.linspace(-10, 14, 20001)
    mated, others = scipy.stats.norm.pdf(x - distance), scipy.stats.norm.pdf(x)
    ratio = mated / others
    known = np.trapezoid(np.where(ratio > 1, 2 * ratio / (1 + ratio) - 1, 0) * mated, x)
    assert privacy.linkability(table) == pytest.approx(known, abs=0.01)


def test_golden():
    scores = [0.9, 0.8, 0.7, 0.3, 0.6, 0.4, 0.2, 0.1]
    table = pd.DataFrame({"score": scores, "same": [True] * 4 + [False] * 4})
    assert privacy.equal_error_rate(table) == 0.25
    weights = np.array([1, 1, 1, 3, 1, 1, 1, 1.0])  # that of the one who is missed, three times
    assert privacy.equal_error_rate(table, weights) == 0.5
    two_bins = pd.DataFrame({"score": [0.0, 1, 1, 1, 0, 0, 0, 1], "same": [True] * 4 + [False] * 4})
    assert privacy.linkability(two_bins) == pytest.approx(0.75 * (2 * 3 / (1 + 3) - 1))  # LR = 3 where 3 of 4 fall


def test_the_error_is_speechbrain_s():
    from pcodec.speakers import verification

    table = gaussian(1.2, 4000)
    assert privacy.equal_error_rate(table) == pytest.approx(verification.equal_error_rate(table)[0], abs=0.003)


def test_speakers_make_the_interval_not_trials():
    rows, whose = drawn(1.2, pieces=4)
    more = np.repeat(rows, 25, axis=0), np.repeat(whose, 25)
    widths = []
    for heard in ((rows, whose), more):
        _, low, high = privacy.interval(privacy.trials(rows, whose, *heard), draws=300)
        widths.append(high - low)
    assert widths[0] > 0.02 and widths[1] == pytest.approx(widths[0], rel=0.3)


def test_only_speakers_of_a_kind_are_compared():
    rows, whose = drawn(1.0, pieces=2)
    kinds = {name: "FM"[int(name) % 2] for name in SPEAKERS}
    table = privacy.trials(rows, whose, rows, whose, kinds)
    assert len(table) == len(SPEAKERS) * len(rows) // 2
    assert (table.enrolled.map(kinds) == table.tested.map(kinds)).all()


def test_voices_that_become_one_are_not_distinct():
    rows, whose = drawn(5.0)
    rng = np.random.default_rng(2)
    alike = rng.normal(size=len(SPEAKERS)) + 0.1 * rng.normal(size=rows.shape)
    original = privacy.similarity(rows, whose, rows, whose)
    assert privacy.distinctiveness_gain(original, original) == 0
    assert privacy.deidentification(original, original) == 0
    one = privacy.similarity(alike, whose, alike, whose)
    assert privacy.distinctiveness_gain(original, one) < -15
    assert privacy.deidentification(original, privacy.similarity(rows, whose, alike, whose)) == pytest.approx(
        1, abs=0.02
    )
    turned = np.roll(rows, 20, axis=0)  # each has another's voice: as distinct as before, and not his own
    assert privacy.distinctiveness_gain(original, privacy.similarity(turned, whose, turned, whose)) == pytest.approx(0)


def test_pitch(speech):
    rho, voiced = privacy.pitch_correlation(speech, speech)
    assert rho == pytest.approx(1) and voiced == pytest.approx(1)
    early, late = np.pad(speech, (0, 5120)), np.pad(speech, (5120, 0))
    assert min(privacy.pitch_correlation(early, late)) > 0.95
    contours = [privacy.pitch_contour(each) for each in (early, late)]
    assert np.corrcoef(*contours)[0, 1] < 0.5  # as they are
    flat = np.sign(np.sin(2 * np.pi * 150 * np.arange(len(speech)) / audio.RATE)) * 0.1  # says nothing of the melody
    assert abs(privacy.pitch_correlation(speech, flat)[1]) < 0.3


def test_refusals(speech):
    rows, whose = drawn(1.0)
    with pytest.raises(PcodecError, match="240 embeddings of 239 pieces of tested speech"):
        privacy.trials(rows, whose, rows, whose[1:])
    with pytest.raises(PcodecError, match="enrolled speech is zero or not a number"):
        privacy.trials(np.zeros_like(rows), whose, rows, whose)
    with pytest.raises(PcodecError, match="same speaker and of different"):
        privacy.equal_error_rate(pd.DataFrame({"score": [1.0, 2.0], "same": [True, True]}))
    with pytest.raises(PcodecError, match="not a number"):
        privacy.linkability(pd.DataFrame({"score": [1.0, np.nan], "same": [True, False]}))
    with pytest.raises(PcodecError, match="two pieces"):
        privacy.similarity(once := rows[::20], whose[::20], once, whose[::20])
    with pytest.raises(PcodecError, match="same speakers on both sides"):
        privacy.similarity(rows, whose, rows[:20], whose[:20])
    with pytest.raises(PcodecError, match="no frame of the converted signal is voiced"):
        privacy.pitch_correlation(speech, np.zeros(16000))
