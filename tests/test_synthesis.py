import numpy as np
import pytest

from pcodec import PcodecError, audio, features
from pcodec.backend import torch
from pcodec.lpcnet import LPCNet, LPCNetConfig
from pcodec.synthesis import FLOOR, Synthesizer, temperature


@pytest.fixture(scope="module")
def model():
    model = LPCNet(LPCNetConfig(units=32), seed=2).eval()
    for parameter in model.parameters():
        parameter.data.mul_(1.5)  # away from a flat distribution
    near_zero = 4.0 - (torch.arange(256) - 128).abs() / 6
    model.sample.dual_fc.first.bias.data.copy_(near_zero)  # small excitations, so that the output does not clip
    model.sample.dual_fc.factors.data[0] = 4.0
    return model


@pytest.fixture(scope="module")
def analysed(speech):
    return features.analyze(speech[8000:14400]).features


def test_samples_are_drawn_from_the_network_s_distribution(model, analysed):
    """The compiled loop against PyTorch: teacher-forced with the loop's own output, every code must be the inverse
    CDF of the network's sharpened and floored distribution at the uniform number of that sample."""
    decoded = Synthesizer(model).decode(analysed, seed=4)
    assert 0.001 < np.abs(decoded).max() < 0.99
    count = features.FRAME * len(analysed)
    uniforms = np.random.default_rng(4).random(count)
    lpc = features.lpc_from_cepstrum(analysed[:, :18]).astype(np.float64)
    sharpness = temperature(analysed[:, 19])
    f = torch.from_numpy(model.conditioning(analysed))
    past, excitation, memory, h_a, h_b, misses = np.zeros(16), 128, 0.0, None, None, 0
    table = audio.mulaw_decode(np.arange(256, dtype=np.uint8)).astype(np.float64)
    for t in range(2000):
        k = t // features.FRAME
        prediction = -lpc[k] @ past
        codes = torch.tensor([int(audio.mulaw_encode(past[0])), int(audio.mulaw_encode(prediction)), excitation])
        with torch.no_grad():
            net = model.sample
            a, h_a = net.gru_a(torch.cat([net.embedding(codes).flatten(), f[k]])[None, None], h_a)
            b, h_b = net.gru_b(torch.cat([a[0, 0], f[k]])[None, None], h_b)
            p = torch.softmax(net.dual_fc(b[0, 0]).double() * sharpness[k], dim=0).numpy()
        p = np.maximum(0, p - FLOOR)
        cumulative = np.cumsum(p / p.sum())
        if t >= features.OFFSET:  # what the loop drew, read back from its output
            out = decoded[t - features.OFFSET] * audio.SCALE
            drawn = int(np.abs(table - (out - audio.PREEMPHASIS * memory - prediction)).argmin())
        else:
            drawn = int(np.searchsorted(cumulative, uniforms[t], side="right"))
        low, high = cumulative[drawn] - p[drawn] / p.sum(), cumulative[drawn]
        misses += not low - 1e-3 <= uniforms[t] <= high + 1e-3
        excitation = drawn
        past = np.concatenate([[prediction + table[drawn]], past[:-1]])
        memory = past[0] + audio.PREEMPHASIS * memory
    assert misses <= 2


def test_same_seed_same_samples(model, analysed):
    synthesizer = Synthesizer(model)
    first = synthesizer.decode(analysed, seed=1)
    assert np.array_equal(first, synthesizer.decode(analysed, seed=1))
    assert not np.array_equal(first, synthesizer.decode(analysed, seed=2))
    assert first.dtype == np.float32 and len(first) == 160 * len(analysed) - 80 and np.abs(first).max() <= 1.0


def test_length_is_that_of_the_original(model):
    for samples in (1, 639, 1600):
        frames = features.analyze(np.zeros(samples)).features
        assert len(Synthesizer(model).decode(frames, samples)) == samples


def test_temperature_follows_the_reference_s_code():
    assert temperature(np.array([-0.5, 0.33, 1 / 3, 0.4125, 0.5])) == pytest.approx([1, 1, 1, 1.11875, 1.25])


def test_refusals(model):
    with pytest.raises(PcodecError, match=r"\(3, 19\)"):
        Synthesizer(model).decode(np.zeros((3, 19)))
    with pytest.raises(PcodecError, match="4 frames give 560 samples, 561"):
        Synthesizer(model).decode(np.zeros((4, 20)), 561)
