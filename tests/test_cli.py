import dataclasses
import os
import re

import numpy as np
import pytest
import soundfile

from pcodec import benchmarks, bitstream, cli, features
from pcodec.codebooks import Codebooks


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
    stream = bitstream.Stream.encode(speech[:32000], books)
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


def test_info_refuses_in_one_line(tmp_path, capsys):
    (tmp_path / "a.plpc").write_bytes(b"PLPC")
    assert cli.main(["info", str(tmp_path / "a.plpc")]) == 1
    assert capsys.readouterr().err == f"pcodec: error: {tmp_path / 'a.plpc'}: truncated: 4 bytes, the header has 24\n"


def test_bench_reports_ratios(capsys, demo, monkeypatch):
    monkeypatch.setattr(benchmarks, "UNITS", (16,))
    monkeypatch.setattr(benchmarks, "BATCH", 4)
    assert cli.main(["bench"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ +[\d.]+ GFLOP/s", out, re.M)
    for step in ("features", "quantization", "encoder, audio file to packets"):
        assert float(re.search(rf"^ +(\d+) x real time  {step}$", out, re.M)[1]) > 0
    for form in ("folded, bfloat16", "folded, float32", "plain, bfloat16", "plain, float32"):
        assert float(re.search(rf"^ +(\d+) samples/s  training, 16 units, {form} \(", out, re.M)[1]) > 0


@pytest.mark.parametrize("arguments", [[], ["features"], ["features", "a.wav"], ["decode-everything"]])
def test_usage_is_told(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2 and "usage: pcodec" in capsys.readouterr().err
