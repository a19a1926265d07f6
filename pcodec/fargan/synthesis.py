"""Features -> speech, 40 samples at a time, compiled.

Task: the decoder as the codec holds it, for whole signals and streams; its steps are `pcodec.fargan.steps`.

Conventions: those of `pcodec.features.vocoder`; weights are rounded to float16. Before the first frame and after the
last one the network sees those again. Notebook 14_framewise_synthesis.

Contents: `Synthesizer`, `State`.
"""

from pathlib import Path

import numpy as np

from pcodec import PcodecError
from pcodec.compute.vector import LANES
from pcodec.fargan import steps
from pcodec.fargan.config import HISTORY, PERIODS, STEP, FarganConfig
from pcodec.features.analysis import COLUMNS
from pcodec.features.cepstrum import FRAME
from pcodec.features.vocoder import CONTEXT, Vocoder
from pcodec.learning import weights
from pcodec.speech import audio

LOUDEST = np.float32(32767 / audio.SCALE)


class State:
    """What S signals that are being made need of their past; changed in place by `Synthesizer.advance`."""

    def __init__(self, config: FarganConfig, signals: int = 1):
        def zeros(width):
            return np.zeros((signals, width), np.float32)

        grus = (config.gru_1, config.gru_2, config.gru_3)
        layers = (config.conv, *grus, config.skip)
        seen = config.step_conditioning + 2 * STEP + 2 * PERIODS
        self.features = None  # (S, up to 4, 20): frames that have been seen and are still needed
        self.past, self.last = zeros(HISTORY), zeros(seen)  # output, and the convolution's last input
        self.hidden, self.emphasis = tuple(map(zeros, grus)), zeros(1)
        self.scratch = steps.Scratch(
            zeros(2 * seen), zeros(STEP), zeros(STEP), zeros(1), zeros(LANES),
            tuple(map(zeros, layers)), tuple(map(zeros, layers)),
            tuple(zeros(width + 2 * STEP) for width in layers[:3]),
            tuple(zeros(3 * width) for width in grus), tuple(zeros(3 * width) for width in grus),
            zeros(sum(layers[:4]) + 2 * STEP), zeros(STEP + -STEP % LANES),
        )  # fmt: skip


class Synthesizer(Vocoder):
    """A framewise decoder, compiled."""

    CONFIG = FarganConfig

    def __init__(self, config: FarganConfig, arrays: dict[str, np.ndarray]):
        """Weights by name (`Fargan.arrays`); raises `PcodecError` if a layer's width is no multiple of 16."""
        for name in ("conv", "gru_1", "gru_2", "gru_3", "skip", "dense", "conditioning", "step_conditioning"):
            if getattr(config, name) % LANES:
                raise PcodecError(f"{name} must be a multiple of {LANES}, got {getattr(config, name)}")
        self.config = config
        self.network = steps.fold({name: value.astype(np.float16).astype(np.float32) for name, value in arrays.items()})

    @classmethod
    def load(cls, path: str | Path, without: str = "") -> "Synthesizer":
        """`without` one of its inputs, "copy" or "before", is zero.

        Raises `PcodecError` naming the file if it is missing or no such decoder.
        """
        config, arrays, _ = weights.read(path, FarganConfig)
        return cls(config, steps.without(config, arrays, without) if without else arrays)

    def _start(self, seed, wholes):
        return State(self.config, len(wholes))

    def _advance(self, state, features, last):
        longest = max(map(len, features))
        wanted = longest + (CONTEXT if last else 0)
        out = np.zeros((len(features), FRAME * wanted), np.float32)
        if state.features is None and not longest:
            return out
        # A signal that ends before others goes on with its last frame.
        new = np.stack([np.pad(part, ((0, longest - len(part)), (0, 0)), "edge") if len(part) else
                        np.zeros((longest, len(COLUMNS)), np.float32) for part in features])  # fmt: skip
        if state.features is None:
            state.features = np.repeat(new[:, :1], CONTEXT, axis=1)
        seen = np.concatenate([state.features, new], axis=1)
        if last:
            seen = np.pad(seen, ((0, 0), (0, CONTEXT), (0, 0)), "edge")
        frames = max(0, seen.shape[1] - 2 * CONTEXT)
        state.features = seen[:, frames:]
        made = np.zeros((len(seen), FRAME * frames), np.float32)
        steps.run(self.network, seen, state.past, state.last, state.hidden, state.emphasis, state.scratch, made)
        out[:, FRAME * (wanted - frames) :] = np.clip(made, -LOUDEST, LOUDEST)
        return out
