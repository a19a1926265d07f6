"""Trains decoders: teacher-forced data with noise, one `fit` for general and group decoders, one `evaluate`.

Task: LPCNet specification section 9 (data) and 10 (optimizer, sparsification). The paper's comparison needs three
decoders of a size: the general one, a specialist that continues from it on one group, and, to be fair, a control that
continues from it on everyone for as many updates.

Conventions: N utterances; a frame is 160 samples; signals are mu-law codes in the columns signal, prediction,
excitation (inputs), target (the excitation to predict). Each utterance is prepared by itself with its own random
numbers, seeded by its name, so that it is the same in every decoder's training; the reference draws them every 28 s of
one long file. Losses are cross-entropies in nats per sample. Notebooks 06_training and 07_validation_loss.

Contents: `prepare`, `SampleDataset`, `fit`, `evaluate`, `Sparsifier`.
"""

import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import scipy.signal
from tqdm import tqdm

from pcodec import PcodecError, audio, paths
from pcodec.audio import mulaw_decode, mulaw_encode
from pcodec.backend import torch
from pcodec.features import FRAME, OFFSET, ORDER, PACKET, analyze_emphasized, lpc_from_cepstrum
from pcodec.lpcnet import CONTEXT, LPCNet
from pcodec.quantizer import Codebooks, quantized_features

HIGH_PASS = ([1.0, -2.0, 1.0], [1.0, -1.99599, 0.99600])
NOISE_LAW = 10.0  # standard deviation of the excitation noise is 10 u^2 mu-law steps, u uniform
SILENCE, SILENCE_AFTER_SILENCE = 5000.0, 20000.0  # frame energies at int16 scale under which a frame is dropped
ZERO_CODE = 128
EVALUATION = 2400  # samples of a sequence on which decoders are compared, whatever they were trained on
CHECKPOINT_SECONDS = 60.0
MULAW = mulaw_decode(np.arange(256, dtype=np.uint8)).astype(np.float32)


def prepare(samples: np.ndarray, codebooks: Codebooks, rng: np.random.Generator, augment: bool) -> tuple:
    """Signal (samples,) in [-1, 1] -> (codes (160 F, 4) uint8, quantized features (F, 20) float32) (section 9).

    Silence is dropped; `augment` adds the random gain and spectral response; dither and excitation noise are always
    there. F may be 0 when all is silence.
    """
    x = drop_silence(samples.astype(np.float64) * audio.SCALE)
    x = scipy.signal.lfilter(*HIGH_PASS, x)
    gain, response, sigma = draw_conditions(rng)
    if augment:
        x = gain * scipy.signal.lfilter(*response, x)
    y = audio.preemphasis(x) + rng.uniform(-0.5, 0.5, len(x))
    features = quantized_features(analyze_emphasized(y), codebooks)[: len(y) // FRAME]
    # A frame's audio is centred in its analysis window: delayed by half a frame.
    pcm = np.concatenate([np.zeros(OFFSET), np.clip(np.rint(y), -32767, 32767)])[: FRAME * len(features)]
    noise = excitation_noise(rng, len(pcm), sigma)
    return noisy_prediction_loop(pcm, lpc_from_cepstrum(features[:, :18]), noise), features


def draw_conditions(rng: np.random.Generator) -> tuple:
    """Gain, (b, a) of the spectral response, and standard deviation of the noise of one utterance (steps 2, 4, 6)."""
    gain = 10.0 ** ((-20 + rng.integers(40)) / 20)
    gain *= 0.01 if rng.random() < 1 / 20 else 1.0
    gain *= 0.0 if rng.random() < 1 / 100 else 1.0
    b1, b2, a1, a2 = rng.uniform(-0.375, 0.375, 4)
    return gain, ([1.0, b1, b2], [1.0, a1, a2]), NOISE_LAW * rng.random() ** 2


def excitation_noise(rng: np.random.Generator, samples: int, sigma: float) -> np.ndarray:
    """Laplacian noise of standard deviation `sigma` in mu-law steps, rounded, (samples,) int32 (step 6)."""
    return np.rint(rng.laplace(0.0, sigma / np.sqrt(2.0), samples)).astype(np.int32)


@numba.njit(cache=True)
def drop_silence(x):
    """Drop silent frames of a signal at int16 scale; cross-fade over the first frame after a gap (step 1)."""
    out = np.empty_like(x)
    kept = 0
    silent = True
    for k in range(len(x) // FRAME):
        frame = x[k * FRAME : (k + 1) * FRAME]
        energy = (frame * frame).sum()
        if energy < SILENCE or (silent and energy < SILENCE_AFTER_SILENCE):
            silent = True
            continue
        for n in range(FRAME):
            fade = n / FRAME if silent and kept else 1.0
            past = out[kept - FRAME + n] if silent and kept else 0.0
            out[kept + n] = fade * frame[n] + (1.0 - fade) * past
        kept += FRAME
        silent = False
    return out[:kept].copy()


@numba.njit(cache=True)
def noisy_prediction_loop(pcm, lpc, noise):
    """Target (160 F,), LPC (F, 16), noise in mu-law steps -> codes (160 F, 4) (section 9, step 7).

    The prediction sees its own noisy past, as the decoder will; the target excitation is what would repair it.
    """
    codes = np.empty((len(pcm), 4), dtype=np.uint8)
    past = np.zeros(ORDER)
    excitation = ZERO_CODE
    for t in range(len(pcm)):
        prediction = 0.0
        for i in range(ORDER):
            prediction -= lpc[t // FRAME, i] * past[i]
        target = int(mulaw_encode(pcm[t] - prediction))
        codes[t, 0] = mulaw_encode(past[0])
        codes[t, 1] = mulaw_encode(prediction)
        codes[t, 2] = excitation
        codes[t, 3] = target
        excitation = min(255, max(0, target + noise[t]))
        past[1:] = past[:-1].copy()
        past[0] = prediction + MULAW[excitation]
    return codes


@dataclass
class SampleDataset:
    """Prepared utterances, end to end in two tensors."""

    codes: torch.Tensor  # (160 F, 4) uint8
    features: torch.Tensor  # (F, 20) float32
    frames: np.ndarray  # (N,) frames of each utterance
    utterances: pd.DataFrame  # (N rows) utterance, speaker

    @classmethod
    def build(
        cls, table: pd.DataFrame, folder: Path, codebooks: Codebooks, augment: bool, passes: int = 1, seed: int = 1
    ) -> "SampleDataset":
        """Prepare the utterances of a corpus table, `passes` times with fresh random numbers."""
        prepared, kept = [], []
        for row in tqdm(list(table.itertuples()) * passes, desc="training data", mininterval=2):
            number = len(prepared) // len(table)
            rng = np.random.default_rng([seed, number, zlib.crc32(str(row.utterance).encode())])
            prepared.append(prepare(audio.read(folder / row.path), codebooks, rng, augment))
            kept.append((row.utterance, row.speaker))
        long_enough = [i for i, (_, features) in enumerate(prepared) if len(features) >= 2 * CONTEXT + PACKET]
        if not long_enough:
            raise PcodecError(f"{folder}: no speech to train on in {len(table)} utterances: too short or silent")
        codes = np.concatenate([prepared[i][0] for i in long_enough])
        features = np.concatenate([prepared[i][1] for i in long_enough])
        return cls(
            torch.from_numpy(codes),
            torch.from_numpy(features),
            np.array([len(prepared[i][1]) for i in long_enough]),
            pd.DataFrame([kept[i] for i in long_enough], columns=["utterance", "speaker"]),
        )

    @property
    def seconds(self) -> float:
        return len(self.codes) / audio.RATE

    def to(self, device) -> "SampleDataset":
        """The same data on `device`, where `batch` then stays."""
        return SampleDataset(self.codes.to(device), self.features.to(device), self.frames, self.utterances)

    def starts(self, frames: int, shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Back-to-back sequences of `frames` with their context: first frame (M,) and utterance (M,) of each."""
        ends = np.cumsum(self.frames)
        found = [
            np.arange(end - length + CONTEXT + shift, end - CONTEXT - frames + 1, frames)
            for end, length in zip(ends, self.frames, strict=True)
        ]
        which = np.repeat(np.arange(len(found)), [len(starts) for starts in found])
        return np.concatenate(found), which

    def batch(self, starts: np.ndarray, frames: int):
        """Sequences at `starts` -> features (B, frames + 4, 20), codes (B, 160 frames, 4) int64."""
        device = self.codes.device
        at = torch.as_tensor(starts, device=device)[:, None]
        features = self.features[at + torch.arange(-CONTEXT, frames + CONTEXT, device=device)]
        codes = self.codes[at * FRAME + torch.arange(frames * FRAME, device=device)]
        return features, codes.long()


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
    settings = (
        updates,
        batch,
        sequence,
        learning_rate,
        decay,
        evaluations,
        evaluation_sequences,
        seed,
        sparsifier and vars(sparsifier),
    )
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
