"""Spectral losses are zero for what is true, whatever its sign, notice a level, and have gradients in silence."""

import numpy as np
import pytest
import torch

from pcodec.learning import losses


@pytest.fixture
def true():
    return torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, (3, 4000)).astype(np.float32))


def test_root_spectral(true):
    assert losses.root_spectral(true, true).tolist() == [0.0] * 3
    assert losses.root_spectral(-true, true) == pytest.approx([0.0] * 3, abs=1e-6)
    assert losses.root_spectral(0.25 * true, true) == pytest.approx([0.5] * 3, abs=1e-3), "the root of a quarter"
    mixed = torch.cat([true[:1], 0.25 * true[1:2], true[2:]])
    assert losses.root_spectral(mixed, true) == pytest.approx([0.0, 0.5, 0.0], abs=1e-3), "one of each signal"


def test_continuity(true):
    for factor, expected in ((1.0, 0.0), (0.1, 0.0), (-1.0, 2.0)):
        assert losses.continuity(factor * true, true) == pytest.approx([expected] * 3, abs=1e-5)


def test_gradients_are_finite_for_silence(true):
    found = torch.zeros_like(true, requires_grad=True)
    (losses.root_spectral(found, true) + losses.continuity(found, true)).sum().backward()
    assert torch.isfinite(found.grad).all()


def test_balanced_gradients_have_fixed_proportions(true):
    """However large another loss is, at the signals its gradient is its share of the first one's; the value is that."""
    for scale in (1e-3, 1.0, 1e3):
        weight = torch.ones(1, requires_grad=True)
        signals = weight * true
        first, other = (signals**2).sum(), scale * signals[:, :100].sum()
        loss = losses.balanced(signals, first, [(other, 0.5)])
        assert loss.item() == pytest.approx((true**2).sum().item(), rel=1e-6)
        loss.backward()
        own, direction = 2 * true, torch.zeros_like(true)
        direction[:, :100] = 1.0
        expected = own + 0.5 * own.norm() / direction.norm() * direction
        assert weight.grad.item() == pytest.approx((expected * true).sum().item(), rel=1e-4)
