"""Siamese speaker encoder: utterances of one speaker get vectors with a large inner product.

Task: the contrastive embedding of the paper (Eq. 1 of Jang et al. 2024): two GRU layers of 32 units turn an utterance
into z; sigma(z_i . z_j) is the probability that i and j are the same speaker; binary cross-entropy over pairs.

Conventions: the input is `log_mel`, (T, 40) at 100 frames/s, one array per utterance. Mel bands because formant
positions and the spacing of low harmonics, which tell voices apart, are resolved where hearing resolves them; the
utterance's mean level is removed, because a recording gain is not a voice. z is the mean of the last layer over time:
every frame counts the same, whatever the length. Notebook 04_embedding.

Contents: `log_mel`, `SpeakerEncoder`, `fit`, `embed`, `trials`, `equal_error_rate`.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from pcodec import PcodecError, audio, paths
from pcodec.backend import torch, torchaudio

MELS = 40
UNITS = 32  # of both GRU layers, the size of the paper
HOP = 160  # samples, 10 ms
WINDOW = 400  # samples, 25 ms


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Signal (samples,) in [-1, 1] at 16 kHz -> natural-log mel energies (T, 40) float32, their mean removed."""
    transform = torchaudio.transforms.MelSpectrogram(
        audio.RATE, n_fft=512, win_length=WINDOW, hop_length=HOP, n_mels=MELS
    )
    if len(samples) < WINDOW:
        raise PcodecError(f"{len(samples)} samples are too short for a speaker embedding, {WINDOW} are needed")
    mel = transform(torch.tensor(np.asarray(samples), dtype=torch.float32)).T
    logs = torch.log(mel + 1e-6)
    return (logs - logs.mean()).numpy()


class SpeakerEncoder(torch.nn.Module):
    """log-mel (B, T, 40) -> z (B, 32)."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(MELS))
        self.register_buffer("scale", torch.ones(MELS))
        self.gru = torch.nn.GRU(MELS, UNITS, num_layers=2, batch_first=True)

    def forward(self, mel):
        states, _ = self.gru((mel - self.mean) / self.scale)
        return states.mean(dim=1)

    def save(self, path: str | Path, **provenance) -> None:
        from safetensors.torch import save_file

        with paths.replacing(Path(path)) as temporary:
            save_file(self.state_dict(), temporary, {"provenance": json.dumps(provenance)})

    @classmethod
    def load(cls, path: str | Path) -> "SpeakerEncoder":
        from safetensors.torch import load_file

        encoder = cls()
        encoder.load_state_dict(load_file(path))
        return encoder.eval()


def fit(
    encoder: SpeakerEncoder,
    train: tuple[list[np.ndarray], list[str]],
    validation: tuple[list[np.ndarray], list[str]],
    updates: int = 200,
    speakers_per_batch: int = 16,
    segments_per_speaker: int = 4,
    learning_rate: float = 3e-3,
    seconds: tuple[float, float] = (1.0, 3.0),
    seed: int = 1,
) -> pd.DataFrame:
    """Train in place on (log-mels, speakers); return the table (update, split, loss), loss in nats per pair.

    A batch holds segments of one random length in `seconds`; all its pairs are used, and same-speaker and
    different-speaker pairs weigh the same in all (Eq. 1). The weights of the lowest validation loss are kept. Two
    speakers are needed on each side.
    """
    for name, (_, speakers) in (("train", train), ("validation", validation)):
        if len(set(speakers)) < 2:
            raise PcodecError(f"pairs need at least two {name} speakers, there are {len(set(speakers))}")
    frames = np.concatenate(train[0])
    encoder.mean.copy_(torch.from_numpy(frames.mean(axis=0)))
    encoder.scale.copy_(torch.from_numpy(frames.std(axis=0) + 1e-3))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=learning_rate)
    held_out_rng = np.random.default_rng([seed, 1])
    held_out = [_batch(*validation, 16, 4, seconds[1], held_out_rng) for _ in range(4)]
    rng = np.random.default_rng([seed, 0])
    best, kept = np.inf, None
    rows = []
    for update in tqdm(range(updates + 1), desc="embedding", mininterval=2):
        if update % 20 == 0 or update == updates:
            with torch.no_grad():
                loss = np.mean([pair_loss(encoder(mel), who).item() for mel, who in held_out])
            rows.append((update, "validation", loss))
            if loss < best:
                best, kept = loss, {name: value.clone() for name, value in encoder.state_dict().items()}
        if update == updates:
            break
        mel, who = _batch(*train, speakers_per_batch, segments_per_speaker, rng.uniform(*seconds), rng)
        loss = pair_loss(encoder(mel), who)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        rows.append((update, "train", loss.item()))
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


def embed(encoder: SpeakerEncoder, mels: list[np.ndarray]) -> np.ndarray:
    """log-mels of N utterances, any lengths -> z (N, 32) float32."""
    with torch.no_grad():
        return np.stack([encoder(torch.tensor(mel)[None])[0].numpy() for mel in mels])


def segments(mels: list[np.ndarray], seconds: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Cut utterances into pieces of `seconds`; return them with the index of each one's utterance.

    An utterance shorter than two pieces gives what it has: one piece, or itself.
    """
    size = int(seconds * audio.RATE / HOP)
    pieces = [
        (i, mel[at : at + size]) for i, mel in enumerate(mels) for at in range(0, max(len(mel) - size, 0) + 1, size)
    ]
    return [piece for _, piece in pieces], np.array([i for i, _ in pieces])


def trials(z: np.ndarray, speakers: np.ndarray) -> pd.DataFrame:
    """All pairs of z (N, 32) -> table (score, same): inner product, and whether the speakers are the same."""
    first, second = np.triu_indices(len(z), 1)
    speakers = np.asarray(speakers)
    return pd.DataFrame({"score": (z @ z.T)[first, second], "same": speakers[first] == speakers[second]})


def equal_error_rate(trials: pd.DataFrame) -> tuple[float, float]:
    """Trials -> (rate 0..1 at which false alarms equal misses, threshold on the score), by speechbrain."""
    from speechbrain.utils.metric_stats import EER

    if trials.same.nunique() < 2:
        raise PcodecError("an equal error rate needs trials of the same speaker and of different speakers")
    positive = torch.tensor(trials.score[trials.same].to_numpy(), dtype=torch.float32)
    negative = torch.tensor(trials.score[~trials.same].to_numpy(), dtype=torch.float32)
    rate, threshold = EER(positive, negative)
    return float(rate), float(threshold)


def _batch(mels, speakers, speakers_per_batch, segments_per_speaker, seconds, rng):
    """Segments (B, T, 40) of one length and the index (B,) of their speakers; short utterances are repeated."""
    size = int(seconds * audio.RATE / HOP)
    names = sorted(set(speakers))
    chosen = rng.choice(len(names), min(speakers_per_batch, len(names)), replace=False)
    by_speaker = {name: [i for i, speaker in enumerate(speakers) if speaker == name] for name in names}
    pieces, who = [], []
    for index in chosen:
        for _ in range(segments_per_speaker):
            mel = mels[rng.choice(by_speaker[names[index]])]
            if len(mel) < size:
                mel = np.tile(mel, (-(-size // len(mel)), 1))
            start = rng.integers(len(mel) - size + 1)
            pieces.append(mel[start : start + size])
            who.append(index)
    return torch.tensor(np.stack(pieces)), torch.tensor(who)
