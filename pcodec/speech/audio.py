"""Reads and writes audio; the two signal transforms that every part of the codec shares.

Task: whatever the file's format, rate or channels, the rest of the project sees 16 kHz mono float32 in [-1, 1].

Conventions: `SCALE` maps that range to LPCNet's int16 scale, in which mu-law, pre-emphasized signals and excitations
are meant. Mu-law codes are 0..255, code 128 is zero.

Contents: `read`, `blocks`, `content`, `write`, `writing`, `probe`, `check_suffix`, `checked`, `resample`,
`preemphasis`, `lowpass_anchor`, `mulaw_encode`, `mulaw_decode`, `MULAW_TABLE`, `MULAW_ZERO`.
"""

import itertools
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numba
import numpy as np
import soundfile

from pcodec import PcodecError, paths
from pcodec.speech import SUFFIXES

RATE = 16000  # Hz
SCALE = 32768.0  # int16 steps in 1.0
PREEMPHASIS = 0.85  # 1 - 0.85 z^-1 (specification section 1)
SINC_WIDTH = 32  # zero crossings on either side of the resampling filter
ANCHOR_EDGE = 450.0  # Hz between pass and stop band of an anchor
OGG_PAGE = 65_307  # bytes, the longest
LARGEST_FILTER = 10_000_000  # coefficients
LOUDEST = 30.0  # times full scale


def read(path: str | Path) -> np.ndarray:
    """Samples of an audio file, float32 in [-1, 1], shape (samples,), 16 kHz mono.

    Channels are averaged and other rates resampled. A file of no samples gives none. Raises `PcodecError` naming the
    file if it is missing, truncated or not audio (AIFF and AU files do not show that they are truncated).
    """
    return np.concatenate([np.zeros(0, np.float32), *blocks(path)])


def blocks(path: str | Path, seconds: float = 10.0) -> Iterator[np.ndarray]:
    """What `read` returns in pieces of about so many seconds, for files of hours."""
    with _reading(path) as file:
        pieces = _mono_pieces(path, file, int(seconds * file.samplerate))
        yield from pieces if file.samplerate == RATE else _resampled(pieces, file.samplerate)


def content(path: str | Path) -> bytes:
    """The file itself: what results are kept by. Raises `PcodecError` if it is missing."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise PcodecError(f"{path}: no such file") from None


def probe(path: str | Path) -> float:
    """Duration in seconds, found without decoding the file; raises `PcodecError` as `read` does.

    The last sample is fetched, because a truncated FLAC file still announces its full length.
    """
    with _reading(path) as file:
        file.seek(max(0, file.frames - 1))
        if len(file.read(1)) < min(1, file.frames):
            raise PcodecError(f"{path}: truncated: announces {file.frames} samples")
        return file.frames / file.samplerate


def write(path: str | Path, samples: np.ndarray) -> None:
    """Write 16 kHz mono as 16-bit WAV or FLAC (by suffix), rounded, clipped to [-1, 1)."""
    with writing(path) as append:
        append(samples)


@contextmanager
def writing(path: str | Path):
    """As `write`, piece by piece: gives a function to call with samples. The file appears when the block ends well."""
    check_suffix(path)

    def append(samples):
        pcm = np.floor(np.asarray(samples, dtype=np.float64) * SCALE + 0.5)
        file.write(np.clip(pcm, -32768, 32767).astype(np.int16))

    with paths.replacing(Path(path)) as temporary, soundfile.SoundFile(temporary, "w", RATE, 1) as file:
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


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """(samples,) at `rate` Hz -> 16 kHz, with torchaudio's windowed sinc.

    Its filters would need gigabytes for rates like 47,999 Hz; those go through SciPy's polyphase filter.
    """
    common = math.gcd(rate, RATE)
    if rate // common * (RATE // common) > LARGEST_FILTER:
        import scipy.signal

        return scipy.signal.resample_poly(samples, RATE // common, rate // common).astype(np.float32)
    from pcodec.compute.backend import torch, torchaudio

    signal = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    return torchaudio.functional.resample(
        signal, rate // common, RATE // common, lowpass_filter_width=SINC_WIDTH
    ).numpy()


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


@numba.vectorize(cache=True)
def mulaw_encode(x):
    """Sample at int16 scale -> nearest of 256 mu-law codes (section 7). Elementwise; callable in compiled code."""
    code = 128.0 * math.log1p(255.0 / 32768.0 * abs(x)) / math.log(256.0)
    return np.uint8(min(255.0, max(0.0, math.floor(0.5 + 128.0 + (code if x >= 0 else -code)))))


def mulaw_decode(code):
    """Mu-law codes 0..255 -> samples at int16 scale, float32; 128 -> 0 (section 7). Elementwise."""
    v = np.asarray(code, float) - 128.0
    return np.float32(np.sign(v) * 32768.0 / 255.0 * (np.exp(abs(v) * math.log(256.0) / 128.0) - 1.0))


LEVELS = 256  # mu-law codes
MULAW_ZERO = 128  # the code of 0
MULAW_TABLE = mulaw_decode(np.arange(256, dtype=np.uint8))  # (256,) float32, for inner loops


@contextmanager
def _reading(path):
    """An open sound file whose every failure is a `PcodecError` that names it."""
    if not Path(path).is_file():
        raise PcodecError(f"{path}: {'is not a file' if Path(path).exists() else 'no such file'}")
    if Path(path).stat().st_size == 0:
        raise PcodecError(f"{path}: zero-length file")
    if Path(path).suffix.lower() == ".raw":  # soundfile would ask for its rate
        raise PcodecError(f"{path}: raw samples, not audio of known rate and format")
    try:
        with soundfile.SoundFile(path) as file:
            # A WAV header announces its bytes; programs that write into a pipe announce 0 or the largest number.
            bytes_of = re.search(r"^\s*data : (\d+) \(should be (\d+)\)", file.extra_info, re.M)
            if bytes_of and int(bytes_of[2]) < int(bytes_of[1]) < 0x7FFF0000:
                raise PcodecError(f"{path}: truncated: {bytes_of[2]} of {bytes_of[1]} bytes of samples are there")
            if file.format == "OGG" and not _ends(path):
                raise PcodecError(f"{path}: truncated: its last page is not the end of the stream")
            yield file
    except RuntimeError as error:  # soundfile's errors are RuntimeErrors
        raise PcodecError.of(path, "truncated, damaged or not audio", error) from None


def _ends(path):
    """Whether the last page of an Ogg file is marked as the last (RFC 3533, section 6) and whole."""
    with open(path, "rb") as file:
        file.seek(max(0, Path(path).stat().st_size - OGG_PAGE))
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    header = 27 + page[26] if len(page) > 26 else len(page) + 1
    return len(page) >= header and bool(page[5] & 4) and len(page) >= header + sum(page[27:header])


def _mono_pieces(path, file, size):
    announced = file.frames
    while len(samples := file.read(size, dtype="float32", always_2d=True)):
        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
        if not np.isfinite(mono).all():
            raise PcodecError(f"{path}: holds values that are not numbers")
        if np.abs(mono).max() > LOUDEST:
            raise PcodecError(f"{path}: samples are expected in [-1, 1], found {np.abs(mono).max():g}")
        yield mono
        announced -= len(samples)
    if announced > 0:  # a FLAC file; for WAV files see _reading
        raise PcodecError(f"{path}: truncated: {announced} of {file.frames} samples cannot be read")


def _resampled(pieces, rate):
    """`resample` of a whole signal, piece by piece: every piece is filtered with what lies on either side of it."""
    step = rate // math.gcd(rate, RATE)  # input samples after which both grids meet again
    new = RATE * step // rate
    margin = step * (1 + math.ceil(1.02 * SINC_WIDTH / min(step, new)))
    heard, before = np.zeros(0, np.float32), 0  # the latter: how much of it has been used
    for piece in itertools.chain(pieces, [None]):
        if piece is not None:
            heard = np.concatenate([heard, piece])
        ready = len(heard) - before
        if piece is not None:
            ready = (ready - margin) // step * step
        if ready > 0:
            out = resample(heard, rate)[before // step * new :]
            yield out if piece is None else out[: ready // step * new]
            kept = min(before + ready, margin)
            heard, before = heard[before + ready - kept :], kept
