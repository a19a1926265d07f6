"""Trains the framewise decoder: on spectra, then beside critics.

Task: the network is unrolled over excerpts of speech and hears its own output; two true frames prime its memory
(FARGAN, Valin et al. 2024, section III). On spectra alone it learns what to say, and writes the median of what could be
true: too soft where speech is noise, and alike every time. Critics, who learn to tell what it writes from speech, then
teach it the rest, on longer excerpts; and the pitch is wrong now and then (`pcodec.learning.adversarial`).

Conventions: losses are those of `pcodec.learning.losses`, over primer and what was written; data are
`pcodec.fargan.examples`.

Contents: `fit_stages`; `fit`, `evaluate`.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.fargan.examples import MISTAKES, Excerpts
from pcodec.fargan.model import Fargan
from pcodec.features.cepstrum import FRAME
from pcodec.learning import adversarial, loop, losses, optimizers
from pcodec.learning.adversarial import Ahead, Critics, Stage
from pcodec.learning.checkpoint import digest

PRIMER = 2  # true frames at the beginning of an excerpt
CONTINUITY, JOIN = 0.03, 160  # weight of the continuity loss, and over how many samples
JITTER = 0.01  # noise on what is fed back
STRETCH = 60  # frames on which a loss is measured
ADAM = functools.partial(torch.optim.AdamW, betas=(0.8, 0.95))  # what gates and gains need is soon another
WEIGHT_DECAY = 0.05  # of matrices


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

    Beside critics an update has as much speech as on spectra, in excerpts of `critic_frames`. Critics, `kept` and
    `training` are those of `adversarial.fit_stages`. `options` go to `fit`.
    """
    if not parts:
        return evaluate(model, validation).assign(update=model.provenance.get("updates", 0))

    def of(stage, beside, **own):
        sizes = {"batch": batch, "frames": frames}
        if stage.critics:
            sizes = {"batch": max(2, round(batch * frames / critic_frames)), "frames": critic_frames}
        rate = stage.learning_rate
        return fit(
            model, draw, validation, stage.updates, learning_rate=rate, critics=beside, **sizes, **own, **options
        )

    return adversarial.fit_stages(model, parts, of, checkpoint, critics, kept, seed)


def loss_of(found, true):
    """Losses (B,) of what was written after a primer, `found`, where `true` was said, both (B, samples)."""
    join = slice(PRIMER * FRAME, PRIMER * FRAME + JOIN)
    return losses.root_spectral(found, true) + CONTINUITY * losses.continuity(found[:, join], true[:, join])


def evaluate(model: Fargan, data: Excerpts, stretches: int = 2, batch: int = 64) -> pd.DataFrame:
    """Loss of `model` on each utterance: table (utterance, speaker, loss). Every model hears the same excerpts."""
    data = data.to(next(model.parameters()).device)
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
    table = data.utterances.iloc[which[chosen]].assign(loss=torch.cat(found).cpu().numpy())
    return table.groupby(["utterance", "speaker"], as_index=False, sort=False).loss.mean()


def fit(
    model: Fargan,
    draw: Callable[[int], Excerpts],
    validation: Excerpts | None,
    updates: int = 0,
    seconds: float = 0.0,
    batch: int = 64,
    frames: int = 15,
    redraw: int = 200,
    learning_rate: float = 3e-3,
    anneal: float = 0.5,
    average: float = 0.0,
    critics: Critics | None = None,
    mistakes: float = MISTAKES,
    evaluations: int = 5,
    seed: int = 1,
    checkpoint: Path | None = None,
) -> pd.DataFrame:
    """Train `model` in place; return validation losses: `evaluate`'s table with update and training_loss.

    `draw(n)` is the training data prepared for the n-th time, new every `redraw` updates. A batch is so many excerpts
    of `frames` after their primer. `critics` learn ahead of the model, then beside it; then `mistakes` is the share of
    excerpts with a wrong pitch. `validation` may be None without `evaluations`. The rest as in `loop.fit`.
    """
    if batch < 2 or redraw < 1 or frames < 1:
        raise PcodecError(f"cannot train with batch {batch}, redraw {redraw}, frames {frames}")
    learner = loop.Learner(
        model, optimizers.build(model, "muon", ADAM, WEIGHT_DECAY), optimizers.Annealed(learning_rate, 0.0, anneal)
    )
    task = _Training(learner, critics, draw, validation, batch, frames, redraw, seed, mistakes)
    if critics and critics.ahead:
        ahead = checkpoint and checkpoint.with_name(f"{checkpoint.stem}-ahead.pt")
        loop.fit(Ahead(task), critics.ahead, evaluations=0, seed=seed, checkpoint=ahead, name="critics")
    return loop.fit(task, updates, seconds, evaluations, average, seed=seed, checkpoint=checkpoint).evaluations


class _Training(loop.Task):
    """The framewise decoder, and its critics, as the training loop sees them."""

    def __init__(self, learner, critics, draw, validation, batch, frames, redraw, seed, mistakes=MISTAKES):
        self.learners, self.model, self.draw, self.validation = {"model": learner}, learner.network, draw, validation
        self.batch, self.frames, self.redraw, self.seed = batch, frames + PRIMER, redraw, seed
        self.critics, self.mistakes = critics, mistakes
        self.device = next(self.model.parameters()).device
        self.prepare(0)
        if critics:
            self.learners["critics"] = critics.learner(seed, self.device)

    def identity(self) -> str:
        settings = (self.model.config, self.critics, self.mistakes, self.batch, self.frames, self.redraw, self.seed)
        return digest(settings, self.data.signal, self.data.features)

    def prepare(self, number):
        """The training data for the n-th time."""
        self.number, self.data = number, self.draw(number).to(self.device)
        self.starts, _ = self.data.starts(self.frames)

    def excerpts(self, update):
        """(What the model writes, what is true), with the primer."""
        if update // self.redraw != self.number:
            self.prepare(update // self.redraw)
        rng = np.random.default_rng([self.seed, update])
        starts = rng.choice(self.starts, self.batch)
        features, true = self.data.batch(starts, self.frames, self.critics and rng, self.mistakes)
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
