"""Critics learn to tell what repeats itself from noise; what they teach reaches the decoder and not them."""

import numpy as np
import pytest
import torch

from pcodec.learning import discriminators
from pcodec.learning.discriminators import Critic, CriticConfig


def noise(seed, batch=8):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.1, (batch, 3200)).astype(np.float32))


def test_a_critic_hears_a_buzz_after_a_hundred_updates():
    """Noise that is the same every 2.5 ms, and as loud: spectral losses of its own kind do not tell it from others."""
    critic = Critic(CriticConfig(1024, (8, 8), 8), seed=1)
    adam = torch.optim.AdamW(critic.parameters(), 2e-3, betas=(0.8, 0.99))

    def buzz(seed):
        return noise(seed)[:, :40].repeat(1, 80)

    for update in range(100):
        adam.zero_grad()
        discriminators.critic_loss(critic, buzz(update), noise(1000 + update)).backward()
        adam.step()
    with torch.no_grad():
        scores = [critic(signal)[0].mean().item() for signal in (buzz(5000), noise(5001))]
    assert scores[0] < 0.2 < 0.8 < scores[1]


@pytest.mark.parametrize("window", discriminators.WINDOWS)
def test_gradients_reach_the_decoder_alone(window):
    critic = Critic(CriticConfig(window), seed=1)
    found = noise(1, 2).requires_grad_()
    deceiving, matching = discriminators.decoder_losses(critic, found, noise(2, 2))
    (deceiving + matching).backward()
    assert torch.isfinite(found.grad).all() and found.grad.abs().max() > 0
    assert all(weight.grad is None and weight.requires_grad for weight in critic.parameters())
    silent = torch.zeros(2, 3200, requires_grad=True)
    sum(discriminators.decoder_losses(critic, silent, noise(2, 2))).backward()
    assert torch.isfinite(silent.grad).all()


def test_what_is_true_matches_itself():
    critic = Critic(CriticConfig(), seed=1)
    _, matching = discriminators.decoder_losses(critic, noise(1), noise(1))
    assert matching.item() == 0.0
    again = Critic(CriticConfig(), seed=1)
    assert all(torch.equal(one, other) for one, other in zip(critic.parameters(), again.parameters(), strict=True))
