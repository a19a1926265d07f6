"""The compiled codec is the network; it sees no future; pieces of a signal give the bits of the whole."""

import numpy as np
import pytest
import torch

from pcodec import PcodecError
from pcodec.soundstream import layers
from pcodec.soundstream.coding import DecoderState, EncoderState, SoundStreamCoder
from pcodec.soundstream.config import DELAY, FRAME, SIZES, SoundStreamConfig
from pcodec.soundstream.model import SoundStream

FRAMES = 60


@pytest.fixture(scope="module")
def signal(speech):
    at = np.argmax(np.convolve(np.abs(speech), np.ones(FRAME), "valid"))
    begin = max(0, min(at - FRAME * FRAMES // 2, len(speech) - FRAME * FRAMES))
    return speech[begin : begin + FRAME * FRAMES].astype(np.float32)


def network(size, signal):
    """Of random weights that float16 can hold, its blocks at work, its words on the signal's latents."""
    model = SoundStream(SIZES[size], seed=1).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("scale"):
                parameter.fill_(0.5)
            elif name.endswith(("bias", "gains", "offsets")):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        model.half().float()
        latents = model.encoder(torch.from_numpy(signal)[None]).repeat(1, 20, 1)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
        model.quantizer.start(latents + 0.3 * latents.std() * noise)
    return model.half().float()


@pytest.fixture(scope="module", params=["large", "tiny"])
def both(request, signal):
    model = network(request.param, signal)
    return model, SoundStreamCoder(model.config, model.arrays())


def test_compiled_is_the_network(both, signal):
    model, coder = both
    with torch.no_grad():
        latents = model.encoder(torch.from_numpy(signal)[None])
        found = coder.latents(EncoderState(model.config), signal)
        assert np.abs(latents[0].numpy() - found).max() < 1e-4  # logarithms of quiet bins
        alone = model.encoder(torch.from_numpy(signal)[None], torch.ones(1))
        found = coder.latents(EncoderState(model.config), signal, denoise=True)
        assert np.abs(alone[0].numpy() - found).max() < 1e-4
        assert (alone - latents).abs().max() > 0.1
        codes = coder.encode(EncoderState(model.config), signal)
        assert (codes == model.quantizer.encode(latents)[0].numpy()).mean() > 0.99
        noise = np.random.default_rng(7).standard_normal((2 * FRAMES, model.config.noise), dtype=np.float32)
        for stages in (1, 4, 8):
            expected = model.decoder(
                model.quantizer.decode(torch.from_numpy(codes[None, :, :stages])), torch.from_numpy(noise[None])
            )
            found = coder.decode(DecoderState(model.config, 7), codes[:, :stages])
            assert np.abs(expected[0].numpy() - found).max() < 1e-5
            assert np.abs(found).max() > 0.01


def test_pieces_give_the_bits_of_the_whole(both, signal):
    model, coder = both
    codes = coder.encode(EncoderState(model.config), signal)
    samples = coder.decode(DecoderState(model.config, 3), codes)
    sender, receiver = EncoderState(model.config), DecoderState(model.config, 3)
    found, heard, at = [], [], 0
    for frames in (1, 1, 2, 7, 4, 0, 45):
        found.append(coder.encode(sender, signal[FRAME * at : FRAME * (at + frames)]))
        heard.append(coder.decode(receiver, found[-1]))
        at += frames
    assert np.array_equal(np.concatenate(found), codes)
    assert np.array_equal(np.concatenate(heard), samples)
    assert np.array_equal(coder.encode(EncoderState(model.config), signal, stages=2), codes[:, :2])
    assert not np.array_equal(coder.decode(DecoderState(model.config, 4), codes), samples), "other noise"


def test_what_comes_later_changes_nothing_before(both, signal):
    model, coder = both
    frame = 25
    other = signal.copy()
    other[FRAME * frame :] = -0.5 * other[FRAME * frame :] + 0.01
    codes, changed = (coder.encode(EncoderState(model.config), each) for each in (signal, other))
    assert np.array_equal(codes[:frame], changed[:frame])
    assert not np.array_equal(codes[frame], changed[frame])
    heard, others = (coder.decode(DecoderState(model.config, 1), each) for each in (codes, changed))
    assert np.array_equal(heard[: FRAME * frame], others[: FRAME * frame])
    assert not np.array_equal(heard, others)


def test_spectra_and_back_are_as_late_as_said():
    signals = torch.randn(2, 16 * FRAME, generator=torch.Generator().manual_seed(1))
    found = layers.signal(layers.spectra(signals))
    assert torch.allclose(found[:, DELAY:], signals[:, :-DELAY], atol=1e-5)


def test_sizes():
    for size, least, most in (("large", 2.7e6, 3.3e6), ("small", 0.7e6, 0.9e6), ("tiny", 0.2e6, 0.3e6)):
        model = SoundStream(SIZES[size])
        count = sum(weight.numel() for part in (model.encoder, model.decoder) for weight in part.parameters())
        assert least < count < most
        assert SIZES[size].size == size
    assert SoundStreamConfig(encoder=32).size == "other"


def test_file(both, tmp_path, signal):
    model, coder = both
    model.save(tmp_path / "a.safetensors", np.float16)
    again = SoundStreamCoder.load(tmp_path / "a.safetensors")
    expected, found = (each.encode(EncoderState(model.config), signal[:3200]) for each in (coder, again))
    assert np.array_equal(expected, found)


def test_refusals(both):
    model, coder = both
    with pytest.raises(PcodecError, match="cannot encode 100 samples at 8 stages"):
        coder.encode(EncoderState(model.config), np.zeros(100))
    with pytest.raises(PcodecError, match="at 9 stages"):
        coder.encode(EncoderState(model.config), np.zeros(FRAME), stages=9)
    with pytest.raises(PcodecError, match=r"1 to 8\), got \(3, 9\)"):
        coder.decode(DecoderState(model.config, 1), np.zeros((3, 9), int))
    with pytest.raises(PcodecError, match="0 to 255, got 0 to 256"):
        coder.decode(DecoderState(model.config, 1), np.array([[0, 256]]))
    with pytest.raises(PcodecError, match="latent must be a multiple of 16, got 20"):
        SoundStreamCoder(SoundStreamConfig(latent=20), {})
