"""The steps of the framewise decoder, 40 samples each, compiled.

Task: `pcodec.compute.vector` multiplies, so that the machine's registers are used and several signals share the reading
of the weights.

Conventions: S signals side by side; F frames of four steps; layers as in `pcodec.fargan.model`.

Contents: `Network`, `Scratch`, `fold`, `without`, `run`.
"""

from typing import NamedTuple

import numpy as np

from pcodec.compute.vector import (
    LANES,
    LOG2E,
    Blocks,
    add_product,
    compiled,
    copy,
    copy_row,
    exp2,
    gru_step,
    pack,
    sigmoid,
    spread,
    tanh,
)  # fmt: skip
from pcodec.fargan.config import HISTORY, PERIODS, STEP, STEPS, FarganConfig
from pcodec.features.analysis import FEATURES, LAG_MAX, LAG_MIN
from pcodec.features.vocoder import CONTEXT
from pcodec.speech import audio

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


class Scratch(NamedTuple):
    """Buffers of a sub-frame of S signals; tuples hold one for each layer."""

    both: np.ndarray  # (S, 2 I) what the convolution sees: its last input and this one
    copied: np.ndarray  # (S, 40) a period ago
    before: np.ndarray  # (S, 40)
    gains: np.ndarray  # (S, 1)
    gates: np.ndarray  # (S, 16), of which four are used
    layers: tuple  # outputs of convolution, GRUs and skip layer
    gated: tuple  # products of their GLUs
    fed: tuple  # inputs of the GRUs
    inputs: tuple  # their products
    recurrent: tuple
    joined: np.ndarray  # what the skip layer sees
    made: np.ndarray  # (S, 48), of which 40 are used


def without(config: FarganConfig, arrays: dict[str, np.ndarray], to: str) -> dict[str, np.ndarray]:
    """The weights by name of a decoder that does not hear one of its inputs, "copy" or "before"."""
    arrays = {name: value.copy() for name, value in arrays.items()}
    period = STEP + 2 * PERIODS
    begin, end = {"copy": (0, period), "before": (period, period + STEP)}[to]  # behind the conditioning
    half = arrays["step.conv.weight"].shape[1] // 2
    for start in (0, half):
        at = start + config.step_conditioning
        arrays["step.conv.weight"][:, at + begin : at + end] = 0.0
    columns = slice(-2 * STEP, -STEP) if to == "copy" else slice(-STEP, None)  # of all other layers
    for name in ("grus.0.weight_ih", "grus.1.weight_ih", "grus.2.weight_ih", "skip.weight"):
        arrays[f"step.{name}"][:, columns] = 0.0
    return arrays


def fold(arrays: dict[str, np.ndarray]) -> Network:
    """Weights by name -> as they are multiplied."""

    def padded(weight):  # with rows that are not used
        return np.pad(weight, [(0, -len(weight) % LANES), *[(0, 0)] * (weight.ndim - 1)])

    def dense(name):
        return pack(padded(arrays[f"{name}.weight"])), padded(arrays[f"{name}.bias"])

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
def _squashed(blocks, x, y):
    """y = tanh(y + W x), of the rows of x."""
    add_product(blocks, x, y)
    for s in range(y.shape[0]):
        for i in range(y.shape[1]):
            y[s, i] = tanh(y[s, i])


@compiled()
def _dense(layer, x):
    """tanh(W x + b) of the rows of x."""
    y = np.empty((len(x), len(layer[1])), np.float32)
    spread(layer[1], y)
    _squashed(layer[0], x, y)
    return y


@compiled()
def _lag(feature):
    lag = np.int64(np.float32(0.1) + np.float32(50.0) * feature + np.float32(100.0))
    return min(max(lag, LAG_MIN + 1), LAG_MAX - 1)


@compiled()
def _conditioning(network, seen):
    """Features (F + 4, 20) -> what the four sub-frames of each frame are given, (F, 4 x 80)."""
    frames, columns = seen.shape
    x = np.empty((frames, columns + network.pitch.shape[1]), np.float32)
    for t in range(frames):
        copy_row(seen[t], x[t, :columns])
        copy_row(network.pitch[_lag(seen[t, PITCH])], x[t, columns:])
    x = _dense(network.dense, x)
    for layer in (network.conv1, network.conv2):
        width = x.shape[1]
        windows = np.empty((len(x) - 2, 3 * width), np.float32)
        for t in range(len(windows)):
            for tap in range(3):
                copy_row(x[t + tap], windows[t, tap * width : (tap + 1) * width])
        x = _dense(layer, windows)
    return _dense(network.up, x)


@compiled()
def _look_back(gain_layer, conditioning, lag, past, last, scratch, s):
    """Signal s: the gain of a sub-frame, and what it sees of the past, divided by that."""
    step, width = len(conditioning), last.shape[1]
    total = gain_layer[1][0]
    for i in range(step):
        total += gain_layer[0][i] * conditioning[i]
    gain = exp2(LOG2E * total)
    scale = np.float32(1.0) / (gain + SMALLEST)
    both = scratch.both[s]
    copy_row(last[s], both[:width])
    copy_row(conditioning, both[width : width + step])
    for i in range(STEP + 2 * PERIODS):
        at = HISTORY - lag - PERIODS + i
        at = at - lag if at >= HISTORY else at
        both[width + step + i] = min(max(past[s, at] * scale, np.float32(-1.0)), np.float32(1.0))
    for i in range(STEP):
        scratch.before[s, i] = min(max(past[s, HISTORY - STEP + i] * scale, np.float32(-1.0)), np.float32(1.0))
    copy_row(scratch.before[s], both[2 * width - STEP :])
    copy_row(both[width + step + PERIODS : width + step + PERIODS + STEP], scratch.copied[s])
    scratch.gains[s, 0] = gain
    copy_row(both[width:], last[s])


@compiled()
def _glu(blocks, x, product):
    """x (S, N) becomes x sigmoid(W x)."""
    product[:] = np.float32(0.0)
    add_product(blocks, x, product)
    for s in range(len(x)):
        for i in range(x.shape[1]):
            x[s, i] *= sigmoid(product[s, i])


@compiled()
def _append(scratch, number, out, at):
    """The copy behind its gate, and the samples before, into `out` (S, ...) from column `at` on."""
    for s in range(len(out)):
        for i in range(STEP):
            out[s, at + i] = scratch.gates[s, number] * scratch.copied[s, i]
            out[s, at + STEP + i] = scratch.before[s, i]


@compiled()
def _layers(network, hidden, scratch):
    """From what a sub-frame sees to its samples, before tanh and gain, in `scratch.made`."""
    layers = scratch.layers
    layers[0][:] = np.float32(0.0)
    _squashed(network.conv, scratch.both, layers[0])
    _glu(network.glus[0], layers[0], scratch.gated[0])
    spread(network.gates[1], scratch.gates)
    add_product(network.gates[0], layers[0], scratch.gates)
    for s in range(len(scratch.gates)):
        for i in range(LANES):
            scratch.gates[s, i] = sigmoid(scratch.gates[s, i])
    at = 0
    for number in range(3):
        x, fed, h = layers[number], scratch.fed[number], hidden[number]
        copy(x, fed[:, : x.shape[1]])
        _append(scratch, number, fed, x.shape[1])
        scratch.inputs[number][:] = np.float32(0.0)
        scratch.recurrent[number][:] = np.float32(0.0)
        add_product(network.inputs[number], fed, scratch.inputs[number])
        add_product(network.recurrent[number], h, scratch.recurrent[number])
        gru_step(scratch.inputs[number], scratch.recurrent[number], h)
        copy(x, scratch.joined[:, at : at + x.shape[1]])
        at += x.shape[1]
        copy(h, layers[number + 1])
        _glu(network.glus[number + 1], layers[number + 1], scratch.gated[number + 1])
    width = layers[3].shape[1]
    copy(layers[3], scratch.joined[:, at : at + width])
    _append(scratch, 3, scratch.joined, at + width)
    layers[4][:] = np.float32(0.0)
    _squashed(network.skip, scratch.joined, layers[4])
    _glu(network.glus[4], layers[4], scratch.gated[4])
    scratch.made[:] = np.float32(0.0)
    add_product(network.out, layers[4], scratch.made)


@compiled()
def run(network, seen, past, last, hidden, emphasis, scratch, out):
    """Features (S, F + 4, 20) -> out (S, 160 F); the states go on."""
    signals, steps = len(seen), out.shape[1] // STEP
    if steps == 0:
        return
    step = len(network.gain[0])
    conditioning = np.empty((signals, steps // STEPS, STEPS * step), np.float32)
    for s in range(signals):
        copy(_conditioning(network, seen[s]), conditioning[s])
    for number in range(steps):
        frame, part = number // STEPS, number % STEPS
        for s in range(signals):
            of_step = conditioning[s, frame, part * step : (part + 1) * step]
            _look_back(network.gain, of_step, _lag(seen[s, CONTEXT + frame, PITCH]), past, last, scratch, s)
        _layers(network, hidden, scratch)
        for s in range(signals):
            copy_row(past[s, STEP:], past[s, :-STEP])
            for i in range(STEP):
                value = tanh(scratch.made[s, i]) * scratch.gains[s, 0]
                past[s, HISTORY - STEP + i] = value
                emphasis[s, 0] = value + EMPHASIS * emphasis[s, 0]
                out[s, number * STEP + i] = emphasis[s, 0]
