"""The networks of the semantic codec.

Task: what is said is a frozen recognizer's activations, projected, and the nearest of some frozen centres of k-means;
those who have no recognizer use a student that learned to find the same projections. How it sounds is what an encoder
of the codec's features keeps of the rest in one word of another codebook. Two decoders read the same tokens: a
regressor, which says what the features are on average, and a diffusion model, which draws features as speech has them
(SemantiCodec, Liu et al. 2024; v-prediction, Salimans & Ho 2022), starting from the regressor's.

Unlike the paper's, there is no autoencoder of spectra: the codec's 20 features per 10 ms are already few. All layers
are convolutions, so that any length can be decoded in windows.

Conventions: features (B, T, 20) are `tokens.normalized`, T a multiple of 8; what is said is `content` (B, T / 2, D), 50
per second; a voice is (B, 32), zeros where it is not known. Inside, convolutions are (B, channels, T).

Contents: `Semantic`, `Regressed`, `Projection`.
"""

import math
from typing import NamedTuple

import numpy as np

from pcodec.compute.backend import torch
from pcodec.features.analysis import COLUMNS
from pcodec.learning import network, recognizer, vq
from pcodec.semantic.config import ACOUSTIC, EVERY, STEP, VOCABULARIES, Rate, SemanticConfig
from pcodec.speakers.voiceprint import UNITS

nn = torch.nn
WIDTH = len(COLUMNS)
TIMES = 64  # numbers that stand for the time of diffusion


class Regressed(NamedTuple):
    """What the regressor makes of tokens."""

    features: torch.Tensor  # (B, T, 20)
    hidden: torch.Tensor  # (B, channels, T), what the diffusion model is told


class Semantic(network.Network):
    """Encoders, codebooks and both decoders."""

    CONFIG = SemanticConfig

    def __init__(self, config: SemanticConfig, seed: int | None = None):
        super().__init__(config)
        with network.seeded(seed):
            self.register_buffer("mean", torch.zeros(WIDTH))  # of features, and their spread
            self.register_buffer("spread", torch.ones(WIDTH))
            self.projection = Projection(config.content)
            self.student = _Student(config.student, config.content)
            self.semantic = nn.ModuleDict({
                f"{steps}-{size}": _Centres(size, steps * config.content)
                for steps, sizes in VOCABULARIES.items() for size in sizes
            })  # fmt: skip
            self.acoustic = nn.ModuleDict({
                f"{steps}-{size}": vq.Averaged(config.latent, size) for steps, sizes in ACOUSTIC.items()
                for size in sizes
            })  # fmt: skip
            self.encoder = _Encoder(config)
            self.regressor = _Regressor(config)
            self.diffusion = _Diffusion(config)

    def learn_from(self, other: "Semantic") -> None:
        """Take over how another one, of the same sizes there, finds what is said."""
        self.projection.load_state_dict(other.projection.state_dict())
        self.student.load_state_dict(other.student.state_dict())

    def semantic_tokens(self, content, rate: Rate):
        """Content (B, T / 2, D) -> tokens (B, pairs) int64."""
        joined = content.unflatten(1, (-1, rate.steps)).flatten(2)
        return self.semantic[f"{rate.steps}-{rate.semantic}"].nearest(joined.flatten(0, 1)).view(joined.shape[:2])

    def content_of(self, tokens, rate: Rate):
        """Semantic tokens (B, pairs) -> content (B, T / 2, D), as the receiver has it."""
        centres = self.semantic[f"{rate.steps}-{rate.semantic}"].words
        return centres[tokens].unflatten(-1, (rate.steps, -1)).flatten(1, 2)

    def latents(self, features, content, sent, steps: int):
        """How features (B, T, 20) sound whose `content` is sent as `sent`: acoustic vectors (B, pairs, 32)."""
        return self.encoder(features, content, sent, steps)

    def acoustic_tokens(self, features, content, sent, rate: Rate):
        """Tokens (B, pairs) int64."""
        latents = self.latents(features, content, sent, rate.steps)
        return self.acoustic[f"{rate.steps}-{rate.acoustic}"].nearest(latents.flatten(0, 1)).view(latents.shape[:2])

    def words_of(self, tokens, rate: Rate):
        """Acoustic tokens (B, pairs) -> acoustic words (B, pairs, 32)."""
        return self.acoustic[f"{rate.steps}-{rate.acoustic}"].word(tokens)

    def regress(self, content, words, voice, steps: int, said=None, sounding=None) -> Regressed:
        """Features, on average, of content (B, T / 2, D), acoustic words (B, pairs, 32) and voice (B, 32).

        Where `said` or `sounding` (B,) bool are false, there is no such stream.
        """
        return self.regressor(content, words, voice, steps, said, sounding)


class Projection(nn.Module):
    """What of a recognizer's activations is kept: principal components of the standardized ones."""

    def __init__(self, size):
        super().__init__()
        self.register_buffer("mean", torch.zeros(recognizer.WIDTH))
        self.register_buffer("components", torch.zeros(recognizer.WIDTH, size))

    def place(self, heard: np.ndarray) -> None:
        """On training activations (N, 384)."""
        mean, scale = heard.mean(axis=0), heard.std(axis=0) + 1e-3
        rows = (heard - mean) / scale
        values, vectors = np.linalg.eigh((rows.T @ rows / len(rows)).astype(np.float64))
        kept = vectors[:, ::-1][:, : self.components.shape[1]] / math.sqrt(values[-self.components.shape[1] :].mean())
        self.mean.copy_(torch.from_numpy(mean))
        self.components.copy_(torch.from_numpy((kept / scale[:, None]).astype(np.float32)))

    def forward(self, heard):
        """Activations (..., 384) -> content (..., D), of mean square 1."""
        return (heard - self.mean) @ self.components


class _Centres(nn.Module):
    """Frozen words of what is said."""

    def __init__(self, size, width):
        super().__init__()
        self.words = nn.Parameter(torch.randn(size, width), requires_grad=False)

    def nearest(self, rows):
        """(N, width) -> (N,)"""
        with torch.no_grad():
            return (self.words.square().sum(1) - 2.0 * rows @ self.words.T).argmin(dim=1)


def _normed(x):
    """(B, channels, T) with a mean square of 1 at each time: what is far away has no part in it."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-5)


def _conv(inputs, outputs, kernel=3, dilation=1):
    """A convolution that keeps the length."""
    return nn.Conv1d(inputs, outputs, kernel, padding=dilation * (kernel - 1) // 2, dilation=dilation)


class _Block(nn.Module):
    """Two convolutions, added to what they read; between them a condition scales and shifts (FiLM)."""

    def __init__(self, width, dilation=1, condition=0):
        super().__init__()
        self.first, self.second = _conv(width, width, 3, dilation), _conv(width, width)
        self.film = nn.Linear(condition, 2 * width) if condition else None
        nn.init.zeros_(self.second.weight)

    def forward(self, x, condition=None):
        h = self.first(nn.functional.silu(_normed(x)))
        if self.film is not None:
            scale, shift = self.film(condition)[..., None].chunk(2, dim=1)
            h = h * (1.0 + scale) + shift
        return x + self.second(nn.functional.silu(h))


class _Student(nn.Module):
    """Levelled mel spectra (B, T, 80) -> content (B, T / 2, D), without a recognizer."""

    def __init__(self, width, content):
        super().__init__()
        self.first = nn.Conv1d(recognizer.MELS, width, 4, STEP, padding=1)
        self.blocks = nn.ModuleList(_Block(width, dilation) for dilation in (1, 2, 4, 8, 1, 2, 4, 8))
        self.out = _conv(width, content, 1)

    def forward(self, mel):
        x = self.first(mel.transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        return self.out(_normed(x)).transpose(1, 2)


class _Encoder(nn.Module):
    """Features and what is said, as it is and as it is sent -> acoustic vectors of pairs of 2 or 4 steps."""

    def __init__(self, config):
        super().__init__()
        width = config.encoder
        self.first, self.halving = _conv(WIDTH, width, 5), nn.Conv1d(width, width, 4, 2, padding=1)
        self.said = _conv(2 * config.content, width)
        self.blocks = nn.ModuleList(_Block(width, dilation) for dilation in (1, 2, 4))
        self.joined = nn.Conv1d(width, width, 4, 2, padding=1)
        self.later = _Block(width)
        self.again = nn.Conv1d(width, width, 4, 2, padding=1)
        self.out = nn.ModuleDict({"2": _conv(width, config.latent, 1), "4": _conv(width, config.latent, 1)})

    def forward(self, features, content, sent, steps):
        x = self.halving(nn.functional.silu(self.first(features.transpose(1, 2))))
        x = x + self.said(torch.cat([content, sent], dim=-1).transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        x = self.later(self.joined(x))
        if steps == 4:
            x = self.again(nn.functional.silu(x))
        return self.out[str(steps)](_normed(x)).transpose(1, 2)


class _Regressor(nn.Module):
    """Content, acoustic words and a voice -> features, on average."""

    def __init__(self, config):
        super().__init__()
        width, places = config.regressor, EVERY // STEP
        self.places = places
        self.first = _conv(config.content + config.latent + places + 2 + 1, width)  # with the place in a pair, ...
        self.blocks = nn.ModuleList(_Block(width, dilation, UNITS) for dilation in (1, 2, 4, 8))
        self.twice = nn.ConvTranspose1d(width, width, 4, 2, padding=1)
        self.later = nn.ModuleList(_Block(width, 1, UNITS) for _ in range(2))
        self.out = _conv(width, WIDTH, 1)

    def forward(self, content, words, voice, steps, said=None, sounding=None):
        count = len(content)
        every = torch.ones(count, dtype=torch.bool, device=content.device)
        said, sounding = (every if each is None else each for each in (said, sounding))
        held = words.repeat_interleave(steps, dim=1)
        place = torch.eye(self.places, device=content.device)[torch.arange(content.shape[1]) % steps]
        flags = torch.stack([said, sounding, torch.full_like(said, steps == 4)], dim=1).float()
        x = torch.cat([
            content * said[:, None, None], held * sounding[:, None, None], place.expand(count, -1, -1),
            flags[:, None].expand(-1, content.shape[1], -1),
        ], dim=-1)  # fmt: skip
        x = self.first(x.transpose(1, 2))
        for block in self.blocks:
            x = block(x, voice)
        x = self.twice(x)
        for block in self.later:
            x = block(x, voice)
        x = _normed(x)
        return Regressed(self.out(x).transpose(1, 2), x)


class _Diffusion(nn.Module):
    """Noisy features (B, T, 20), time (B,) and what the regressor found -> v (B, T, 20): a U-Net of three paces."""

    def __init__(self, config):
        super().__init__()
        a, b, c = config.diffusion
        size = 2 * b
        self.time = nn.Sequential(nn.Linear(TIMES, size), nn.SiLU(), nn.Linear(size, size), nn.SiLU())
        self.voice = nn.Linear(UNITS, size)
        self.first, self.told = _conv(2 * WIDTH, a), _conv(config.regressor, a)
        self.down = nn.ModuleList([nn.Conv1d(a, b, 4, 2, padding=1), nn.Conv1d(b, c, 4, 2, padding=1)])
        self.up = nn.ModuleList([
            nn.ConvTranspose1d(b, a, 4, 2, padding=1), nn.ConvTranspose1d(c, b, 4, 2, padding=1)
        ])  # fmt: skip
        self.before = nn.ModuleList(_Block(width, 1, size) for width in (a, b))
        self.middle = nn.ModuleList(_Block(c, dilation, size) for dilation in (1, 2, 4))
        self.after = nn.ModuleList(_Block(width, 1, size) for width in (a, b))
        self.last = nn.ModuleList(_Block(width, 1, size) for width in (a, b))
        self.out = _conv(a, WIDTH, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, noisy, time, regressed: Regressed, voice):
        told = self.time(_times(time)) + self.voice(voice)
        x = self.first(torch.cat([noisy, regressed.features], dim=-1).transpose(1, 2)) + self.told(regressed.hidden)
        kept = []
        for block, down in zip(self.before, self.down, strict=True):
            x = block(x, told)
            kept.append(x)
            x = down(x)
        for block in self.middle:
            x = block(x, told)
        for number in (1, 0):
            x = self.up[number](x) + kept[number]
            x = self.last[number](self.after[number](x, told), told)
        return self.out(_normed(x)).transpose(1, 2)


def _times(time):
    """Times (B,) in 0 .. 1 -> (B, 64) cosines and sines."""
    rates = torch.exp(torch.linspace(0.0, math.log(1000.0), TIMES // 2, device=time.device))
    return torch.cat([torch.cos(time[:, None] * rates), torch.sin(time[:, None] * rates)], dim=1)
