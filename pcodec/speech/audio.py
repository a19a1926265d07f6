"""Reads and writes audio; the two signal transforms that every part of the codec shares.

Task: whatever the file's format, rate or channels, the rest of the project sees 16 kHz mono float32 in [-1, 1].

Conventions: `SCALE` maps that range to LPCNet's int16 scale, in which pre-emphasized signals and excitations are meant.

Contents: `read`, `blocks`, `live`, `mono`, `content`, `write`, `writing`, `probe`, `check_suffix`, `checked`,
`resample`, `resampled`, `preemphasis`, `lowpass_anchor`.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from pcodec import PcodecError, note, paths
from pcodec.speech import SUFFIXES, decoders
from pcodec.speech.decoders import Raw, check_rate, reading

RATE = 16000  # Hz
SCALE = 32768.0  # int16 steps in 1.0
PREEMPHASIS = 0.85  # 1 - 0.85 z^-1 (specification section 1)
HIGH_PASS = ([1.0, -2.0, 1.0], [1.0, -1.99599, 0.99600])  # of LPCNet's training, at 16 kHz
SINC_WIDTH = 32  # zero crossings on either side of the resampling filter
ANCHOR_EDGE = 450.0  # Hz between pass and stop band of an anchor
LARGEST_FILTER = 10_000_000  # coefficients
LOUDEST = 30.0  # times full scale
LARGEST_BLOCK = 2**23  # values that are read at a time
CANCELLED = 1000  # times less power in the mean of the channels than in themselves, 30 dB
LIVE = 0.04  # s that are read at a time from a pipe
TOLERATED = 0.1  # s that an announced length may be off without a word: encoders pad


def read(path: str | Path) -> np.ndarray:
    """Samples of an audio file, float32 in [-1, 1], shape (samples,), 16 kHz mono.

    Channels are averaged (`mono`) and other rates resampled. A file of no samples gives none. Raises `PcodecError`
    naming the file if it is missing, truncated or not audio (AIFF and AU files do not show that they are truncated).
    """
    return np.concatenate([np.zeros(0, np.float32), *blocks(path)])


def blocks(path: str | Path, seconds: float = 10.0, raw: Raw | None = None) -> Iterator[np.ndarray]:
    """What `read` returns in pieces of about so many seconds, for files of hours; `raw` of samples without a header.

    A file is read to the end of what can be decoded; where that is not what it announces, a line on standard error says
    so.
    """
    with reading(path, raw) as file:
        yield from _at(_mono_pieces(path, file, seconds), file.rate)


def live(file, raw: Raw | None = None) -> Iterator[np.ndarray]:
    """Samples at 16 kHz from an unbuffered pipe, as they come."""
    with decoders.live(file, raw) as source:
        yield from _at(_mono_pieces("standard input", source, LIVE), source.rate)


def content(path: str | Path) -> bytes:
    """The file itself: what results are kept by. Raises `PcodecError` if it is missing."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise PcodecError(f"{path}: no such file") from None


def probe(path: str | Path, raw: Raw | None = None) -> float:
    """Duration in seconds, found without decoding the file; raises `PcodecError` as `read` does."""
    with reading(path, raw) as file:
        return file.length() / file.rate


def mono(samples: np.ndarray) -> tuple[np.ndarray, bool]:
    """(samples, channels) -> the mean of the channels (samples,), or the first one if they cancel, and whether they do.

    They do where the mean has less than a thousandth of their power: one microphone with its wires exchanged.
    """
    mean = samples.mean(axis=1)
    cancel = samples.shape[1] > 1 and bool(CANCELLED * (mean**2).sum() < (samples**2).mean(axis=1).sum())
    return (samples[:, 0] if cancel else mean), cancel


def write(path: str | Path, samples: np.ndarray) -> None:
    """Write 16 kHz mono as 16-bit WAV or FLAC (by suffix), rounded, clipped to [-1, 1)."""
    with writing(path) as append:
        append(samples)


@contextmanager
def writing(path: str | Path, rate: int = RATE, raw: str = ""):
    """As `write`, piece by piece: gives a function to call with samples at `rate`; `raw` (of `PCM`) writes no header.

    The file appears when the block ends well.
    """
    if raw:
        with paths.replacing(Path(path)) as temporary, open(temporary, "wb") as file:
            yield lambda samples: file.write(Raw(raw, rate).bytes(samples))
        return
    check_suffix(path)

    def append(samples):
        pcm = np.floor(np.asarray(samples, dtype=np.float64) * SCALE + 0.5)
        file.write(np.clip(pcm, -32768, 32767).astype(np.int16))

    with paths.replacing(Path(path)) as temporary, soundfile.SoundFile(temporary, "w", rate, 1) as file:
        yield append


def check_suffix(path: str | Path) -> None:
    """Raises `PcodecError` unless audio can be written under this name."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise PcodecError(f"{path}: audio is written as {', '.join(SUFFIXES)}")


def checked(samples: np.ndarray) -> np.ndarray:
    """`samples` as an array, if they are a signal: (samples,), floating point, finite, in [-1, 1] or near it.

    Raises `PcodecError` otherwise; peaks over `LOUDEST` mean another unit.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise PcodecError(f"a signal must have one dimension (samples,), got shape {samples.shape}")
    if not np.issubdtype(samples.dtype, np.floating):
        raise PcodecError(f"a signal is floating point in [-1, 1], got {samples.dtype}")
    if not np.isfinite(samples).all():
        raise PcodecError("a signal holds values that are not numbers")
    if len(samples) and np.abs(samples).max() > LOUDEST:
        raise PcodecError(f"a signal is expected in [-1, 1], got a peak of {np.abs(samples).max():g}")
    return samples


def resample(samples: np.ndarray, rate: int, to: int = RATE) -> np.ndarray:
    """(samples,) at `rate` Hz -> `to` Hz, with torchaudio's windowed sinc.

    Its filters would need gigabytes for rates like 47,999 Hz; those go through SciPy's polyphase filter.
    """
    for each in (rate, to):
        check_rate(each)
    common = math.gcd(rate, to)
    if rate // common * (to // common) > LARGEST_FILTER:
        import scipy.signal

        return scipy.signal.resample_poly(samples, to // common, rate // common).astype(np.float32)
    from pcodec.compute.backend import torch, torchaudio

    signal = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    return torchaudio.functional.resample(signal, rate // common, to // common, lowpass_filter_width=SINC_WIDTH).numpy()


def preemphasis(samples: np.ndarray, previous: float = 0.0) -> np.ndarray:
    """y[n] = x[n] - 0.85 x[n-1] in float32, where x[-1] is `previous` (section 1)."""
    x = np.concatenate([[previous], samples]).astype(np.float32)
    return x[1:] - np.float32(PREEMPHASIS) * x[:-1]


def lowpass_anchor(samples: np.ndarray, cutoff: float) -> np.ndarray:
    """Low-pass at `cutoff` Hz without delay: flat within 0.1 dB up to it, 70 dB down 450 Hz above.

    At 3500 Hz it meets the low anchor's mask of ITU-R BS.1534-3: 25 dB at 4 kHz, 50 dB at 4.5 kHz.
    """
    import scipy.signal  # slow to import, and the codec does without

    taps, shape = scipy.signal.kaiserord(70.0, ANCHOR_EDGE / (RATE / 2))
    taps |= 1
    response = scipy.signal.firwin(taps, cutoff + ANCHOR_EDGE / 2, window=("kaiser", shape), fs=RATE)
    return scipy.signal.convolve(samples, response, mode="same").astype(np.float32)


def _mono_pieces(path, file, seconds):
    """Blocks (samples,) of a file at its own rate; whether channels cancel is decided where there is first sound."""
    first, got, announced = None, 0, file.announced
    for samples in file.blocks(max(1, min(int(seconds * file.rate), LARGEST_BLOCK // file.channels))):
        if not np.isfinite(samples).all():
            raise PcodecError(f"{path}: holds values that are not numbers")
        if np.abs(samples).max() > LOUDEST:
            raise PcodecError(f"{path}: samples are expected in [-1, 1], found {np.abs(samples).max():g}")
        if first is None and samples.any():
            _, first = mono(samples)
            if first:
                note(f"{path}: its channels cancel each other; only the first one is used")
        got += len(samples)
        yield np.ascontiguousarray(samples[:, 0]) if first or samples.shape[1] == 1 else samples.mean(axis=1)
    for remark in file.remarks:
        note(f"{path}: {remark}")
    if file.damaged:
        note(f"{path}: {file.damaged} damaged parts are left out")
    if announced is not None and abs(got - announced) > TOLERATED * file.rate:
        note(f"{path}: announces {announced / file.rate:.2f} s and holds {got / file.rate:.2f} s, which are read")


def _at(pieces, rate):
    return pieces if rate == RATE else resampled(pieces, rate)


def resampled(pieces: Iterable[np.ndarray], rate: int, to: int = RATE) -> Iterator[np.ndarray]:
    """`resample` of a whole signal, piece by piece: every piece is filtered with what lies on either side of it."""
    step = rate // math.gcd(rate, to)  # input samples after which both grids meet again
    new = to * step // rate
    margin = step * (1 + math.ceil(1.02 * SINC_WIDTH / min(step, new)))
    heard, before = np.zeros(0, np.float32), 0  # the latter: how much of it has been used
    for piece in itertools.chain(pieces, [None]):
        if piece is not None:
            heard = np.concatenate([heard, piece])
        ready = len(heard) - before
        if piece is not None:
            ready = (ready - margin) // step * step
        if ready > 0:
            out = resample(heard, rate, to)[before // step * new :]
            yield out if piece is None else out[: ready // step * new]
            kept = min(before + ready, margin)
            heard, before = heard[before + ready - kept :], kept
