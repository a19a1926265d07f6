"""Noise is mixed at the level that is asked for, and kinds that are kept apart stay apart."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.speech import audio, noise


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    for name, level in (("a/rain/1.wav", 0.1), ("a/rain/2.wav", 0.01), ("a/saw/1.wav", 0.2), ("b/rain.wav", 0.05)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        audio.write(tmp_path / name, level * rng.standard_normal(4000).clip(-3, 3))
    return tmp_path


def test_levels_are_as_asked(folder):
    rng = np.random.default_rng(2)
    known, _ = noise.load(folder)
    speech = np.stack([0.3 * np.sin(np.arange(8000) / 5), 0.01 * np.sin(np.arange(8000) / 7)]).astype(np.float32)
    for snr in (-5.0, 10.0):
        dirty = noise.mixed(speech, known.draw(2, 8000, rng), np.array([snr, snr]))
        found = 10 * np.log10((speech**2).mean(axis=1) / ((dirty - speech) ** 2).mean(axis=1))
        assert np.abs(found - snr).max() < 0.1, "the excerpts are the whole recording twice"
    assert np.abs(noise.mixed(np.zeros(100, np.float32), known.draw(1, 100, rng)[0], 0.0)).max() > 0


def test_kinds_are_kept_apart(folder):
    known, unseen = noise.load(folder, ["rain"])
    assert known.names == ["a/saw/1.wav"]
    assert sorted(unseen.names) == ["a/rain/1.wav", "a/rain/2.wav", "b/rain.wav"]
    assert noise.load(folder)[0].names == noise.load(folder)[1].names


def test_an_excerpt_is_a_part_of_its_recording(folder):
    known, _ = noise.load(folder)
    recording = known.recordings[0]
    part = known.excerpt(0, 1000, np.random.default_rng(1))
    twice = np.concatenate([recording, recording])
    assert any(np.array_equal(twice[at : at + 1000], part) for at in range(len(recording)))


def test_refusals(folder, tmp_path):
    with pytest.raises(PcodecError, match="no recording of snow"):
        noise.load(folder, ["snow"])
    with pytest.raises(PcodecError, match="nothing: no folder of recordings of noise"):
        noise.load(tmp_path / "nothing")
    with pytest.raises(PcodecError, match="no recordings of noise"):
        noise.load(folder, ["rain", "saw"])
    with pytest.raises(PcodecError, match="quiet: is silent"):
        noise.Noise.of([("quiet", np.zeros(10))])
