"""Speech as encoders and recognizers read it: the codec's features beside the recognizer's spectrum.

Task: log-mel spectra of 80 bands, the recognizer's own scale, of the same frames as the features; of whole signals, or
piece by piece with some speech around each, so that memory does not grow with a signal's length.

Conventions: mel spectra are `learning.recognizer.log_mel`, (T, 80) log10 of power. `levelled` ones are relative to
the utterance's level, in units of 4 decades. Frame t is that of the features, centred on sample 160 t.

Contents: `Speech`, `describe`, `level`, `levelled`, `pieces`, `part`.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from pcodec import features
from pcodec.features.analysis import FEATURES, FRAME, PACKET, Analysis
from pcodec.learning import recognizer

SCALE = 4.0  # decades
LOWEST = -7.0  # decades under an utterance's level; less is nothing
SILENCE = -9.0  # log10 of the power under which a frame has none to measure a level by
PIECE, AROUND = 1000, 104  # frames of a piece, and of speech before and after it; multiples of 8


class Speech(NamedTuple):
    """A signal as an encoder sees it, T frames."""

    analysis: Analysis
    mel: np.ndarray  # (T, 80) log10 of power
    level: float | None  # None where there is only silence

    @property
    def lags(self) -> np.ndarray:
        """Pitch lag of each frame (T,), in samples."""
        return features.lag(self.analysis.features[:, FEATURES["pitch"]]).astype(np.float64)

    @property
    def correlation(self) -> np.ndarray:
        """Pitch correlation of each frame (T,)."""
        return self.analysis.features[:, FEATURES["correlation"]] + 0.5


def describe(samples: np.ndarray) -> Speech:
    """Signal (samples,) in [-1, 1] at 16 kHz -> what an encoder sees of it."""
    analysis = features.analyze(samples)
    count = len(analysis.features)
    mel = recognizer.log_mel(np.pad(samples, (0, max(0, count * FRAME - len(samples)))))[:count]
    return Speech(analysis, mel, level(mel))


def level(mel: np.ndarray) -> float | None:
    """The level of mel spectra (T, 80): log10 of the mean power of its frames; None where there is only silence."""
    power = (10.0 ** mel.astype(np.float64)).mean(axis=1)
    sounding = power > 10.0**SILENCE
    return float(np.log10(power[sounding].mean())) if sounding.any() else None


def levelled(mel, at: float):
    """Mel spectra (..., 80) log10, relative to a level; nothing is under -1.75."""
    return (mel - at).clip(LOWEST, None) / SCALE


def pieces(blocks: Iterable[np.ndarray]) -> Iterator[tuple[Analysis, np.ndarray, slice]]:
    """Analyses and spectra (T, 80) of a signal that comes in blocks, and which frames of them, a slice, are new.

    `PIECE` frames at a time, with `AROUND` on either side.
    """
    signal, base, done = np.zeros(0, np.float32), 0, 0  # `signal` and `kept` begin with frame `base`; `done` are given
    kept, state = features.stream(signal)
    for block in itertools.chain(_short(blocks), [None]):
        last = block is None
        block = np.zeros(0, np.float32) if last else block
        analysis, state = features.stream(block, state, last)
        kept = Analysis(*map(np.concatenate, zip(kept, analysis, strict=True)))
        signal = np.concatenate([signal, block])
        ready = base + len(kept.features)
        while ready > done and (last or ready >= done + PIECE + AROUND):
            end = min(ready, done + PIECE + AROUND)
            stop = end if end == ready and last else done + PIECE
            around = signal[: (end - base + 2) * FRAME]  # with what windows reach into
            around = np.pad(around, (0, max(0, (end - base) * FRAME - len(around))))
            mel = recognizer.log_mel(around)[: end - base]
            yield part(kept, slice(0, end - base)), mel, slice(done - base, stop - base)
            done, cut = stop, max(0, stop - AROUND - base)
            kept, signal, base = part(kept, slice(cut, None)), signal[cut * FRAME :], base + cut


def part(analysis: Analysis, frames: slice) -> Analysis:
    """The rows of an analysis that belong to whole packets of frames."""
    packets = slice(frames.start // PACKET, None if frames.stop is None else frames.stop // PACKET)
    return Analysis(*(each[frames if name == "features" else packets] for name, each in analysis._asdict().items()))


def _short(blocks):
    """The same signal in blocks of a piece at most."""
    for block in blocks:
        for at in range(0, len(block), PIECE * FRAME):
            yield np.asarray(block[at : at + PIECE * FRAME], np.float32)
