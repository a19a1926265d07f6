"""Whatever a header announces, a file is read to the end of what can be decoded, and a difference is said aloud."""

import struct
import subprocess
import sys

import av
import numpy as np
import pytest
import soundfile

from pcodec import PcodecError
from pcodec.speech import audio

SECONDS = 3.0


def sound(rate=16000, seconds=SECONDS):
    """A rising tone, whose end is not its beginning."""
    time = np.arange(int(rate * seconds)) / rate
    return (0.3 * np.sin(2 * np.pi * (200 + 100 * time) * time)).astype(np.float32)


def encoded(path, codec, rate=16000, container=None, options=None, muxer=None, channels=1):
    """`sound` by FFmpeg's encoder of that name."""
    with av.open(str(path), "w", format=container, options=muxer or {}) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono" if channels == 1 else "stereo")
        stream.options, stream.bit_rate = options or {}, 64_000
        frame = av.AudioFrame.from_ndarray(
            np.tile(sound(rate), (channels, 1)), format="fltp", layout=stream.layout.name
        )
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(format=stream.format.name, layout=stream.layout.name, rate=rate)
        fifo = av.AudioFifo()
        for part in resampler.resample(frame):
            fifo.write(part)
        size = stream.codec_context.frame_size or 4096
        while part := fifo.read(size, partial=True):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def check(path, seconds=SECONDS, within=0.1):
    """All of the sound is there, at both ends: `read` and `probe` agree with what was coded."""
    samples = audio.read(path)
    assert len(samples) / audio.RATE == pytest.approx(seconds, abs=within)
    assert audio.probe(path) == pytest.approx(seconds, abs=within)
    for at, hertz in ((0.5, 300), (SECONDS - 0.5, 700)):
        begin = int((at - 0.05) * audio.RATE)
        spectrum = np.abs(np.fft.rfft(samples[begin : begin + 1600] * np.hanning(1600)))
        assert spectrum.argmax() * 10 == pytest.approx(hertz, abs=30)
    return samples


@pytest.mark.parametrize(
    ("name", "codec", "rate", "container"),
    [("a.m4a", "aac", 44100, None), ("a.webm", "libopus", 48000, None), ("a.wma", "wmav2", 16000, "asf"),
     ("a.mp3", "libmp3lame", 44100, None), ("a.mka", "flac", 16000, "matroska"), ("a.aac", "aac", 16000, "adts")],
)  # fmt: skip
def test_formats_of_phones_and_browsers(name, codec, rate, container, tmp_path, capsys):
    check(encoded(tmp_path / name, codec, rate, container))


def test_an_mp3_file_without_a_table_of_its_length(tmp_path, capsys):
    """Variable rate, no Xing header: its length is not announced, an estimate is wrong by a third."""
    path = encoded(tmp_path / "a.mp3", "libmp3lame", 44100, options={"qscale": "5"}, muxer={"write_xing": "0"})
    check(path)


def test_an_mp3_file_that_holds_less_than_it_announces(tmp_path, capsys):
    path = encoded(tmp_path / "a.mp3", "libmp3lame", 44100)
    path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    assert 1.0 < len(audio.read(path)) / audio.RATE < 2.5
    assert "a.mp3: announces 3.0" in capsys.readouterr().err


@pytest.mark.parametrize("announced", [0, 0xFFFFFFFF])
def test_a_wav_file_from_a_pipe(announced, tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(), 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = struct.pack("<I", announced)
    (tmp_path / "a.wav").write_bytes(data)
    assert np.array_equal(check(tmp_path / "a.wav"), soundfile.read(_whole(tmp_path), dtype="float32")[0])


def _whole(folder):
    soundfile.write(folder / "whole.wav", sound(), 16000)
    return folder / "whole.wav"


def test_an_empty_wav_file_with_a_chunk_after_its_samples_is_empty(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16000)
    data = (tmp_path / "a.wav").read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO"
    (tmp_path / "a.wav").write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    assert len(audio.read(tmp_path / "a.wav")) == 0


def test_a_flac_file_from_a_pipe_announces_no_length(tmp_path):
    soundfile.write(tmp_path / "a.flac", sound(), 16000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] &= 0xF0  # the 36 bits of the number of samples in STREAMINFO
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    assert np.abs(check(tmp_path / "a.flac") - sound()).max() < 1e-4


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_joined_ogg_files_are_read_to_the_end(codec, tmp_path, capsys):
    soundfile.write(tmp_path / "a.ogg", sound(), 16000, format="OGG", subtype=codec)
    one = len(audio.read(tmp_path / "a.ogg"))
    (tmp_path / "two.ogg").write_bytes(2 * (tmp_path / "a.ogg").read_bytes())
    assert len(check(tmp_path / "two.ogg", 2 * SECONDS)) == pytest.approx(2 * one, abs=1600)
    assert "two.ogg: announces 3.0" in capsys.readouterr().err
    (tmp_path / "cut.ogg").write_bytes((tmp_path / "two.ogg").read_bytes()[:-3000])
    with pytest.raises(PcodecError, match=r"cut\.ogg: truncated"):
        audio.read(tmp_path / "cut.ogg")


def test_joined_flac_files_are_read_to_the_end(tmp_path, capsys):
    soundfile.write(tmp_path / "a.flac", sound(), 16000)
    (tmp_path / "two.flac").write_bytes(2 * (tmp_path / "a.flac").read_bytes())
    assert np.array_equal(check(tmp_path / "two.flac", 2 * SECONDS), np.tile(audio.read(tmp_path / "a.flac"), 2))
    assert "two.flac: announces 3.00 s and holds 6.00 s" in capsys.readouterr().err


@pytest.mark.parametrize("second", ["file", "samples"])
def test_what_follows_in_a_wav_file_is_named_if_it_is_not_read(second, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", sound(), 16000)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "two.wav").write_bytes(whole + (whole if second == "file" else whole[36:]))
    assert np.array_equal(check(tmp_path / "two.wav"), audio.read(tmp_path / "a.wav"))
    assert "two.wav: 1 further files or blocks of samples in it are not read" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "GSM610"), ("a.au", "G721_32")])
def test_formats_without_a_way_back_to_the_start(name, subtype, tmp_path):
    soundfile.write(tmp_path / name, sound(), 16000, subtype=subtype)
    assert np.corrcoef(check(tmp_path / name)[: len(sound())], sound())[0, 1] > 0.9


def test_channels_that_cancel(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.stack([sound(), -sound()], axis=1), 16000)
    assert np.abs(check(tmp_path / "a.wav") - sound()).max() < 1e-4
    assert "a.wav: its channels cancel each other; only the first one is used" in capsys.readouterr().err
    soundfile.write(tmp_path / "b.wav", np.stack([sound(), 0.5 * sound()], axis=1), 16000)
    assert np.abs(audio.read(tmp_path / "b.wav") - 0.75 * sound()).max() < 1e-4
    assert capsys.readouterr().err == ""


def test_rates_that_no_sound_has_are_refused_before_anything_is_allocated(tmp_path):
    """A damaged header asks for 2147483647 Hz: resampling would need 320 GiB."""
    soundfile.write(tmp_path / "a.wav", sound(), 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    for rate in (0x7FFFFFFF, 100_000_007, 7):
        data[24:28] = struct.pack("<I", rate)
        (tmp_path / "b.wav").write_bytes(data)
        for function in (audio.read, audio.probe):
            with pytest.raises(PcodecError, match=rf"b\.wav: a rate of {rate} Hz"):
                function(tmp_path / "b.wav")
    with pytest.raises(PcodecError, match="a rate of 5000000 Hz"):
        audio.resample(sound(), 5_000_000)


def test_damage_inside_is_counted(tmp_path, capsys):
    path = encoded(tmp_path / "a.m4a", "aac", 44100)
    data = bytearray(path.read_bytes())
    middle = data.find(b"mdat") + len(data) // 3
    data[middle : middle + 600] = np.random.default_rng(1).bytes(600)
    path.write_bytes(data)
    samples = audio.read(path)
    said = capsys.readouterr().err
    assert len(samples) > 2.5 * audio.RATE or "holds" in said
    assert "damaged parts are left out" in said or len(samples) >= 2.9 * audio.RATE


@pytest.mark.skipif(sys.platform != "linux", reason="file names of other systems are UTF-8")
def test_names_that_are_not_utf_8(tmp_path):
    path = str(tmp_path / "caf\udce9.wav")
    soundfile.write(_whole(tmp_path), sound(), 16000)
    (tmp_path / "whole.wav").rename(path)
    assert len(check(path)) == 48000
    code = "import sys; from pcodec.cli import main; sys.exit(main(sys.argv[1:]))"
    for arguments, status in ((["features", path, str(tmp_path / "f.npz")], 0), (["encode", path + "x", "a.plpc"], 1)):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True)
        assert done.returncode == status and b"Traceback" not in done.stderr, done.stderr[-500:]
