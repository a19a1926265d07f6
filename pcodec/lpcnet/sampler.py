"""The sample loop of the decoder, compiled.

Task: everything of `pcodec.lpcnet.synthesis` that runs once per frame or once per sample, and the form of the weights
that it needs: what does not depend on the sample is folded away once per decoder (embedding times input matrix: three
tables of 256 rows) or once per frame (conditioning times input matrices).

Conventions: S signals side by side, each of which gets the samples it gets alone; F frames of 160 samples; N units of
GRU_A; gates in the order r, z, n. Specification sections 8 and 11.

Contents: `Network`, `fold`, `samples`, `forced_logits`, `FLOOR`.
"""

import math
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
    spread,
    tanh,
)  # fmt: skip
from pcodec.features.analysis import FEATURES, LAG_MAX, LAG_MIN
from pcodec.features.cepstrum import FRAME, ORDER
from pcodec.features.vocoder import CONTEXT
from pcodec.lpcnet.mulaw import LEVELS, MULAW_TABLE, MULAW_ZERO, mulaw_encode
from pcodec.speech.audio import PREEMPHASIS

FLOOR = np.float32(0.002)  # probability subtracted from every code before drawing: no rare clicks
PITCH = FEATURES["pitch"]


class Gates(NamedTuple):
    """A GRU of N units without its inputs; gates in the order r, z, n."""

    recurrent: Blocks  # (3 N, N) but for the diagonals of its three parts
    diagonals: np.ndarray  # (3 N,)
    bias: np.ndarray  # (3 N,), not zero for n alone: the part that r multiplies


class Network(NamedTuple):
    """A decoder folded for synthesis; a pair is a matrix and its bias."""

    pitch: np.ndarray  # (256, 64)
    conv1: tuple[Blocks, np.ndarray]
    conv2: tuple[Blocks, np.ndarray]
    dense1: tuple[Blocks, np.ndarray]
    dense2: tuple[Blocks, np.ndarray]
    a_from_f: tuple[Blocks, np.ndarray]
    tables: np.ndarray  # (3, 256, 3 N): what the codes of signal, prediction, excitation add to the inputs of GRU_A
    a: Gates
    b_from_f: tuple[Blocks, np.ndarray]
    b_from_a: Blocks
    b: Gates
    out: tuple[Blocks, np.ndarray]  # both halves of the dual FC
    factors: np.ndarray  # (512,)


def fold(arrays: dict[str, np.ndarray]) -> Network:
    """Weights by name, float32 -> the decoder folded for synthesis."""

    def dense(name):
        return pack(arrays[f"{name}.weight"]), arrays[f"{name}.bias"]

    def convolution(name):
        weight = arrays[f"{name}.weight"]  # (outputs, inputs, taps)
        return pack(weight.transpose(0, 2, 1).reshape(len(weight), -1)), arrays[f"{name}.bias"]

    def gates(name):
        weight, bias = arrays[f"{name}.weight_hh_l0"].copy(), arrays[f"{name}.bias_hh_l0"].copy()
        n = weight.shape[1]
        rows, columns = np.arange(3 * n), np.tile(np.arange(n), 3)
        diagonals = weight[rows, columns].copy()
        weight[rows, columns] = 0.0
        bias[: 2 * n] = 0.0
        return Gates(pack(weight), diagonals, bias)

    def from_f(name):
        bias = arrays[f"{name}.bias_ih_l0"].copy()
        outside = 2 * len(bias) // 3  # r and z add both biases alike
        bias[:outside] += arrays[f"{name}.bias_hh_l0"][:outside]
        return pack(arrays[f"{name}.weight_ih_l0"][:, -width:]), bias

    units = arrays["sample.gru_a.weight_hh_l0"].shape[1]
    embedding, inputs = arrays["sample.embedding.weight"], arrays["sample.gru_a.weight_ih_l0"]
    of_codes = np.split(inputs[:, : 3 * embedding.shape[1]].astype(np.float64), 3, axis=1)
    tables = [embedding @ part.T for part in of_codes]  # float64: the same on any number of threads, once rounded
    width = len(arrays["frame.dense2.bias"])
    halves = [f"sample.dual_fc.{half}" for half in ("first", "second")]
    out = [np.concatenate([arrays[f"{half}.{part}"] for half in halves]) for part in ("weight", "bias")]
    return Network(
        arrays["frame.pitch.weight"],
        convolution("frame.conv1"),
        convolution("frame.conv2"),
        dense("frame.dense1"),
        dense("frame.dense2"),
        from_f("sample.gru_a"),
        np.stack(tables).astype(np.float32),
        gates("sample.gru_a"),
        from_f("sample.gru_b"),
        pack(arrays["sample.gru_b.weight_ih_l0"][:, :units]),
        gates("sample.gru_b"),
        (pack(out[0]), out[1]),
        arrays["sample.dual_fc.factors"].ravel(),
    )


@compiled()
def _through(layer, x, y):
    """y = W x + b for one layer."""
    copy_row(layer[1], y)
    add_product(layer[0], x.reshape(1, -1), y.reshape(1, -1))


@compiled()
def _squashed(layer, x, y):
    _through(layer, x, y)
    for i in range(len(y)):
        y[i] = tanh(y[i])


@compiled()
def _convolve(network, window, inside, y):
    """Features (3, 20) around a frame -> y, its first convolution. What is not `inside` the signal is zeros."""
    width, columns = network.pitch.shape[1], window.shape[1]
    y[:] = np.float32(0.0)
    if not inside[1]:
        return
    seen = np.zeros((3, columns + width), np.float32)
    for j in range(3):
        if inside[j]:
            lag = np.int64(np.float32(0.1) + np.float32(50.0) * window[j, PITCH] + np.float32(100.0))
            copy_row(window[j], seen[j, :columns])
            copy_row(network.pitch[min(max(lag, LAG_MIN + 1), LAG_MAX - 1)], seen[j, columns:])
    _squashed(network.conv1, seen.ravel(), y)


@compiled()
def _condition(network, first, f):
    """First convolutions (3, 128) around a frame -> its conditioning, into f (128,)."""
    second, third = np.empty_like(f), np.empty_like(f)
    _squashed(network.conv2, first.ravel(), second)
    _squashed(network.dense1, second, third)
    _squashed(network.dense2, third, f)


@compiled()
def _gru(gates, inputs, recurrent, h):
    """One step of states h (S, N) in place, from `inputs` (S, 3 N); `recurrent` (S, 3 N) is scratch."""
    n = h.shape[1]
    for s in range(len(h)):
        for gate in range(3):
            for i in range(n):
                recurrent[s, gate * n + i] = gates.bias[gate * n + i] + gates.diagonals[gate * n + i] * h[s, i]
    add_product(gates.recurrent, h, recurrent)
    gru_step(inputs, recurrent, h)


@compiled()
def _logits(network, codes, a, b, scratch):
    """Codes (S, 3) of signal, prediction, excitation -> 256 logits each, in scratch; states go one sample on."""
    for s in range(len(codes)):
        rows = network.tables[0, codes[s, 0]], network.tables[1, codes[s, 1]], network.tables[2, codes[s, 2]]
        for i in range(scratch.a_inputs.shape[1]):
            scratch.a_inputs[s, i] = scratch.a_of_frame[s, i] + rows[0][i] + rows[1][i] + rows[2][i]
    _gru(network.a, scratch.a_inputs, scratch.a_recurrent, a)
    copy(scratch.b_of_frame, scratch.b_inputs)
    add_product(network.b_from_a, a, scratch.b_inputs)
    _gru(network.b, scratch.b_inputs, scratch.b_recurrent, b)
    spread(network.out[1], scratch.hidden)
    add_product(network.out[0], b, scratch.hidden)
    for s in range(len(codes)):
        for i in range(2 * LEVELS):
            scratch.hidden[s, i] = tanh(scratch.hidden[s, i])
        for i in range(LEVELS):
            scratch.logits[s, i] = (
                network.factors[i] * scratch.hidden[s, i] + network.factors[LEVELS + i] * scratch.hidden[s, LEVELS + i]
            )


@compiled()
def _sum(values, sums):
    """Sum of 256 values, and of each strip of them into `sums`."""
    total = np.float32(0.0)
    for strip in range(len(sums)):
        of_strip = np.float32(0.0)
        for i in range(strip * LANES, (strip + 1) * LANES):
            of_strip += values[i]
        sums[strip] = of_strip
        total += of_strip
    return total


@compiled()
def _draw(logits, sums, sharpness, uniform):
    """Code drawn by inverse CDF from the sharpened, floored distribution; `logits` become its probabilities."""
    top = logits[0]
    for i in range(LEVELS):  # logits.max() minds NaN, one by one
        top = max(top, logits[i])
    scale = np.float32(sharpness) * LOG2E
    for i in range(LEVELS):
        logits[i] = exp2((logits[i] - top) * scale)
    floor = FLOOR * _sum(logits, sums)
    for i in range(LEVELS):
        logits[i] = max(np.float32(0.0), logits[i] - floor)
    mass = _sum(logits, sums)
    target = np.float32(uniform) * mass
    strip = 0
    while strip < len(sums) - 1 and target >= sums[strip]:
        target -= sums[strip]
        strip += 1
    for i in range(strip * LANES, LEVELS):
        target -= logits[i]
        if target < np.float32(0.0):
            return i
    for i in range(LEVELS - 1, 0, -1):  # rounding has left a little more than there was
        if logits[i] > np.float32(0.0):
            return i
    return MULAW_ZERO


class Scratch(NamedTuple):
    """What is computed once per frame of each signal, and buffers of `_logits`; the first axis is that of signals."""

    first: np.ndarray  # (S, 3, 128), first convolutions of the frame before, this and the next one
    f: np.ndarray
    a_of_frame: np.ndarray
    b_of_frame: np.ndarray
    a_inputs: np.ndarray
    a_recurrent: np.ndarray
    b_inputs: np.ndarray
    b_recurrent: np.ndarray
    hidden: np.ndarray
    logits: np.ndarray
    sums: np.ndarray


@compiled()
def _scratch(network, a, b, seen, inside):
    signals, units, units_b = len(a), a.shape[1], b.shape[1]

    def floats(n):
        return np.zeros((signals, n), np.float32)

    first = np.zeros((signals, 3, len(network.conv1[1])), np.float32)
    for s in range(signals):
        for j in range(2):  # of what the first frame is the frame after
            _convolve(network, seen[s, j : j + 3], inside[s, j : j + 3], first[s, j + 1])
    return Scratch(
        first,
        floats(len(network.dense2[1])),
        floats(3 * units),
        floats(3 * units_b),
        floats(3 * units),
        floats(3 * units),
        floats(3 * units_b),
        floats(3 * units_b),
        floats(2 * LEVELS),
        floats(LEVELS),
        floats(LEVELS // LANES),
    )


@compiled()
def _begin_frame(network, k, seen, inside, scratch):
    """Frame k of each signal."""
    for s in range(len(seen)):
        first = scratch.first[s]
        copy(first[1:], first[:2])
        _convolve(network, seen[s, k + 2 : k + 5], inside[s, k + 2 : k + 5], first[2])
        if inside[s, k + CONTEXT]:
            _condition(network, first, scratch.f[s])
            _through(network.a_from_f, scratch.f[s], scratch.a_of_frame[s])
            _through(network.b_from_f, scratch.f[s], scratch.b_of_frame[s])


@compiled()
def samples(network, seen, inside, lpc, sharpness, uniforms, a, b, past, excitation):
    """Features (S, F + 4, 20), two frames of context on either side -> (S, 160 F) at int16 scale (section 11).

    Frames that are not `inside` (S, F + 4) give zeros. LPC (S, F, 16), factors on the logits (S, F) and uniform random
    numbers (S, F, 160) belong to the frames in the middle. States a and b (S, N), `past` (S, 17) and `excitation` (S,)
    change in place; where one signal is inside, they go on in all.
    """
    signals, frames, _ = uniforms.shape
    out = np.zeros(uniforms.shape)
    codes, prediction = np.zeros((signals, 3), np.int64), np.zeros(signals)
    scratch = _scratch(network, a, b, seen, inside)
    for k in range(frames):
        _begin_frame(network, k, seen, inside, scratch)
        if not inside[:, k + CONTEXT].any():
            continue
        for t in range(FRAME):
            for s in range(signals):
                prediction[s] = 0.0
                for i in range(ORDER):
                    prediction[s] -= lpc[s, k, i] * past[s, i]
                codes[s, 0], codes[s, 1] = mulaw_encode(past[s, 0]), mulaw_encode(prediction[s])
                codes[s, 2] = excitation[s]
            _logits(network, codes, a, b, scratch)
            for s in range(signals):
                excitation[s] = _draw(scratch.logits[s], scratch.sums[s], sharpness[s, k], uniforms[s, k, t])
                for i in range(ORDER - 1, 0, -1):
                    past[s, i] = past[s, i - 1]
                past[s, 0] = prediction[s] + MULAW_TABLE[excitation[s]]
                past[s, ORDER] = past[s, 0] + PREEMPHASIS * past[s, ORDER]
                if inside[s, k + CONTEXT]:
                    out[s, k, t] = math.floor(0.5 + min(32767.0, max(-32767.0, past[s, ORDER])))
    return out.reshape(signals, -1)


@compiled()
def forced_logits(network, seen, inside, codes, a, b):
    """Logits (S, 160 F, 256) when the past was `codes` (S, 160 F, 3), signal, prediction, excitation."""
    out = np.empty((len(codes), codes.shape[1], LEVELS), np.float32)
    scratch = _scratch(network, a, b, seen, inside)
    for t in range(codes.shape[1]):
        if t % FRAME == 0:
            _begin_frame(network, t // FRAME, seen, inside, scratch)
        _logits(network, codes[:, t], a, b, scratch)
        copy(scratch.logits, out[:, t])
    return out
