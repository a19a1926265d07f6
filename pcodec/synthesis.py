"""Features -> speech, one sample after the other.

Task: LPCNet specification section 11. Each sample: linear prediction from the past output, three table look-ups and two
GRUs, a distribution over 256 excitation codes, a draw from it, de-emphasis.

Conventions: the three embeddings times GRU_A's input matrix are folded into tables of 256 rows once per model, the
conditioning times the input matrices into one row per frame. Weights are float32. The same features and the same seed
give the same samples. Notebook 08_synthesis.

Contents: `Synthesizer`.
"""

import math

import numba
import numpy as np

from pcodec import PcodecError, audio
from pcodec.audio import MULAW_TABLE, MULAW_ZERO, PREEMPHASIS, mulaw_encode
from pcodec.cepstrum import FRAME, ORDER, lpc_from_cepstrum
from pcodec.features import FEATURES, OFFSET
from pcodec.lpcnet import LEVELS, LPCNet

FLOOR = 0.002  # probability subtracted from every code before drawing: no rare clicks


class Synthesizer:
    """A decoder network folded for sample-by-sample use."""

    def __init__(self, model: LPCNet):
        self.model = model
        state = {name: value.numpy().astype(np.float32) for name, value in model.sample.state_dict().items()}
        self.tables = model.sample.tables().detach().numpy()
        self.a_from_f = state["gru_a.weight_ih_l0"][:, -model.config.conditioning :]
        self.a_bias = state["gru_a.bias_ih_l0"]
        self.a = (state["gru_a.weight_hh_l0"], state["gru_a.bias_hh_l0"])
        w = state["gru_b.weight_ih_l0"]
        self.b_from_a = np.ascontiguousarray(w[:, : model.config.units])
        self.b_from_f = w[:, model.config.units :]
        self.b_bias = state["gru_b.bias_ih_l0"]
        self.b = (state["gru_b.weight_hh_l0"], state["gru_b.bias_hh_l0"])
        self.out = (
            np.concatenate([state["dual_fc.first.weight"], state["dual_fc.second.weight"]]),
            np.concatenate([state["dual_fc.first.bias"], state["dual_fc.second.bias"]]),
            state["dual_fc.factors"],
        )

    def decode(self, features: np.ndarray, samples: int | None = None, seed: int = 1) -> np.ndarray:
        """Features (F, 20) of a whole signal -> samples in [-1, 1] at 16 kHz, aligned with the analysed signal.

        `samples` cuts to the length of the original; at most 160 F - 80 can be had.
        """
        features = np.asarray(features, dtype=np.float32)
        if features.ndim != 2 or features.shape[1] != self.model.config.features:
            raise PcodecError(f"features must be (frames, {self.model.config.features}), got {features.shape}")
        available = FRAME * len(features) - OFFSET
        if samples is not None and samples > available:
            raise PcodecError(f"{len(features)} frames give {available} samples, {samples} were asked for")
        f = self.model.conditioning(features)
        signal = _sample_loop(
            f @ self.a_from_f.T + self.a_bias,
            f @ self.b_from_f.T + self.b_bias,
            self.tables, *self.a, self.b_from_a, *self.b, *self.out,
            lpc_from_cepstrum(features[:, FEATURES["cepstrum"]]),
            temperature(features[:, FEATURES["correlation"]]),
            np.random.default_rng(seed).random(FRAME * len(features)),
        )  # fmt: skip
        # A frame's audio is centred in its analysis window, half a frame before the frame's own place.
        return (signal[OFFSET:][:samples] / audio.SCALE).astype(np.float32)


def temperature(correlation: np.ndarray) -> np.ndarray:
    """Factor on the logits of each frame: strongly voiced frames are drawn more sharply (section 11).

    `correlation` is the feature, that is the pitch correlation less 0.5, as in the reference's code.
    """
    return 1.0 + np.maximum(0.0, 1.5 * correlation - 0.5)


@numba.njit(cache=True, fastmath=True)
def _gru(inputs, weights, bias, h):
    """One step in place; `inputs` (3 N,) holds the input products and biases of the gates r, z, n."""
    n = len(h)
    recurrent = np.dot(weights, h)
    for i in range(n):
        r = np.float32(1.0) / (np.float32(1.0) + math.exp(-(inputs[i] + recurrent[i] + bias[i])))
        z = np.float32(1.0) / (np.float32(1.0) + math.exp(-(inputs[n + i] + recurrent[n + i] + bias[n + i])))
        c = math.tanh(inputs[2 * n + i] + r * (recurrent[2 * n + i] + bias[2 * n + i]))
        h[i] = z * h[i] + (np.float32(1.0) - z) * c


@numba.njit(cache=True, fastmath=True)
def _draw(logits, sharpness, uniform):
    """Code drawn by inverse CDF from the sharpened, floored distribution."""
    top = logits.max()
    probabilities = np.empty(LEVELS)
    total = 0.0
    for i in range(LEVELS):
        probabilities[i] = math.exp((logits[i] - top) * sharpness)
        total += probabilities[i]
    floored = 0.0
    for i in range(LEVELS):
        probabilities[i] = max(0.0, probabilities[i] / total - FLOOR)
        floored += probabilities[i]
    target = uniform * floored
    cumulative = 0.0
    last = MULAW_ZERO
    for i in range(LEVELS):
        if probabilities[i] > 0.0:
            cumulative += probabilities[i]
            last = i
            if cumulative > target:
                break
    return last


@numba.njit(cache=True)
def _sample_loop(
    a_inputs, b_inputs, tables, a_weights, a_bias, b_from_a, b_weights, b_bias, out_weights, out_bias, factors, lpc,
    sharpness, uniforms,
):  # fmt: skip
    h_a = np.zeros(a_weights.shape[1], dtype=np.float32)
    h_b = np.zeros(b_weights.shape[1], dtype=np.float32)
    past = np.zeros(ORDER)
    excitation = MULAW_ZERO
    memory = 0.0
    logits = np.empty(LEVELS, dtype=np.float32)
    out = np.empty(len(uniforms))
    for t in range(len(uniforms)):
        k = t // FRAME
        prediction = 0.0
        for i in range(ORDER):
            prediction -= lpc[k, i] * past[i]
        signal_row = tables[0, mulaw_encode(past[0])]
        prediction_row = tables[1, mulaw_encode(prediction)]
        excitation_row = tables[2, excitation]
        _gru(a_inputs[k] + signal_row + prediction_row + excitation_row, a_weights, a_bias, h_a)
        _gru(b_inputs[k] + np.dot(b_from_a, h_a), b_weights, b_bias, h_b)
        hidden = np.dot(out_weights, h_b)
        for i in range(LEVELS):
            logits[i] = factors[0, i] * math.tanh(hidden[i] + out_bias[i]) + factors[1, i] * math.tanh(
                hidden[LEVELS + i] + out_bias[LEVELS + i]
            )
        excitation = _draw(logits, sharpness[k], uniforms[t])
        past[1:] = past[:-1].copy()
        past[0] = prediction + MULAW_TABLE[excitation]
        memory = past[0] + PREEMPHASIS * memory
        out[t] = math.floor(0.5 + min(32767.0, max(-32767.0, memory)))
    return out
