"""Other codecs through their own tools: rate, delay, refusals."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.codecs import peers
from pcodec.evaluation import packages


@pytest.mark.parametrize("name", peers.PEERS)
def test_peer_has_its_rate_and_lies_on_the_input(name, speech):
    if peers.missing(name):
        pytest.skip(f"no {peers.missing(name)} (apt-get install codec2 opus-tools speex)")
    decoded, rate = peers.roundtrip(name, speech)
    assert decoded.shape == speech.shape and decoded.dtype == np.float32
    nominal = (
        float(name.split()[-1]) if name.startswith("Codec 2") else {"Opus 6": 6000, "Speex wideband q0": 4000}[name]
    )
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


def test_failing_tool_is_named(speech, monkeypatch):
    if peers.missing("Opus 6"):
        pytest.skip("no opus-tools")
    broken = peers.PEERS["Opus 6"]._replace(encode="opusenc --bitrate nonsense input.raw coded")
    monkeypatch.setitem(peers.PEERS, "Opus 6", broken)
    with pytest.raises(PcodecError, match="Opus 6: opusenc --bitrate nonsense"):
        peers.roundtrip("Opus 6", speech)
