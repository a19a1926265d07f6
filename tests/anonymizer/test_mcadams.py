"""Promises that the McAdams baseline moves formants by its formula, and nothing else."""

import numpy as np
import pytest
import scipy.signal

from pcodec import PcodecError
from pcodec.anonymizer import mcadams
from pcodec.speech import audio


def resonance(hertz, seconds=1.0):
    """Noise through one resonance of 50 Hz."""
    radius = np.exp(-np.pi * 50 / audio.RATE)
    poles = [1.0, -2 * radius * np.cos(2 * np.pi * hertz / audio.RATE), radius**2]
    noise = np.random.default_rng(1).normal(size=int(seconds * audio.RATE))
    signal = scipy.signal.lfilter([1.0], poles, noise)
    return 0.5 * signal / np.abs(signal).max()


def peak(signal):
    hertz, power = scipy.signal.welch(signal, audio.RATE, nperseg=512)
    return hertz[power.argmax()]


def test_one_changes_nothing(speech):
    converted = mcadams.convert(speech, 1.0)
    np.testing.assert_allclose(converted, speech, atol=1e-4)


@pytest.mark.parametrize(("hertz", "alpha"), [(500, 0.8), (1200, 0.7), (5000, 0.8)])
def test_a_formant_moves_to_where_the_formula_says(hertz, alpha):
    moved = (2 * np.pi * hertz / audio.RATE) ** alpha * audio.RATE / (2 * np.pi)
    assert peak(resonance(hertz)) == pytest.approx(hertz, abs=40)
    assert peak(mcadams.convert(resonance(hertz), alpha)) == pytest.approx(moved, rel=0.06)


def test_length_level_and_silence(speech):
    for length in (0, 1, 159, 160, 161, 3333):
        part = speech[8000 : 8000 + length]
        converted = mcadams.convert(part, 0.7)
        assert converted.shape == part.shape and np.isfinite(converted).all()
        assert np.abs(converted).max(initial=0) == pytest.approx(np.abs(part).max(initial=0), rel=1e-5)
    assert not mcadams.convert(np.zeros(4000), 0.6).any()
    assert np.isfinite(mcadams.convert(np.sign(np.sin(np.arange(16000) / 9)), 0.6)).all()  # clipped


def test_refusal_and_draws():
    with pytest.raises(PcodecError, match="above 0, got -1"):
        mcadams.convert(np.zeros(320), -1)
    drawn = [mcadams.draw_alpha(np.random.default_rng(seed)) for seed in range(200)]
    assert 0.5 <= min(drawn) < 0.53 and 0.87 < max(drawn) <= 0.9
