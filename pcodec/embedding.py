"""Siamese speaker encoder: utterances of one speaker get vectors with a large inner product.

Task: the contrastive embedding of the paper (Eq. 1 of Jang et al. 2024): two GRU layers of 32 units turn an utterance
into z; sigma(z_i . z_j) is the probability that i and j are the same speaker; binary cross-entropy over pairs.

Conventions: the input is `log_mel`, (T, 40) at 100 frames/s, one array per utterance. Mel bands because formant
positions and the spacing of low harmonics, which tell voices apart, are resolved where hearing resolves them. The
encoder removes the utterance's mean level, because a recording gain is not a voice. z is the mean of the last layer
over time: every frame counts the same, whatever the length. Notebook 04_embedding.

Contents: `log_mel`, `at_speed`, `is_silent`, `SpeakerEncoder`, `fit`, `pair_loss`, `add_noise`, `embed`, `as_columns`,
`from_columns`, `random_segments`.
"""

import functools
import json
import math
import pickle
import zlib
from pathlib import Path

import numba
import numpy as np
import pandas as pd
from tqdm import tqdm

from pcodec import PcodecError, audio, paths
from pcodec.backend import torch, torchaudio

MELS = 40
UNITS = 32  # of both GRU layers, the size of the paper
HOP = 160  # samples, 10 ms
WINDOW = 400  # samples, 25 ms
FLOOR = 1e-6  # added to mel energies of signals in [-1, 1] before the logarithm
SILENCE = 5000.0 / audio.SCALE**2  # energy of 10 ms under which LPCNet calls it silence (specification section 9)
CHECK_EVERY = 50  # updates from one validation to the next, with which a checkpoint is written


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Signal (samples,) in [-1, 1] at 16 kHz -> natural-log mel energies (T, 40) float32.

    Raises `PcodecError` for less than one window.
    """
    samples = audio.checked(samples)
    if len(samples) < WINDOW:
        raise PcodecError(f"{len(samples)} samples are too short for a speaker embedding, {WINDOW} are needed")
    mel = _mel_spectrogram()(torch.tensor(samples, dtype=torch.float32)).T
    return torch.log(mel + FLOOR).numpy()


def at_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Signal (samples,) -> the same `factor` times as fast: pitch, formants and tempo rise together, a new voice."""
    return audio.resample(samples, round(audio.RATE * factor))


def is_silent(samples: np.ndarray) -> np.ndarray:
    """Signal -> whether each whole 10 ms of it is silence, (T,) bool."""
    frames = np.asarray(samples, dtype=np.float64)[: len(samples) // HOP * HOP].reshape(-1, HOP)
    return (frames**2).sum(axis=1) < SILENCE


class SpeakerEncoder(torch.nn.Module):
    """log-mel (B, T, 40) -> z (B, 32)."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(MELS))
        self.register_buffer("scale", torch.ones(MELS))
        self.gru = torch.nn.GRU(MELS, UNITS, num_layers=2, batch_first=True)

    def forward(self, mel):
        level = mel.mean(dim=(1, 2), keepdim=True)
        states, _ = self.gru((mel - level - self.mean) / self.scale)
        return states.mean(dim=1)

    def save(self, path: str | Path, **provenance) -> None:
        from safetensors.torch import save_file

        with paths.replacing(Path(path)) as temporary:
            save_file(self.state_dict(), temporary, {"provenance": json.dumps(provenance)})

    @classmethod
    def load(cls, path: str | Path) -> "SpeakerEncoder":
        """Raises `PcodecError` naming the file if it is missing or not an encoder."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        encoder = cls()
        try:
            encoder.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise PcodecError(f"{path}: no speaker encoder: {' '.join(str(error).split())}") from None
        return encoder.eval()


def fit(
    encoder: SpeakerEncoder,
    train: tuple[list[np.ndarray], list[str]],
    validation: tuple[list[np.ndarray], list[str]],
    updates: int = 1000,
    speakers_per_batch: int = 32,
    segments_per_speaker: int = 4,
    learning_rate: float = 3e-3,
    seconds: tuple[float, float] = (1.0, 4.0),
    noise_db: tuple[float, float] | None = None,
    patience: int = 500,
    seed: int = 1,
    checkpoint: Path | None = None,
) -> pd.DataFrame:
    """Train in place on (log-mels, speakers); return the table (update, split, loss), loss in nats per pair.

    A batch holds segments of one random length in `seconds`; all its pairs are used, and same-speaker and
    different-speaker pairs weigh the same in all (Eq. 1). With `noise_db` every segment gets noise at a signal-to-noise
    ratio drawn from that range. Adam, its learning rate falling to 0 along a cosine; training stops early when the
    validation loss has not improved for `patience` updates, and the weights of the lowest one are kept. With
    `checkpoint` a killed run of the same task continues, to the same result. Two speakers are needed on each side.
    """
    for name, (_, speakers) in (("train", train), ("validation", validation)):
        if len(set(speakers)) < 2:
            raise PcodecError(f"pairs need at least two {name} speakers, there are {len(set(speakers))}")
    levelled = np.concatenate([mel - mel.mean() for mel in train[0]])
    if not np.isfinite(levelled).all():
        raise PcodecError("a training log-mel holds values that are not numbers")
    encoder.mean.copy_(torch.from_numpy(levelled.mean(axis=0)))
    encoder.scale.copy_(torch.from_numpy(levelled.std(axis=0) + 1e-3))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=learning_rate)
    held_out_rng = np.random.default_rng([seed, 1])
    held_out = [_batch(*validation, 32, 4, sum(seconds) / 2, held_out_rng) for _ in range(4)]
    settings = (updates, speakers_per_batch, segments_per_speaker, learning_rate, seconds, noise_db, patience, seed)
    heard = zlib.crc32(levelled[::100].tobytes())
    for mel in validation[0]:
        heard = zlib.crc32(mel[::100].tobytes(), heard)
    task = (settings, len(levelled), heard, tuple(train[1]), tuple(validation[1]))
    rows, first, best, kept, best_update = [], -1, np.inf, None, 0
    if checkpoint is not None and checkpoint.exists():
        try:
            state = torch.load(checkpoint, weights_only=False)
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise PcodecError(f"{checkpoint}: damaged; delete it to train anew ({error})") from None
        if state["task"] == task:
            encoder.load_state_dict(state["encoder"])
            optimizer.load_state_dict(state["optimizer"])
            rows, first, best, kept, best_update = state["progress"]
    with tqdm(total=updates, initial=max(0, first), desc="embedding", unit="update", mininterval=2) as bar:
        for update in range(max(0, first), updates + 1):
            if (update % CHECK_EVERY == 0 or update == updates) and update > first:
                with torch.no_grad():
                    loss = float(np.mean([pair_loss(encoder(mel), who).item() for mel, who in held_out]))
                rows.append((update, "validation", loss))
                bar.set_postfix_str(f"validation {loss:.3f} nats")
                if loss < best:
                    best, best_update = loss, update
                    kept = {name: value.clone() for name, value in encoder.state_dict().items()}
                if checkpoint is not None:
                    progress = (list(rows), update, best, kept, best_update)
                    state = {"encoder": encoder.state_dict(), "optimizer": optimizer.state_dict()}
                    with paths.replacing(checkpoint) as temporary:
                        torch.save(state | {"task": task, "progress": progress}, temporary)
            if update == updates or update - best_update >= patience:
                break
            rng = np.random.default_rng([seed, 2, update])
            mel, who = _batch(*train, speakers_per_batch, segments_per_speaker, rng.uniform(*seconds), rng)
            if noise_db:
                mel = add_noise(mel, rng.uniform(*noise_db, len(mel)), rng)
            optimizer.param_groups[0]["lr"] = learning_rate * (0.5 + 0.5 * np.cos(np.pi * update / updates))
            loss = pair_loss(encoder(mel), who)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
            optimizer.step()
            rows.append((update, "train", loss.item()))
            bar.update()
    encoder.load_state_dict(kept)
    return pd.DataFrame(rows, columns=["update", "split", "loss"])


def pair_loss(z, who):
    """z (B, 32), speaker index (B,) -> mean of the cross-entropies of same and of different pairs (Eq. 1)."""
    scores = z @ z.T
    same = who[:, None] == who
    once = torch.ones_like(same).triu(diagonal=1)
    positive = torch.nn.functional.softplus(-scores)[same & once].mean()
    negative = torch.nn.functional.softplus(scores)[~same & once].mean()
    return (positive + negative) / 2


def add_noise(mel, snr_db: np.ndarray, rng: np.random.Generator):
    """log-mel (B, T, 40) with stationary noise added, each segment at its signal-to-noise ratio in dB.

    Energies add, as those of independent signals do on average; the noise's spectrum is a random slope over the bands,
    its energies fluctuate like those of Gaussian noise.
    """
    count, frames, bands = mel.shape
    slope = np.exp(rng.uniform(-4.0, 4.0, (count, 1, 1)) * np.linspace(-0.5, 0.5, bands))
    noise = torch.tensor(slope * rng.gamma(4.0, 0.25, (count, frames, bands)), dtype=torch.float32)
    energies = mel.exp()
    ratio = energies.sum(dim=(1, 2)) / noise.sum(dim=(1, 2)) / torch.tensor(10.0 ** (snr_db / 10), dtype=torch.float32)
    return torch.log(energies + ratio[:, None, None] * noise)


def embed(encoder: SpeakerEncoder, mels: list[np.ndarray] | np.ndarray) -> np.ndarray:
    """log-mels of N utterances, a list of any lengths or an array (N, T, 40) -> z (N, 32) float32.

    The encoder's arithmetic in compiled code: a codec asks for one utterance at a time, and PyTorch takes 5 ms for 3 s.
    """
    weights = {name: tensor.numpy() for name, tensor in encoder.state_dict().items()}
    layers = [
        (
            np.ascontiguousarray(weights[f"gru.weight_ih_l{layer}"].T),
            weights[f"gru.bias_ih_l{layer}"],
            np.ascontiguousarray(weights[f"gru.weight_hh_l{layer}"].T),
            weights[f"gru.bias_hh_l{layer}"],
        )
        for layer in (0, 1)
    ]
    z = np.zeros((len(mels), UNITS), np.float32)
    for i, mel in enumerate(mels):
        states = (mel - mel.mean() - weights["mean"]) / weights["scale"]
        for w_input, b_input, w_state, b_state in layers:
            states = _gru(states @ w_input + b_input, w_state, b_state)
        z[i] = states.mean(axis=0)
    return z


def as_columns(z: np.ndarray) -> pd.DataFrame:
    """z (N, 32) -> table with columns z0 .. z31, as notebooks hand it on."""
    return pd.DataFrame(z, columns=[f"z{i}" for i in range(UNITS)])


def from_columns(table: pd.DataFrame) -> np.ndarray:
    """Table with columns z0 .. z31 -> z (N, 32) float32."""
    return table[[f"z{i}" for i in range(UNITS)]].to_numpy(np.float32)


def random_segments(
    mels: list[np.ndarray], speakers: list[str], seconds: float, per_speaker: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`per_speaker` pieces of `seconds` of every speaker -> (B, T, 40), index of each one's utterance (B,).

    Speakers without an utterance of that length are not in it; B may be 0.
    """
    size = int(seconds * audio.RATE / HOP)
    long = np.flatnonzero([len(mel) >= size for mel in mels])
    own = pd.Series(long).groupby(np.asarray(speakers)[long])
    which = np.concatenate([np.zeros(0, int), *(rng.choice(group, per_speaker) for _, group in own)])
    starts = [rng.integers(len(mels[i]) - size + 1) for i in which]
    pieces = [mels[i][start : start + size] for i, start in zip(which, starts, strict=True)]
    return np.stack(pieces) if pieces else np.zeros((0, size, MELS), np.float32), which


@numba.njit(cache=True, fastmath=True)
def _gru(inputs, weight, bias):
    """One GRU layer: inputs (T, 96) with their weights and bias applied, gates r, z, n -> states (T, 32)."""
    units = len(weight)
    states = np.empty((len(inputs), units), dtype=np.float32)
    h = np.zeros(units, dtype=np.float32)
    gates = np.empty(3 * units, dtype=np.float32)
    one = np.float32(1.0)
    for t in range(len(inputs)):
        gates[:] = bias
        for j in range(units):
            for k in range(3 * units):
                gates[k] += h[j] * weight[j, k]
        x = inputs[t]
        for i in range(units):
            r = one / (one + math.exp(-(x[i] + gates[i])))
            z = one / (one + math.exp(-(x[units + i] + gates[units + i])))
            n = math.tanh(x[2 * units + i] + r * gates[2 * units + i])
            h[i] = (one - z) * n + z * h[i]
        states[t] = h
    return states


@functools.cache
def _mel_spectrogram():
    return torchaudio.transforms.MelSpectrogram(audio.RATE, n_fft=512, win_length=WINDOW, hop_length=HOP, n_mels=MELS)


def _batch(mels, speakers, speakers_per_batch, segments_per_speaker, seconds, rng):
    """Segments (B, T, 40) of one length and the index (B,) of their speakers; short utterances are repeated."""
    size = int(seconds * audio.RATE / HOP)
    numbers, names = pd.factorize(np.asarray(speakers), sort=True)
    chosen = rng.choice(len(names), min(speakers_per_batch, len(names)), replace=False)
    pieces = []
    for utterance in np.concatenate([rng.choice(np.flatnonzero(numbers == n), segments_per_speaker) for n in chosen]):
        mel = mels[utterance]
        if len(mel) < size:
            mel = np.tile(mel, (-(-size // len(mel)), 1))
        start = rng.integers(len(mel) - size + 1)
        pieces.append(mel[start : start + size])
    return torch.tensor(np.stack(pieces)), torch.tensor(np.repeat(chosen, segments_per_speaker))
