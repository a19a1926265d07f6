"""Trains the framewise decoder: on spectra, then with noise, then beside critics.

Task: the network is unrolled over excerpts of speech and hears its own output; two true frames prime its memory
(FARGAN, Valin et al. 2024, section III). It first learns on spectra, without noise, which would disturb what is still
fragile. Then each excerpt is written twice, with different noise: what is alike in both is what the packets say, the
rest should be as random as it is in speech (`losses.energy_distance`); and the pitch is wrong now and then.

Conventions: losses are those of `pcodec.learning.losses`, over primer and what was written; data are
`pcodec.fargan.examples`.

Contents: `stages`, `fit_stages`, `Stage`; `fit`, `evaluate`, `Critics`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.fargan.examples import Excerpts
from pcodec.fargan.model import Fargan
from pcodec.features.cepstrum import FRAME
from pcodec.learning import discriminators, loop, losses, optimizers
from pcodec.learning.checkpoint import digest

PRIMER = 2  # true frames at the beginning of an excerpt
CONTINUITY, JOIN = 0.03, 160  # weight of the continuity loss, and over how many samples
JITTER = 0.01  # noise on what is fed back
STRETCH = 60  # frames on which a loss is measured
ADAM = functools.partial(torch.optim.AdamW, betas=(0.8, 0.95))  # what gates and gains need is soon another
WEIGHT_DECAY = 0.05  # of matrices


@dataclass(frozen=True)
class Critics:
    """Critics beside a decoder. One of them, drawn anew, looks at each update."""

    windows: tuple[int, ...] = discriminators.WINDOWS
    learning_rate: float = 4e-4
    ahead: int = 200  # updates in which their losses come to their full weights
    adversarial: float = 0.05  # weights of their losses beside the spectral one
    matching: float = 0.2


class Stage(NamedTuple):
    """One part of a decoder's training."""

    twice: bool  # each excerpt is written with noise, twice
    updates: int
    learning_rate: float


def stages(role: str, before: int, spectral_updates: int, noise_updates: int, extra_updates: int,
           learning_rate: float, noise_learning_rate: float, extra_learning_rate: float) -> list[Stage]:  # fmt: skip
    """What a decoder is trained on, one after the other; nothing if the `before` updates that it has had are all.

    Control and groups' decoders get `extra_updates` of the general one's last kind.
    """
    if role != "general":
        return [Stage(noise_updates > 0, extra_updates, extra_learning_rate)]
    first = max(0, spectral_updates - before)
    second = noise_updates - max(0, before - spectral_updates)
    parts = [Stage(False, first, learning_rate), Stage(True, max(0, second), noise_learning_rate)]
    return [stage for stage in parts if stage.updates]


def fit_stages(
    model: Fargan,
    parts: list[Stage],
    draw: Callable[[int], Excerpts],
    validation: Excerpts,
    checkpoint: Path,
    critics: Critics | None = None,
    **options,
) -> pd.DataFrame:
    """`fit`, stage after stage, in place; `update` counts those that the decoder had before.

    `critics` only look at what is written `twice`. `options` go to `fit`.
    """
    before = model.provenance.get("updates", 0)
    if not parts:
        return evaluate(model, validation).assign(update=before)
    histories = []
    for number, stage in enumerate(parts):
        history = fit(
            model, draw, validation, stage.updates, learning_rate=stage.learning_rate, twice=stage.twice,
            critics=critics if stage.twice else None,
            checkpoint=checkpoint.with_name(f"{checkpoint.stem}-{number}.pt"), **options,
        )  # fmt: skip
        histories.append(history.assign(update=history["update"] + before, twice=stage.twice))
        before += stage.updates
    return pd.concat(histories, ignore_index=True)


def written(model: Fargan, features, true, jitter: float = 0.0, twice: bool = True) -> tuple:
    """What the model writes after two true frames of `true` (B, samples), once or `twice`, with different noise."""
    primer, times = true[:, : PRIMER * FRAME], 2 if twice else 1
    return model(features.repeat(times, 1, 1), primer.repeat(times, 1), jitter, noise=twice).chunk(times)


def loss_of(found: tuple, true):
    """Losses (B,) of what was `written`: on spectra if once, their energy distance if twice."""
    part = slice(PRIMER * FRAME, PRIMER * FRAME + JOIN)
    join = sum(losses.continuity(each[:, part], true[:, part]) for each in found) / len(found)
    spectral = losses.root_spectral if len(found) == 1 else losses.energy_distance
    return spectral(*found, true) + CONTINUITY * join


def evaluate(model: Fargan, data: Excerpts, twice: bool = True, stretches: int = 2, batch: int = 64) -> pd.DataFrame:
    """Loss of `model` on each utterance: table (utterance, speaker, loss). Every model hears the same excerpts."""
    starts, which = data.starts(PRIMER + STRETCH)
    chosen = []
    for utterance in np.unique(which):
        own = np.flatnonzero(which == utterance)
        chosen.extend(own[((np.arange(stretches) + 0.5) * len(own) / stretches).astype(int)])
    found = []
    model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for rows in np.split(np.array(chosen), range(batch, len(chosen), batch)):
            features, true = data.batch(starts[rows], PRIMER + STRETCH)
            found.append(loss_of(written(model, features, true, 0.0, twice), true))
    model.train()
    table = data.utterances.iloc[which[chosen]].assign(loss=torch.cat(found).numpy())
    return table.groupby(["utterance", "speaker"], as_index=False, sort=False).loss.mean()


def fit(
    model: Fargan,
    draw: Callable[[int], Excerpts],
    validation: Excerpts,
    updates: int = 0,
    seconds: float = 0.0,
    batch: int = 64,
    frames: int = 15,
    redraw: int = 200,
    learning_rate: float = 3e-3,
    anneal: float = 0.5,
    average: float = 0.0,
    twice: bool = True,
    critics: Critics | None = None,
    evaluations: int = 5,
    seed: int = 1,
    checkpoint: Path | None = None,
) -> pd.DataFrame:
    """Train `model` in place; return validation losses: `evaluate`'s table with update and training_loss.

    `draw(n)` is the training data prepared for the n-th time, new every `redraw` updates. A batch is half as many
    excerpts, each written `twice`, or as many excerpts, without noise, on spectra alone. An excerpt has `frames`
    after its primer. `critics` learn beside the model. The rest as in `loop.fit`.
    """
    if batch < 2 or redraw < 1 or frames < 1:
        raise PcodecError(f"cannot train with batch {batch}, redraw {redraw}, frames {frames}")
    learner = loop.Learner(
        model, optimizers.build(model, "muon", ADAM, WEIGHT_DECAY), optimizers.Annealed(learning_rate, 0.0, anneal)
    )
    task = _Training(learner, twice, critics, draw, validation, batch, frames, redraw, seed)
    return loop.fit(task, updates, seconds, evaluations, average, seed=seed, checkpoint=checkpoint).evaluations


class _Training(loop.Task):
    """The framewise decoder, and its critics, as the training loop sees them."""

    def __init__(self, learner, twice, critics, draw, validation, batch, frames, redraw, seed):
        self.learners, self.model, self.draw, self.validation = {"model": learner}, learner.network, draw, validation
        self.batch, self.frames, self.redraw, self.seed = batch, frames + PRIMER, redraw, seed
        self.twice, self.critics, self.number = twice, critics, None
        if critics:
            self.judges = torch.nn.ModuleList(
                discriminators.Critic(discriminators.CriticConfig(window), seed) for window in critics.windows
            )
            adam = torch.optim.AdamW(self.judges.parameters(), betas=(0.8, 0.99), weight_decay=0.0)
            self.learners["critics"] = loop.Learner(
                self.judges, [adam], optimizers.Annealed(critics.learning_rate, 0.0, 0.0)
            )
        self._drawn(0)

    def _drawn(self, update):
        if update // self.redraw != self.number:
            self.number = update // self.redraw
            self.data = self.draw(self.number)
            self.starts, _ = self.data.starts(self.frames)

    def identity(self) -> str:
        settings = (self.model.config, self.twice, self.critics, self.batch, self.frames, self.redraw, self.seed)
        return digest(settings, self.validation.signal, self.validation.features)

    def losses(self, update):
        self._drawn(update)
        rng = np.random.default_rng([self.seed, update])
        starts = rng.choice(self.starts, self.batch // 2 if self.twice else self.batch)
        features, true = self.data.batch(starts, self.frames, rng if self.twice else None)
        found = written(self.model, features, true, JITTER, self.twice)
        loss = loss_of(found, true).mean()
        if self.critics:
            judge = self.judges[rng.integers(len(self.judges))]
            yield "critics", discriminators.critic_loss(judge, found[0].detach(), true)
            deceiving, matching = discriminators.decoder_losses(judge, found[-1], true)
            judged = self.critics.adversarial * deceiving + self.critics.matching * matching
            loss = loss + min(1.0, (1 + update) / (1 + self.critics.ahead)) * judged
        yield "model", loss

    def evaluate(self):
        return evaluate(self.model, self.validation, self.twice)
