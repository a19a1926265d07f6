"""Compiled synthesis is the written equations, whole, streamed or side by side."""

import numpy as np
import pytest
import scipy.special

from pcodec import PcodecError, features
from pcodec.compute.backend import torch
from pcodec.features.vocoder import DELAY, decode_all
from pcodec.lpcnet import mulaw
from pcodec.lpcnet.examples import prepare
from pcodec.lpcnet.model import LPCNet, LPCNetConfig
from pcodec.lpcnet.sampler import FLOOR
from pcodec.lpcnet.synthesis import HEADROOM, LOUD, Synthesizer, softer, step, temperature
from pcodec.speech import audio


@pytest.fixture(scope="module")
def model():
    model = LPCNet(LPCNetConfig(units=32), seed=2).eval()
    for parameter in model.parameters():
        parameter.data.mul_(1.5)  # away from a flat distribution
    near_zero = 4.0 - (torch.arange(256) - 128).abs() / 6
    model.sample.dual_fc.first.bias.data.copy_(near_zero)  # small excitations, so that the output does not clip
    model.sample.dual_fc.factors.data[0] = 4.0
    for parameter in model.parameters():
        parameter.data.copy_(parameter.half())  # as the synthesizer rounds them
    return model


@pytest.fixture(scope="module")
def analysed(speech):
    return features.analyze(speech[8000:14400]).features[:40]


def test_samples_are_drawn_from_the_network_s_distribution(model, analysed):
    """The compiled loop against PyTorch: teacher-forced with the loop's own output, every code must be the inverse
    CDF of the network's sharpened and floored distribution at the uniform number of that sample."""
    decoded = Synthesizer(model.arrays()).decode(analysed, seed=4)
    assert 0.001 < np.abs(decoded).max() < 0.99
    analysed, decoded = softer(analysed), decoded / 10 ** (HEADROOM / 20)
    count = features.FRAME * len(analysed)
    uniforms = np.random.default_rng(4).random(count)
    lpc = features.lpc_from_cepstrum(analysed[:, :18]).astype(np.float64)
    sharpness = temperature(analysed[:, 19])
    f = torch.from_numpy(model.conditioning(analysed))
    past, excitation, memory, h_a, h_b, misses = np.zeros(16), 128, 0.0, None, None, 0
    table = mulaw.mulaw_decode(np.arange(256, dtype=np.uint8)).astype(np.float64)
    for t in range(2000):
        k = t // features.FRAME
        prediction = -lpc[k] @ past
        codes = torch.tensor([int(mulaw.mulaw_encode(past[0])), int(mulaw.mulaw_encode(prediction)), excitation])
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


def test_numpy_form_agrees(model, speech):
    """Two seconds of teacher forcing: the same distributions, and the same codes for the same random numbers."""
    codes, analysed = prepare(speech[8000:44000], None, np.random.default_rng(1), augment=False)
    codes, analysed = codes[: 2 * audio.RATE], analysed[:200]
    compiled = Synthesizer(model.arrays()).log_probabilities(analysed, codes[:, :3])
    arrays, f, logits = model.arrays(), model.conditioning(analysed), np.empty((len(codes), 256))
    h_a, h_b = np.zeros(32), np.zeros(16)
    for t in range(len(codes)):
        logits[t], h_a, h_b = step(arrays, f[t // features.FRAME], codes[t, :3], h_a, h_b)
    plain = scipy.special.log_softmax(logits, axis=1)
    assert len(plain) == 2 * audio.RATE and plain.max() > -3.0
    assert np.abs(plain - compiled).max() < 1e-3
    uniforms = np.random.default_rng(2).random((len(codes), 1))
    drawn = [(np.cumsum(np.exp(each), axis=1) <= uniforms).sum(axis=1) for each in (plain, compiled)]
    assert np.mean(drawn[0] == drawn[1]) >= 0.999
    losses = -np.take_along_axis(compiled, codes[:, 3:].astype(int), axis=1)
    with torch.no_grad():
        logits, _ = model.sample(torch.from_numpy(codes[None, :, :3]).long(), torch.from_numpy(f)[None])
    expected = torch.nn.functional.cross_entropy(logits[0], torch.from_numpy(codes[:, 3]).long())
    assert losses.mean() == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize("pieces", [[1] * 40, [4] * 10, [3, 1, 36]])
def test_a_stream_gives_the_same_samples(pieces, model, analysed):
    synthesizer = Synthesizer(model.arrays())
    state = synthesizer.start(seed=5)
    ends = np.cumsum(pieces)
    parts = [
        synthesizer.advance(state, analysed[end - frames : end], last=end == ends[-1])
        for end, frames in zip(ends, pieces, strict=True)
    ]
    assert [len(part) for part in parts[:-1]] == [160 * frames for frames in pieces[:-1]]
    whole = np.concatenate(parts)
    assert not whole[: 2 * features.FRAME].any()
    assert np.array_equal(whole[DELAY:], synthesizer.decode(analysed, seed=5))


def test_many_signals_at_once(model, analysed):
    """Of two decoders, several lengths and levels, more of one than go side by side: each as it is alone."""
    other = Synthesizer({name: value[:] * np.float32(0.9) for name, value in model.arrays().items()})
    synthesizer = Synthesizer(model.arrays())
    signals = [analysed, analysed[:20], analysed[8:], analysed[:2], analysed[4:36], analysed[:30], analysed[:33].copy()]
    signals[-1][:, 0] += LOUD - signals[-1][:, 0].max() + 2.0  # gets more headroom than its neighbours
    lengths = [6320, 3000, 5040, 100, None, 0, 5000]
    jobs = list(zip([synthesizer, other, *[synthesizer] * 5], signals, lengths, strict=True))
    for (maker, signal, samples), decoded in zip(jobs, decode_all(jobs, seed=3), strict=True):
        assert np.array_equal(decoded, maker.decode(signal, samples, seed=3))
        live = maker.advance(maker.start(3, whole=signal), signal, last=True)[DELAY:]
        assert np.array_equal(decoded, live[: len(decoded)])  # as a codec decodes a file
        assert len(decoded) == (samples if samples is not None else 160 * len(signal) - 80)


def test_same_seed_same_samples(model, analysed):
    synthesizer = Synthesizer(model.arrays())
    first = synthesizer.decode(analysed, seed=1)
    assert np.array_equal(first, synthesizer.decode(analysed, seed=1))
    assert not np.array_equal(first, synthesizer.decode(analysed, seed=2))
    assert first.dtype == np.float32 and len(first) == 160 * len(analysed) - 80 and np.abs(first).max() <= 1.0


def test_length_is_that_of_the_original(model):
    for samples in (1, 639, 1600):
        frames = features.analyze(np.zeros(samples)).features
        assert len(Synthesizer(model.arrays()).decode(frames, samples)) == samples


def test_temperature_follows_the_reference_s_code():
    assert temperature(np.array([-0.5, 0.33, 1 / 3, 0.4125, 0.5])) == pytest.approx([1, 1, 1, 1.11875, 1.25])


def test_refusals(model):
    with pytest.raises(PcodecError, match="multiples of 16, got 24 and 16"):
        Synthesizer(LPCNet(LPCNetConfig(units=24)).arrays())
    with pytest.raises(PcodecError, match=r"\(3, 19\)"):
        Synthesizer(model.arrays()).decode(np.zeros((3, 19)))
    with pytest.raises(PcodecError, match="4 frames give 560 samples, 561"):
        Synthesizer(model.arrays()).decode(np.zeros((4, 20)), 561)


def test_softer_features_are_those_of_a_softer_signal():
    """Planted truth: c0 falls as the analysis of the softer noise says; the shape and silence stay."""
    noise = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    loud, soft = (features.analyze(gain * noise).features for gain in (1.0, 10 ** (-HEADROOM / 20)))
    np.testing.assert_allclose(softer(loud)[:, 0], soft[:, 0], atol=0.01)
    assert np.array_equal(softer(loud)[:, 1:], loud[:, 1:])
    silence = features.analyze(np.zeros(3200, np.float32)).features
    assert np.array_equal(softer(silence), silence)
