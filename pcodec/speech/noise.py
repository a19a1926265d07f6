"""Noise beside speech: recordings of a folder, mixed at a signal-to-noise ratio.

Task: what a codec that removes noise learns from, and what it is measured with: some kinds of noise are kept apart.

Conventions: samples at 16 kHz in [-1, 1]. A kind is a word of a file's path under the folder, that of a folder or the
file's own without suffix: rain is esc10/rain/1.flac and blanket/rain.flac. A signal-to-noise ratio is that of the mean
powers of a stretch of speech and of the whole recording of noise.

Contents: `load`, `Noise`, `mixed`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcodec import PcodecError
from pcodec.speech import audio, names

FLOOR = 1e-4  # RMS that speech has at least, when noise is added: in a pause there is noise, too


def load(folder: str | Path, unseen: Iterable[str] = ()) -> tuple["Noise", "Noise"]:
    """Recordings under a folder: those to learn from, and those of `unseen` kinds, or all twice where none is named.

    Raises `PcodecError` naming the folder, or a kind of which there is no recording.
    """
    folder, unseen = Path(folder), list(unseen)
    files = names.audio_files(folder) if folder.is_dir() else []
    if not files:
        raise PcodecError(f"{folder}: no folder of recordings of noise")
    kinds = [{*path.relative_to(folder).with_suffix("").parts} for path in files]
    for kind in unseen:
        if not any(kind in each for each in kinds):
            raise PcodecError(f"{folder}: no recording of {kind}")
    apart = [bool(kind & {*unseen}) for kind in kinds]
    recordings = [(path.relative_to(folder).as_posix(), audio.read(path)) for path in files]
    return tuple(
        Noise.of(each for each, own in zip(recordings, apart, strict=True) if own == held or not unseen)
        for held in (False, True)
    )


@dataclass
class Noise:
    """Recordings, each with a mean power of 1."""

    names: list[str]
    recordings: list[np.ndarray]

    @classmethod
    def of(cls, recordings) -> "Noise":
        """From (name, samples); silent ones are refused."""
        rows = [(name, np.asarray(samples, np.float32)) for name, samples in recordings]
        if not rows:
            raise PcodecError("no recordings of noise")
        for name, samples in rows:
            if not np.any(samples):
                raise PcodecError(f"{name}: is silent, no noise")
        scaled = [samples / np.sqrt(np.mean(samples.astype(np.float64) ** 2)).astype(np.float32) for _, samples in rows]
        return cls([name for name, _ in rows], scaled)

    def draw(self, count: int, samples: int, rng: np.random.Generator) -> np.ndarray:
        """Excerpts (count, samples) of recordings, each as likely; short ones are repeated."""
        return np.stack([self.excerpt(int(which), samples, rng) for which in rng.integers(len(self.names), size=count)])

    def excerpt(self, which: int, samples: int, rng: np.random.Generator) -> np.ndarray:
        """A part (samples,) of a recording that begins anywhere, and begins anew at its end."""
        recording = self.recordings[which]
        begin = int(rng.integers(len(recording)))
        return recording.take(np.arange(begin, begin + samples), mode="wrap")


def mixed(speech: np.ndarray, noise: np.ndarray, snr: np.ndarray) -> np.ndarray:
    """Speech (..., samples) with noise of a mean power of 1 at signal-to-noise ratios (...) in dB."""
    level = np.maximum(np.sqrt(np.mean(speech.astype(np.float64) ** 2, axis=-1)), FLOOR) * 10 ** (-np.asarray(snr) / 20)
    return (speech + level[..., None] * noise).astype(np.float32)
