"""Error rates of planted scores are right; trials are all pairs, each once."""

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError, features
from pcodec.speakers import verification
from pcodec.speech import audio


def test_equal_error_rate_of_planted_scores():
    rng = np.random.default_rng(1)
    same = np.repeat([True, False], 5000)
    apart = pd.DataFrame({"score": np.where(same, 5.0, -5.0) + rng.uniform(-1, 1, 10000), "same": same})
    assert verification.equal_error_rate(apart)[0] == 0.0
    two_sigma = pd.DataFrame({"score": rng.normal(np.where(same, 1.0, -1.0), 1.0), "same": same})
    rate, threshold = verification.equal_error_rate(two_sigma)
    assert rate == pytest.approx(0.1587, abs=0.012) and threshold == pytest.approx(0.0, abs=0.1)
    assert verification.detection_cost(apart) == 0.0
    assert verification.detection_cost(apart.assign(score=1.0 * ~same)) == pytest.approx(1.0), "refusing everything"
    for measure in (verification.equal_error_rate, verification.detection_cost):
        with pytest.raises(PcodecError, match="same speaker and of different"):
            measure(apart[apart.same])


def test_error_rate_of_many_trials_needs_little_memory():
    """speechbrain alone would take 40 GB for this."""
    rng = np.random.default_rng(1)
    same = rng.random(200_000) < 0.1
    rate, _ = verification.equal_error_rate(
        pd.DataFrame({"score": rng.normal(np.where(same, 1.0, -1.0), 1.0), "same": same})
    )
    assert rate == pytest.approx(0.1587, abs=0.004)


def test_scores_that_are_not_numbers_are_no_scores():
    with pytest.raises(PcodecError, match="not numbers"):
        verification.equal_error_rate(pd.DataFrame({"score": [np.nan, 1.0], "same": [True, False]}))


def test_trials_are_all_pairs():
    z = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    table = verification.trials(z @ z.T, np.array(["a", "a", "b"]))
    assert table.score.tolist() == [2.0, 0.0, 0.0] and table.same.tolist() == [True, False, False]


def test_spans_cover_and_keep_short_utterances():
    found = verification.spans([np.zeros((250, 40)), np.zeros((30, 40))], 1.0)
    assert found.tolist() == [[0, 0, 100], [0, 100, 200], [1, 0, 30]]


def test_pitch_tells_planted_pitches_apart():
    """Pulse trains an octave apart score minus one, equal ones zero; a piece sees only its own frames."""
    low, high = np.zeros(16000), np.zeros(16000)
    low[::160], high[::80] = 0.5, 0.5
    analyses = [features.analyze(one) for one in (low, high, np.concatenate([high, low]))]
    pieces = np.array([[0, 20, 80], [1, 20, 80], [2, 20, 80], [2, 120, 180]])
    scores = verification.pitch_scores(analyses, pieces)
    assert scores == pytest.approx(-np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]]), abs=0.02)


def test_resemblyzer_knows_its_own_voice_or_is_absent(demo):
    rows = demo[demo.speaker.isin(["f01", "m01"])].groupby("speaker").head(2)
    signals = [audio.read(path) for path in rows.path]
    scores = verification.resemblyzer_scores(signals, np.array([[i, 0, 150] for i in range(4)]))
    if scores is None:
        pytest.skip("resemblyzer is not installed (make anchors)")
    assert scores[0, 1] > scores[0, 2] and scores[2, 3] > scores[1, 3]
