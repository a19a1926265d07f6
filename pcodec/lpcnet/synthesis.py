"""Features -> speech, one sample after the other.

Task: LPCNet specification section 11. Each sample: linear prediction from the past output, three table look-ups and two
GRUs, a distribution over 256 excitation codes, a draw from it, de-emphasis. `Synthesizer` does it compiled
(`pcodec.lpcnet.sampler`), for whole signals and for streams; `step` is the same network in a few lines of NumPy.

Conventions: those of `pcodec.features.vocoder`; N units of GRU_A. Weights are rounded to float16. The network hears of
and makes a signal that is `HEADROOM` = 6 dB softer than the one that comes out, or more where a signal is known to be
loud. Notebook 08_synthesis.

Contents: `Synthesizer`, `State`, `headroom`, `softer`, `step`, `temperature`.
"""

from pathlib import Path

import numpy as np
import scipy.special

from pcodec import PcodecError
from pcodec.compute.vector import LANES
from pcodec.features.analysis import COLUMNS, FEATURES
from pcodec.features.cepstrum import BANDS, FRAME, ORDER, lpc_from_cepstrum
from pcodec.features.vocoder import CONTEXT, Vocoder
from pcodec.learning import weights
from pcodec.lpcnet import sampler
from pcodec.lpcnet.config import LPCNetConfig
from pcodec.lpcnet.mulaw import MULAW_ZERO
from pcodec.speech import audio

HEADROOM = 6.0  # dB by which the network works softer than what comes out: near full scale it bursts
LOUD, LOUDEST_SHARE = 14.5, 0.99  # c0 that 99 % of the frames of ordinary speech do not exceed
QUIETEST = -12.485  # c0 of digital silence, which cannot be made softer


class State:
    """What S signals that are being made need of their past; changed in place by `Synthesizer.advance`."""

    def __init__(self, units: int, units_b: int, seed: int, headrooms: list[float]):
        signals, self.headrooms = len(headrooms), headrooms
        self.a, self.b = np.zeros((signals, units), np.float32), np.zeros((signals, units_b), np.float32)
        self.past = np.zeros((signals, ORDER + 1))  # predicted-from signal, newest first; last, the de-emphasized one
        self.excitation = np.full(signals, MULAW_ZERO)
        self.rngs = [np.random.default_rng(seed) for _ in range(signals)]
        self.features = np.zeros((signals, 2 * CONTEXT, len(COLUMNS)), np.float32)
        self.inside = np.zeros((signals, 2 * CONTEXT), bool)  # which of these frames belong to the signal


class Synthesizer(Vocoder):
    """An LPCNet decoder, compiled."""

    CONFIG = LPCNetConfig

    def __init__(self, arrays: dict[str, np.ndarray]):
        """Weights by name (`LPCNet.arrays`); raises `PcodecError` if units are no multiple of 16."""
        self.units, self.units_b = (arrays[f"sample.gru_{x}.weight_hh_l0"].shape[1] for x in "ab")
        if self.units % LANES or self.units_b % LANES:
            raise PcodecError(f"units must be multiples of {LANES}, got {self.units} and {self.units_b}")
        self.arrays = {name: value.astype(np.float16).astype(np.float32) for name, value in arrays.items()}
        self.network = sampler.fold(self.arrays)

    @classmethod
    def of(cls, config: LPCNetConfig, arrays: dict[str, np.ndarray]) -> "Synthesizer":
        return cls(arrays)

    @classmethod
    def load(cls, path: str | Path) -> "Synthesizer":
        """From a decoder's file; raises `PcodecError` naming it if it is none."""
        _, arrays, _ = weights.read(path, LPCNetConfig)
        return cls(arrays)

    @property
    def bytes(self) -> int:
        """Memory of the folded network."""
        return _bytes(self.network)

    def _start(self, seed, wholes):
        return State(self.units, self.units_b, seed, [headroom(whole) for whole in wholes])

    def _advance(self, state, features, last):
        before = 2 * CONTEXT
        longest = max(map(len, features)) + (CONTEXT if last else 0)
        seen = np.pad(state.features, ((0, 0), (0, longest), (0, 0)))
        inside = np.pad(state.inside, ((0, 0), (0, longest)))
        for s, of_signal in enumerate(features):
            seen[s, before : before + len(of_signal)] = softer(of_signal, state.headrooms[s])
            inside[s, before : before + len(of_signal)] = True
        now = slice(CONTEXT, seen.shape[1] - CONTEXT)
        uniforms = np.zeros((*inside[:, now].shape, FRAME))
        for rng, drawn, within in zip(state.rngs, uniforms, inside[:, now], strict=True):
            drawn[within] = rng.random((within.sum(), FRAME))
        lpc = np.stack([lpc_from_cepstrum(cepstrum) for cepstrum in seen[:, now, FEATURES["cepstrum"]]])
        out = sampler.samples(
            self.network, seen, inside, lpc.astype(np.float64), temperature(seen[:, now, FEATURES["correlation"]]),
            uniforms, state.a, state.b, state.past, state.excitation,
        )  # fmt: skip
        state.features, state.inside = seen[:, -before:], inside[:, -before:]
        gains = 10 ** (np.array(state.headrooms)[:, None] / 20)
        return (np.clip(out * gains, -32767, 32767) / audio.SCALE).astype(np.float32)

    def log_probabilities(self, features: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """ln P(e) of each sample, (160 F, 256), when the past was `codes` (160 F, 3): signal, prediction, excitation.

        As the network says it: before sharpening and floor.
        """
        none = np.zeros((CONTEXT, features.shape[1]), np.float32)
        seen = np.concatenate([none, np.asarray(features, np.float32), none])
        inside = np.pad(np.ones(len(features), bool), CONTEXT)
        state = self.start()
        codes = np.asarray(codes, np.int64)
        logits = sampler.forced_logits(self.network, seen[None], inside[None], codes[None], state.a, state.b)[0]
        return scipy.special.log_softmax(logits.astype(np.float64), axis=1)


def _bytes(part):
    return part.nbytes if isinstance(part, np.ndarray) else sum(map(_bytes, part))


def headroom(features: np.ndarray | None) -> float:
    """dB by which a network should work softer than features (F, 20) are: more than `HEADROOM` for loud signals.

    `HEADROOM` where the features are not known before.
    """
    loud = np.quantile(features[:, 0], LOUDEST_SHARE) if features is not None and len(features) else -np.inf
    return HEADROOM + max(0.0, float(loud - LOUD)) * 10 / np.sqrt(BANDS)


def softer(features: np.ndarray, headroom: float = HEADROOM) -> np.ndarray:
    """Features (F, 20) of a signal -> those of the same signal `headroom` dB softer, but for digital silence."""
    c0 = features[:, :1]  # sqrt(18) times the mean of log10 band energies, less 4
    softened = np.maximum(c0 - np.float32(np.sqrt(BANDS) * headroom / 10), np.minimum(c0, np.float32(QUIETEST)))
    return np.concatenate([softened, features[:, 1:]], axis=1)


def temperature(correlation: np.ndarray) -> np.ndarray:
    """Factor on the logits of each frame: strongly voiced frames are drawn more sharply (section 11).

    `correlation` is the feature, that is the pitch correlation less 0.5, as in the reference's code.
    """
    return 1.0 + np.maximum(0.0, 1.5 * correlation - 0.5)


def step(arrays: dict[str, np.ndarray], f: np.ndarray, codes: np.ndarray, h_a: np.ndarray, h_b: np.ndarray) -> tuple:
    """The sample network as it is written in the specification: conditioning (128,), codes (3,) of signal, prediction
    and excitation, states of GRU_A and GRU_B -> 256 logits, new states. `Synthesizer` computes the same, folded."""

    def gru(name, x, h):
        inputs = np.split(arrays[f"sample.{name}.weight_ih_l0"] @ x + arrays[f"sample.{name}.bias_ih_l0"], 3)
        recurrent = np.split(arrays[f"sample.{name}.weight_hh_l0"] @ h + arrays[f"sample.{name}.bias_hh_l0"], 3)
        r, z = (scipy.special.expit(inputs[i] + recurrent[i]) for i in (0, 1))
        return z * h + (1 - z) * np.tanh(inputs[2] + r * recurrent[2])

    h_a = gru("gru_a", np.concatenate([*arrays["sample.embedding.weight"][codes], f]), h_a)
    h_b = gru("gru_b", np.concatenate([h_a, f]), h_b)
    first, second = (
        np.tanh(arrays[f"sample.dual_fc.{half}.weight"] @ h_b + arrays[f"sample.dual_fc.{half}.bias"])
        for half in ("first", "second")
    )
    factors = arrays["sample.dual_fc.factors"]
    return factors[0] * first + factors[1] * second, h_a, h_b
