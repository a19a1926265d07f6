"""The 18-coefficient cepstrum of a frame, and the linear predictor that follows from it.

Task: LPCNet specification sections 2 and 4 (Valin & Skoglund, Interspeech 2019). A decoder computes its predictor from
the decoded cepstrum, so no bits are spent on it.

Conventions: T frames of 160 samples (10 ms); the analysis window is 320 samples. Signals are pre-emphasized, at int16
scale. Every frame is computed by itself in a fixed order of operations, so that a stream cut anywhere gives the same
bits as the whole file. The reference computes in float32, here it is float64: the cepstrum is the same within 1e-4,
but where the spectrum is ill-conditioned (a few strong harmonics) the last bit of a float32 moves the predictor by
some 1e-3, in the reference too. Notebook 02_features.

Contents: `from_windows`, `lpc_from_cepstrum`, `band_log_energies`, `spectrum_from_lpc`.
"""

import math

import numpy as np

from pcodec import PcodecError
from pcodec.compute.compiling import compiled

FRAME = 160  # samples, 10 ms
WINDOW = 320  # samples, 20 ms
BANDS = 18
ORDER = 16  # of linear prediction
LEVEL = 4.0  # taken from c0, so that it is near 0 for ordinary levels

BAND_EDGES = 4 * np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 34, 40])  # FFT bins of 50 Hz
# Turns sums over a band into densities (the 2019 series' commit 3a7ef33; section 4, step 2).
COMPENSATION = np.array(
    [0.8, 1, 1, 1, 1, 1, 1, 1, 0.666667, 0.5, 0.5, 0.5, 0.333333, 0.25, 0.25, 0.2, 0.166667, 0.173913]
)


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


def _energy_to_autocorrelation() -> np.ndarray:
    """(18, 17): band energies -> interpolated power spectrum -> autocorrelation at lags 0..16 is linear."""
    bins = np.arange(WINDOW // 2 + 1)
    cosines = np.cos(2 * np.pi * np.outer(bins, np.arange(ORDER + 1)) / WINDOW)
    return COMPENSATION[:, None] * ((TRIANGLES.T * np.where(bins == 0, 1.0, 2.0)) @ cosines)


VORBIS_WINDOW = _vorbis_window()
TRIANGLES = _triangles()
DCT = _dct()
ENERGY_TO_AUTOCORRELATION = _energy_to_autocorrelation()
LAG_WINDOW = 1.0 - 6e-5 * np.arange(ORDER + 1) ** 2


def from_windows(windows: np.ndarray) -> np.ndarray:
    """Pre-emphasized windows (T, 320) at int16 scale -> cepstrum (T, 18) float32 (section 2)."""
    return _from_spectrum(np.fft.rfft(windows * VORBIS_WINDOW, axis=1))


def band_log_energies(cepstrum: np.ndarray) -> np.ndarray:
    """Cepstrum (..., 18) -> log10 energy of the 18 bands (..., 18): the inverse DCT (section 2)."""
    cepstrum = np.array(cepstrum, dtype=np.float64)
    cepstrum[..., 0] += LEVEL
    return cepstrum @ DCT


def lpc_from_cepstrum(cepstrum: np.ndarray) -> np.ndarray:
    """Cepstrum (T, 18) -> LPC a_1..a_16 of the pre-emphasized signal, (T, 16) float32 (section 4).

    The prediction is p[n] = - sum_i a_i s[n - i]. Raises `PcodecError` for another shape.
    """
    cepstrum = np.ascontiguousarray(cepstrum, dtype=np.float64)
    if cepstrum.ndim != 2 or cepstrum.shape[1] != BANDS:
        raise PcodecError(f"cepstra must be (frames, {BANDS}), got shape {cepstrum.shape}")
    return _lpc(cepstrum)


def spectrum_from_lpc(lpc: np.ndarray, bins: int = WINDOW // 2 + 1) -> np.ndarray:
    """LPC (16,) -> magnitude of 1 / A(f) in dB at `bins` frequencies from 0 to 8 kHz, for plots."""
    response = np.fft.rfft(np.concatenate([[1.0], lpc]), 2 * (bins - 1))
    return -20.0 * np.log10(np.abs(response))


@compiled()
def _from_spectrum(spectra):
    cepstra = np.empty((len(spectra), BANDS), dtype=np.float32)
    logs = np.empty(BANDS)
    for t in range(len(spectra)):
        energies = np.zeros(BANDS)
        for b in range(BANDS - 1):
            for m in range(BAND_EDGES[b], BAND_EDGES[b + 1]):
                x = spectra[t, m] / WINDOW
                power = x.real * x.real + x.imag * x.imag
                energies[b] += TRIANGLES[m, b] * power
                energies[b + 1] += TRIANGLES[m, b + 1] * power
        energies[0] *= 2.0
        energies[BANDS - 1] *= 2.0
        highest = follow = -2.0
        for b in range(BANDS):  # no band 80 dB under the running maximum, no fall faster than 25 dB per band
            logs[b] = max(highest - 8.0, max(follow - 2.5, math.log10(0.01 + energies[b])))
            highest = max(highest, logs[b])
            follow = max(follow - 2.5, logs[b])
        for j in range(BANDS):
            c = 0.0
            for b in range(BANDS):
                c += DCT[j, b] * logs[b]
            cepstra[t, j] = c - LEVEL if j == 0 else c
    return cepstra


@compiled()
def _lpc(cepstra):
    lpc = np.zeros((len(cepstra), ORDER), dtype=np.float32)
    for t in range(len(cepstra)):
        r = np.zeros(ORDER + 1)
        for b in range(BANDS):
            log_energy = DCT[0, b] * LEVEL
            for j in range(BANDS):
                log_energy += DCT[j, b] * cepstra[t, j]
            energy = 10.0**log_energy
            for k in range(ORDER + 1):
                r[k] += energy * ENERGY_TO_AUTOCORRELATION[b, k]
        r[0] += 1e-4 * r[0] + 26 / 38  # noise floor at -40 dB
        for k in range(ORDER + 1):
            r[k] *= LAG_WINDOW[k]
        coefficients = _levinson(r)
        for k in range(ORDER):
            lpc[t, k] = coefficients[k]
    return lpc


@compiled()
def _levinson(r):
    """Autocorrelation (17,) -> LPC (16,); stops at 30 dB of prediction gain as the reference does."""
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
    return a
