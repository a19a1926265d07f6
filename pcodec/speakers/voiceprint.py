"""What the sender knows of a voice: log-mel energies and, from them, the speaker's embedding z.

Task: the encoder of `pcodec.speakers.embedding` at work, without PyTorch: a codec asks for one utterance at a time, and
starts faster than PyTorch is imported.

Conventions: log-mel is (T, 40) at 100 frames/s. Mel bands because formant positions and the spacing of low harmonics,
which tell voices apart, are resolved where hearing resolves them. The utterance's mean level is removed, because a
recording gain is not a voice. z is the mean of the last layer over time: every frame counts the same, whatever the
length. Notebook 04_embedding.

Contents: `log_mel`, `beginning`, `is_silent`, `embed`, `as_columns`, `from_columns`.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import scipy.fft

from pcodec import PcodecError
from pcodec.compute.compiling import compiled
from pcodec.speech import audio

MELS = 40
UNITS = 32  # of both GRU layers, the size of the paper
HOP = 160  # samples, 10 ms
WINDOW = 400  # samples, 25 ms
TRANSFORM = 512  # samples of the Fourier transform around a window
FLOOR = 1e-6  # added to mel energies of signals in [-1, 1] before the logarithm
SILENCE = 5000.0 / audio.SCALE**2  # energy of 10 ms under which LPCNet calls it silence (specification section 9)
LISTEN = 60 * audio.RATE  # samples from a signal's start that tell whose it is
BLOCK = 2000  # frames transformed at a time: bounds the memory for signals of hours


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Signal (samples,) in [-1, 1] at 16 kHz -> natural-log mel energies (T, 40) float32.

    Frame t is centred on sample 160 t; beyond its ends the signal is mirrored. Raises `PcodecError` for less than one
    window.
    """
    samples = audio.checked(samples)
    if len(samples) < WINDOW:
        raise PcodecError(f"{len(samples)} samples are too short for a speaker embedding, {WINDOW} are needed")
    mirrored = np.pad(samples.astype(np.float32), TRANSFORM // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(mirrored, TRANSFORM)[::HOP]
    window, bands = _window(), _bands()
    energies = [
        np.abs(scipy.fft.rfft(frames[at : at + BLOCK] * window)) ** 2 @ bands for at in range(0, len(frames), BLOCK)
    ]
    return np.log(np.concatenate(energies) + np.float32(FLOOR))


def beginning(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """A signal that comes in pieces, at 16 kHz -> its first minute (samples,), and the pieces again from the first."""
    blocks, first = iter(blocks), [np.zeros(0, np.float32)]
    while sum(map(len, first)) < LISTEN and (block := next(blocks, None)) is not None:
        first.append(np.asarray(block, np.float32))
    return np.concatenate(first)[:LISTEN], itertools.chain(first[1:], blocks)


def is_silent(samples: np.ndarray) -> np.ndarray:
    """Signal -> whether each whole 10 ms of it is silence, (T,) bool."""
    frames = np.asarray(samples, dtype=np.float64)[: len(samples) // HOP * HOP].reshape(-1, HOP)
    return (frames**2).sum(axis=1) < SILENCE


def embed(weights: dict[str, np.ndarray], mels: list[np.ndarray] | np.ndarray) -> np.ndarray:
    """log-mels of N utterances, a list of any lengths or an array (N, T, 40) -> z (N, 32) float32.

    `weights` are a `SpeakerEncoder`'s, by name.
    """
    layers = [
        (
            np.ascontiguousarray(weights[f"gru.weight_ih_l{layer}"].T),
            weights[f"gru.bias_ih_l{layer}"],
            np.ascontiguousarray(weights[f"gru.weight_hh_l{layer}"].T),
            weights[f"gru.bias_hh_l{layer}"],
        )
        for layer in (0, 1)
    ]
    z = np.zeros((len(mels), UNITS), np.float32)
    for i, mel in enumerate(mels):
        states = (mel - mel.mean() - weights["mean"]) / weights["scale"]
        for w_input, b_input, w_state, b_state in layers:
            states = _gru(states @ w_input + b_input, w_state, b_state)
        z[i] = states.mean(axis=0)
    return z


def as_columns(z: np.ndarray) -> pd.DataFrame:
    """z (N, 32) -> table with columns z0 .. z31, as notebooks hand it on."""
    return pd.DataFrame(z, columns=[f"z{i}" for i in range(UNITS)])


def from_columns(table: pd.DataFrame) -> np.ndarray:
    """Table with columns z0 .. z31 -> z (N, 32) float32."""
    return table[[f"z{i}" for i in range(UNITS)]].to_numpy(np.float32)


@functools.cache
def _window():
    """Hann's, (512,), in the middle of zeros."""
    hann = np.hanning(WINDOW + 1)[:-1]
    return np.pad(hann, (TRANSFORM - WINDOW) // 2).astype(np.float32)


@functools.cache
def _bands():
    """(257, 40) triangles, equally wide on the mel scale 2595 log10(1 + f / 700)."""
    mels = np.linspace(0.0, 2595.0 * math.log10(1.0 + audio.RATE / 2 / 700.0), MELS + 2)
    corners = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    frequencies = np.fft.rfftfreq(TRANSFORM, 1.0 / audio.RATE)[:, None]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


@compiled(fastmath=True)
def _gru(inputs, weight, bias):
    """One GRU layer: inputs (T, 96) with their weights and bias applied, gates r, z, n -> states (T, 32)."""
    units = len(weight)
    states = np.empty((len(inputs), units), dtype=np.float32)
    h = np.zeros(units, dtype=np.float32)
    gates = np.empty(3 * units, dtype=np.float32)
    one = np.float32(1.0)
    for t in range(len(inputs)):
        gates[:] = bias
        for j in range(units):
            for k in range(3 * units):
                gates[k] += h[j] * weight[j, k]
        x = inputs[t]
        for i in range(units):
            r = one / (one + math.exp(-(x[i] + gates[i])))
            z = one / (one + math.exp(-(x[units + i] + gates[units + i])))
            n = math.tanh(x[2 * units + i] + r * gates[2 * units + i])
            h[i] = (one - z) * n + z * h[i]
        states[t] = h
    return states
