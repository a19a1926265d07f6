"""The spectrum that a voice is changed in, and the way from there to the features of the codec.

Task: networks here read and write log-mel spectra of 80 bands, the recognizer's own scale, so that it can judge what
they write without a vocoder in between. The codec speaks 18 bands of pre-emphasized speech, the speaker encoder hears
40 others; all are sums of the power spectrum, so the one is a matrix times the other, near enough.

Conventions: mel spectra are `learning.recognizer.log_mel`, (T, 80) log10 of power. `levelled` ones are relative to
the utterance's level, in units of 4 decades. Frame t is that of the features, centred on sample 160 t.

Contents: `Speech`, `describe`, `prosody`, `level`, `levelled`; `energies`, `matrix`, `cepstrum`, `with_spectra`.
"""

from typing import NamedTuple

import numpy as np
import scipy.optimize

from pcodec import PcodecError, features
from pcodec.features.analysis import FEATURES, FRAME, Analysis
from pcodec.features.cepstrum import BANDS, DCT, LEVEL, band_log_energies
from pcodec.learning import recognizer
from pcodec.learning.recognizer import MELS
from pcodec.speech import audio

SCALE = 4.0  # decades
LOWEST = -7.0  # decades under an utterance's level; less is nothing
SILENCE = -9.0  # log10 of the power under which a frame has none to measure a level by
PITCH = 150.0  # Hz, near which log pitch is 0
VOICED = 0.3  # pitch correlation from which a frame is voiced, as in the packets


class Speech(NamedTuple):
    """A signal as an anonymizer sees it, T frames."""

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
    """Signal (samples,) in [-1, 1] at 16 kHz -> what an anonymizer sees of it."""
    analysis = features.analyze(samples)
    count = len(analysis.features)
    mel = recognizer.log_mel(np.pad(samples, (0, max(0, count * FRAME - len(samples)))))[:count]
    return Speech(analysis, mel, level(mel))


def prosody(lags: np.ndarray, correlation: np.ndarray, mel: np.ndarray, at: float) -> np.ndarray:
    """(T, 3) float32: log pitch where voiced, voicing, and log10 of the energy relative to a level."""
    logs = np.where(correlation > VOICED, np.log(audio.RATE / np.maximum(lags, 1) / PITCH), 0.0)
    energy = np.log10((10.0 ** mel.astype(np.float64)).mean(axis=1)) - at
    return np.column_stack([logs, np.clip(correlation, 0, 1), energy.clip(LOWEST) / SCALE]).astype(np.float32)


def level(mel: np.ndarray) -> float | None:
    """The level of mel spectra (T, 80): log10 of the mean power of its frames; None where there is only silence."""
    power = (10.0 ** mel.astype(np.float64)).mean(axis=1)
    sounding = power > 10.0**SILENCE
    return float(np.log10(power[sounding].mean())) if sounding.any() else None


def levelled(mel, at: float):
    """Mel spectra (..., 80) log10, relative to a level; nothing is under -1.75."""
    return (mel - at).clip(LOWEST, None) / SCALE


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
