"""Promises that what is said of a talker once fits its bytes, and that features relative to him come back."""

import numpy as np
import pytest

from pcodec import PcodecError, features
from pcodec.features.vocoder import SILENCE
from pcodec.semantic import tokens
from pcodec.semantic.tokens import CORRELATION, PITCH, Voice


@pytest.fixture(scope="module")
def found(speech):
    return features.analyze(speech).features


@pytest.fixture(scope="module")
def voice(found):
    return tokens.voice_of(found, np.random.default_rng(1).uniform(-1, 1, 32).astype(np.float32))


def test_bytes_say_it(voice):
    whole, short = voice.to_bytes(True), voice.to_bytes(False)
    assert len(whole) == 34 and whole[:2] == short
    back = Voice.from_bytes(whole)
    assert back.level == pytest.approx(voice.level, abs=0.08)
    assert np.exp(back.lag) == pytest.approx(np.exp(voice.lag), rel=0.005)
    np.testing.assert_allclose(back.z, voice.z, atol=0.004)
    group = np.ones(32, np.float32)
    assert Voice.from_bytes(short, group).z is group
    assert back.to_bytes(True) == whole
    with pytest.raises(PcodecError, match="3 bytes say nothing of a talker"):
        Voice.from_bytes(bytes(3))


def test_features_come_back(found, voice):
    back = tokens.absolute(tokens.relative(found, voice), voice)
    voiced = found[:, CORRELATION] + 0.5 > tokens.VOICED
    np.testing.assert_allclose(back[:, :PITCH], found[:, :PITCH], atol=1e-4)
    np.testing.assert_allclose(back[voiced, PITCH], found[voiced, PITCH], atol=0.03)  # 1.5 samples, at the limits
    np.testing.assert_allclose(back[:, CORRELATION], found[:, CORRELATION].clip(-0.5, 0.5), atol=1e-5)


def test_a_gain_and_a_pitch_change_nothing_but_the_voice(speech, voice):
    loud, soft = (features.analyze(gain * speech).features for gain in (0.8, 0.2))
    one, other = (tokens.relative(each, tokens.voice_of(each, voice.z)) for each in (loud, soft))
    loudest = loud[:, 0] > loud[:, 0].max() - 6
    np.testing.assert_allclose(one[loudest, 0], other[loudest, 0], atol=0.3)
    assert abs(one[loudest, PITCH].mean()) < 0.2


def test_what_is_not_voiced_carries_the_pitch_on(found, voice):
    own = found.copy()
    own[:, CORRELATION] = -0.5
    own[[10, 30], CORRELATION] = 0.4
    between = tokens.relative(own, voice)[10:31, PITCH]
    np.testing.assert_allclose(np.diff(between), np.diff(between)[0], atol=1e-5)
    own[:, CORRELATION] = -0.5
    assert not tokens.relative(own, voice)[:, PITCH].any()


def test_silence_has_no_level():
    voice = tokens.voice_of(features.analyze(np.zeros(16000)).features, np.zeros(32, np.float32))
    assert voice.level is None and voice.to_bytes(True)[0] == 0
    assert Voice.from_bytes(voice.to_bytes(True)).level is None
    assert tokens.absolute(np.full((3, 20), -99, np.float32), voice)[:, 0].max() < SILENCE
