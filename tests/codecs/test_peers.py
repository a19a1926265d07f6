"""Other codecs through their own tools: rate, delay, refusals."""

import os

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.codecs import peers
from pcodec.evaluation import packages


@pytest.mark.parametrize("name", peers.PEERS)
def test_peer_has_its_rate_and_lies_on_the_input(name, speech):
    if peers.missing(name):
        pytest.skip(f"no {peers.missing(name)}")
    decoded, rate = peers.roundtrip(name, speech)
    assert decoded.shape == speech.shape and decoded.dtype == np.float32
    nominal = {"Opus 6": 6000, "Speex wideband q0": 4000}.get(name) or float(name.split()[-1])
    assert 0.97 * nominal <= rate <= 1.35 * nominal  # containers cost; Codec 2's files have none
    assert abs(peers.lag(speech, decoded)) <= 32
    shifted = np.concatenate([np.zeros(640, np.float32), decoded[:-640]])
    assert packages.stoi(speech, decoded) > 0.5 > packages.stoi(speech, shifted)


@pytest.mark.parametrize("late", [-700, -3, 0, 160, 799])
def test_planted_delay_is_found(speech, late):
    rng = np.random.default_rng(1)
    vocoded = np.abs(speech) * rng.choice([-1.0, 1.0], len(speech)) + 0.001 * rng.normal(size=len(speech))
    assert abs(peers.lag(speech, np.roll(vocoded, late)) - late) <= 16  # 1 ms


def test_refusals(speech, monkeypatch):
    with pytest.raises(PcodecError, match="no peer 'MP3'; there are Codec 2 3200"):
        peers.roundtrip("MP3", speech)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PcodecError, match="Opus 6: no opusenc and no opusdec"):
        peers.roundtrip("Opus 6", speech)


def test_lyra_s_programs_are_called_as_they_want_to_be(speech, monkeypatch, tmp_path):
    """Programs that take its options, and write a byte for 20 ms and the input: what is around them is at work."""
    monkeypatch.setenv("LYRA_MODEL", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    head = f'#!/bin/sh\ncase "$*" in *--bitrate=3200*--model_path={tmp_path}) ;; *) exit 1;; esac\n'
    for name, body in (
        ("encoder_main", "head -c $(($(stat -c %s input.wav) / 640)) /dev/zero > input.lyra && cp input.wav kept"),
        ("decoder_main", 'case "$*" in *--encoded_path=input.lyra*) mv kept input_decoded.wav;; esac'),
    ):
        (tmp_path / name).write_text(head + body)
        (tmp_path / name).chmod(0o755)
    decoded, rate = peers.roundtrip("Lyra 3200", speech)
    assert rate == pytest.approx(400, rel=0.02) and np.abs(decoded - speech).max() < 1e-3
    monkeypatch.delenv("LYRA_MODEL")
    assert peers.missing("Lyra 3200") == ["LYRA_MODEL"]


def test_failing_tool_is_named(speech, monkeypatch):
    if peers.missing("Opus 6"):
        pytest.skip("no opus-tools")
    broken = peers.PEERS["Opus 6"]._replace(encode="opusenc --bitrate nonsense input.raw coded")
    monkeypatch.setitem(peers.PEERS, "Opus 6", broken)
    with pytest.raises(PcodecError, match="Opus 6: opusenc --bitrate nonsense"):
        peers.roundtrip("Opus 6", speech)
