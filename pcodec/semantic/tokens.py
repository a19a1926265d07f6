"""What the tokens are about: the codec's features relative to a talker, and what is said of the talker once.

Task: tokens need not repeat what stays: the level of a recording, the pitch of a voice, the voice itself. These go
once, in 34 bytes, or in 2 and the group's index, whose centre then stands for the voice. Features are relative to them.

Conventions: `relative` features (T, 20) are 18 cepstra, the first relative to the level; log pitch lag relative to the
talker's, which is carried over where nothing is voiced; pitch correlation, 0 to 1.

Contents: `Voice`, `voice_of`, `relative`, `absolute`, `weights`, `CORRELATION`, `PITCH`.
"""

from typing import NamedTuple

import numpy as np

from pcodec import PcodecError
from pcodec.bitstream.quantizer import VOICED
from pcodec.features.analysis import FEATURES
from pcodec.features.pitch import LAG_MAX, LAG_MIN
from pcodec.features.vocoder import SILENCE
from pcodec.speakers.voiceprint import UNITS

LOWEST = -30.0  # of the first cepstrum, relative to the level; less is nothing
PITCH, CORRELATION = FEATURES["pitch"], FEATURES["correlation"]
LEVEL, LEVEL_STEP = -14.0, 0.15  # of the first cepstrum: what byte 1 means, and the next; byte 0 is a silent signal
LAG = np.log(LAG_MIN), np.log(LAG_MAX)  # of bytes 0 and 255
PITCH_WEIGHT = 1.5  # in losses, where something is voiced


class Voice(NamedTuple):
    """What is said of a talker once."""

    level: float | None  # mean first cepstrum of voiced speech; None: the signal is silent
    lag: float  # mean logarithm of the pitch lag in samples
    z: np.ndarray  # (32,) embedding in [-1, 1], `pcodec.speakers`; zeros where it is not known

    def to_bytes(self, whole: bool) -> bytes:
        """34 bytes, or 2 without the embedding."""
        level = 0 if self.level is None else 1 + round(np.clip((self.level - LEVEL) / LEVEL_STEP, 0, 254))
        lag = round(255 * np.clip((self.lag - LAG[0]) / (LAG[1] - LAG[0]), 0, 1))
        z = np.rint(np.clip(self.z, -1, 1) * 127 + 128).astype(np.uint8).tobytes()
        return bytes([int(level), int(lag)]) + (z if whole else b"")

    @classmethod
    def from_bytes(cls, data: bytes, z: np.ndarray | None = None) -> "Voice":
        """What `to_bytes` said; without an embedding in it, with this one. Raises `PcodecError` for another length."""
        if len(data) != 2 + (UNITS if z is None else 0):
            raise PcodecError(f"{len(data)} bytes say nothing of a talker")
        level = None if data[0] == 0 else LEVEL + LEVEL_STEP * (data[0] - 1)
        sent = (np.frombuffer(data[2:], np.uint8).astype(np.float32) - 128) / 127 if z is None else z
        return cls(level, float(LAG[0] + (LAG[1] - LAG[0]) * data[1] / 255), sent)


def voice_of(features: np.ndarray, z: np.ndarray) -> Voice:
    """Of a talker's features (T, 20), as the analysis has them, and his embedding."""
    sounding = features[:, 0] > SILENCE
    if not sounding.any():
        return Voice(None, np.mean(LAG), z)
    voiced = sounding & (features[:, CORRELATION] + 0.5 > VOICED)
    level = features[voiced if voiced.any() else sounding, 0].mean()
    return Voice(float(level), float(_logs(features)[voiced].mean()) if voiced.any() else float(np.mean(LAG)), z)


def relative(features: np.ndarray, voice: Voice) -> np.ndarray:
    """Features (T, 20) as the analysis has them -> relative to a talker, float32."""
    found = features.astype(np.float32)
    found[:, 0] = np.maximum(features[:, 0] - (voice.level or 0.0), LOWEST)
    found[:, CORRELATION] = np.clip(features[:, CORRELATION] + 0.5, 0, 1)
    voiced, logs = np.flatnonzero(found[:, CORRELATION] > VOICED), _logs(features)
    carried = np.interp(np.arange(len(logs)), voiced, logs[voiced]) if len(voiced) else np.full(len(logs), voice.lag)
    found[:, PITCH] = carried - voice.lag
    return found


def absolute(found: np.ndarray, voice: Voice) -> np.ndarray:
    """`relative` (T, 20) back to features as decoders read them."""
    features = found.astype(np.float32)
    features[:, 0] = np.maximum(found[:, 0] + (voice.level or 0.0), SILENCE - 0.1)
    lags = np.clip(np.exp(np.clip(found[:, PITCH] + voice.lag, *LAG)), LAG_MIN + 1, LAG_MAX - 1)
    features[:, PITCH] = 0.02 * (lags - 100.0)
    features[:, CORRELATION] = np.clip(found[:, CORRELATION], 0, 1) - 0.5
    return features


def weights(spread: np.ndarray) -> np.ndarray:
    """(20,) of squared errors of normalized features: between equal ones and those of band energies; mean 1."""
    found = np.sqrt(spread)
    found[[PITCH, CORRELATION]] = found.mean()
    found[PITCH] *= PITCH_WEIGHT
    return (found / found.mean()).astype(np.float32)


def _logs(features):
    """Log pitch lags (T,)."""
    return np.log(np.clip(50.0 * features[:, PITCH] + 100.0, LAG_MIN, LAG_MAX))
