"""Trains decoders: one `fit` for general and group decoders, one `evaluate` that compares them.

Task: LPCNet specification section 10 (optimizer, sparsification). The paper's comparison needs three decoders of a
size: the general one, a specialist that continues from it on one group, and, to be fair, a control that continues from
it on everyone for as many updates.

Conventions: data are `pcodec.samples`; losses are cross-entropies in nats per sample. Notebooks 06_training and
07_validation_loss.

Contents: `fit`, `evaluate`, `sample_loss`, `Sparsifier`.
"""

import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from pcodec import PcodecError, paths
from pcodec.backend import torch
from pcodec.features import FRAME
from pcodec.lpcnet import LPCNet
from pcodec.samples import SampleDataset

EVALUATION = 2400  # samples of a sequence on which decoders are compared, whatever they were trained on
CHECKPOINT_SECONDS = 60.0


class Sparsifier:
    """Prunes GRU_A's recurrent matrix to blocks of 16 outputs x 1 input; the diagonal stays (section 10)."""

    BLOCK = 16

    def __init__(self, density: list[float], start: int = 2000, stop: int = 40000, every: int = 400):
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
    data: SampleDataset,
    validation: SampleDataset,
    updates: int,
    batch: int = 64,
    sequence: int = 2400,
    learning_rate: float = 1e-3,
    decay: float = 5e-5,
    evaluations: int = 5,
    evaluation_sequences: int = 2,
    seed: int = 1,
    sparsifier: Sparsifier | None = None,
    checkpoint: Path | None = None,
) -> pd.DataFrame:
    """Train `model` in place; return validation losses as a table (update, utterance, speaker, nats, training_loss).

    `sequence` in samples; learning rate(b) = learning_rate / (1 + decay b) after b updates, Adam with AMSGrad.
    Sequences are shuffled every epoch, in an order that depends on seed and epoch alone; with `checkpoint` a killed
    run of the same task continues where it was, to the same result. Raises `PcodecError` when the data is too short or
    the loss is not finite.
    """
    if batch < 1 or updates < 0 or evaluations < 1 or not learning_rate > 0:
        raise PcodecError(
            f"cannot train with batch {batch}, updates {updates}, evaluations {evaluations}, "
            f"learning_rate {learning_rate}"
        )
    frames = sequence // FRAME
    if sequence % FRAME or frames < 1:
        raise PcodecError(f"a training sequence must be a multiple of {FRAME} samples, got {sequence}")
    device = next(model.parameters()).device
    data, validation = data.to(device), validation.to(device)
    if not len(data.starts(frames)[0]):
        raise PcodecError(f"{data.seconds:.1f} s of training speech hold no sequence of {sequence} samples")
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, eps=1e-7, amsgrad=True)
    history, first, running = [], 0, np.nan
    schedule = (updates, batch, sequence, learning_rate, decay, evaluations, evaluation_sequences, seed)
    settings = (*schedule, sparsifier and vars(sparsifier))
    task = None if checkpoint is None else _identity(model, data, settings)
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=False)
        if state["task"] == task:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            history, first, running = state["history"], state["update"], state["running"]
    due = set(np.linspace(0, updates, evaluations + 1).round().astype(int))
    batches = _Batches(data, frames, batch, seed)
    saved = time.monotonic()
    with tqdm(total=updates, initial=first, desc="training", unit="update", mininterval=2) as bar:
        for update in range(first, updates + 1):
            if update in due:
                history.append(
                    evaluate(model, validation, evaluation_sequences).assign(update=update, training_loss=running)
                )
            if update == updates:
                break
            optimizer.param_groups[0]["lr"] = learning_rate / (1.0 + decay * update)
            loss = sample_loss(model, *data.batch(batches[update], frames)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if sparsifier:
                sparsifier(model.sample.gru_a, update)
            if update % 10 == 0 or update + 1 == updates:
                running = loss.item()
                if not np.isfinite(running):
                    raise PcodecError(f"the training loss is {running} after {update} updates; lower learning_rate")
                bar.set_postfix_str(f"loss {running:.3f} nats", refresh=False)
            bar.update()
            if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                with paths.replacing(checkpoint) as temporary:
                    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "task": task}
                    torch.save(state | {"history": history, "update": update + 1, "running": running}, temporary)
                saved = time.monotonic()
    return pd.concat(history, ignore_index=True)


def sample_loss(model: LPCNet, features, codes):
    """Cross-entropy of each sample's excitation, (B, S), in nats."""
    logits = model(features, codes[..., :3])
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), codes[..., 3], reduction="none")


def evaluate(model: LPCNet, data: SampleDataset, per_utterance: int = 2, batch: int = 128) -> pd.DataFrame:
    """Loss of `model` on each utterance: table (utterance, speaker, nats).

    An utterance gives up to `per_utterance` sequences of 2400 samples, evenly spread; 0 takes all. Every model sees the
    same samples and the same noise. Utterances shorter than a sequence are left out.
    """
    frames = EVALUATION // FRAME
    starts, which = data.starts(frames)
    if per_utterance:
        chosen = []
        for utterance in np.unique(which):
            own = np.flatnonzero(which == utterance)
            take = min(per_utterance, len(own))
            chosen.extend(own[((np.arange(take) + 0.5) * len(own) / take).astype(int)])
        starts, which = starts[chosen], which[chosen]
    if not len(starts):
        raise PcodecError(f"no utterance holds {EVALUATION} samples to evaluate on")
    model.eval()
    with torch.no_grad():
        losses = np.concatenate(
            [
                sample_loss(model, *data.batch(starts[i : i + batch], frames)).mean(dim=1).cpu().numpy()
                for i in range(0, len(starts), batch)
            ]
        )
    model.train()
    table = data.utterances.iloc[which].assign(nats=losses)
    return table.groupby(["utterance", "speaker"], as_index=False, sort=False).nats.mean()


def _identity(model: LPCNet, data: SampleDataset, settings: tuple) -> str:
    """What a checkpoint belongs to: settings, data and first weights. A checkpoint of another task is not resumed."""
    digest = zlib.crc32(repr((model.config, settings)).encode())
    for tensor in (data.codes, data.features, *model.parameters()):
        digest = zlib.crc32(tensor.detach().cpu().contiguous().numpy(), digest)
    return f"{digest:08x}"


class _Batches:
    """Sequence starts of batch number i: every epoch shuffles all sequences and shifts where they begin.

    A function of seed and number alone, so a resumed training sees the batches it would have seen. An epoch always has
    the same number of batches; a shift that yields too few sequences repeats some.
    """

    def __init__(self, data: SampleDataset, frames: int, batch: int, seed: int):
        self.data, self.frames, self.batch, self.seed = data, frames, batch, seed
        self.unshifted = data.starts(frames)[0]
        self.per_epoch = max(1, len(self.unshifted) // batch)
        self.epoch = None

    def __getitem__(self, number: int) -> np.ndarray:
        epoch, position = divmod(number, self.per_epoch)
        if epoch != self.epoch:
            rng = np.random.default_rng([self.seed, epoch])
            starts = self.data.starts(self.frames, shift=int(rng.integers(self.frames)))[0]
            starts = starts if len(starts) else self.unshifted
            self.order = np.resize(rng.permutation(starts), self.per_epoch * self.batch)
            self.epoch = epoch
        return self.order[position * self.batch : (position + 1) * self.batch]
