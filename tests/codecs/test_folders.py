"""Folders: every file is coded, or named with its fault; what is there stays; nothing outlives the call."""

import functools
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from pcodec import PcodecError, cli
from pcodec.bitstream.container import Stream
from pcodec.codecs import folders, parametric
from pcodec.speech import audio


@pytest.fixture
def recordings(speech, tmp_path):
    source = tmp_path / "in"
    for name, samples in (("a.wav", 8000), ("a.flac", 4000), ("b/c.ogg", 6000), ("b/d.wav", 5000)):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        audio.write(source / name, speech[:samples])
    (source / "bad.mp3").write_bytes(b"no sound")
    return source


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_file_is_done_or_named(recordings, codec_folder, tmp_path, jobs):
    make = functools.partial(parametric.Codec.load, codec_folder, "fargan-tiny", 2)
    streams, back = tmp_path / "streams", tmp_path / "back"
    done = folders.run("encode", recordings, streams, make, jobs)
    assert [(each.file, each.state) for each in done] == [
        ("a.flac", "done"), ("a.wav", "done"), ("b/c.ogg", "done"), ("b/d.wav", "done"), ("bad.mp3", "failed")
    ]  # fmt: skip
    assert "bad.mp3: truncated, damaged or not audio" in done[-1].error
    written = sorted(str(path.relative_to(streams)) for path in streams.rglob("*.plpc"))
    assert written == ["a.flac.plpc", "a.wav.plpc", "b/c.plpc", "b/d.plpc"], "two of the same stem keep their suffix"
    assert Stream.read(streams / "b" / "d.plpc").to_bytes() == make().encode(audio.read(recordings / "b" / "d.wav"))
    (streams / "b" / "d.plpc").write_bytes(b"something else")
    again = {each.file: each.state for each in folders.run("encode", recordings, streams, make, jobs)}
    assert again == {"a.flac": "there", "a.wav": "there", "b/c.ogg": "there", "b/d.wav": "done", "bad.mp3": "failed"}
    done = folders.run("decode", streams, back, make, jobs, rate=8000)
    assert [each.state for each in done] == ["done"] * 4
    assert audio.probe(back / "b" / "c.wav") == pytest.approx(6000 / 16000)


def test_the_command_tells_and_fails_if_one_failed(recordings, tmp_path, capsys):
    assert cli.main(["encode", str(recordings), str(tmp_path / "out")]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "4 done, 0 there already, 1 failed"
    assert out[4].startswith("bad.mp3  failed") and "not audio" in out[4]
    (recordings / "bad.mp3").unlink()
    assert cli.main(["encode", str(recordings), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 done, 4 there already, 0 failed"


def test_refusals(recordings, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for source, target, message in (
        (recordings, tmp_path / "file", "file: is not a folder"),
        (tmp_path / "empty", tmp_path / "out", "empty: no audio file in it"),
    ):
        with pytest.raises(PcodecError, match=message):
            folders.run("encode", source, target, lambda: None)
    with pytest.raises(PcodecError, match="nowhere: neither a folder nor one of"):
        folders.run("encode", recordings, tmp_path / "out", functools.partial(parametric.Codec.load, "nowhere"), jobs=2)
    assert cli.main(["encode", "--raw", "s16le", str(recordings), str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(PcodecError, match=r"no \.plpc file in it"):
        folders.run("decode", recordings, tmp_path / "out", lambda: None)


@pytest.mark.skipif(sys.platform != "linux", reason="signals and process lists as on Linux")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_call_and_the_next_one_goes_on(recordings, tmp_path, number, speech):
    (recordings / "bad.mp3").unlink()
    for each in range(40):
        audio.write(recordings / f"long{each}.wav", speech)
    command = [sys.executable, "-m", "pcodec", "encode", str(recordings), str(tmp_path / "out"), "--jobs", "2"]
    mark = {"PCODEC_TEST": f"{tmp_path}"}
    process = subprocess.Popen(command, env=os.environ | mark, stdout=-3, stderr=-3)
    until = time.monotonic() + 90
    while not list((tmp_path / "out").rglob("*.plpc")) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    process.wait()

    def left():
        found = []
        for other in psutil.process_iter():
            try:
                found += [other.pid] * (other.environ().get("PCODEC_TEST") == str(tmp_path))
            except psutil.Error:
                continue
        return found

    until = time.monotonic() + 15
    while left() and time.monotonic() < until:
        time.sleep(0.1)
    assert not left()
    for path in (tmp_path / "out").rglob("*.plpc"):
        if not path.name.startswith("."):
            Stream.read(path)
    assert cli.main(command[3:-2]) == 0
    assert len([path for path in (tmp_path / "out").rglob("*.plpc") if path.name[0] != "."]) == 44
