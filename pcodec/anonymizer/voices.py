"""Voices that nobody has, and the prosody that goes with them.

Task: what a talker is given in place of his voice. The pool holds training speakers, each a vector z and the mean and
spread of the log pitch. `fixed` is one voice for everybody, a mean of the pool (VC-PL has one real speaker); `pool` is
the rule of the VoicePrivacy challenge: among the speakers who are least like the talker some are drawn, and averaged;
`random` draws from a Gaussian of the pool. Averages lie nearer to the middle than anyone's voice, so they are brought
back to a voice's length.

Conventions: z (32,); pitch in Hz, its log natural. A talker's statistics are a median and quartiles: pitch trackers err
by octaves.

Contents: `Voice`, `Pool`, `prosody_of`, `with_pitch`, `moved`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pcodec import PcodecError
from pcodec.anonymizer.config import VOICES
from pcodec.bitstream.quantizer import VOICED
from pcodec.features.analysis import FEATURES, LAG_MAX, LAG_MIN, Analysis, lag
from pcodec.speakers.voiceprint import UNITS
from pcodec.speech import audio

FARTHEST = 0.5  # of the speakers of a like pitch, who are unlike the talker
AVERAGED = 10  # of them, drawn
LIKE = 0.5  # of the pool, whose pitch is nearest to the talker's: most of his sex
LEAST = 20  # voiced frames from which on a pitch has statistics
SPREAD = 0.12  # of log pitch where it has none
QUARTILES = 1.349  # of a Gaussian, in standard deviations


class Voice(NamedTuple):
    """How somebody sounds."""

    z: np.ndarray  # (32,) float32
    pitch: float  # mean of the log of pitch in Hz
    spread: float  # its standard deviation


@dataclass(frozen=True, eq=False)
class Pool:
    """Training speakers' voices."""

    z: np.ndarray  # (N, 32)
    pitch: np.ndarray  # (N,)
    spread: np.ndarray  # (N,)

    def __post_init__(self):
        if self.z.shape != (len(self.pitch), UNITS) or len(self.spread) != len(self.pitch) or len(self.z) < 4:
            raise PcodecError(f"a pool of voices {self.z.shape}, pitches {self.pitch.shape} is none")

    def voice(self, kind: str = "fixed", talker: Voice | None = None, seed: int = 1) -> Voice:
        """A voice of one of `config.VOICES`; `pool` needs the talker's. The same seed gives the same voice.

        Raises `PcodecError` for another kind.
        """
        if kind not in VOICES:
            raise PcodecError(f"voices are {', '.join(VOICES)}, not {kind}")
        if kind == "fixed":
            return self._mean(np.arange(len(self.z)))
        rng = np.random.default_rng(seed)
        if kind == "random":
            rows = np.column_stack([self.z, self.pitch, np.log(self.spread)])
            drawn = rng.multivariate_normal(rows.mean(axis=0), np.cov(rows.T), method="eigh")
            return Voice(drawn[:UNITS].astype(np.float32), float(drawn[-2]), float(np.exp(drawn[-1])))
        if talker is None:
            raise PcodecError("a voice of the pool is chosen for a talker")
        like = np.argsort(np.abs(self.pitch - talker.pitch))[: max(2, round(LIKE * len(self.z)))]
        lengths = np.linalg.norm(self.z[like], axis=1) * max(np.linalg.norm(talker.z), 1e-9)
        near = self.z[like] @ talker.z / lengths
        far = like[np.argsort(near)[: max(2, round(FARTHEST * len(like)))]]
        return self._mean(rng.choice(far, min(AVERAGED, len(far) // 2 + 1), replace=False))

    def _mean(self, which):
        mean = self.z[which].mean(axis=0)
        length = np.linalg.norm(self.z[which], axis=1).mean()
        z = (mean * length / max(np.linalg.norm(mean), 1e-9)).astype(np.float32)
        return Voice(z, float(self.pitch[which].mean()), float(self.spread[which].mean()))


def prosody_of(lags: np.ndarray, correlation: np.ndarray) -> tuple[float, float] | None:
    """Pitch lags (N,) in samples and their correlation -> median and spread of log pitch; None if hardly any is voiced.

    The spread is that between the quartiles, as large as a Gaussian's standard deviation.
    """
    voiced = correlation > VOICED
    if voiced.sum() < LEAST:
        return None
    logs = np.log(audio.RATE / lags[voiced])
    low, middle, high = np.quantile(logs, [0.25, 0.5, 0.75])
    return float(middle), float(max((high - low) / QUARTILES, 0.02))


def with_pitch(analysis: Analysis, talker: tuple[float, float] | None, voice: Voice) -> Analysis:
    """An analysis with a talker's pitch moved to a voice's; all else stays."""
    rows = analysis.features.copy()
    strength = rows[:, FEATURES["correlation"]] + 0.5
    rows[:, FEATURES["pitch"]] = 0.02 * (moved(lag(rows[:, FEATURES["pitch"]]), strength, talker, voice) - 100.0)
    voicing = np.repeat(analysis.correlation, analysis.lags.shape[1])
    fine = np.round(moved(analysis.lags.ravel(), voicing, talker, voice)).astype(np.int32)
    return analysis._replace(features=rows, lags=fine.reshape(analysis.lags.shape))


def moved(lags: np.ndarray, correlation: np.ndarray, talker: tuple[float, float] | None, voice: Voice) -> np.ndarray:
    """Pitch lags (N,) of a talker -> those of a voice, in samples, not rounded.

    Log pitch gets the voice's mean and spread (the linear rule of voice conversion); unvoiced frames move by the mean
    alone. What lies outside of the codec's range is moved to its ends.
    """
    logs = np.log(audio.RATE / np.maximum(lags, 1))
    if talker is not None:
        mean, spread = talker
        ratio = np.where(correlation > VOICED, voice.spread / spread, 1.0)
        logs = (logs - mean) * ratio + voice.pitch
    return np.clip(audio.RATE / np.exp(logs), LAG_MIN + 1, LAG_MAX - 1)
