"""Probes read what is planted, nothing where nothing is, and refuse what cannot be asked; alignments are in order."""

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.evaluation import probes, words
from pcodec.speech import audio


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(1)
    labels = np.array(["a", "b", "c"])[rng.integers(3, size=300)]
    rows = rng.normal(size=(300, 6))
    rows[:, 2] += 6.0 * (labels == "a") - 6.0 * (labels == "b")
    return rows, labels, np.arange(300) % 2 == 0, np.arange(300) // 3


def test_a_planted_label_is_read(planted):
    right, low, high, chance = probes.accuracy(*planted)
    assert 0.97 < right <= 1 and low <= right <= high and 0.25 < chance < 0.45


def test_what_is_not_there_is_not_read(planted):
    rows, labels, learnt, utterances = planted
    right, low, high, chance = probes.accuracy(np.delete(rows, 2, axis=1), labels, learnt, utterances)
    assert low < chance < high and abs(right - 1 / 3) < 0.12


def test_a_golden_accuracy():
    rows = np.array([[0.0], [1.0], [0.0], [1.0], [1.0]])
    right, *_, chance = probes.accuracy(rows, list("xyxyx"), np.array([1, 1, 0, 0, 0], bool), list("ABCCD"))
    assert right == pytest.approx((1.0 + 0.0) / 2) and chance == pytest.approx(2 / 3)


def test_refusals(planted):
    rows, labels, _, utterances = planted
    for known in (np.ones(300, bool), labels == "a"):
        with pytest.raises(PcodecError, match="needs two labels to learn, and something to be asked about"):
            probes.accuracy(rows, labels, known, utterances)


def test_codes_are_found_at_their_time():
    codes = np.arange(20.0)[:, None]
    segments = pd.DataFrame({"begin": [0.0, 0.36, 9.0], "end": [0.04, 0.44, 9.1]})
    assert probes.at(codes, segments, 25.0).ravel().tolist() == [0, 10, 19]
    np.testing.assert_allclose(probes.pooled([codes, 2 * codes])[:, 0], [9.5, 19])


def test_an_alignment_is_in_order(librispeech):
    if not probes.available():
        pytest.skip("the extra phones is not installed")
    file = sorted((librispeech / "test-other").rglob("*.flac"))[2]
    text, samples = words.transcripts(librispeech)[file.stem], audio.read(file)
    phones, found = probes.align(samples, text)
    assert [word for word, *_ in found] == text.lower().split()
    for part in (phones, found):
        ends = [end for *_, end in part]
        assert ends == sorted(ends) and 0 < ends[-1] <= len(samples) / audio.RATE
        assert all(begin < end for _, begin, end in part)
    assert len(phones) > 2 * len(found)
    assert probes.align(samples, text + " QXZ") is None
