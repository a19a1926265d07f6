"""Residual quantizers find planted words, restart dead ones, serve every number of stages, and let gradients pass."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.learning import vq


def planted(n, seed=0, width=6):
    """Sums of one of 8 far words and one of 4 near ones: (n, 1, width), and which."""
    generator = torch.Generator().manual_seed(seed)
    fixed = torch.Generator().manual_seed(100)
    far, near = 10 * torch.randn(8, width, generator=fixed), torch.randn(4, width, generator=fixed)
    near -= near.mean(0)  # the first stage's words are means
    i, j = torch.randint(8, (n,), generator=generator), torch.randint(4, (n,), generator=generator)
    return (far[i] + near[j] + 0.01 * torch.randn(n, width, generator=generator))[:, None], i


@pytest.mark.parametrize("kind", vq.KINDS)
def test_codes_and_words_agree(kind):
    """What is decoded from the codes is what training saw, whatever the number of stages."""
    quantizer = vq.Residual(6, stages=3, words=16, kind=kind, seed=1).eval()
    latents, _ = planted(400)
    quantizer.start(latents)
    latents = latents.view(8, 50, 6)
    quantized = quantizer(latents)
    assert torch.equal(quantizer.encode(latents), quantized.codes)
    assert torch.allclose(quantizer.decode(quantized.codes), quantized.latents, atol=1e-5)
    used = torch.tensor([1, 2, 3, 3, 2, 1, 3, 1])
    fewer = quantizer(latents, used).latents
    for row, n in enumerate(used.tolist()):
        assert torch.allclose(quantizer.decode(quantized.codes[row : row + 1, :, :n])[0], fewer[row], atol=1e-5)
    assert torch.equal(quantizer.encode(latents, stages=2), quantized.codes[..., :2])


def test_planted_words_are_found():
    latents, far = planted(2000)
    quantizer = vq.Residual(6, stages=2, words=8, seed=1)
    quantizer.start(latents)
    with torch.no_grad():
        for seed in range(1, 60):
            quantizer(planted(256, seed)[0])
    codes = quantizer.encode(latents)[:, 0]
    assert len(set(zip(codes[:, 0].tolist(), far.tolist(), strict=True))) == 8, "one word, one cluster"
    left = latents - quantizer.decode(quantizer.encode(latents))
    assert left.square().mean() < 0.002 * latents.var()


def test_words_follow_a_moving_encoder():
    quantizer = vq.Residual(6, stages=1, words=8, seed=1)
    quantizer.start(planted(2000)[0])
    with torch.no_grad():
        for seed in range(300):
            latents = planted(256, seed)[0] + 0.02 * seed
            quantizer(latents)
    error = (latents - quantizer.decode(quantizer.encode(latents))).square().mean()
    assert error < 8.0, "the words are behind by far more than the spread within a cluster"


def test_dead_words_start_anew():
    quantizer = vq.Residual(6, stages=1, words=32, seed=1)
    quantizer.start(planted(2000)[0])
    with torch.no_grad():
        quantizer.stages[0].words[5:] = 1e3  # where nothing ever falls
        quantizer.stages[0].sums[5:] = 1e3
        for seed in range(1000):
            torch.manual_seed(seed)
            quantizer(planted(256, seed)[0])
    assert len(quantizer.encode(planted(4000)[0])[..., 0].unique()) > 28


@pytest.mark.parametrize("kind", vq.KINDS)
def test_gradients_pass(kind):
    """The encoder gets the decoder's gradient as it is; the words that learn by gradient get theirs, too."""
    quantizer = vq.Residual(6, stages=2, words=8, kind=kind, seed=1)
    latents = planted(64)[0].view(4, 16, 6).requires_grad_()
    quantizer.start(latents)
    weights = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    quantized = quantizer(latents)
    (gradient,) = torch.autograd.grad((quantized.latents * weights).sum(), latents, retain_graph=True)
    assert torch.allclose(gradient, weights, atol=1e-5)
    (towards,) = torch.autograd.grad(quantized.loss, latents, retain_graph=True)
    assert 0 < towards.abs().max() < np.inf
    if kind == "factorized":
        (quantized.latents.square().mean() + quantized.loss).backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in quantizer.parameters())


def test_a_stage_learns_only_from_signals_that_use_it():
    quantizer = vq.Residual(6, stages=2, words=8, seed=1)
    quantizer.start(planted(500)[0])
    before = [stage.words.clone() for stage in quantizer.stages]
    quantizer(planted(64, 9)[0], used=torch.ones(64, dtype=torch.long))
    assert not torch.equal(quantizer.stages[0].words, before[0]) and torch.equal(quantizer.stages[1].words, before[1])
    after = quantizer.stages[0].words.clone()
    quantizer.eval()(planted(64, 10)[0])
    assert torch.equal(quantizer.stages[0].words, after), "nothing is learned outside training"


def test_refusals():
    quantizer = vq.Residual(6, stages=2, words=8, seed=1)
    with pytest.raises(PcodecError, match="7 vectors are too few to start 8 words"):
        quantizer.start(planted(7)[0])
    with pytest.raises(PcodecError, match="codes of 3 stages, there are 2"):
        quantizer.decode(torch.zeros(1, 1, 3, dtype=torch.long))
    with pytest.raises(PcodecError, match="codes must be 0 to 7, got 0 to 8"):
        quantizer.decode(torch.tensor([[[0, 8]]]))
