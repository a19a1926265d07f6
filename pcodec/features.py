"""LPCNet's analysis: cepstrum, pitch and correlation per 10 ms, and the LPC that follow from the cepstrum.

Task: one analysis for encoder, training data and notebooks (LPCNet specification sections 1 to 5; Valin & Skoglund,
Interspeech 2019).

Conventions: T frames of 160 samples (10 ms), always a multiple of the four of a packet (40 ms). The analysis window of
frame k is 320 samples centred on sample 160 k; the audio that belongs to frame k is samples 160 k - 80 .. 160 k + 79.
A feature row is `COLUMNS`: 18 cepstral coefficients, pitch = 0.02 (lag - 100), correlation - 0.5. Notebook 02_features.

Contents: `analyze`, `analyze_emphasized`, `cached`, `lpc_from_cepstrum`, `band_log_energies`,
`spectrum_from_lpc`, `lag`, `FEATURES`.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from pcodec import PcodecError, audio, paths

VERSION = 1  # raise it when the analysis changes: cached features are kept by content and version

FRAME = 160  # samples, 10 ms
WINDOW = 320  # samples, 20 ms
PACKET = 4  # frames
OFFSET = 80  # samples by which a frame's audio starts before its window's second half
BANDS = 18
ORDER = 16  # of linear prediction
LAG_MIN, LAG_MAX = 32, 256  # samples
SUBFRAME = 80  # samples, 5 ms, one pitch lag each
SUBFRAMES = PACKET * FRAME // SUBFRAME  # of a packet

FEATURES = {"cepstrum": slice(0, BANDS), "pitch": BANDS, "correlation": BANDS + 1}
COLUMNS = [f"c{j}" for j in range(BANDS)] + ["pitch", "correlation"]

BAND_EDGES = 4 * np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 34, 40])  # FFT bins of 50 Hz
# Turns sums over a band into densities (the 2019 series' commit 3a7ef33; section 4, step 2).
COMPENSATION = np.array(
    [0.8, 1, 1, 1, 1, 1, 1, 1, 0.666667, 0.5, 0.5, 0.5, 0.333333, 0.25, 0.25, 0.2, 0.166667, 0.173913]
)


class Analysis(NamedTuple):
    """What the analysis of a signal found; T frames, P = T / 4 packets."""

    features: np.ndarray  # (T, 20) float32, unquantized
    lags: np.ndarray  # (P, 8) int, pitch lag of each 5 ms in samples
    weights: np.ndarray  # (P, 8) float64, relative energy of each 5 ms, mean 1
    correlation: np.ndarray  # (P,) float64, mean pitch correlation


def analyze(samples: np.ndarray) -> Analysis:
    """Features of a signal (samples,) in [-1, 1] at 16 kHz; enough frames that every sample belongs to one."""
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise PcodecError(f"a signal must have one dimension (samples,), got shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise PcodecError("a signal holds values that are not numbers")
    return analyze_emphasized(audio.preemphasis(samples.astype(np.float32) * audio.SCALE))


def analyze_emphasized(y: np.ndarray) -> Analysis:
    """As `analyze`, for a pre-emphasized signal (samples,) at int16 scale."""
    frames = PACKET * -(-(len(y) + OFFSET) // (PACKET * FRAME))
    padded = np.zeros(FRAME * (frames + 1))
    padded[FRAME : FRAME + len(y)] = y
    cepstrum = _cepstrum(padded, frames)
    residual = _residual(padded, lpc_from_cepstrum(cepstrum))
    xc, energies = _normalized_correlations(residual)
    weights = SUBFRAMES * energies / (1e-15 + energies.sum(axis=1, keepdims=True))
    lags, correlation = _track_pitch(xc, weights)
    pitch = 0.01 * (lags.reshape(-1, 2).sum(axis=1) - 200.0)
    features = np.column_stack([cepstrum, pitch, np.repeat(correlation, PACKET) - 0.5])
    return Analysis(features.astype(np.float32), lags, weights, correlation)


def cached(path: str | Path) -> Analysis:
    """`analyze` of an audio file, kept in the cache by the file's content and `VERSION`."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise PcodecError(f"{path}: no such file") from None
    key = hashlib.sha256(content).hexdigest()[:32]
    file = paths.cache(f"features-v{VERSION}") / key[:2] / f"{key}.npz"
    if not file.exists():
        with paths.replacing(file) as temporary:
            np.savez(temporary, **analyze(audio.read(path))._asdict())
    with np.load(file) as stored:
        return Analysis(*(stored[field] for field in Analysis._fields))


def lag(pitch: np.ndarray) -> np.ndarray:
    """Pitch feature -> pitch lag in samples, limited to 33..255 as the network's embedding needs (section 8)."""
    return np.clip((0.1 + 50.0 * np.asarray(pitch) + 100.0).astype(np.int64), LAG_MIN + 1, LAG_MAX - 1)


def band_log_energies(cepstrum: np.ndarray) -> np.ndarray:
    """Cepstrum (..., 18) -> log10 energy of the 18 bands (..., 18): the inverse DCT (section 2)."""
    cepstrum = np.array(cepstrum, dtype=np.float64)
    cepstrum[..., 0] += 4.0
    return cepstrum @ DCT


def lpc_from_cepstrum(cepstrum: np.ndarray) -> np.ndarray:
    """Cepstrum (T, 18) -> LPC a_1..a_16 of the pre-emphasized signal, (T, 16) float32 (section 4).

    The prediction is p[n] = - sum_i a_i s[n - i].
    """
    energies = 10.0 ** band_log_energies(cepstrum) * COMPENSATION
    autocorrelation = energies @ ENERGY_TO_AUTOCORRELATION
    autocorrelation[:, 0] += 1e-4 * autocorrelation[:, 0] + 26 / 38  # noise floor at -40 dB
    autocorrelation *= 1.0 - 6e-5 * np.arange(ORDER + 1) ** 2  # lag window
    return _levinson(autocorrelation)


def spectrum_from_lpc(lpc: np.ndarray, bins: int = WINDOW // 2 + 1) -> np.ndarray:
    """LPC (16,) -> magnitude of 1 / A(f) in dB at `bins` frequencies from 0 to 8 kHz, for plots."""
    response = np.fft.rfft(np.concatenate([[1.0], lpc]), 2 * (bins - 1))
    return -20.0 * np.log10(np.abs(response))


def _vorbis_window() -> np.ndarray:
    half = np.sin(np.pi / 2 * np.sin(np.pi / 2 * (np.arange(FRAME) + 0.5) / FRAME) ** 2)
    return np.concatenate([half, half[::-1]])


def _triangles() -> np.ndarray:
    """(161, 18) weight of each FFT bin in each band: overlapping triangles; the bin at 8 kHz is not used."""
    weights = np.zeros((WINDOW // 2 + 1, BANDS))
    for b in range(BANDS - 1):
        width = BAND_EDGES[b + 1] - BAND_EDGES[b]
        rise = np.arange(width) / width
        weights[BAND_EDGES[b] : BAND_EDGES[b + 1], b] = 1.0 - rise
        weights[BAND_EDGES[b] : BAND_EDGES[b + 1], b + 1] = rise
    return weights


def _dct() -> np.ndarray:
    """(18, 18) orthonormal DCT-II, row j is coefficient j over the bands."""
    j, b = np.meshgrid(np.arange(BANDS), np.arange(BANDS), indexing="ij")
    basis = np.sqrt(2.0 / BANDS) * np.cos((b + 0.5) * j * np.pi / BANDS)
    basis[0] *= np.sqrt(0.5)
    return basis


VORBIS_WINDOW = _vorbis_window()
TRIANGLES = _triangles()
DCT = _dct()
# Band energies -> interpolated power spectrum -> autocorrelation at lags 0..16 is linear: one (18, 17) matrix.
_bins = np.arange(WINDOW // 2 + 1)
ENERGY_TO_AUTOCORRELATION = (TRIANGLES.T * np.where(_bins == 0, 1.0, 2.0)) @ np.cos(
    2 * np.pi * np.outer(_bins, np.arange(ORDER + 1)) / WINDOW
)


def _cepstrum(padded: np.ndarray, frames: int) -> np.ndarray:
    """Pre-emphasized signal after one frame of zeros -> cepstrum (frames, 18) (section 2)."""
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::FRAME][:frames]
    spectrum = np.fft.rfft(windows * VORBIS_WINDOW, axis=1) / WINDOW
    energies = (spectrum.real**2 + spectrum.imag**2) @ TRIANGLES
    energies[:, [0, -1]] *= 2.0
    logs = np.log10(0.01 + energies)
    log_max = np.full(frames, -2.0)
    follow = np.full(frames, -2.0)
    for b in range(BANDS):  # no band 80 dB under the running maximum, no fall faster than 25 dB per band
        logs[:, b] = np.maximum(log_max - 8.0, np.maximum(follow - 2.5, logs[:, b]))
        log_max = np.maximum(log_max, logs[:, b])
        follow = np.maximum(follow - 2.5, logs[:, b])
    cepstrum = logs @ DCT.T
    cepstrum[:, 0] -= 4.0
    return cepstrum


@numba.njit(cache=True)
def _levinson(autocorrelation):
    """Autocorrelations (T, 17) -> LPC (T, 16); stops at 30 dB of prediction gain as the reference does."""
    lpc = np.zeros((len(autocorrelation), ORDER), dtype=np.float32)
    for t in range(len(autocorrelation)):
        r = autocorrelation[t]
        a = np.zeros(ORDER)
        error = r[0]
        for i in range(ORDER):
            reflection = r[i + 1]
            for j in range(i):
                reflection += a[j] * r[i - j]
            reflection = -reflection / error
            a[i] = reflection
            for j in range((i + 1) // 2):
                left, right = a[j], a[i - 1 - j]
                a[j] = left + reflection * right
                a[i - 1 - j] = right + reflection * left
            error -= reflection * reflection * error
            if error < 0.001 * r[0]:
                break
        lpc[t] = a
    return lpc


@numba.njit(cache=True, fastmath=True)
def _residual(padded, lpc):
    """Smoothed LPC residual of the frames' own audio (section 5.1), after 256 zeros of history."""
    frames = len(lpc)
    residual = np.zeros(LAG_MAX + frames * FRAME, dtype=np.float32)
    previous = 0.0
    for k in range(frames):
        for n in range(FRAME):
            at = FRAME * (k + 1) - OFFSET + n
            d = padded[at]
            for i in range(ORDER):
                if at - 1 - i >= 0:
                    d += lpc[k, i] * padded[at - 1 - i]
            residual[LAG_MAX + k * FRAME + n] = d + 0.7 * previous
            previous = d
    return residual


@numba.njit(cache=True, fastmath=True)
def _normalized_correlations(residual):
    """Residual -> normalized correlation (P, 8, 256) at lag 256 - i, and energy (P, 8), of each 5 ms (section 5.1)."""
    packets = (len(residual) - LAG_MAX) // (PACKET * FRAME)
    xc = np.empty((packets, SUBFRAMES, LAG_MAX), dtype=np.float32)
    energies = np.empty((packets, SUBFRAMES))
    products = np.empty(LAG_MAX, dtype=np.float32)
    for p in range(packets):
        for s in range(SUBFRAMES):
            start = LAG_MAX + (p * SUBFRAMES + s) * SUBFRAME
            energy = np.float32(0.0)
            products[:] = 0.0
            for n in range(SUBFRAME):  # lags innermost: contiguous, so the compiler uses vectors
                e = residual[start + n]
                energy += e * e
                past = residual[start + n - LAG_MAX : start + n]
                for i in range(LAG_MAX):
                    products[i] += e * past[i]
            delayed = 0.0
            for n in range(SUBFRAME):
                delayed += residual[start - LAG_MAX + n] ** 2
            for i in range(LAG_MAX):
                xc[p, s, i] = 2.0 * products[i] / (1.0 + energy + delayed)
                delayed += residual[start - LAG_MAX + SUBFRAME + i] ** 2 - residual[start - LAG_MAX + i] ** 2
            energies[p, s] = energy
    return xc, energies


@numba.njit(cache=True)
def _track_pitch(xc, weights):
    """Viterbi search over lags (section 5.2): lags (P, 8) and mean correlation (P,). Changes `xc` in place.

    The search range and the comparison before the penalty are those of the 2019 reference, whose packets depend on
    them: a state i > 4 may come from any state 4 .. i + 4 and pays 0.02 per squared step only after it has been chosen.
    """
    packets = len(xc)
    states = LAG_MAX - LAG_MIN
    lags = np.zeros((packets, SUBFRAMES), dtype=np.int64)
    correlation = np.zeros(packets)
    score = np.zeros(states, dtype=np.float32)
    new_score = np.zeros(states, dtype=np.float32)
    back = np.zeros((SUBFRAMES, states), dtype=np.int64)
    jump_from = 0
    jump_score = np.float32(0.0)
    for p in range(packets):
        for s in range(SUBFRAMES):
            row = xc[p, s]
            for i in range(LAG_MAX - 2 * LAG_MIN):  # a lag must beat its half clearly, against pitch doubling
                half = max(row[(256 + i) // 2], row[(258 + i) // 2], row[(255 + i) // 2])
                if row[i] < np.float32(1.1) * half:
                    row[i] *= np.float32(0.8)
            highest = np.float32(-1e15)
            best = 0
            for i in range(states):
                top = jump_score - np.float32(6.0)
                origin = jump_from
                for j in range(min(0, 4 - i), 5):
                    if i + j < states and score[i + j] > top:
                        top = score[i + j] - np.float32(0.02) * np.float32(j * j)
                        origin = i + j
                new_score[i] = top + np.float32(weights[p, s]) * row[i]
                back[s, i] = origin
                if new_score[i] > highest:
                    highest = new_score[i]
                    best = i
            for i in range(states):
                score[i] = new_score[i] - highest
            jump_from = best
            jump_score = highest
        state = jump_from
        total = 0.0
        for s in range(SUBFRAMES - 1, -1, -1):
            lags[p, s] = LAG_MAX - state
            total += weights[p, s] * xc[p, s, state]
            state = back[s, state]
        correlation[p] = total / SUBFRAMES
    return lags, correlation
