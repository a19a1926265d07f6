"""The spectrum that a voice is changed in, and the way from there to the features of the codec.

Task: networks here read and write log-mel spectra of 80 bands, the recognizer's own scale, so that it can judge what
they write without a vocoder in between. The codec speaks 18 bands of pre-emphasized speech, the speaker encoder hears
40 others; all are sums of the power spectrum, so the one is a matrix times the other, near enough.

Conventions: those of `pcodec.features.hearing`.

Contents: `prosody`, `energies`, `matrix`, `cepstrum`, `with_spectra`.
"""

import numpy as np
import scipy.optimize

from pcodec import PcodecError
from pcodec.bitstream.quantizer import VOICED
from pcodec.features.analysis import FEATURES, Analysis
from pcodec.features.cepstrum import BANDS, DCT, LEVEL, band_log_energies
from pcodec.features.hearing import LOWEST, SCALE, Speech
from pcodec.learning.recognizer import MELS
from pcodec.speech import audio

PITCH = 150.0  # Hz, near which log pitch is 0


def prosody(lags: np.ndarray, correlation: np.ndarray, mel: np.ndarray, at: float) -> np.ndarray:
    """(T, 3) float32: log pitch where voiced, voicing, and log10 of the energy relative to a level."""
    logs = np.where(correlation > VOICED, np.log(audio.RATE / np.maximum(lags, 1) / PITCH), 0.0)
    energy = np.log10((10.0 ** mel.astype(np.float64)).mean(axis=1)) - at
    return np.column_stack([logs, np.clip(correlation, 0, 1), energy.clip(LOWEST) / SCALE]).astype(np.float32)


def matrix(mel: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """The weights (80, K), none negative, that turn mel powers into other bands' energies.

    Of spectra (T, 80) log10 and energies (T, K) of the same frames of speech; the error is relative to each energy, and
    has no mean in decibels.
    """
    if len(mel) != len(energies) or len(mel) < MELS or not (energies > 0).all():
        raise PcodecError(f"{len(mel)} spectra and {len(energies)} energies above 0 give no matrix")
    power = 10.0 ** mel.astype(np.float64)
    unit = power.mean(axis=0)
    found = [scipy.optimize.nnls(power / unit / energy[:, None], np.ones(len(mel)))[0] for energy in energies.T]
    weights = np.stack(found, axis=1) / unit[:, None]
    return (weights * np.exp(np.log(energies / (power @ weights)).mean(axis=0))).astype(np.float32)


def energies(analysis: Analysis) -> np.ndarray:
    """Energies (T, 18) of the codec's bands, above 0, that an analysis found."""
    return 10.0 ** band_log_energies(analysis.features[:, FEATURES["cepstrum"]])


def with_spectra(speech: Speech, mel: np.ndarray, weights: np.ndarray) -> Analysis:
    """An analysis whose cepstra are those of other spectra (T, 80) log10, by a `matrix`; pitch and voicing stay."""
    rows = speech.analysis.features.copy()
    rows[:, FEATURES["cepstrum"]] = cepstrum(mel, weights)
    return speech.analysis._replace(features=rows)


def cepstrum(mel: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mel spectra (T, 80) log10, and a `matrix` to 18 bands -> cepstra (T, 18) float32 as the analysis has them."""
    logs = np.log10(0.01 + 10.0 ** mel.astype(np.float64) @ weights.astype(np.float64))
    highest = follow = np.full(len(logs), -2.0)
    for band in range(BANDS):  # the analysis' own limits: 80 dB under the maximum, 25 dB from band to band
        logs[:, band] = np.maximum(highest - 8.0, np.maximum(follow - 2.5, logs[:, band]))
        highest, follow = np.maximum(highest, logs[:, band]), np.maximum(follow - 2.5, logs[:, band])
    cepstra = logs @ DCT.T
    cepstra[:, 0] -= LEVEL
    return cepstra.astype(np.float32)
