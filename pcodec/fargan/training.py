"""Trains the framewise decoder: on spectra first.

Task: the network is unrolled over excerpts of speech and hears its own output; two true frames prime its memory
(FARGAN, Valin et al. 2024, section III).

Conventions: losses are those of `pcodec.learning.losses`, over primer and what was written; data are
`pcodec.fargan.examples`.

Contents: `fit`, `evaluate`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.fargan.examples import Excerpts
from pcodec.fargan.model import Fargan
from pcodec.features.cepstrum import FRAME
from pcodec.learning import loop, losses, optimizers
from pcodec.learning.checkpoint import digest

PRIMER = 2  # true frames at the beginning of an excerpt
CONTINUITY, JOIN = 0.03, 160  # weight of the continuity loss, and over how many samples
JITTER = 0.01  # noise on what is fed back
STRETCH = 60  # frames on which a loss is measured


def spectral_loss(model: Fargan, features, true, jitter: float = 0.0):
    """Losses (B,) of what the model writes after two true frames of `true` (B, samples), and what it wrote."""
    found = model(features, true[:, : PRIMER * FRAME], jitter)
    begin = PRIMER * FRAME
    join = losses.continuity(found[:, begin : begin + JOIN], true[:, begin : begin + JOIN])
    return losses.root_spectral(found, true) + CONTINUITY * join, found


def evaluate(model: Fargan, data: Excerpts, stretches: int = 2, batch: int = 64) -> pd.DataFrame:
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
            found.append(spectral_loss(model, *data.batch(starts[rows], PRIMER + STRETCH))[0])
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
    evaluations: int = 5,
    seed: int = 1,
    checkpoint: Path | None = None,
) -> pd.DataFrame:
    """Train `model` in place on spectra; return validation losses: `evaluate`'s table with update and training_loss.

    `draw(n)` is the training data prepared for the n-th time, new every `redraw` updates. An excerpt has `frames` after
    its primer. The rest as in `loop.fit`.
    """
    if batch < 1 or redraw < 1 or frames < 1:
        raise PcodecError(f"cannot train with batch {batch}, redraw {redraw}, frames {frames}")
    learner = loop.Learner(model, optimizers.build(model, "muon"), optimizers.Annealed(learning_rate, 0.0, anneal))
    task = _Spectral(learner, draw, validation, batch, frames, redraw, seed)
    return loop.fit(task, updates, seconds, evaluations, average, seed=seed, checkpoint=checkpoint).evaluations


class _Spectral(loop.Task):
    """The framewise decoder as the training loop sees it."""

    def __init__(self, learner, draw, validation, batch, frames, redraw, seed):
        self.learners, self.model, self.draw, self.validation = {"model": learner}, learner.network, draw, validation
        self.batch, self.frames, self.redraw, self.seed = batch, frames + PRIMER, redraw, seed
        self.number = None
        self._drawn(0)

    def _drawn(self, update):
        if update // self.redraw != self.number:
            self.number = update // self.redraw
            self.data = self.draw(self.number)
            self.starts, _ = self.data.starts(self.frames)

    def identity(self) -> str:
        settings = (self.model.config, self.batch, self.frames, self.redraw, self.seed)
        return digest(settings, self.validation.signal, self.validation.features)

    def losses(self, update):
        self._drawn(update)
        rng = np.random.default_rng([self.seed, update])
        examples = self.data.batch(rng.choice(self.starts, self.batch), self.frames, rng)
        loss, _ = spectral_loss(self.model, *examples, JITTER)
        yield "model", loss.mean()

    def evaluate(self):
        return evaluate(self.model, self.validation)
