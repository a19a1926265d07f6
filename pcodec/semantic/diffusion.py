"""Noise becomes features, step by step.

Task: at time t in 0 .. 1 features x are a x + s e, with noise e of variance 1, a = cos(pi t / 2), s = sin(pi t / 2).
The network sees that, z, and says v = a e - s x (Salimans & Ho 2022), from which x = a z - s v and e = s z + a v.
From pure noise it goes to smaller times without drawing again (DDIM, Song et al. 2021). Some excerpts are shown
without their tokens, so that away from the answer without them, v = u + w (c - u) can go beyond the one with them
(classifier-free guidance, Ho & Salimans 2022).

Conventions: those of `pcodec.semantic.model`; features are normalized.

Contents: `loss`, `sample`, `STEPS`, `GUIDANCE`, `BEGIN`.
"""

import itertools
import math

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.semantic.model import Regressed

STEPS, GUIDANCE, BEGIN = 4, 1.5, 0.3  # where nothing else is asked for
LATEST = 0.99  # time from which on sampling begins with noise alone


def loss(network, features, regressed: Regressed, voice, times, noise, shown):
    """|v - v'|^2 (B, T, 20) at times (B,); `shown` (B,) bool says which excerpts have their tokens."""
    a, s = _angles(times)
    told = Regressed(*(part * shown[:, None, None] for part in regressed))
    found = network(a * features + s * noise, times, told, voice * shown[:, None])
    return (found - (a * noise - s * features)).square()


@torch.no_grad()
def sample(
    network, regressed: Regressed, voice, noise, steps: int = STEPS, guidance: float = GUIDANCE, begin: float = BEGIN
):  # fmt: skip
    """Features (B, T, 20) from noise of that shape. With a guidance of 1 half of the work is not done.

    It begins at time `begin` with the regressor's features in so much noise: what these say is kept, what they lack is
    drawn. From `LATEST` on it begins with noise alone. Raises `PcodecError` unless there is a step.
    """
    if steps < 1 or not math.isfinite(guidance) or not 0 < begin <= 1:
        raise PcodecError(f"cannot sample in {steps} steps with guidance {guidance:g} from time {begin:g}")
    nothing = Regressed(*(torch.zeros_like(part) for part in regressed))
    times = torch.linspace(min(begin, LATEST), 0.0, steps + 1)
    a, s = _angles(times[:1].expand(len(noise)))
    z = a * regressed.features + s * noise if begin < LATEST else noise
    for now, then in itertools.pairwise(times):
        a, s = _angles(now.expand(len(z)))
        v = network(z, now.expand(len(z)), regressed, voice)
        if guidance != 1.0:
            without = network(z, now.expand(len(z)), nothing, torch.zeros_like(voice))
            v = without + guidance * (v - without)
        later_a, later_s = _angles(then.expand(len(z)))
        z = later_a * (a * z - s * v) + later_s * (s * z + a * v)
    return z


def _angles(times):
    """What is left of features, and how much noise there is, (B, 1, 1)."""
    angle = (0.5 * math.pi * times)[:, None, None]
    return torch.cos(angle), torch.sin(angle)
