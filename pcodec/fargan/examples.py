"""Speech to learn from: signals and the features that a receiver decodes for them.

Task: excerpts of a few frames with the two frames of features on either side that their conditioning needs.

Conventions: an utterance is prepared by itself, with random numbers seeded by its name: level, spectral response,
polarity, dither. Its signal is pre-emphasized, in [-1, 1], and delayed by half a frame: a frame of it is centred in its
analysis window.

Contents: `prepare`, `Excerpts`, `mistaken`.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.signal
from tqdm import tqdm

from pcodec import PcodecError
from pcodec.bitstream.codebooks import Codebooks
from pcodec.bitstream.quantizer import quantized_features
from pcodec.compute.backend import torch
from pcodec.features.analysis import FEATURES, LAG_MAX, LAG_MIN, OFFSET, PACKET, analyze_emphasized
from pcodec.features.cepstrum import FRAME
from pcodec.features.vocoder import CONTEXT
from pcodec.speech import audio

LEVELS = -14.0, 8.0  # dB, lowest and highest
MISTAKES = 0.1  # share of excerpts with a wrong pitch somewhere
RESPONSE = 0.375  # largest coefficient of a random spectral response, as in LPCNet's training


def prepare(samples: np.ndarray, codebooks: Codebooks, rng: np.random.Generator, augment: bool) -> tuple:
    """Signal (samples,) in [-1, 1] -> (pre-emphasized (160 F,), decoded features (F, 20)), both float32."""
    x = scipy.signal.lfilter(*audio.HIGH_PASS, samples.astype(np.float64) * audio.SCALE)
    if augment:
        b1, b2, a1, a2 = rng.uniform(-RESPONSE, RESPONSE, 4)
        x = (
            rng.choice([-1.0, 1.0])
            * 10 ** (rng.uniform(*LEVELS) / 20)
            * scipy.signal.lfilter([1, b1, b2], [1, a1, a2], x)
        )
    y = audio.preemphasis(np.clip(x, -32768, 32767)) + rng.uniform(-0.5, 0.5, len(x))
    features = quantized_features(analyze_emphasized(y), codebooks)[: len(y) // FRAME]
    signal = np.concatenate([np.zeros(OFFSET), y])[: FRAME * len(features)] / audio.SCALE
    return signal.astype(np.float32), features.astype(np.float32)


@dataclass
class Excerpts:
    """Prepared utterances, end to end."""

    signal: torch.Tensor  # (160 F,) float32
    features: torch.Tensor  # (F, 20) float32
    frames: np.ndarray  # (N,) frames of each utterance
    utterances: pd.DataFrame  # (N rows) utterance, speaker

    @classmethod
    def of(
        cls, signals: Iterable[tuple], codebooks: Codebooks, augment: bool, draw: int = 0, seed: int = 1
    ) -> "Excerpts":
        """From (utterance, speaker, samples in [-1, 1]); another `draw` has other levels, responses and polarities."""
        parts, rows = [], []
        for utterance, speaker, samples in tqdm(signals, desc="training data", mininterval=2):
            rng = np.random.default_rng([seed, draw, zlib.crc32(utterance.encode())])
            parts.append(prepare(samples, codebooks, rng, augment))
            rows.append((utterance, speaker))
        if not parts:
            raise PcodecError("no speech to train on")
        return cls(
            torch.from_numpy(np.concatenate([signal for signal, _ in parts])),
            torch.from_numpy(np.concatenate([features for _, features in parts])),
            np.array([len(features) for _, features in parts]),
            pd.DataFrame(rows, columns=["utterance", "speaker"]),
        )

    def to(self, device) -> "Excerpts":
        """The same data on `device`, where `batch` then stays."""
        return Excerpts(self.signal.to(device), self.features.to(device), self.frames, self.utterances)

    def starts(self, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """First frames (M,) at which an excerpt with its context can begin, and the utterance (M,) of each."""
        ends = np.cumsum(self.frames)
        firsts = [np.arange(end - length + CONTEXT, end - CONTEXT - frames + 1)
                  for end, length in zip(ends, self.frames, strict=True)]  # fmt: skip
        return np.concatenate(firsts), np.repeat(np.arange(len(firsts)), [len(each) for each in firsts])

    def batch(self, starts: np.ndarray, frames: int, rng: np.random.Generator | None = None, mistakes=MISTAKES):
        """Excerpts at `starts` -> features (B, frames + 4, 20), signals (B, 160 frames).

        `rng` makes `mistakes` of pitch, in that share of them.
        """
        device = self.signal.device
        at = torch.as_tensor(starts, device=device)[:, None]
        features = self.features[at + torch.arange(-CONTEXT, frames + CONTEXT, device=device)]
        if rng is not None:
            features[..., FEATURES["pitch"]] = mistaken(features[..., FEATURES["pitch"]], rng, mistakes)
        return features, self.signal[at * FRAME + torch.arange(frames * FRAME, device=device)]


def mistaken(pitch: torch.Tensor, rng: np.random.Generator, share: float = MISTAKES) -> torch.Tensor:
    """Pitch features (B, F) -> with an octave or a little wrong in a packet's frames of some, as a search has it."""
    factors = np.ones(pitch.shape)
    for excerpt in np.flatnonzero(rng.random(len(factors)) < share):
        begin = rng.integers(factors.shape[1])
        factors[excerpt, begin : begin + PACKET] = rng.choice([0.5, 2.0, rng.uniform(0.95, 1.05)])
    periods = (50.0 * pitch + 100.0) * torch.as_tensor(factors, dtype=pitch.dtype, device=pitch.device)
    return (periods.clamp(LAG_MIN + 1, LAG_MAX - 1) - 100.0) / 50.0
