"""Trains decoders: one `fit` for general and group decoders, one `evaluate` that compares them.

Task: LPCNet specification section 10 (optimizer, sparsification). The paper's comparison needs three decoders of a
size: the general one, a specialist that continues from it on one group, and, to be fair, a control that continues from
it on everyone for as many updates.

Training reads B streams of speech side by side, a chunk of each per update, and carries the recurrent states from
chunk to chunk (truncated backpropagation); the reference of 2019 starts each of its 2400 samples from zero states.

Conventions: data are `pcodec.lpcnet.examples`; losses are cross-entropies in nats per sample. Matrix products of
training may be bfloat16; losses that are compared are always computed in float32. Notebooks 06_training and
07_validation_loss.

Contents: `fit`, `build_optimizers`, `evaluate`, `sample_loss`, `Sparsifier`.
"""

import pickle
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from pcodec import PcodecError, paths
from pcodec.compute import backend
from pcodec.compute.backend import torch
from pcodec.features.analysis import FRAME
from pcodec.lpcnet.examples import SampleDataset
from pcodec.lpcnet.model import LPCNet
from pcodec.speech import audio

WARM_UP, STRETCH = 10, 30  # frames before and in a stretch of speech on which a loss is measured
CHUNK = 2  # frames that are computed at once then: as much as fits into the processor's caches
CHECKPOINT_SECONDS = 60.0
SHOW_SECONDS = 1.0
WEIGHT_DECAY = 0.1  # of matrices, times the rate: they do not grow without end in a long training
CLIP = 1.0  # largest norm of a gradient, three times the usual: AMSGrad would remember a burst for good


class Sparsifier:
    """Prunes GRU_A's recurrent matrix to blocks of 16 outputs x 1 input; the diagonal stays (section 10).

    The density falls from update `start` to `stop`, in the reference 2000 and 40,000; it is final from 0 on by default.
    """

    BLOCK = 16

    def __init__(self, density: list[float], start: int = 0, stop: int = 0, every: int = 400):
        self.density = density  # of the gates z, r, h, as the specification orders them
        self.start, self.stop, self.every = start, stop, every

    def __call__(self, gru, update: int) -> None:
        """Apply after update number `update`, if it is due."""
        if update < self.start or (update < self.stop and (update - self.start) % self.every):
            return
        rho = 0.0 if update >= self.stop else 1.0 - (update - self.start) / (self.stop - self.start)
        z, r, h = self.density
        weight = gru.weight_hh_l0.data
        units = weight.shape[1]
        for gate, final in zip(weight.chunk(3), (r, z, h), strict=True):  # PyTorch's order
            density = 1.0 - (1.0 - final) * (1.0 - rho**3)
            diagonal = torch.eye(units, dtype=torch.bool, device=weight.device)
            blocks = gate.masked_fill(diagonal, 0.0).reshape(units // self.BLOCK, self.BLOCK, units)
            scores = (blocks**2).sum(dim=1)
            rank = min(round(scores.numel() * (1.0 - density)), scores.numel() - 1)
            threshold = scores.flatten().sort().values[rank]
            keep = (scores >= threshold).repeat_interleave(self.BLOCK, dim=0) | diagonal
            gate.mul_(keep)


def fit(
    model: LPCNet,
    draw: Callable[[int], SampleDataset],
    validation: SampleDataset,
    updates: int = 0,
    seconds: float = 0.0,
    batch: int = 128,
    sequence: int = 480,
    carry: bool = True,
    learning_rate: float = 1e-3,
    decay: float = 0.0,
    anneal: float = 0.5,
    optimizer: str = "muon",
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
    `anneal` of the budget. `optimizer` is "adam" (with AMSGrad, the reference's) or "muon" (`build_optimizers`).

    Data and order depend on seed and update number alone; with `checkpoint` a killed run of the same task continues
    where it was, to the same result (if the budget is in updates), and a finished one is not trained again. Raises
    `PcodecError` when the data is too short or the loss is not finite.
    """
    _check_options(updates, seconds, batch, sequence, learning_rate, anneal, optimizer, redraw, evaluations)
    backend.keep_memory()
    device = next(model.parameters()).device
    products = backend.precision(device, precision)
    streams = _Streams(draw, sequence // FRAME, batch, carry, redraw, seed, device)
    validation = validation.to(device)
    optimizers = build_optimizers(model, optimizer)
    schedule = (updates, seconds, batch, sequence, carry, learning_rate, decay, anneal, optimizer, redraw, evaluations)
    settings = (*schedule, evaluation_seconds, products, seed, sparsifier and vars(sparsifier))
    keeper = _Checkpoint(checkpoint, model, optimizers, streams.data, settings)
    history, update, elapsed, states, running = keeper.load() or ([], 0, 0.0, None, torch.tensor(torch.nan))
    started = time.monotonic() - elapsed
    shown = time.monotonic()
    with tqdm(total=updates or None, initial=update, desc="training", unit="update", mininterval=2) as bar:
        while True:
            elapsed = time.monotonic() - started
            done = update / updates if updates else min(1.0, elapsed / seconds)
            if done * evaluations >= len(history):
                losses = evaluate(model, validation, evaluation_seconds)
                history.append(losses.assign(update=update, training_loss=running.item()))
                started = time.monotonic() - elapsed  # evaluations are not training
            if done >= 1.0:
                break
            rate = learning_rate / (1.0 + decay * update) * min(1.0, (1.0 - done) / anneal if anneal else 1.0)
            features, codes, fresh = streams[update]
            if states is not None:
                states = tuple(state.masked_fill(fresh, 0.0) for state in states)
            losses, states = sample_loss(model, features, codes, states, products)
            states = tuple(state.detach() for state in states)
            loss = losses.mean()
            model.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            for one in optimizers:
                one.param_groups[0]["lr"] = rate
                one.step()
            if sparsifier:
                sparsifier(model.sample.gru_a, update)
            running = loss.detach()
            update += 1
            bar.update()
            if time.monotonic() - shown > SHOW_SECONDS or update == updates:  # a look at the loss waits for a GPU
                shown = time.monotonic()
                bar.set_postfix_str(f"loss {running:.3f} nats", refresh=False)
                if not torch.isfinite(running):
                    raise PcodecError(f"the training loss is {running} after {update} updates; lower learning_rate")
            keeper.save_if_due(history, update, time.monotonic() - started, states, running)
    keeper.save(history, update, elapsed, states, running)
    return pd.concat(history, ignore_index=True)


def sample_loss(model: LPCNet, features, codes, states=None, precision=torch.float32):
    """Cross-entropy of each sample's excitation, (B, S), in nats, and the states after the last sample."""
    logits, states = model(features, codes[..., :3], states, precision)
    time_first = logits.float().transpose(0, 1)  # as they lie in memory
    targets = codes[..., 3].t()
    losses = torch.nn.functional.cross_entropy(time_first.flatten(0, 1), targets.flatten(), reduction="none")
    return losses.view(targets.shape).t(), states


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
    with torch.no_grad():
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


def build_optimizers(model, name: str) -> list:
    """Adam with AMSGrad, for all parameters or, with "muon", for those that are no matrix of a GRU or a dense layer.

    Muon's step along a matrix is its orthogonalized momentum, as large in root mean square as Adam's (Jordan et al.
    2024; Liu et al. 2025, also for the decay): all directions are learned equally fast.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.GRU | torch.nn.Linear)]
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    inside = {id(weight) for layer in layers if name == "muon" for weight in layer.parameters() if weight.ndim == 2}
    others = [weight for weight in trained if id(weight) not in inside]
    matrices = [weight for weight in trained if id(weight) in inside]
    found = [torch.optim.Adam(others, eps=1e-7, amsgrad=True)] if others else []
    if matrices:
        found.append(torch.optim.Muon(matrices, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"))
    return found


def _check_options(updates, seconds, batch, sequence, learning_rate, anneal, optimizer, redraw, evaluations):
    if batch < 1 or evaluations < 1 or redraw < 1 or not learning_rate > 0 or not 0 <= anneal <= 1:
        raise PcodecError(
            f"cannot train with batch {batch}, evaluations {evaluations}, redraw {redraw}, "
            f"learning_rate {learning_rate}, anneal {anneal}"
        )
    if optimizer not in ("adam", "muon"):
        raise PcodecError(f"optimizer must be adam or muon, got {optimizer}")
    if updates < 0 or seconds < 0 or bool(updates) == bool(seconds):
        raise PcodecError(f"training needs a budget, of updates or of seconds; got {updates} and {seconds}")
    if sequence % FRAME or sequence < FRAME:
        raise PcodecError(f"a training sequence must be a multiple of {FRAME} samples, got {sequence}")


class _Checkpoint:
    """Keeps model, optimizer and progress in a file; one of another task is not resumed.

    A task is its settings, its data and its first weights.
    """

    def __init__(self, path: Path | None, model: LPCNet, optimizers: list, data: SampleDataset, settings: tuple):
        self.path, self.model, self.optimizers, self.saved = path, model, optimizers, time.monotonic()
        if path is not None:
            digest = zlib.crc32(repr((model.config, settings)).encode())
            for tensor in (data.codes, data.features, *model.parameters()):
                digest = zlib.crc32(tensor.detach().cpu().contiguous().numpy(), digest)
            self.task = f"{digest:08x}"

    def load(self) -> tuple | None:
        """The progress that was saved last, or None."""
        if self.path is None or not self.path.exists():
            return None
        device = next(self.model.parameters()).device
        try:
            saved = torch.load(self.path, map_location=device, weights_only=False)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise PcodecError(f"{self.path}: damaged checkpoint, delete it: {type(error).__name__}") from None
        if saved["task"] != self.task:
            print(f"{self.path.name}: of another training, not continued", file=sys.stderr)
            return None
        self.model.load_state_dict(saved["model"])
        for one, state in zip(self.optimizers, saved["optimizers"], strict=True):
            one.load_state_dict(state)
        return saved["progress"]

    def save_if_due(self, *progress) -> None:
        if time.monotonic() - self.saved > CHECKPOINT_SECONDS:
            self.save(*progress)

    def save(self, *progress) -> None:
        """Keep the progress, if there is a file for it."""
        if self.path is None:
            return
        optimizers = [one.state_dict() for one in self.optimizers]
        state = {"task": self.task, "model": self.model.state_dict(), "optimizers": optimizers}
        with paths.replacing(self.path) as temporary:
            torch.save(state | {"progress": progress}, temporary)
        self.saved = time.monotonic()


class _Streams:
    """The chunks of update number i: features, codes, and which chunks (B, 1) do not continue those of update i - 1.

    Every epoch puts the utterances end to end in a new order, cut into chunks from a new place on, and deals this line
    out to B streams of equal length. A function of seed and number alone, so that a resumed training sees what it would
    have seen.
    """

    def __init__(self, draw, frames: int, batch: int, carry: bool, redraw: int, seed: int, device):
        self.draw, self.frames, self.batch, self.carry = draw, frames, batch, carry
        self.redraw, self.seed, self.device = redraw, seed, device
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
