"""Features -> speech, 40 samples at a time, compiled.

Task: `Synthesizer` runs the decoder for whole signals and for streams; `pcodec.compute.vector` multiplies, so that the
machine's registers are used and several signals share the reading of the weights.

Conventions: weights are rounded to float16. The same features give the same samples, in one piece or in many, alone or
beside others. A frame's audio is centred in its analysis window and its conditioning looks two frames ahead: a stream
is `DELAY` = 400 samples, 25 ms, late. Before the first frame and after the last one the network sees those again.

Contents: `Synthesizer`, `State`, `DELAY`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pcodec import PcodecError
from pcodec.compute.vector import LANES, LOG2E, Blocks, add_product, compiled, exp2, pack, sigmoid, tanh
from pcodec.fargan.config import CONTEXT, HISTORY, PERIODS, STEP, STEPS, FarganConfig
from pcodec.features.analysis import FEATURES, LAG_MAX, LAG_MIN, OFFSET
from pcodec.features.cepstrum import FRAME
from pcodec.learning import weights
from pcodec.speech import audio

DELAY = CONTEXT * FRAME + OFFSET  # samples by which a stream is late
PITCH = FEATURES["pitch"]
SMALLEST = np.float32(1e-5)  # gain
EMPHASIS = np.float32(audio.PREEMPHASIS)


class Network(NamedTuple):
    """The weights, packed."""

    pitch: np.ndarray
    dense: tuple  # (Blocks, bias) each
    conv1: tuple
    conv2: tuple
    up: tuple
    gain: tuple  # (weights, bias)
    conv: Blocks
    gates: tuple
    inputs: tuple  # of the three GRUs
    recurrent: tuple
    skip: Blocks
    glus: tuple  # after the convolution, the GRUs, and the skip layer
    out: Blocks


class State:
    """What S signals that are being made need of their past; changed in place by `Synthesizer.advance`."""

    def __init__(self, config: FarganConfig, signals: int = 1):
        width = config.step_conditioning + 2 * STEP + 2 * PERIODS
        self.features = None  # (S, up to 4, 20): frames that have been seen and are still needed
        self.past = np.zeros((signals, HISTORY), np.float32)
        self.last = np.zeros((signals, width), np.float32)
        self.hidden = tuple(np.zeros((signals, n), np.float32) for n in (config.gru_1, config.gru_2, config.gru_3))
        self.emphasis = np.zeros(signals, np.float32)


class Synthesizer:
    """A decoder, compiled. Its methods may run in several threads at once."""

    def __init__(self, config: FarganConfig, arrays: dict[str, np.ndarray]):
        """Weights by name (`Fargan.arrays`)."""
        if config.noise:
            raise PcodecError(f"a decoder with {config.noise} noise inputs cannot be compiled yet")
        self.config = config
        self.network = fold({name: value.astype(np.float16).astype(np.float32) for name, value in arrays.items()})

    @classmethod
    def load(cls, path: str | Path) -> "Synthesizer":
        """Raises `PcodecError` naming the file if it is missing or no such decoder."""
        config, arrays, _ = weights.read(path, FarganConfig)
        return cls(config, arrays)

    def start(self, signals: int = 1) -> State:
        """The state before the first frame."""
        return State(self.config, signals)

    def advance(self, state: State, features: np.ndarray, last: bool = False) -> np.ndarray:
        """Next features (F, 20), or (S, F, 20) of several signals -> the next samples (160 F,) or (S, 160 F).

        They are `DELAY` late: the first F frames of a stream give 2 frames fewer, and `last` gives those.
        """
        several = np.asarray(features, np.float32)
        several = several[None] if several.ndim == 2 else several
        seen = several if state.features is None else np.concatenate([state.features, several], axis=1)
        if state.features is None and seen.shape[1]:
            seen = np.concatenate([np.repeat(seen[:, :1], CONTEXT, axis=1), seen], axis=1)
        if last and seen.shape[1]:
            seen = np.concatenate([seen, np.repeat(seen[:, -1:], CONTEXT, axis=1)], axis=1)
        frames = max(0, seen.shape[1] - 2 * CONTEXT)
        state.features = seen[:, frames:] if seen.shape[1] else None
        out = np.zeros((len(several), frames * FRAME), np.float32)
        if frames:
            run(self.network, np.ascontiguousarray(seen), state.past, state.last, state.hidden, state.emphasis, out)
        return out[0] if np.ndim(features) == 2 else out

    def decode(self, features: np.ndarray) -> np.ndarray:
        """Features of a whole signal (F, 20) -> its samples (160 F,), still half a frame late."""
        return self.advance(self.start(), features, last=True)


def fold(arrays: dict[str, np.ndarray]) -> Network:
    """Weights by name -> as they are multiplied."""

    def padded(weight):
        return np.pad(weight, ((0, -len(weight) % LANES), (0, 0)))

    def dense(name):
        bias = arrays[f"{name}.bias"]
        return pack(padded(arrays[f"{name}.weight"])), np.pad(bias, (0, -len(bias) % LANES))

    def convolution(name):
        weight = arrays[f"{name}.weight"]  # (outputs, inputs, taps)
        return pack(weight.transpose(0, 2, 1).reshape(len(weight), -1)), arrays[f"{name}.bias"]

    def matrix(name):
        return pack(padded(arrays[f"step.{name}.weight"]))

    return Network(
        arrays["frame.pitch.weight"],
        dense("frame.dense"),
        convolution("frame.conv1"),
        convolution("frame.conv2"),
        dense("frame.up"),
        (arrays["step.gain.weight"][0], arrays["step.gain.bias"]),
        matrix("conv"),
        dense("step.gates"),
        tuple(pack(arrays[f"step.grus.{number}.weight_ih"]) for number in range(3)),
        tuple(pack(arrays[f"step.grus.{number}.weight_hh"]) for number in range(3)),
        matrix("skip"),
        tuple(matrix(f"{name}.gate") for name in ("conv_glu", "glus.0", "glus.1", "glus.2", "skip_glu")),
        matrix("out"),
    )


@compiled()
def _affine(layer, x):
    """tanh(W x + b) of the rows of x."""
    y = np.empty((len(x), len(layer[1])), np.float32)
    y[:] = layer[1]
    add_product(layer[0], x, y)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = tanh(y[i, j])
    return y


@compiled()
def _lag(feature):
    return min(
        max(np.int64(np.float32(0.1) + np.float32(50.0) * feature + np.float32(100.0)), LAG_MIN + 1), LAG_MAX - 1
    )


@compiled()
def _conditioning(network, seen):
    """Features (F + 4, 20) -> (F, 320)."""
    frames, columns = seen.shape
    width = network.pitch.shape[1]
    x = np.empty((frames, columns + width), np.float32)
    for t in range(frames):
        x[t, :columns] = seen[t]
        x[t, columns:] = network.pitch[_lag(seen[t, PITCH])]
    x = _affine(network.dense, x)
    for layer in (network.conv1, network.conv2):
        width = x.shape[1]
        windows = np.empty((len(x) - 2, 3 * width), np.float32)
        for t in range(len(windows)):
            for tap in range(3):
                windows[t, tap * width : (tap + 1) * width] = x[t + tap]
        x = _affine(layer, windows)
    return _affine(network.up, x)


@compiled()
def _glu(blocks, x, gate):
    """x (S, N) becomes x sigmoid(W x); `gate` is scratch."""
    gate[:] = np.float32(0.0)
    add_product(blocks, x, gate)
    for s in range(len(x)):
        for i in range(x.shape[1]):
            x[s, i] *= sigmoid(gate[s, i])


@compiled()
def _gru(inputs, recurrent, x, h, a, c):
    """States h (S, N) go one step on, given x (S, I); a and c (S, 3 N) are scratch."""
    n = h.shape[1]
    a[:] = np.float32(0.0)
    c[:] = np.float32(0.0)
    add_product(inputs, x, a)
    add_product(recurrent, h, c)
    for s in range(len(h)):
        for i in range(2 * n):
            a[s, i] = sigmoid(a[s, i] + c[s, i])
        for i in range(n):
            candidate = tanh(a[s, 2 * n + i] + a[s, i] * c[s, 2 * n + i])
            h[s, i] = candidate + a[s, n + i] * (h[s, i] - candidate)


@compiled()
def run(network, seen, past, last, hidden, emphasis, out):
    """Features (S, F + 4, 20) -> out (S, 160 F); the states go on."""
    signals, frames = len(seen), seen.shape[1] - 2 * CONTEXT
    width, step = last.shape[1], len(network.gain[0])
    conv, skip = network.glus[0].starts.size - 1, network.glus[4].starts.size - 1
    h1, h2, h3 = hidden
    n1, n2, n3 = h1.shape[1], h2.shape[1], h3.shape[1]
    conditioning = np.empty((signals, frames, STEPS * step), np.float32)
    for s in range(signals):
        conditioning[s] = _conditioning(network, seen[s])[:, : STEPS * step]
    both = np.empty((signals, 2 * width), np.float32)
    x0, g0 = np.empty((signals, conv * LANES), np.float32), np.empty((signals, conv * LANES), np.float32)
    gates = np.empty((signals, LANES), np.float32)
    i1 = np.empty((signals, x0.shape[1] + 2 * STEP), np.float32)
    i2, i3 = np.empty((signals, n1 + 2 * STEP), np.float32), np.empty((signals, n2 + 2 * STEP), np.float32)
    a1, c1 = np.empty((signals, 3 * n1), np.float32), np.empty((signals, 3 * n1), np.float32)
    a2, c2 = np.empty((signals, 3 * n2), np.float32), np.empty((signals, 3 * n2), np.float32)
    a3, c3 = np.empty((signals, 3 * n3), np.float32), np.empty((signals, 3 * n3), np.float32)
    x1, g1 = np.empty((signals, n1), np.float32), np.empty((signals, n1), np.float32)
    x2, g2 = np.empty((signals, n2), np.float32), np.empty((signals, n2), np.float32)
    x3, g3 = np.empty((signals, n3), np.float32), np.empty((signals, n3), np.float32)
    joined = np.empty((signals, x0.shape[1] + n1 + n2 + n3 + 2 * STEP), np.float32)
    xs, gs = np.empty((signals, skip * LANES), np.float32), np.empty((signals, skip * LANES), np.float32)
    made = np.empty((signals, network.out.starts.size * LANES - LANES), np.float32)
    gains = np.empty(signals, np.float32)
    copied, before = np.empty((signals, STEP), np.float32), np.empty((signals, STEP), np.float32)
    for number in range(STEPS * frames):
        frame, part = number // STEPS, number % STEPS
        for s in range(signals):
            of_step = conditioning[s, frame, part * step : (part + 1) * step]
            total = network.gain[1][0]
            for i in range(step):
                total += network.gain[0][i] * of_step[i]
            gains[s] = exp2(LOG2E * total)
            scale = np.float32(1.0) / (gains[s] + SMALLEST)
            lag = _lag(seen[s, CONTEXT + frame, PITCH])
            both[s, :width] = last[s]
            both[s, width : width + step] = of_step
            for i in range(STEP + 2 * PERIODS):
                at = HISTORY - lag - PERIODS + i
                at = at - lag if at >= HISTORY else at
                value = min(max(past[s, at] * scale, np.float32(-1.0)), np.float32(1.0))
                both[s, width + step + i] = value
                if PERIODS <= i < STEP + PERIODS:
                    copied[s, i - PERIODS] = value
            for i in range(STEP):
                before[s, i] = min(max(past[s, HISTORY - STEP + i] * scale, np.float32(-1.0)), np.float32(1.0))
            both[s, 2 * width - STEP :] = before[s]
            last[s] = both[s, width:]
        x0[:] = np.float32(0.0)
        add_product(network.conv, both, x0)
        for s in range(signals):
            for i in range(x0.shape[1]):
                x0[s, i] = tanh(x0[s, i])
        _glu(network.glus[0], x0, g0)
        gates[:] = network.gates[1]
        add_product(network.gates[0], x0, gates)
        for s in range(signals):
            for i in range(4):
                gates[s, i] = sigmoid(gates[s, i])
        _inputs(x0, gates, 0, copied, before, i1)
        _gru(network.inputs[0], network.recurrent[0], i1, h1, a1, c1)
        x1[:] = h1
        _glu(network.glus[1], x1, g1)
        _inputs(x1, gates, 1, copied, before, i2)
        _gru(network.inputs[1], network.recurrent[1], i2, h2, a2, c2)
        x2[:] = h2
        _glu(network.glus[2], x2, g2)
        _inputs(x2, gates, 2, copied, before, i3)
        _gru(network.inputs[2], network.recurrent[2], i3, h3, a3, c3)
        x3[:] = h3
        _glu(network.glus[3], x3, g3)
        for s in range(signals):
            at = 0
            for i in range(x0.shape[1]):
                joined[s, i] = x0[s, i]
            at = x0.shape[1]
            joined[s, at : at + n1] = x1[s]
            joined[s, at + n1 : at + n1 + n2] = x2[s]
            joined[s, at + n1 + n2 : at + n1 + n2 + n3] = x3[s]
            at += n1 + n2 + n3
            for i in range(STEP):
                joined[s, at + i] = gates[s, 3] * copied[s, i]
                joined[s, at + STEP + i] = before[s, i]
        xs[:] = np.float32(0.0)
        add_product(network.skip, joined, xs)
        for s in range(signals):
            for i in range(xs.shape[1]):
                xs[s, i] = tanh(xs[s, i])
        _glu(network.glus[4], xs, gs)
        made[:] = np.float32(0.0)
        add_product(network.out, xs, made)
        for s in range(signals):
            for i in range(HISTORY - STEP):
                past[s, i] = past[s, i + STEP]
            for i in range(STEP):
                value = tanh(made[s, i]) * gains[s]
                past[s, HISTORY - STEP + i] = value
                emphasis[s] = value + EMPHASIS * emphasis[s]
                out[s, number * STEP + i] = emphasis[s]


@compiled()
def _inputs(x, gates, number, copied, before, out):
    """x, the gated copy and the samples before, side by side."""
    width = x.shape[1]
    for s in range(len(x)):
        out[s, :width] = x[s]
        for i in range(STEP):
            out[s, width + i] = gates[s, number] * copied[s, i]
            out[s, width + STEP + i] = before[s, i]
