"""Whatever the format, rate or channels: 16 kHz mono in [-1, 1]; damage is named."""

import numpy as np
import pytest
import scipy.signal
import soundfile

from pcodec import PcodecError
from pcodec.speech import audio


def tone(rate, seconds=1.0, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize(
    ("suffix", "rate", "subtype", "channels"),
    [(".wav", 16000, "PCM_16", 1), (".wav", 16000, "PCM_U8", 1), (".wav", 44100, "PCM_16", 2),
     (".flac", 8000, "PCM_16", 1), (".ogg", 48000, "VORBIS", 2), (".wav", 22050, "FLOAT", 3)],
)  # fmt: skip
def test_every_format_becomes_16_khz_mono(tmp_path, suffix, rate, subtype, channels):
    path = tmp_path / f"tone{suffix}"
    soundfile.write(path, np.tile(tone(rate)[:, None], (1, channels)), rate, subtype=subtype)
    samples = audio.read(path)
    assert samples.dtype == np.float32 and len(samples) == 16000
    middle = slice(2000, 14000)
    assert np.abs(samples - tone(16000))[middle].max() < 0.02
    assert audio.probe(path) == pytest.approx(1.0)


def test_16_bit_samples_are_kept_exactly(tmp_path):
    pcm = np.arange(-32768, 32768, dtype=np.int16)
    soundfile.write(tmp_path / "a.flac", pcm, 16000)
    samples = audio.read(tmp_path / "a.flac")
    assert np.array_equal(samples * audio.SCALE, pcm)
    audio.write(tmp_path / "b.wav", samples)
    assert np.array_equal(soundfile.read(tmp_path / "b.wav", dtype="int16")[0], pcm)


def test_writing_clips_and_never_wraps(tmp_path):
    audio.write(tmp_path / "a.wav", np.array([2.0, -2.0, 0.0]))
    assert soundfile.read(tmp_path / "a.wav", dtype="int16")[0].tolist() == [32767, -32768, 0]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("seconds", [0.01, 0.3, 0.1337])
def test_blocks_are_the_whole(tmp_path, rate, seconds):
    noise = np.random.default_rng(1).normal(0, 0.1, rate + 7).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, rate, subtype="FLOAT")
    parts = list(audio.blocks(tmp_path / "a.wav", seconds))
    assert len(parts) > 2
    whole = noise if rate == 16000 else audio.resample(noise, rate)
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-6)
    assert np.array_equal(audio.read(tmp_path / "a.wav"), np.concatenate(list(audio.blocks(tmp_path / "a.wav"))))


def test_a_file_written_in_parts_appears_whole(tmp_path):
    with pytest.raises(KeyError), audio.writing(tmp_path / "a.wav") as append:
        append(np.zeros(100))
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with audio.writing(tmp_path / "a.wav") as append:
        append(np.zeros(100))
        append(np.full(50, 0.5))
    assert np.array_equal(audio.read(tmp_path / "a.wav"), np.repeat([0, 0.5], [100, 50]))
    with pytest.raises(PcodecError, match=r"a.mp9: audio is written as .wav"):
        audio.write(tmp_path / "a.mp9", np.zeros(3))


def test_bad_files_are_named(tmp_path):
    whole = tmp_path / "whole.flac"
    soundfile.write(whole, np.random.default_rng(1).normal(0, 0.1, 32000), 16000)
    cases = {"missing.wav": None, "zero.wav": b"", "text.wav": b"not audio at all" * 9}
    cases["truncated.flac"] = whole.read_bytes()[: whole.stat().st_size // 2]
    soundfile.write(tmp_path / "whole.wav", np.zeros(32000), 16000)
    cases["truncated.wav"] = (tmp_path / "whole.wav").read_bytes()[:30000]
    for name, content in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    for name in cases:
        for function in (audio.read, audio.probe):
            with pytest.raises(PcodecError, match=name):
                function(tmp_path / name)


def test_a_wav_file_from_a_pipe_has_no_length(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(16000, 0.5), 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(data)
    assert audio.read(tmp_path / "a.wav") == pytest.approx(np.full(16000, 0.5), abs=1e-4)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_file_of_no_samples_is_audio(tmp_path, rate):
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 2)), rate)
    assert audio.read(tmp_path / "none.wav").shape == (0,) and audio.probe(tmp_path / "none.wav") == 0.0


def test_preemphasis_is_the_filter(speech):
    y = audio.preemphasis(speech)
    assert y[1:] == pytest.approx(speech[1:] - 0.85 * speech[:-1], abs=1e-6)


def test_resampling_keeps_what_is_below_8_khz_only():
    mixed = tone(44100, 1.0, 1000.0) + tone(44100, 1.0, 12000.0)
    hertz, power = scipy.signal.periodogram(audio.resample(mixed, 44100)[1000:-1000], 16000)
    assert hertz[power.argmax()] == pytest.approx(1000, abs=2)
    assert power[hertz > 1100].sum() < 1e-5 * power.sum()


def test_rates_without_common_factor_need_no_memory():
    """A filter of torchaudio would have 16000 x 143,997 coefficients."""
    resampled = audio.resample(tone(47999, 0.5, 1000.0), 47999)
    assert len(resampled) == 8000
    hertz, power = scipy.signal.periodogram(resampled[500:-500], 16000)
    assert hertz[power.argmax()] == pytest.approx(1000, abs=3) and np.abs(resampled).max() < 1.1


def test_truncated_ogg_and_headless_files_are_refused(tmp_path):
    path = tmp_path / "tone.ogg"
    soundfile.write(path, tone(16000, 5.0), 16000)
    whole = path.read_bytes()
    assert len(audio.read(path)) == 80000
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PcodecError, match=r"tone\.ogg: truncated"):
        audio.read(path)
    raw = tmp_path / "tone.raw"
    raw.write_bytes(whole)
    with pytest.raises(PcodecError, match=r"tone\.raw: .*not audio"):
        audio.read(raw)


def test_files_of_another_scale_are_named(tmp_path):
    path = tmp_path / "int16.wav"
    soundfile.write(path, 20_000 * tone(16000, 0.1), 16000, subtype="FLOAT")
    with pytest.raises(PcodecError, match=r"int16\.wav: samples are expected in \[-1, 1\]"):
        audio.read(path)


def test_written_files_are_as_readable_as_others(tmp_path):
    audio.write(tmp_path / "a.wav", np.zeros(100))
    (tmp_path / "b").touch()
    assert (tmp_path / "a.wav").stat().st_mode == (tmp_path / "b").stat().st_mode
