"""Trains LPCNet decoders: one way for general and group decoders, one `evaluate` that compares them.

Task: LPCNet specification section 10 (optimizer, sparsification). The paper's comparison needs three decoders of a
size: the general one, a specialist that continues from it on one group, and, to be fair, a control that continues from
it on everyone for as many updates.

Training reads B streams of speech side by side, a chunk of each per update, and carries the recurrent states from
chunk to chunk (truncated backpropagation); the reference of 2019 starts each of its 2400 samples from zero states.

Conventions: data are `pcodec.lpcnet.examples`; losses are cross-entropies in nats per sample. Matrix products of
training may be bfloat16; losses that are compared are always computed in float32. Notebooks 06_training and
07_validation_loss.

Contents: `stages`, `fit_stages`; `fit`, `evaluate`, `sample_loss`, `Sparsifier`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.compute import backend
from pcodec.compute.backend import torch
from pcodec.features.cepstrum import FRAME
from pcodec.learning import loop, optimizers
from pcodec.learning.checkpoint import digest
from pcodec.lpcnet.examples import SampleDataset
from pcodec.lpcnet.model import LPCNet
from pcodec.speech import audio

WARM_UP, STRETCH = 10, 30  # frames before and in a stretch of speech on which a loss is measured
CHUNK = 2  # frames that are computed at once then: as much as fits into the processor's caches


class Sparsifier:
    """Prunes GRU_A's recurrent matrix to blocks of 16 outputs x 1 input; the diagonal stays (section 10).

    The density falls from update `start` to `stop`, in the reference 2000 and 40,000; it is final from 0 on by default.
    """

    BLOCK = 16

    def __init__(self, density: list[float], start: int = 0, stop: int = 0, every: int = 400):
        self.density = density  # of the gates z, r, h, as the specification orders them
        self.start, self.stop, self.every = start, stop, every

    @classmethod
    def of(cls, model: LPCNet) -> "Sparsifier | None":
        """What keeps a decoder as sparse as it is; None where nothing was pruned."""
        gates = model.sample.gru_a.weight_hh_l0.detach().chunk(3)
        r, z, h = (float((cls._scores(gate)[0] > 0).float().mean()) for gate in gates)
        return cls([z, r, h]) if min(r, z, h) < 1 else None

    def __call__(self, gru, update: int) -> None:
        """Apply after update number `update`, if it is due."""
        if update < self.start or (update < self.stop and (update - self.start) % self.every):
            return
        rho = 0.0 if update >= self.stop else 1.0 - (update - self.start) / (self.stop - self.start)
        z, r, h = self.density
        for gate, final in zip(gru.weight_hh_l0.data.chunk(3), (r, z, h), strict=True):  # PyTorch's order
            density = 1.0 - (1.0 - final) * (1.0 - rho**3)
            scores, diagonal = self._scores(gate)
            rank = min(round(scores.numel() * (1.0 - density)), scores.numel() - 1)
            threshold = scores.flatten().sort().values[rank]
            keep = (scores >= threshold).repeat_interleave(self.BLOCK, dim=0) | diagonal
            gate.mul_(keep)

    @classmethod
    def _scores(cls, gate):
        """Power of each block of a gate's matrix, without the diagonal, and where that is."""
        units = gate.shape[1]
        diagonal = torch.eye(units, dtype=torch.bool, device=gate.device)
        blocks = gate.masked_fill(diagonal, 0.0).reshape(units // cls.BLOCK, cls.BLOCK, units)
        return (blocks**2).sum(dim=1), diagonal


class Stage(NamedTuple):
    """One part of a decoder's training."""

    quantized: bool  # features, as the receiver sees them
    updates: int
    learning_rate: float
    decay: float = 0.0  # of the rate, per update


def stages(
    role: str, scratch: bool, before: int, general_updates: int, extra_updates: int, unquantized_updates: int,
    learning_rate: float, extra_learning_rate: float, decay: float,
) -> list[Stage]:  # fmt: skip
    """What a decoder is trained on, one after the other; nothing if the `before` updates that it has had are all.

    The general decoder may first learn from unquantized features; its frame network then adapts to quantized ones
    (specification section 10). Control and groups' decoders get `extra_updates`, from `scratch` all updates at once.
    """
    if scratch:
        parts = [Stage(True, unquantized_updates + general_updates + extra_updates, learning_rate, decay)]
    elif role != "general":
        parts = [Stage(True, extra_updates, extra_learning_rate)]
    elif unquantized_updates:
        parts = [Stage(False, unquantized_updates, learning_rate, decay),
                 Stage(True, general_updates, extra_learning_rate)]  # fmt: skip
    else:
        parts = [Stage(True, max(0, general_updates - before), learning_rate, decay)]
    return [stage for stage in parts if stage.updates]


def fit_stages(
    model: LPCNet,
    parts: list[Stage],
    examples: Callable[[int, bool], SampleDataset],
    validation: SampleDataset,
    checkpoint: Path,
    density: list[float],
    **options,
) -> pd.DataFrame:
    """`fit`, stage after stage, in place; `update` counts those that the decoder had before.

    `examples(n, quantized)` are the training data prepared for the n-th time. After the first stage only the frame
    network learns. `density` of GRU_A's gates z, r, h after pruning, [] for none. `options` go to `fit`.
    """
    before = model.provenance.get("updates", 0)
    if not parts:
        device = next(model.parameters()).device
        losses = evaluate(model, validation.to(device), options["evaluation_seconds"])
        return losses.assign(update=before)
    histories = []
    for number, stage in enumerate(parts):
        model.sample.requires_grad_(number == 0)
        falling = {} if before else {"start": min(2000, stage.updates // 10), "stop": min(40_000, stage.updates // 2)}
        history = fit(
            model,
            lambda n, stage=stage: examples(n, stage.quantized),
            validation,
            stage.updates,
            learning_rate=stage.learning_rate,
            decay=stage.decay,
            sparsifier=Sparsifier(density, **falling) if density else None,
            checkpoint=checkpoint.with_name(f"{checkpoint.stem}-{number}.pt"),
            **options,
        )
        histories.append(history.assign(update=history["update"] + before))
        before += stage.updates
    model.requires_grad_(True)
    return pd.concat(histories, ignore_index=True)


def fit(
    model: LPCNet,
    draw: Callable[[int], SampleDataset],
    validation: SampleDataset | None,
    updates: int = 0,
    seconds: float = 0.0,
    batch: int = 128,
    sequence: int = 480,
    carry: bool = True,
    learning_rate: float = 1e-3,
    decay: float = 0.0,
    anneal: float = 0.5,
    optimizer: str = "muon",
    average: float = 0.0,
    redraw: int = 1,
    evaluations: int = 5,
    evaluation_seconds: float = 3.0,
    precision: str = "auto",
    seed: int = 1,
    sparsifier: Sparsifier | None = None,
    checkpoint: Path | None = None,
) -> pd.DataFrame:
    """Train `model` in place; return validation losses: `evaluate`'s table with update and training_loss.

    The budget is a number of `updates`, or of `seconds` of training. `draw(n)` is the training data prepared for the
    n-th time; a new draw every `redraw` epochs. `sequence` in samples is the chunk of an update; with `carry` the
    chunks of a stream follow each other and the states are carried over, otherwise each starts anew, in random order.
    The learning rate after b updates is learning_rate / (1 + decay b), and falls linearly to zero over the last
    `anneal` of the budget. `optimizer` is "adam" (with AMSGrad, the reference's) or "muon" (`optimizers.build`).
    `average`, `evaluations` and `checkpoint` as in `loop.fit`; `validation` may be None without `evaluations`. Raises
    `PcodecError` when the data is too short or the loss is not finite.
    """
    if batch < 1 or redraw < 1:
        raise PcodecError(f"cannot train with batch {batch}, redraw {redraw}")
    if sequence % FRAME or sequence < FRAME:
        raise PcodecError(f"a training sequence must be a multiple of {FRAME} samples, got {sequence}")
    device = next(model.parameters()).device
    streams = _Streams(draw, sequence // FRAME, batch, carry, redraw, seed, device)
    learner = loop.Learner(model, optimizers.build(model, optimizer), optimizers.Annealed(learning_rate, decay, anneal))
    task = _TeacherForcing(
        learner,
        streams,
        validation and validation.to(device),
        evaluation_seconds,
        backend.precision(device, precision),
        sparsifier,
    )
    history = loop.fit(task, updates, seconds, evaluations, average, seed=seed, checkpoint=checkpoint)
    return history.evaluations


class _TeacherForcing(loop.Task):
    """LPCNet as the training loop sees it: the next excitation sample, given those before it."""

    unit = "nats"

    def __init__(self, learner, streams, validation, evaluation_seconds, precision, sparsifier):
        self.learners, self.model, self.streams = {"model": learner}, learner.network, streams
        self.validation, self.evaluation_seconds = validation, evaluation_seconds
        self.precision, self.sparsifier, self.states = precision, sparsifier, None

    def identity(self) -> str:
        settings = (self.model.config, self.streams.settings, self.evaluation_seconds, self.precision,
                    self.sparsifier and vars(self.sparsifier))  # fmt: skip
        return digest(settings, self.streams.data.codes, self.streams.data.features)

    def losses(self, update):
        features, codes, fresh = self.streams[update]
        states = self.states and tuple(state.masked_fill(fresh, 0.0) for state in self.states)
        losses, states = sample_loss(self.model, features, codes, states, self.precision)
        self.states = tuple(state.detach() for state in states)
        yield "model", losses.mean()

    def after(self, update):
        if self.sparsifier:
            self.sparsifier(self.model.sample.gru_a, update)

    def evaluate(self):
        return evaluate(self.model, self.validation, self.evaluation_seconds)

    def state(self):
        return self.states

    def restore(self, state):
        self.states = state


def sample_loss(model: LPCNet, features, codes, states=None, precision=torch.float32):
    """Cross-entropy of each sample's excitation, (B, S), in nats, and the states after the last sample."""
    return model(features, codes[..., :3], states, precision, codes[..., 3])


def evaluate(model: LPCNet, data: SampleDataset, seconds: float = 0.0, batch: int = 512) -> pd.DataFrame:
    """Loss of `model` on each utterance: table (utterance, speaker, nats, bits), both per sample.

    An utterance is heard in stretches of 0.3 s, each after 0.1 s that only brings the states up to date; `seconds`
    limits how much of it, evenly spread, 0 hears all. Every model sees the same samples and the same noise. Utterances
    shorter than a stretch are left out.
    """
    starts, which = data.starts(WARM_UP + STRETCH)
    if seconds:
        most = max(1, round(seconds * audio.RATE / (STRETCH * FRAME)))
        chosen = []
        for utterance in np.unique(which):
            own = np.flatnonzero(which == utterance)
            take = min(most, len(own))
            chosen.extend(own[((np.arange(take) + 0.5) * len(own) / take).astype(int)])
        starts, which = starts[chosen], which[chosen]
    if not len(starts):
        raise PcodecError(f"no utterance holds {(WARM_UP + STRETCH) * FRAME} samples to evaluate on")
    nats = np.zeros(len(starts))
    model.eval()
    in_full = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # a GPU's GRU rounds to 10 bits otherwise
    with torch.no_grad(), in_full:
        for begin in range(0, len(starts), batch):
            rows, states = slice(begin, begin + batch), None
            for frame in range(0, WARM_UP + STRETCH, CHUNK):
                losses, states = sample_loss(model, *data.batch(starts[rows] + frame, CHUNK), states)
                if frame >= WARM_UP:
                    nats[rows] += losses.mean(dim=1).cpu().numpy() * CHUNK / STRETCH
    model.train()
    table = data.utterances.iloc[which].assign(nats=nats)
    table = table.groupby(["utterance", "speaker"], as_index=False, sort=False).nats.mean()
    return table.assign(bits=table.nats / np.log(2))


class _Streams:
    """The chunks of update number i: features, codes, and which chunks (B, 1) do not continue those of update i - 1.

    Every epoch puts the utterances end to end in a new order, cut into chunks from a new place on, and deals this line
    out to B streams of equal length. A function of seed and number alone, so that a resumed training sees what it would
    have seen.
    """

    def __init__(self, draw, frames: int, batch: int, carry: bool, redraw: int, seed: int, device):
        self.draw, self.frames, self.batch, self.carry = draw, frames, batch, carry
        self.redraw, self.seed, self.device = redraw, seed, device
        self.settings = (frames, batch, carry, redraw, seed)
        self.data, self.number, self.epoch = draw(0).to(device), 0, None
        chunks = len(self.data.starts(frames)[0])
        if not chunks:
            raise PcodecError(
                f"{self.data.seconds:.1f} s of training speech hold no sequence of {frames * FRAME} samples"
            )
        self.per_epoch = max(1, chunks // batch)

    def __getitem__(self, update: int):
        epoch, position = divmod(update, self.per_epoch)
        if epoch != self.epoch:
            self._begin(epoch)
        features, codes = self.data.batch(self.order[position], self.frames)
        return features, codes, torch.as_tensor(self.fresh[position], device=self.device)[:, None]

    def _begin(self, epoch: int):
        if epoch // self.redraw != self.number:
            self.number = epoch // self.redraw
            self.data = None  # two draws at once would need twice the memory
            self.data = self.draw(self.number).to(self.device)
        rng = np.random.default_rng([self.seed, epoch])
        starts, which = self.data.starts(self.frames, shift=int(rng.integers(self.frames)))
        if not len(starts):
            starts, which = self.data.starts(self.frames)
        if self.carry:
            line = starts[np.argsort(rng.permutation(len(self.data.frames))[which], kind="stable")]
        else:
            line = rng.permutation(starts)
        self.order = np.resize(line, (self.batch, self.per_epoch)).T.copy()
        self.fresh = np.ones(self.order.shape, dtype=bool)
        self.fresh[1:] = self.order[1:] != self.order[:-1] + self.frames
        if not self.carry:
            self.fresh[:] = True
        self.epoch = epoch
