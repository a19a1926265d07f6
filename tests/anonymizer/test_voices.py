"""Promises that voices are nobody's, the same for the same seed, and that pitch moves to where they want it."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.anonymizer import config, voices
from pcodec.speech import audio


@pytest.fixture
def pool():
    """Forty speakers around two pitches."""
    rng = np.random.default_rng(1)
    pitch = np.log(np.where(np.arange(40) < 20, 115.0, 210.0)) + rng.normal(size=40) * 0.05
    return voices.Pool(rng.normal(size=(40, 32)).astype(np.float32), pitch, np.full(40, 0.15))


def test_fixed_is_one_for_everybody(pool):
    first, second = pool.voice("fixed"), pool.voice("fixed", voices.Voice(pool.z[3], 5.0, 0.1), seed=7)
    np.testing.assert_array_equal(first.z, second.z)
    assert first.pitch == pytest.approx(pool.pitch.mean())


def test_nobody_s_voice_but_of_a_voice_s_length(pool):
    talker = voices.Voice(pool.z[0], pool.pitch[0], 0.1)
    for kind in config.VOICES:
        z = pool.voice(kind, talker, seed=3).z
        lengths = np.linalg.norm(pool.z, axis=1)
        assert 0.5 * lengths.min() < np.linalg.norm(z) < 1.5 * lengths.max()
        assert np.linalg.norm(pool.z - z, axis=1).min() > 0.3 * lengths.mean()


def test_the_pool_s_voice_is_unlike_and_of_a_like_pitch(pool):
    talker = voices.Voice(pool.z[0], pool.pitch[0], 0.1)
    cosines = []
    for seed in range(20):
        voice = pool.voice("pool", talker, seed)
        assert abs(voice.pitch - talker.pitch) < 0.15  # never the other sex's
        cosines.append(voice.z @ talker.z / np.linalg.norm(voice.z) / np.linalg.norm(talker.z))
    assert np.mean(cosines) < -0.2


def test_a_seed_gives_a_voice(pool):
    talker = voices.Voice(pool.z[0], pool.pitch[0], 0.1)
    for kind in ("pool", "random"):
        first, same, other = (pool.voice(kind, talker, seed).z for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, same)
        assert not np.allclose(first, other)


def test_random_voices_are_spread_as_the_pool_is(pool):
    drawn = [pool.voice("random", seed=seed) for seed in range(200)]
    assert np.std([voice.pitch for voice in drawn]) == pytest.approx(pool.pitch.std(), rel=0.2)
    assert np.mean([voice.pitch for voice in drawn]) == pytest.approx(pool.pitch.mean(), abs=0.1)


def test_pitch_moves_to_the_voice_s():
    rng = np.random.default_rng(1)
    pitch = np.exp(np.log(110.0) + 0.2 * rng.normal(size=2000))
    lags, correlation = audio.RATE / pitch, np.full(2000, 0.8)
    talker = voices.prosody_of(lags, correlation)
    assert talker == pytest.approx((np.log(110.0), 0.2), abs=0.02)
    moved = voices.moved(lags, correlation, talker, voices.Voice(np.zeros(32), np.log(190.0), 0.1))
    assert voices.prosody_of(moved, correlation) == pytest.approx((np.log(190.0), 0.1), abs=0.02)
    assert np.corrcoef(np.log(lags), np.log(moved))[0, 1] > 0.99


def test_pitch_stays_where_the_codec_can_send_it():
    lags, correlation = np.array([33.0, 255.0, 100.0]), np.full(3, 0.9)
    for pitch in (4.0, 6.5):
        moved = voices.moved(lags, correlation, (np.log(160.0), 0.1), voices.Voice(np.zeros(32), pitch, 0.5))
        assert (moved >= 33).all() and (moved <= 255).all()


def test_what_is_not_voiced_has_no_pitch():
    assert voices.prosody_of(np.full(500, 100.0), np.zeros(500)) is None
    np.testing.assert_allclose(
        voices.moved(np.full(5, 100.0), np.zeros(5), None, voices.Voice(np.zeros(32), 5.0, 0.1)), 100.0
    )


def test_refused(pool):
    with pytest.raises(PcodecError, match="fixed, pool, random, not mine"):
        pool.voice("mine")
    with pytest.raises(PcodecError, match="for a talker"):
        pool.voice("pool")
    with pytest.raises(PcodecError, match="pool of voices"):
        voices.Pool(np.zeros((3, 32)), np.zeros(4), np.zeros(4))
