"""Critics learn to tell what repeats itself from noise; what they teach reaches the decoder and not them."""

import numpy as np
import pytest
import torch

from pcodec.learning.discriminators import WINDOWS, Critics


def noise(seed, batch=8):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.1, (batch, 3200)).astype(np.float32))


def test_a_critic_hears_a_buzz_after_a_hundred_updates():
    """Noise that is the same every 2.5 ms, and as loud: spectral losses of its own kind do not tell it from others."""
    critics = Critics((1024,), seed=1)
    adam = torch.optim.AdamW(critics.parameters(), 2e-3, betas=(0.8, 0.99))

    def buzz(seed):
        return noise(seed)[:, :40].repeat(1, 80)

    for update in range(100):
        adam.zero_grad()
        critics.loss(buzz(update), noise(1000 + update)).backward()
        adam.step()
    with torch.no_grad():
        scores = [critics.critics[0](signal)[0].mean().item() for signal in (buzz(5000), noise(5001))]
    assert scores[0] < 0.2 < 0.8 < scores[1]


@pytest.mark.parametrize("window", WINDOWS)
def test_gradients_reach_the_decoder_alone(window):
    critics = Critics((window,), seed=1)
    found = noise(1, 2).requires_grad_()
    deceiving, matching = critics.decoder_losses(found, noise(2, 2))
    (deceiving + matching).backward()
    assert torch.isfinite(found.grad).all() and found.grad.abs().max() > 0
    assert all(weight.grad is None and weight.requires_grad for weight in critics.parameters())
    silent = torch.zeros(2, 3200, requires_grad=True)
    sum(critics.decoder_losses(silent, noise(2, 2))).backward()
    assert torch.isfinite(silent.grad).all()


def test_what_is_true_matches_itself():
    critics = Critics(seed=1)
    _, matching = critics.decoder_losses(noise(1), noise(1))
    assert matching.item() == 0.0
    again = Critics(seed=1)
    assert all(torch.equal(one, other) for one, other in zip(critics.parameters(), again.parameters(), strict=True))
