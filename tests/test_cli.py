"""The command line: files and pipes in and out, one line for every mistake, nothing lost."""

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from pcodec import benchmarks, cli, features
from pcodec.bitstream.codebooks import Codebooks
from pcodec.bitstream.container import Stream
from pcodec.codecs import parametric
from pcodec.compute import backend
from pcodec.fargan.config import SIZES
from pcodec.speakers import UNKNOWN
from pcodec.speech import audio


def test_features_of_a_file(tmp_path, speech, capsys):
    stereo = np.repeat((speech[:22050] * 0.9)[:, None], 2, axis=1)
    soundfile.write(tmp_path / "in.wav", stereo, 22050)
    assert cli.main(["features", str(tmp_path / "in.wav"), str(tmp_path / "out.npz")]) == 0
    assert "104 frames of 10 ms from 1.00 s" in capsys.readouterr().out
    with np.load(tmp_path / "out.npz") as file:
        assert file["features"].shape == (104, len(features.COLUMNS)) and file["columns"].tolist() == features.COLUMNS
        assert np.array_equal(file["lpc"], features.lpc_from_cepstrum(file["features"][:, :18]))
        assert file["samples"] == 16000 and file["lags"].shape == (26, 8)
        lags = file["lags"]
    assert cli.main(["features", "--clean", str(tmp_path / "in.wav"), str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz") as file:
        assert (file["lags"] != lags).any()


def test_features_of_nothing(tmp_path, capsys):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    assert cli.main(["features", str(tmp_path / "none.wav"), str(tmp_path / "out.npz")]) == 0
    assert cli.main(["features", str(tmp_path / "missing.wav"), str(tmp_path / "other.npz")]) == 1
    assert capsys.readouterr().err == f"pcodec: error: {tmp_path / 'missing.wav'}: no such file\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none.wav", "out.npz"]


def test_no_file_is_called_standard_output(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("in.wav", np.zeros(16000), 16000)
    assert cli.main(["features", "in.wav", "-"]) == 1
    assert capsys.readouterr().err == "pcodec: error: -: this is not written to standard output; name a file\n"
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


DEAF = """
import time
from pcodec import cli

def deaf(options):
    print("ready", flush=True)
    try:
        time.sleep(60)
    except BaseException:
        pass
    time.sleep(60)
    return 0

cli.AGAIN, cli._info = 1, deaf
raise SystemExit(cli.main(["info", "a.plpc"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_does_not_hear_is_told_again(number):
    """What a signal raises in a callback of a library (llvmlite has one) is lost, and the command would go on."""
    heeds = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}  # also where the tests run under nohup
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, text=True, **heeds)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    try:
        assert process.wait(timeout=20) == 128 + number
    finally:
        process.kill()


@pytest.fixture
def own(codec_folder):
    return ["--codec", str(codec_folder), "--units", "32", "--groups", "2"]


def test_speech_through_files(tmp_path, speech, own, capsys):
    source, coded, decoded, again = (str(tmp_path / name) for name in ("in.flac", "c.plpc", "out.wav", "again.wav"))
    soundfile.write(source, speech[:20000], 22050)
    samples = len(audio.read(source))
    assert cli.main(["encode", source, coded, *own]) == 0
    assert cli.main(["decode", coded, decoded, *own]) == 0
    assert cli.main(["roundtrip", source, again, *own]) == 0
    line = capsys.readouterr().out
    assert re.fullmatch(
        rf"{samples / 16000:.2f} s, {samples} samples; 1600 b/s; group [01] of 2; "
        r"encoded at [\d.]+ x real time, decoded at [\d.]+ x real time\n",
        line,
    )
    assert len(audio.read(decoded)) == samples and np.array_equal(audio.read(decoded), audio.read(again))
    coder = parametric.Codec.load(*own[1::2][:1], units=32, C=2)
    assert open(coded, "rb").read() == coder.encode(audio.read(source))
    assert np.abs(coder.decode(open(coded, "rb").read())[0] - audio.read(decoded)).max() <= 0.5 / 32768
    assert cli.main(["encode", source, coded, *own, "--group", "unknown"]) == 0
    assert Stream.read(coded).group == (UNKNOWN,)
    assert cli.main(["decode", coded, decoded, *own]) == 0
    assert not np.array_equal(audio.read(decoded), audio.read(again))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.wav", "c.plpc", "in.flac", "out.wav"]


def test_speech_through_pipes(tmp_path, speech, own):
    soundfile.write(tmp_path / "in.wav", speech[:8000], 16000)

    def run(command, given):
        return subprocess.run(
            [sys.executable, "-m", "pcodec", command, "-", "-", *own], input=given, capture_output=True, check=True
        )

    coded = run("encode", (tmp_path / "in.wav").read_bytes()).stdout
    assert Stream.from_bytes(coded).samples == 8000
    decoded = run("decode", coded).stdout
    assert soundfile.read(io.BytesIO(decoded))[0].shape == (8000,)
    there_and_back = run("roundtrip", (tmp_path / "in.wav").read_bytes())
    assert there_and_back.stdout == decoded and b"8000 samples" in there_and_back.stderr


def test_coding_refuses_and_loses_nothing(tmp_path, speech, own, capsys):
    soundfile.write(tmp_path / "in.wav", speech[:8000], 16000)
    (tmp_path / "text.plpc").write_bytes(b"not a stream")
    Stream.encode(speech[:8000], Codebooks.shipped(), 5).write(tmp_path / "five.plpc")
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for arguments, message in [
        (["encode", "missing.wav", "c.plpc", *own], "missing.wav: no such file"),
        (["encode", "in.wav", "in.wav", *own], "in.wav: would replace the input"),
        (["encode", "in.wav", "c.plpc", *own, "--group", "3"], "no group 3"),
        (["encode", "in.wav", "c.plpc", "--codec", "nowhere"], "nowhere: neither a folder nor one of framewise"),
        (["encode", "in.wav", "c.plpc", *own[:2]], "the decoder and the number of groups must be given"),
        (["decode", "text.plpc", "out.wav", *own], "text.plpc: not a .plpc file"),
        (["decode", "five.plpc", "out.wav", "--codec", "personalized"], "coded for 5 speaker groups"),
        (["decode", "five.plpc", "out.wav", *own], "coded with codebooks"),
        (["roundtrip", "in.wav", "out.mp9", *own], "out.mp9: audio is written as .wav, .flac, .ogg"),
        (["roundtrip", "in.wav", "in.wav", *own], "in.wav: would replace the input"),
    ]:
        arguments = [str(tmp_path / a) if a.endswith(("wav", "plpc", "mp9")) else a for a in arguments]
        assert cli.main(arguments) == 1, arguments
        error = capsys.readouterr().err
        assert error.startswith("pcodec: error: ") and message in error and error.count("\n") == 1, error
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_output_that_cannot_be_written(tmp_path, capsys):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    before = (tmp_path / "none.wav").read_bytes()
    for output in (tmp_path, tmp_path / "file" / "out.npz", tmp_path / "pipe", tmp_path / "none.wav"):
        assert cli.main(["features", str(tmp_path / "none.wav"), str(output)]) == 1
        assert re.fullmatch(rf"pcodec: error: {tmp_path}\S*: [^\n]+\n", capsys.readouterr().err), output
    assert (tmp_path / "none.wav").read_bytes() == before and (tmp_path / "pipe").is_fifo()


def test_a_link_is_followed(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    (tmp_path / "link.npz").symlink_to(tmp_path / "target.npz")
    assert cli.main(["features", str(tmp_path / "none.wav"), str(tmp_path / "link.npz")]) == 0
    assert (tmp_path / "link.npz").is_symlink() and (tmp_path / "target.npz").is_file()


def test_info_reports_length_rate_and_groups(tmp_path, speech, capsys):
    books = Codebooks.shipped()
    stream = Stream.encode(speech[:32000], books)
    dataclasses.replace(stream, groups=4, group=(2, 2, 3), interval=25).write(tmp_path / "a.plpc")
    assert cli.main(["info", str(tmp_path / "a.plpc")]) == 0
    lines = dict(re.split(r"\s+", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["duration"] == "2.000 s, 32000 samples at 16000 Hz"
    assert lines["packets"] == "51 of 64 bits for 40 ms"
    assert lines["codebooks"] == f"{books.identity} (shipped with pcodec)"
    assert lines["group"] == "2 from 0.00 s, 3 from 2.00 s; of 4"
    assert lines["rate"] == "1600 b/s in packets, 7.8 b/s in group updates"  # 16 bits in 2.04 s
    assert lines["overhead"] == "192 bits of header, 16 bits of group updates, 5.99 %"
    assert lines["file"] == f"{24 + 51 * 8 + 2} bytes, 1702 b/s in all"
    assert (tmp_path / "a.plpc").stat().st_size == 434


def test_info_for_programs_and_from_a_pipe(tmp_path, speech):
    stream = Stream.encode(speech[:32000], Codebooks.shipped(), 4, 2)
    command = [sys.executable, "-m", "pcodec", "info", "--json", "-"]
    done = subprocess.run(command, input=stream.to_bytes(), capture_output=True, check=True)
    told = json.loads(done.stdout)
    assert (told["samples"], told["seconds"], told["groups"], told["group"]) == (32000, 2.0, 4, [2])
    assert told["bytes"] == len(stream.to_bytes()) and told["codebooks"] == Codebooks.shipped().identity


def test_a_reader_that_has_enough_is_no_error(tmp_path, speech):
    (tmp_path / "a.plpc").write_bytes(Stream.encode(speech[:6400], Codebooks.shipped()).to_bytes())
    code = f"from pcodec import cli; import sys; sys.exit(cli.main(['info', {str(tmp_path / 'a.plpc')!r}]))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


def test_raw_samples_are_the_file_s(tmp_path, speech):
    audio.write(tmp_path / "a.wav", speech[:16000])
    (tmp_path / "a.raw").write_bytes(soundfile.read(tmp_path / "a.wav", dtype="int16")[0].tobytes())
    raw = ["--raw", "s16le"]
    assert cli.main(["encode", str(tmp_path / "a.wav"), str(tmp_path / "a.plpc")]) == 0
    assert cli.main(["encode", *raw, str(tmp_path / "a.raw"), str(tmp_path / "b.plpc")]) == 0
    assert (tmp_path / "a.plpc").read_bytes() == (tmp_path / "b.plpc").read_bytes()
    assert cli.main(["decode", str(tmp_path / "a.plpc"), str(tmp_path / "c.wav")]) == 0
    assert cli.main(["decode", *raw, str(tmp_path / "a.plpc"), str(tmp_path / "c.raw")]) == 0
    samples, rate = soundfile.read(tmp_path / "c.wav", dtype="int16")
    assert rate == 16000 and np.array_equal(samples, np.fromfile(tmp_path / "c.raw", "<i2"))
    assert cli.main(["decode", "--rate", "48000", str(tmp_path / "a.plpc"), str(tmp_path / "d.wav")]) == 0
    upsampled, rate = soundfile.read(tmp_path / "d.wav")
    assert rate == 48000 and len(upsampled) == 48000
    assert np.abs(upsampled[::3] - samples / 32768)[200:-200].max() < 0.02


@pytest.mark.parametrize(("arguments", "message"), [
    (["encode", "--rate", "8000", "a.wav", "b.plpc"], "--rate is that of --raw samples"),
    (["encode", "--raw", "s16le", "--rate", "2147483647", "a.wav", "b.plpc"], "a rate of 2147483647 Hz"),
    (["encode", "--stream", "a.wav", "-"], "--stream goes from standard input to standard output"),
    (["decode", "--stream", "--loss", "10", "-", "-"], "--stream goes without --rate, --loss and --adapter"),
    (["decode", "--rate", "1", "a.wav", "b.wav"], "a rate of 1 Hz"),
    (["encode", "--anonymize", "fixed", "--group", "0", "a.wav", "b.plpc"], "--anonymize goes without --group"),
])  # fmt: skip
def test_options_that_do_not_go_together(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").write_bytes(bytes(100))
    assert cli.main(arguments) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "b.plpc").exists()


def test_another_voice(tmp_path, speech, capsys):
    audio.write(tmp_path / "talk.wav", speech[: 2 * audio.RATE])
    for voice in ("fixed", "random"):
        out = tmp_path / f"{voice}.wav"
        assert cli.main(["anonymize", str(tmp_path / "talk.wav"), str(out), "--voice", voice, "--content", "own"]) == 0
        assert "own encoders" in (told := capsys.readouterr()).err or voice != "fixed"
        assert f"2.00 s in another voice ({voice})" in told.out
        assert len(audio.read(out)) == 2 * audio.RATE
    assert not np.array_equal(audio.read(tmp_path / "fixed.wav"), audio.read(tmp_path / "random.wav"))
    for name, options in (("plain", []), ("hidden", ["--anonymize", "fixed"])):
        assert cli.main(["encode", str(tmp_path / "talk.wav"), str(tmp_path / f"{name}.plpc"), *options]) == 0
    plain, hidden = (Stream.read(tmp_path / f"{name}.plpc") for name in ("plain", "hidden"))
    assert hidden.samples == plain.samples and hidden.payload_rate == plain.payload_rate
    assert not np.array_equal(hidden.packets, plain.packets)


def test_info_refuses_in_one_line(tmp_path, capsys):
    (tmp_path / "a.plpc").write_bytes(b"PLPC")
    assert cli.main(["info", str(tmp_path / "a.plpc")]) == 1
    assert capsys.readouterr().err == f"pcodec: error: {tmp_path / 'a.plpc'}: truncated: 4 bytes, the header has 24\n"


def test_bench_reports_ratios(capsys, demo, monkeypatch):
    monkeypatch.setattr(benchmarks, "UNITS", (16,))
    monkeypatch.setattr(benchmarks, "SIZES", {"tiny": SIZES["tiny"]})
    monkeypatch.setattr(benchmarks, "BATCH", 4)
    monkeypatch.setattr(benchmarks, "SECONDS", 20.0)
    monkeypatch.setattr(benchmarks, "SYNTHESIZED", 1.0)
    monkeypatch.setattr(benchmarks.soundstream, "SIZES", {"tiny": benchmarks.soundstream.SIZES["tiny"]})
    assert cli.main(["bench"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ +[\d.]+ GFLOP/s", out, re.M)
    for step in ("features", "quantization", "encoder, audio file to packets"):
        assert float(re.search(rf"^ +(\d+) x real time  {step}$", out, re.M)[1]) > 0
    for form in ("LPCNet, 16 units, 10 % of GRU_A's weights", "LPCNet, 16 units, dense", "framewise, tiny",
                 "framewise, tiny, 8 signals at once"):  # fmt: skip
        assert float(re.search(rf"^ +([\d.]+) x real time  synthesis, {form} \(scaled", out, re.M)[1]) > 0
    for form in ("encoding", "decoding", "encoding, frame by frame", "decoding, frame by frame"):
        assert float(re.search(rf"^ +([\d.]+) x real time  SoundStream, tiny, {form} \(scaled", out, re.M)[1]) > 0
    best = "bfloat16" if backend.bfloat16_pays("cpu") else "float32"
    for form in ("folded, float32", "plain, float32", f"folded, {best}", f"folded, {best}, PyTorch's Muon"):
        assert float(re.search(rf"^ +(\d+) samples/s  training, 16 units, {form} \(", out, re.M)[1]) > 0


@pytest.mark.parametrize("arguments", [[], ["features"], ["features", "a.wav"], ["decode-everything"]])
def test_usage_is_told(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2 and "usage: pcodec" in capsys.readouterr().err
