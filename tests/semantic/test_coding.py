"""Promises that tokens are the same in pieces and windows decode as the whole, and that packets hold them."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.features import hearing
from pcodec.learning import recognizer
from pcodec.semantic import coding
from pcodec.semantic.coding import SemanticCoder
from pcodec.semantic.config import RATES, SIZES
from pcodec.semantic.model import Semantic
from pcodec.speakers import embedding


@pytest.fixture(scope="module")
def coder():
    """Random weights; features have the statistics of speech, roughly."""
    model = Semantic(SIZES["tiny"], seed=1)
    model.spread.copy_(torch.linspace(3.0, 0.2, 20))
    torch.manual_seed(1)
    for block in (*model.regressor.blocks, *model.diffusion.middle, *model.diffusion.after):
        torch.nn.init.normal_(block.second.weight, std=0.05)
    torch.nn.init.normal_(model.diffusion.out.weight, std=0.3)
    return SemanticCoder(model, embedding.SpeakerEncoder().arrays())


@pytest.fixture(scope="module")
def long(speech):
    return np.resize(speech, 27 * 16000 + 77).astype(np.float32)


@pytest.mark.parametrize("name", RATES)
def test_pieces_are_the_whole(coder, long, name):
    voice, rate = coder.voice_of(long), RATES[name]
    whole = np.concatenate(list(coder.tokens([long], voice, rate)))
    parts = np.concatenate(list(coder.tokens(np.split(long, [5, 20000, 20001, 300000]), voice, rate)))
    assert np.array_equal(whole, parts)
    frames = len(hearing.describe(long).mel)
    assert len(whole) == -(-frames // (2 * rate.steps))
    assert len(np.unique(whole[:, 0])) > 3 and len(np.unique(whole[:, 1])) > 3
    assert (whole >= 0).all() and (whole < [rate.semantic, rate.acoustic]).all()


@pytest.mark.parametrize("steps", [0, 4])
def test_windows_decode_as_the_whole(coder, long, steps, monkeypatch):
    voice, rate = coder.voice_of(long), RATES["0.425"]
    found = np.concatenate(list(coder.tokens([long], voice, rate)))
    parts = list(coder.features(found, voice, rate, steps=steps))
    assert len(parts) > 2
    monkeypatch.setattr(coding, "WINDOW", 4000)
    (whole,) = coder.features(found, voice, rate, steps=steps)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-3)
    assert len(whole) == 4 * len(found) and whole.std() > 0.1


def test_seeds_draw_and_repeat(coder, long):
    voice, rate = coder.voice_of(long), RATES["0.2125"]
    found = np.concatenate(list(coder.tokens([long[:32000]], voice, rate)))
    one, again, other = (np.concatenate(list(coder.features(found, voice, rate, seed))) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and np.abs(one - other).max() > 0.1


def test_packets_hold_tokens():
    rng = np.random.default_rng(1)
    for rate in RATES.values():
        found = np.stack([rng.integers(rate.semantic, size=21), rng.integers(rate.acoustic, size=21)], axis=1)
        packets = coding.pack(found, rate, 3)
        assert packets.shape == (3, rate.bits) and packets.dtype == np.uint8
        back = coding.unpack(packets, rate)
        assert np.array_equal(back[:21], found) and (back[21:] == found[-1]).all()
        with pytest.raises(PcodecError, match="21 pairs of tokens are no 2 packets"):
            coding.pack(found, rate, 2)


def test_a_golden_packet():
    packet = coding.pack(np.array([[1, 2], [511, 255]]), RATES["0.425"], 1)[0]
    assert packet[:5].tolist() == [0b00000000, 0b10000001, 0b01111111, 0b11111111, 0b11111111]


def test_a_file_brings_it_back(coder, long, tmp_path):
    coder.save(tmp_path / "a.safetensors", np.float32)
    back = SemanticCoder.load(tmp_path / "a.safetensors", recognized=False)
    assert back.identity == coder.identity
    voice, rate = coder.voice_of(long[:32000]), RATES["0.525"]
    one, other = (np.concatenate(list(each.tokens([long[:32000]], voice, rate))) for each in (coder, back))
    assert np.array_equal(one, other)
    embedding.SpeakerEncoder().save(tmp_path / "b.safetensors")
    with pytest.raises(PcodecError, match=r"b\.safetensors: no Semantic decoder"):
        SemanticCoder.load(tmp_path / "b.safetensors")


def test_silence_stays_silence(coder):
    signal = np.zeros(16000, np.float32)
    voice = coder.voice_of(signal)
    found = np.concatenate(list(coder.tokens([signal], voice, RATES["0.525"])))
    assert not found.any()
    assert (np.concatenate(list(coder.features(found, voice, RATES["0.525"])))[:, 0] < -12.4).all()


def test_the_recognizer_is_heard_where_it_is(coder, long):
    if not recognizer.available():
        pytest.skip("the extra recognizer is not installed")
    hearing_one = SemanticCoder(coder.model, coder.speaker, recognizer.Recognizer.load())
    mel = hearing.describe(long[:48000]).mel
    found, level = hearing_one.content(mel, hearing.level(mel)), hearing.level(mel)
    assert found.shape == coder.content(mel, level).shape == (len(mel) // 2, 64)
