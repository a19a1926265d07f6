"""Speech -> codes -> speech, compiled, in one piece or in many.

Task: encoder, quantizer and decoder as a codec holds them; their layers are `pcodec.soundstream.steps`.

Conventions: signals (320 T,) float32 in [-1, 1] at 16 kHz; codes (T, stages) int64, 50 a second; what is decoded comes
480 samples late. Weights are rounded to float16. The same samples and the same seed give the same codes and samples, in
one piece or in many.

Contents: `SoundStreamCoder`, `EncoderState`, `DecoderState`.
"""

from pathlib import Path

import numpy as np
import scipy.fft

from pcodec import PcodecError
from pcodec.compute.vector import LANES
from pcodec.learning import weights
from pcodec.soundstream import steps
from pcodec.soundstream.config import (
    BINS,
    CENTRE,
    CONTEXT,
    DELAY,
    FLOOR,
    FRAME,
    HOP,
    KERNEL,
    LOUDEST,
    OVERLAP,
    SPREAD,
    WINDOW,
    SoundStreamConfig,
)

HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
SCALED = np.float32(FLOOR), np.float32(CENTRE), np.float32(SPREAD)
AT_ONCE = 50  # frames: bounds the memory


def _each(transform, rows, width, kind):
    """The transform of each row, one by one: its bits do not depend on how many there are."""
    out = np.empty((len(rows), width), kind)
    for row, result in zip(rows, out, strict=True):
        result[:] = transform(row)
    return out


def _tails(width, blocks):
    return tuple(np.zeros((KERNEL - 1, width), np.float32) for _ in range(blocks))


class EncoderState:
    """What an encoder needs of the past; changed in place."""

    def __init__(self, config: SoundStreamConfig):
        self.samples = np.zeros(DELAY, np.float32)
        self.tails = _tails(config.encoder, config.encoder_blocks)


class DecoderState:
    """What a decoder needs of the past, and its noise; changed in place."""

    def __init__(self, config: SoundStreamConfig, seed: int):
        self.noise = np.random.default_rng(seed)
        self.latents = np.zeros((CONTEXT - 1, config.latent), np.float32)
        self.hidden = np.zeros((1, config.decoder), np.float32)
        self.tails = _tails(config.decoder, config.decoder_blocks)
        self.late_tails = _tails(config.late, config.late_blocks)
        self.overlap = np.zeros(DELAY, np.float32)


class SoundStreamCoder:
    """The codec's network, compiled."""

    CONFIG = SoundStreamConfig

    def __init__(self, config: SoundStreamConfig, arrays: dict[str, np.ndarray]):
        """Weights by name (`SoundStream.arrays`). Raises `PcodecError` if a layer's width is no multiple of 16."""
        for name in ("encoder", "latent", "decoder", "late", "words"):
            if getattr(config, name) % LANES:
                raise PcodecError(f"{name} must be a multiple of {LANES}, got {getattr(config, name)}")
        if config.quantizer != "averaged":
            raise PcodecError(f"compiled coding has averaged words, not {config.quantizer} ones")
        self.config = config
        arrays = {name: value.astype(np.float16).astype(np.float32) for name, value in arrays.items()}
        self.encoders = steps.fold_encoder(arrays, config.encoder_blocks)
        self.decoder = steps.fold_decoder(arrays, config.decoder_blocks, config.late_blocks)
        self.words = [steps.fold_words(arrays[f"quantizer.stages.{n}.words"]) for n in range(config.stages)]

    @classmethod
    def load(cls, path: str | Path) -> "SoundStreamCoder":
        """Raises `PcodecError` naming the file if it is missing or of another family."""
        config, arrays, _ = weights.read(path, SoundStreamConfig)
        return cls(config, arrays)

    def latents(self, state: EncoderState, samples: np.ndarray, denoise: bool = False) -> np.ndarray:
        """The next whole frames of a signal (320 T,) -> latents (T, D); with `denoise` those of its speech alone."""
        seen = np.concatenate([state.samples, np.asarray(samples, np.float32)])
        state.samples = seen[-DELAY:]
        levels = np.empty((len(samples) // HOP, BINS), np.float32)
        frames = np.empty((len(levels), WINDOW), np.float32)
        steps.framed(seen, HANN, HOP, frames)
        steps.log_levels(_each(scipy.fft.rfft, frames, BINS, np.complex64), *SCALED, levels)
        return steps.encode(self.encoders[denoise], levels.reshape(-1, FRAME // HOP * BINS), state.tails)

    def encode(
        self, state: EncoderState, samples: np.ndarray, stages: int | None = None, denoise: bool = False
    ) -> np.ndarray:
        """The next whole frames of a signal (320 T,) -> codes (T, stages); with `denoise` of its speech alone."""
        stages = self.config.stages if stages is None else stages
        if len(samples) % FRAME or not 1 <= stages <= self.config.stages:
            raise PcodecError(f"cannot encode {len(samples)} samples at {stages} stages")
        codes = np.zeros((len(samples) // FRAME, stages), np.int64)
        for begin in range(0, len(codes), AT_ONCE):
            left = self.latents(state, samples[FRAME * begin : FRAME * (begin + AT_ONCE)], denoise)
            for number, words in enumerate(self.words[:stages]):
                which = np.empty(len(left), np.int64)
                steps.look_up(words, left, which)
                codes[begin : begin + len(left), number] = which
        return codes

    def decode(self, state: DecoderState, codes: np.ndarray) -> np.ndarray:
        """The next codes (T, S), of the first S stages -> the next samples (320 T,), 480 samples late."""
        codes = np.asarray(codes)
        if codes.ndim != 2 or not 1 <= codes.shape[1] <= len(self.words):
            raise PcodecError(f"codes must be (frames, 1 to {len(self.words)}), got {codes.shape}")
        if codes.size and not 0 <= codes.min() <= codes.max() < self.config.words:
            raise PcodecError(f"codes must be 0 to {self.config.words - 1}, got {codes.min()} to {codes.max()}")
        parts = [np.zeros(0, np.float32)]
        for begin in range(0, len(codes), AT_ONCE):
            part = codes[begin : begin + AT_ONCE]
            latents = np.zeros((len(part), self.config.latent), np.float32)
            for words, of_stage in zip(self.words, part.T, strict=False):
                steps.add_up(words, np.ascontiguousarray(of_stage, dtype=np.int64), latents)
            parts.append(self.write(state, latents))
        return np.concatenate(parts)

    def write(self, state: DecoderState, latents: np.ndarray) -> np.ndarray:
        """The next latents (T, D) -> the next samples (320 T,), 480 samples late."""
        noise = state.noise.standard_normal((2 * len(latents), self.config.noise), dtype=np.float32)
        level, phase = steps.decode(
            self.decoder, latents, noise, state.latents, state.hidden, state.tails, state.late_tails
        )
        spectra = np.empty((len(level), BINS), np.complex64)
        steps.spectrum(level, phase, SCALED[1], SCALED[2], np.float32(LOUDEST), spectra)
        out = np.zeros(DELAY + HOP * len(spectra), np.float32)
        out[:DELAY] = state.overlap
        steps.overlap_add(_each(scipy.fft.irfft, spectra, WINDOW, np.float32), HANN / np.float32(OVERLAP), HOP, out)
        state.overlap = out[HOP * len(spectra) :].copy()
        return out[: HOP * len(spectra)]
