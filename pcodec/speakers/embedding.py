"""Siamese speaker encoder: utterances of one speaker get vectors with a large inner product.

Task: the contrastive embedding of the paper (Eq. 1 of Jang et al. 2024): two GRU layers of 32 units turn an utterance
into z; sigma(z_i . z_j) is the probability that i and j are the same speaker; binary cross-entropy over pairs.

Conventions: the input is `pcodec.speakers.voiceprint.log_mel`, (T, 40) at 100 frames/s, one array per utterance.
Notebook 04_embedding.

Contents: `SpeakerEncoder`, `fit`, `embed`, `pair_loss`, `at_speed`, `with_speeds`, `add_noise`, `random_segments`.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.learning import loop, optimizers, recurrence, weights
from pcodec.learning.checkpoint import digest
from pcodec.speakers import voiceprint
from pcodec.speakers.voiceprint import HOP, MELS, UNITS
from pcodec.speech import audio

CHECK_EVERY = 50  # updates from one validation to the next


def at_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Signal (samples,) -> the same `factor` times as fast: pitch, formants and tempo rise together, a new voice."""
    return audio.resample(samples, round(audio.RATE * factor))


def with_speeds(rows, speeds: Iterable[float]):
    """Rows (utterance, speaker, samples), each at each speed; a speed is another speaker."""
    for utterance, speaker, samples in rows:
        for speed in speeds:
            same = speed == 1.0
            name = "" if same else f"@{speed:g}"
            yield utterance + name, speaker + name, samples if same else at_speed(samples, speed)


class SpeakerEncoder(torch.nn.Module):
    """log-mel (B, T, 40) -> z (B, 32)."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(MELS))
        self.register_buffer("scale", torch.ones(MELS))
        self.gru = torch.nn.GRU(MELS, UNITS, num_layers=2, batch_first=True)

    def forward(self, mel):
        level = mel.mean(dim=(1, 2), keepdim=True)
        return recurrence.layers(self.gru, (mel - level - self.mean) / self.scale).mean(dim=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights by name, as `pcodec.speakers.voiceprint` uses them."""
        return {name: value.detach().numpy() for name, value in self.state_dict().items()}

    def save(self, path: str | Path, **provenance) -> None:
        weights.save(path, self.arrays(), provenance=provenance)

    @classmethod
    def load(cls, path: str | Path) -> "SpeakerEncoder":
        """Raises `PcodecError` naming the file if it is missing or not an encoder."""
        what = "no speaker encoder"
        encoder, (arrays, _) = cls(), weights.load(path, what)
        try:
            encoder.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        except RuntimeError as error:
            raise PcodecError.of(path, what, error) from None
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
    learner = loop.Learner(encoder, [torch.optim.Adam(encoder.parameters())], optimizers.Cosine(learning_rate))
    held_out_rng = np.random.default_rng([seed, 1])
    held_out = [_batch(*validation, 32, 4, sum(seconds) / 2, held_out_rng) for _ in range(4)]
    batches = (speakers_per_batch, segments_per_speaker, seconds, noise_db)
    task = _Pairs(learner, train, held_out, batches, seed)
    checks = math.ceil(updates / CHECK_EVERY)
    history = loop.fit(task, updates, evaluations=checks, patience=patience, seed=seed, checkpoint=checkpoint,
                       name="embedding")  # fmt: skip
    losses = pd.concat(
        [history.evaluations.assign(split="validation"),
         history.training.rename(columns={"model": "loss"}).assign(split="train")]
    )  # fmt: skip
    return losses.sort_values("update", kind="stable", ignore_index=True)[["update", "split", "loss"]]


class _Pairs(loop.Task):
    """The encoder as the training loop sees it: pairs of segments, of the same speaker or of two."""

    unit = "nats"

    def __init__(self, learner, train, held_out, batches, seed):
        self.learners, self.encoder = {"model": learner}, learner.network
        self.train, self.held_out, self.batches, self.seed = train, held_out, batches, seed

    def identity(self):
        mels, speakers = self.train
        return digest((self.batches, tuple(speakers)), *mels, *(array for pair in self.held_out for array in pair))

    def losses(self, update):
        speakers_per_batch, segments_per_speaker, seconds, noise_db = self.batches
        rng = np.random.default_rng([self.seed, 2, update])
        mel, who = _batch(*self.train, speakers_per_batch, segments_per_speaker, rng.uniform(*seconds), rng)
        if noise_db:
            mel = add_noise(mel, rng.uniform(*noise_db, len(mel)), rng)
        yield "model", pair_loss(self.encoder(mel), who)

    def evaluate(self):
        with torch.no_grad():
            losses = [pair_loss(self.encoder(mel), who).item() for mel, who in self.held_out]
        return pd.DataFrame({"loss": [np.mean(losses)]})

    def score(self, evaluation):
        return evaluation.loss[0]


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
    """log-mels of N utterances, a list of any lengths or an array (N, T, 40) -> z (N, 32) float32."""
    return voiceprint.embed(encoder.arrays(), mels)


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
