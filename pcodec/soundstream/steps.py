"""The layers of the codec that is learned end to end, over some frames, compiled.

Task: what `pcodec.soundstream.model` does, with what came before kept in a state, so that a signal can be coded in one
piece or in many, to the same bits. `pcodec.compute.vector` multiplies: frames share the reading of the weights, and
each gets the bits that it gets alone.

Conventions: T frames of a signal, (T, width) float32, changed in place where possible; a state holds the frames that a
convolution still needs.

Contents: `Coder`, `Writer`, `Words`, `fold_encoder`, `fold_decoder`, `fold_words`, `encode`, `look_up`, `add_up`,
`decode`, `framed`, `log_levels`, `spectrum`, `overlap_add`.
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
    tanh,
)
from pcodec.soundstream.config import KERNEL

EPSILON = np.float32(1e-5)  # of layer norm
GELU_1, GELU_3 = np.float32(np.sqrt(2.0 / np.pi)), np.float32(0.044715)  # of its tanh form


class Norm(NamedTuple):
    """A layer norm."""

    weight: np.ndarray
    bias: np.ndarray


class Layer(NamedTuple):
    """A dense layer; its outputs are padded to whole strips."""

    weights: Blocks
    bias: np.ndarray


class Block(NamedTuple):
    """A ConvNeXt block."""

    taps: np.ndarray  # (7, width)
    bias: np.ndarray  # (width,)
    norm: Norm
    wide: Layer
    narrow: Layer
    scale: np.ndarray  # (width,)


class Coder(NamedTuple):
    """The encoder."""

    inside: Layer
    norm: Norm
    blocks: tuple
    last: Norm
    latent: Layer


class Writer(NamedTuple):
    """The decoder."""

    inside: Layer
    inputs: Layer  # of the GRU
    recurrent: Layer
    blocks: tuple
    up: Layer
    noise: Layer
    late: tuple
    norm: Norm
    level: Layer
    phase: Layer


class Words(NamedTuple):
    """A codebook."""

    weights: Blocks
    half: np.ndarray  # (words,) half of their squared lengths
    rows: np.ndarray  # (words, D)


def _layer(arrays, name):
    weight = arrays[f"{name}.weight"]
    bias = arrays.get(f"{name}.bias", np.zeros(len(weight), np.float32))
    extra = -len(weight) % LANES
    return Layer(pack(np.pad(weight, [(0, extra), (0, 0)])), np.pad(bias, (0, extra)).astype(np.float32))


def _norm(arrays, name, switch=False):
    norm = Norm(arrays[f"{name}.weight"], arrays[f"{name}.bias"])
    if not switch:
        return norm
    gains = 1.0 + arrays[f"{name}.gains"]
    return Norm(norm.weight * gains, norm.bias * gains + arrays[f"{name}.offsets"])


def _blocks(arrays, name, count):
    return tuple(
        Block(
            np.ascontiguousarray(arrays[f"{name}.{number}.conv.conv.weight"][:, 0].T),
            arrays[f"{name}.{number}.conv.conv.bias"],
            _norm(arrays, f"{name}.{number}.norm"),
            _layer(arrays, f"{name}.{number}.wide"),
            _layer(arrays, f"{name}.{number}.narrow"),
            arrays[f"{name}.{number}.scale"],
        )
        for number in range(count)
    )


def fold_encoder(arrays: dict[str, np.ndarray], blocks: int) -> tuple[Coder, Coder]:
    """Weights by name -> as they are multiplied, in the encoder and in the one that removes noise."""
    inside, latent = (_layer(arrays, f"encoder.{name}") for name in ("inside", "latent"))
    between = _blocks(arrays, "encoder.blocks", blocks)
    ends = ((_norm(arrays, f"encoder.{name}", switch) for name in ("norm", "last")) for switch in (False, True))
    return tuple(Coder(inside, first, between, last, latent) for first, last in ends)


def fold_decoder(arrays: dict[str, np.ndarray], blocks: int, late: int) -> Writer:
    """Weights by name -> as they are multiplied."""
    memory = {
        f"{which}.{kind}": arrays[f"decoder.memory.{kind}_{which}_l0"]
        for which in ("ih", "hh")
        for kind in ("weight", "bias")
    }
    return Writer(
        _layer(arrays, "decoder.inside"), _layer(memory, "ih"), _layer(memory, "hh"),
        _blocks(arrays, "decoder.blocks", blocks), _layer(arrays, "decoder.up"), _layer(arrays, "decoder.noise"),
        _blocks(arrays, "decoder.late", late), _norm(arrays, "decoder.norm"), _layer(arrays, "decoder.level"),
        _layer(arrays, "decoder.phase"),
    )  # fmt: skip


def fold_words(words: np.ndarray) -> Words:
    """Words (W, D) -> as they are looked up."""
    rows = words.astype(np.float16).astype(np.float32)
    return Words(pack(rows), (0.5 * (rows.astype(np.float64) ** 2).sum(axis=1)).astype(np.float32), rows)


@compiled()
def _dense(layer, x):
    """W x + b of the rows of x."""
    y = np.empty((len(x), len(layer.bias)), np.float32)
    for t in range(len(x)):
        copy_row(layer.bias, y[t])
    add_product(layer.weights, x, y)
    return y


@compiled()
def _normalize(norm, x):
    """The rows of x become (x - mean) / deviation, scaled and shifted."""
    width = x.shape[1]
    for t in range(len(x)):
        total = np.float32(0.0)
        for i in range(width):
            total += x[t, i]
        mean = total / np.float32(width)
        total = np.float32(0.0)
        for i in range(width):
            total += (x[t, i] - mean) * (x[t, i] - mean)
        scale = np.float32(1.0) / np.sqrt(total / np.float32(width) + EPSILON)
        for i in range(width):
            x[t, i] = (x[t, i] - mean) * scale * norm.weight[i] + norm.bias[i]


@compiled()
def _block(block, x, tail):
    """One ConvNeXt block on x (T, width), in place; `tail` (6, width), the frames before, goes on."""
    frames, width = x.shape
    seen = np.empty((KERNEL - 1 + frames, width), np.float32)
    copy(tail, seen[: KERNEL - 1])
    copy(x, seen[KERNEL - 1 :])
    y = np.empty((frames, width), np.float32)
    for t in range(frames):
        for i in range(width):
            y[t, i] = block.bias[i]
        for tap in range(KERNEL):
            for i in range(width):
                y[t, i] += block.taps[tap, i] * seen[t + tap, i]
    copy(seen[frames:], tail)
    _normalize(block.norm, y)
    y = _dense(block.wide, y)
    for t in range(frames):
        for i in range(y.shape[1]):
            value = y[t, i]
            inner = GELU_1 * (value + GELU_3 * value * value * value)
            y[t, i] = np.float32(0.5) * value * (np.float32(1.0) + tanh(inner))
    y = _dense(block.narrow, y)
    for t in range(frames):
        for i in range(width):
            x[t, i] += block.scale[i] * y[t, i]


@compiled()
def framed(samples, window, hop, out):
    """Samples (N,) -> out (T, 640), each `hop` later than the one before, windowed."""
    for t in range(len(out)):
        for i in range(len(window)):
            out[t, i] = samples[t * hop + i] * window[i]


@compiled()
def log_levels(spectra, floor, centre, spread, out):
    """Spectra (T, 321) complex64 -> out, the logarithms of their magnitudes as the encoder is given them."""
    for t in range(len(out)):
        for i in range(out.shape[1]):
            real, imaginary = spectra[t, i].real, spectra[t, i].imag
            out[t, i] = (np.log(np.sqrt(real * real + imaginary * imaginary) + floor) - centre) / spread


def encode(coder: Coder, levels: np.ndarray, tails: tuple) -> np.ndarray:
    """Log magnitudes (T, 642) -> latents (T, D); `tails`, one for each block, go on."""
    x = _dense(coder.inside, levels)
    _normalize(coder.norm, x)
    for block, tail in zip(coder.blocks, tails, strict=True):
        _block(block, x, tail)
    _normalize(coder.last, x)
    return _dense(coder.latent, x)


@compiled()
def look_up(words, left, codes):
    """Codes (T,) of the nearest words to what is left (T, D), from which they are taken away."""
    scores = np.zeros((len(left), len(words.half)), np.float32)
    add_product(words.weights, left, scores)
    for t in range(len(left)):
        best = 0
        for number in range(1, len(words.half)):
            if scores[t, number] - words.half[number] > scores[t, best] - words.half[best]:
                best = number
        codes[t] = best
        for i in range(left.shape[1]):
            left[t, i] -= words.rows[best, i]


@compiled()
def add_up(words, codes, total):
    """Adds the words of codes (T,) to `total` (T, D)."""
    for t in range(len(codes)):
        for i in range(total.shape[1]):
            total[t, i] += words.rows[codes[t], i]


@compiled()
def _joined(before, latents):
    """Each latent vector (T, D) beside those before it, the newest first, (T, 3 D); `before` (2, D) goes on."""
    frames, width = latents.shape
    past = len(before)
    line = np.empty((past + frames, width), np.float32)
    copy(before, line[:past])
    copy(latents, line[past:])
    seen = np.empty((frames, (1 + past) * width), np.float32)
    for t in range(frames):
        for back in range(1 + past):
            copy_row(line[past + t - back], seen[t, back * width : (back + 1) * width])
    copy(line[frames:], before)
    return seen


@compiled()
def _remember(recurrent, inputs, hidden, x):
    """The GRU's states (1, width) go on over the products of its input; each is added to its frame of x."""
    for t in range(len(x)):
        gru_step(inputs[t : t + 1], _dense(recurrent, hidden), hidden)
        for i in range(x.shape[1]):
            x[t, i] += hidden[0, i]


@compiled()
def _doubled(up, y):
    """Halves of the rows of `up` (T, 2 width) are added to the rows of y (2 T, width)."""
    half = y.shape[1]
    for t in range(len(up)):
        for i in range(half):
            y[2 * t, i] += up[t, i]
            y[2 * t + 1, i] += up[t, half + i]


def decode(writer: Writer, latents, noise, before, hidden, tails, late_tails) -> tuple[np.ndarray, np.ndarray]:
    """Latents (T, D) and noise (2 T, N) -> log magnitudes (2 T, 336) and phases (2 T, 656); the states go on.

    `before` (2, D) are the latents before, the older first; `hidden` (1, width) is the GRU's.
    """
    x = _dense(writer.inside, _joined(before, latents))
    _remember(writer.recurrent, _dense(writer.inputs, x), hidden, x)
    for block, tail in zip(writer.blocks, tails, strict=True):
        _block(block, x, tail)
    y = _dense(writer.noise, noise)
    _doubled(_dense(writer.up, x), y)
    for block, tail in zip(writer.late, late_tails, strict=True):
        _block(block, y, tail)
    _normalize(writer.norm, y)
    return _dense(writer.level, y), _dense(writer.phase, np.concatenate([y, noise], axis=1))


@compiled()
def spectrum(level, phase, centre, spread, loudest, out):
    """Outputs (T, 336) and (T, 656) -> spectra (T, 321) complex64."""
    bins = out.shape[1]
    for t in range(len(out)):
        for i in range(bins):
            magnitude = exp2(LOG2E * min(spread * level[t, i] + centre, loudest))
            real, imaginary = phase[t, i], phase[t, bins + i]
            scale = magnitude / np.sqrt(real * real + imaginary * imaginary + np.float32(1e-8))
            out[t, i] = np.complex64(complex(real * scale, imaginary * scale))


@compiled()
def overlap_add(frames, window, hop, out):
    """Frames (T, 640), windowed, are added to out (hop T + 480,), each `hop` later than the one before."""
    for t in range(len(frames)):
        for i in range(len(window)):
            out[t * hop + i] += frames[t, i] * window[i]
