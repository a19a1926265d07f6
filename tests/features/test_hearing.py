"""Promises that spectra stand beside the features, in pieces as in the whole; a gain changes the level alone."""

import numpy as np
import pytest

from pcodec import features
from pcodec.features import hearing
from pcodec.features.analysis import FRAME
from pcodec.features.cepstrum import band_log_energies


@pytest.fixture(scope="module")
def described(speech):
    return hearing.describe(speech)


def test_frames_are_those_of_the_features(speech, described):
    assert len(described.mel) == len(described.analysis.features)
    np.testing.assert_array_equal(described.analysis.features, features.analyze(speech).features)
    energy, other = band_log_energies(described.analysis.features[:, :18]).max(axis=1), described.mel.max(axis=1)
    shifted = [np.corrcoef(energy[5:-5], other[5 + by : len(other) - 5 + by])[0, 1] for by in range(-5, 6)]
    assert np.argmax(shifted) == 5 and shifted[5] > 0.9


def test_a_gain_moves_the_level_alone(speech, described):
    soft = hearing.describe(0.1 * speech)
    assert soft.level == pytest.approx(described.level - 2.0, abs=0.01)
    loud = soft.mel > -9.0  # the floor of power is absolute
    np.testing.assert_allclose(
        hearing.levelled(soft.mel, soft.level)[loud], hearing.levelled(described.mel, described.level)[loud], atol=0.01
    )


def test_silence_has_no_level():
    assert hearing.describe(np.zeros(4000)).level is None


@pytest.mark.parametrize("frames", [4, 1000, 1104, 2500])
def test_pieces_put_together_are_the_whole(speech, frames):
    """Each frame is new once; around the new ones are those that they follow."""
    signal = np.resize(speech, frames * FRAME - 80).astype(np.float32)
    whole, made = hearing.describe(signal), []
    for analysis, mel, new in hearing.pieces(np.split(signal, [100, len(signal) // 3])):
        assert len(mel) == len(analysis.features) and new.stop <= len(mel)
        done = sum(map(len, made))
        np.testing.assert_allclose(mel[new], whole.mel[done : done + len(mel[new])], atol=1e-4)
        assert new.start in (0, hearing.AROUND)
        made.append(mel[new])
        own = hearing.part(analysis, new)
        np.testing.assert_array_equal(own.features, whole.analysis.features[done : done + len(own.features)])
        np.testing.assert_array_equal(own.lags, whole.analysis.lags[done // 4 : (done + len(own.features)) // 4])
    assert sum(map(len, made)) == len(whole.mel)
