"""Trains the framewise decoder: on spectra, then beside critics.

Task: the network is unrolled over excerpts of speech and hears its own output; two true frames prime its memory
(FARGAN, Valin et al. 2024, section III). On spectra alone it learns what to say, and writes the median of what could be
true: too soft where speech is noise, and alike every time. Critics, who learn to tell what it writes from speech, then
teach it the rest, on longer excerpts; and the pitch is wrong now and then. The mean of several such trainings is better
than each of them: what they share is speech, and in what they get wrong they differ.

Conventions: losses are those of `pcodec.learning.losses`, over primer and what was written; data are
`pcodec.fargan.examples`.

Contents: `stages`, `fit_stages`, `Stage`; `fit`, `evaluate`.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.fargan.examples import Excerpts
from pcodec.fargan.model import Fargan
from pcodec.features.cepstrum import FRAME
from pcodec.learning import loop, losses, optimizers
from pcodec.learning.adversarial import Ahead, Critics
from pcodec.learning.checkpoint import digest

PRIMER = 2  # true frames at the beginning of an excerpt
CONTINUITY, JOIN = 0.03, 160  # weight of the continuity loss, and over how many samples
JITTER = 0.01  # noise on what is fed back
STRETCH = 60  # frames on which a loss is measured
ADAM = functools.partial(torch.optim.AdamW, betas=(0.8, 0.95))  # what gates and gains need is soon another
WEIGHT_DECAY = 0.05  # of matrices


class Stage(NamedTuple):
    """One part of a decoder's training."""

    critics: bool  # beside critics, or on spectra alone
    updates: int
    learning_rate: float


def stages(role: str, before: int, spectral_updates: int, critic_updates: int, extra_updates: int,
           learning_rate: float, critic_learning_rate: float, extra_learning_rate: float) -> list[Stage]:  # fmt: skip
    """What a decoder is trained on, one after the other; nothing if the `before` updates that it has had are all.

    Control and groups' decoders get `extra_updates` of the general one's last kind.
    """
    if role != "general":
        return [Stage(critic_updates > 0, extra_updates, extra_learning_rate)]
    first = max(0, spectral_updates - before)
    second = critic_updates - max(0, before - spectral_updates)
    parts = [Stage(False, first, learning_rate), Stage(True, max(0, second), critic_learning_rate)]
    return [stage for stage in parts if stage.updates]


def fit_stages(
    model: Fargan,
    parts: list[Stage],
    draw: Callable[[int], Excerpts],
    validation: Excerpts,
    checkpoint: Path,
    critics: Sequence[Critics] = (Critics(),),
    kept: float = 0.0,
    batch: int = 64,
    frames: int = 15,
    critic_frames: int = 60,
    seed: int = 1,
    **options,
) -> pd.DataFrame:
    """`fit`, stage after stage, in place; `update` counts those that the decoder had before.

    Beside critics an update has as much speech as on spectra, in excerpts of `critic_frames`. Each of `critics` is a
    training of its own, from the same weights; what is left is `kept` of these, and of the rest a mean over the
    trainings. `training` counts these, from 1; it is 0 on spectra. `options` go to `fit`.
    """
    if not critics or not 0 <= kept < 1:
        raise PcodecError(f"cannot train with critics {list(critics)}, kept {kept}")
    before = model.provenance.get("updates", 0)
    if not parts:
        return evaluate(model, validation).assign(update=before)
    histories = []
    for number, stage in enumerate(parts):
        sizes = {"batch": batch, "frames": frames}
        if stage.critics:
            sizes = {"batch": max(2, round(batch * frames / critic_frames)), "frames": critic_frames}
        start = {name: value.clone() for name, value in model.state_dict().items()}
        mean = {name: kept * value for name, value in start.items()}
        for training, beside in enumerate(critics if stage.critics else [None]):
            model.load_state_dict(start)
            history = fit(
                model, draw, validation, stage.updates, learning_rate=stage.learning_rate, critics=beside,
                seed=seed + training, **sizes, **options,
                checkpoint=checkpoint.with_name(f"{checkpoint.stem}-{number}-{training}.pt"),
            )  # fmt: skip
            for name, value in model.state_dict().items():
                mean[name] += (1 - kept) / len(critics) * value
            counted = training + 1 if stage.critics else 0
            histories.append(history.assign(update=history["update"] + before, training=counted))
        if stage.critics:
            model.load_state_dict(mean)
        before += stage.updates
    return pd.concat(histories, ignore_index=True)


def loss_of(found, true):
    """Losses (B,) of what was written after a primer, `found`, where `true` was said, both (B, samples)."""
    join = slice(PRIMER * FRAME, PRIMER * FRAME + JOIN)
    return losses.root_spectral(found, true) + CONTINUITY * losses.continuity(found[:, join], true[:, join])


def evaluate(model: Fargan, data: Excerpts, stretches: int = 2, batch: int = 64) -> pd.DataFrame:
    """Loss of `model` on each utterance: table (utterance, speaker, loss). Every model hears the same excerpts."""
    starts, which = data.starts(PRIMER + STRETCH)
    chosen = []
    for utterance in np.unique(which):
        own = np.flatnonzero(which == utterance)
        chosen.extend(own[((np.arange(stretches) + 0.5) * len(own) / stretches).astype(int)])
    found = []
    model.eval()
    with torch.no_grad():
        for rows in np.split(np.array(chosen), range(batch, len(chosen), batch)):
            features, true = data.batch(starts[rows], PRIMER + STRETCH)
            found.append(loss_of(model(features, true[:, : PRIMER * FRAME]), true))
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
    critics: Critics | None = None,
    evaluations: int = 5,
    seed: int = 1,
    checkpoint: Path | None = None,
) -> pd.DataFrame:
    """Train `model` in place; return validation losses: `evaluate`'s table with update and training_loss.

    `draw(n)` is the training data prepared for the n-th time, new every `redraw` updates. A batch is so many excerpts
    of `frames` after their primer. `critics` learn ahead of the model, then beside it. The rest as in `loop.fit`.
    """
    if batch < 2 or redraw < 1 or frames < 1:
        raise PcodecError(f"cannot train with batch {batch}, redraw {redraw}, frames {frames}")
    learner = loop.Learner(
        model, optimizers.build(model, "muon", ADAM, WEIGHT_DECAY), optimizers.Annealed(learning_rate, 0.0, anneal)
    )
    task = _Training(learner, critics, draw, validation, batch, frames, redraw, seed)
    if critics and critics.ahead:
        ahead = checkpoint and checkpoint.with_name(f"{checkpoint.stem}-ahead.pt")
        loop.fit(Ahead(task), critics.ahead, evaluations=1, seed=seed, checkpoint=ahead, name="critics")
    return loop.fit(task, updates, seconds, evaluations, average, seed=seed, checkpoint=checkpoint).evaluations


class _Training(loop.Task):
    """The framewise decoder, and its critics, as the training loop sees them."""

    def __init__(self, learner, critics, draw, validation, batch, frames, redraw, seed):
        self.learners, self.model, self.draw, self.validation = {"model": learner}, learner.network, draw, validation
        self.batch, self.frames, self.redraw, self.seed = batch, frames + PRIMER, redraw, seed
        self.critics, self.number = critics, None
        if critics:
            self.learners["critics"] = critics.learner(seed)

    def identity(self) -> str:
        settings = (self.model.config, self.critics, self.batch, self.frames, self.redraw, self.seed)
        return digest(settings, self.validation.signal, self.validation.features)

    def excerpts(self, update):
        """(What the model writes, what is true), with the primer."""
        if update // self.redraw != self.number:
            self.number = update // self.redraw
            self.data = self.draw(self.number)
            self.starts, _ = self.data.starts(self.frames)
        rng = np.random.default_rng([self.seed, update])
        features, true = self.data.batch(rng.choice(self.starts, self.batch), self.frames, self.critics and rng)
        return self.model(features, true[:, : PRIMER * FRAME], JITTER), true

    def written(self, update):
        """The same without the primer, which critics need not judge."""
        return (signals[:, PRIMER * FRAME :] for signals in self.excerpts(update))

    def losses(self, update):
        found, true = self.excerpts(update)
        loss = loss_of(found, true).mean()
        if self.critics:
            own, other = found[:, PRIMER * FRAME :], true[:, PRIMER * FRAME :]
            judges = self.learners["critics"].network
            yield "critics", judges.loss(own.detach(), other)
            loss = self.critics.loss(judges, loss, found, own, other)
        yield "model", loss

    def evaluate(self):
        return evaluate(self.model, self.validation)
