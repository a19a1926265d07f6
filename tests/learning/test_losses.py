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


def test_energy_distance_is_smallest_for_the_true_distribution():
    """Of noise: better fresh noise of the right level than one noise every time, or silence, or another level."""
    rng = np.random.default_rng(1)

    def noise(level=0.1):
        return torch.from_numpy(rng.normal(0, level, (64, 4000)).astype(np.float32))

    true, same, zeros = noise(), noise(), torch.zeros(64, 4000)
    fresh = losses.energy_distance(noise(), noise(), true).mean()
    for name, pair in {"one noise": (same, same), "silence": (zeros, zeros), "soft": (noise(0.06), noise(0.06)),
                       "loud": (noise(0.16), noise(0.16))}.items():  # fmt: skip
        assert losses.energy_distance(*pair, true).mean() > 1.1 * fresh, name
    assert losses.energy_distance(true, true, true) == pytest.approx([0.0] * 64, abs=1e-6)


def test_continuity(true):
    for factor, expected in ((1.0, 0.0), (0.1, 0.0), (-1.0, 2.0)):
        assert losses.continuity(factor * true, true) == pytest.approx([expected] * 3, abs=1e-5)


def test_gradients_are_finite_for_silence(true):
    found = torch.zeros_like(true, requires_grad=True)
    (losses.root_spectral(found, true) + losses.continuity(found, true)).sum().backward()
    assert torch.isfinite(found.grad).all()
