"""Networks that say the same in another voice: content through few words, prosody, a speaker's vector, a spectrum.

Task: (own) the hierarchical VQ-VAE of Ho and Akagi (2020), with which VC-PL (Ghosh et al. 2024) changes voices: three
encoders in a row, each halving the rate, three quantizers, three decoders back. Instance norm in the encoders takes
away what is constant in an utterance, the words take away the rest of the voice; the speaker's vector puts another one
in. (recognized) The words are k-means centres of a frozen recognizer's activations, and one decoder makes a spectrum of
them: the recipe of the VoicePrivacy challenge's baseline B5.

Unlike the paper's, decoders have no instance norm behind the speaker's vector, which it would take away again, and are
given the prosody, since the codec sends pitch beside the spectrum.

Conventions: spectra (B, T, 80) are `hearing.levelled`, 100 frames/s, T a multiple of `FRAMES`. Prosody (B, T, 3) is log
pitch where voiced, voicing, log energy. A voice is (B, 32), `pcodec.speakers`. Inside, convolutions are (B, width, T).

Contents: `Anonymizer`, `Converted`.
"""

from typing import NamedTuple

import numpy as np

from pcodec import PcodecError
from pcodec.anonymizer.config import AnonymizerConfig
from pcodec.compute.backend import torch
from pcodec.learning import network, recognizer, vq
from pcodec.learning.recognizer import MELS
from pcodec.speakers.voiceprint import UNITS

nn = torch.nn
PROSODY = 3
LATENT = 32  # numbers of a word
DILATIONS = (1, 2, 4)
FRAMES = 8  # in a step of the slowest stage: what T is a multiple of


class Converted(NamedTuple):
    """What an anonymizer makes of spectra."""

    mel: torch.Tensor  # (B, T, 80)
    loss: torch.Tensor  # scalar: what encoders are to learn for the words


class Anonymizer(network.Network):
    """Spectra, prosody and a voice -> spectra in that voice."""

    CONFIG = AnonymizerConfig

    def __init__(self, config: AnonymizerConfig, seed: int | None = None):
        super().__init__(config)
        with network.seeded(seed):
            self.register_buffer("to_bands", torch.zeros(MELS, 18))  # `spectra.matrix`
            w, words = config.width, config.words
            if config.content == "own":
                sizes = [MELS] + [w] * (len(words) - 1)
                self.encoders = nn.ModuleList(
                    _Encoder(size, w, last=i == len(words) - 1) for i, size in enumerate(sizes)
                )
                inputs = [LATENT + (w if i < len(words) - 1 else 0) for i in range(len(words))]
            else:
                self.register_buffer("mean", torch.zeros(recognizer.WIDTH))
                self.register_buffer("scale", torch.ones(recognizer.WIDTH))
                self.register_buffer("centres", torch.randn(words[0], recognizer.WIDTH))
                self.embedding = nn.Embedding(words[0], LATENT)
                inputs = [LATENT]
            self.quantizers = nn.ModuleList(
                vq.Residual(LATENT, 1, count) for count in (words if config.content == "own" else ())
            )
            self.decoders = nn.ModuleList(
                _Decoder(size, MELS if i == 0 else w, w, prosody=i == 0) for i, size in enumerate(inputs)
            )
        self.quantized = True

    @torch.no_grad()
    def start(self, mel, seed: int = 1) -> None:
        """Place the words of own encoders by k-means on what they make of training spectra (B, T, 80)."""
        for latents, quantizer in zip(self.latents(mel), self.quantizers, strict=True):
            quantizer.start(latents, seed)

    def latents(self, mel) -> list:
        """What own encoders make of spectra (B, T, 80): (B, T / 2, 32), (B, T / 4, 32) ..."""
        found, hidden = [], mel.transpose(1, 2)
        for encoder in self.encoders:
            both = encoder(hidden)
            latent, hidden = both[:, :LATENT], both[:, LATENT:]
            found.append(latent.transpose(1, 2))
        return found

    def codes(self, mel, heard=None) -> list:
        """Spectra (B, T, 80) -> words (B, T / 2), (B, T / 4) ..., that stand for what is said.

        `heard` are the recognizer's activations (B, T / 2, 384), where content is recognized.
        """
        if self.config.content == "own":
            return [
                quantizer.encode(latents)[..., 0]
                for latents, quantizer in zip(self.latents(mel), self.quantizers, strict=True)
            ]
        if heard is None:
            raise PcodecError("recognized content needs the recognizer's activations")
        rows = ((heard - self.mean) / self.scale).flatten(0, 1)
        nearest = (self.centres.square().sum(1) - 2.0 * rows @ self.centres.T).argmin(dim=1)
        return [nearest.view(heard.shape[:2])]

    def decode(self, codes: list, prosody, voice):
        """`codes`, prosody (B, T, 3) and voice (B, 32) -> spectra (B, T, 80)."""
        if self.config.content == "own":
            latents = [
                quantizer.decode(each[..., None]) for each, quantizer in zip(codes, self.quantizers, strict=True)
            ]
        else:
            latents = [self.embedding(codes[0])]
        return self._decoded(latents, prosody, voice)

    def _decoded(self, latents, prosody, voice):
        above = None
        for latent, decoder in zip(latents[::-1], list(self.decoders)[::-1], strict=True):
            inputs = latent.transpose(1, 2)
            above = decoder(inputs if above is None else torch.cat([inputs, above], dim=1), prosody, voice)
        return above.transpose(1, 2)

    def forward(self, mel, prosody, voice, codes: list | None = None) -> Converted:
        """Spectra through words and back. While training, words learn; before they are there they are left out.

        Recognized `codes` are given; own ones are found here.
        """
        if self.config.content == "recognized":
            if codes is None:
                raise PcodecError("recognized content needs its codes")
            return Converted(self.decode(codes, prosody, voice), mel.new_zeros(()))
        found = self.latents(mel)
        if not self.quantized:
            return Converted(self._decoded(found, prosody, voice), mel.new_zeros(()))
        through = [quantizer(latents) for latents, quantizer in zip(found, self.quantizers, strict=True)]
        loss = sum(each.loss for each in through)
        return Converted(self._decoded([each.latents for each in through], prosody, voice), loss)

    def place(self, heard: np.ndarray, seed: int = 1) -> None:
        """Words of recognized content, once and for all: k-means on training activations (N, 384)."""
        from sklearn.cluster import MiniBatchKMeans

        mean, scale = heard.mean(axis=0), heard.std(axis=0) + 1e-3
        rows = (heard - mean) / scale
        count = len(self.centres)
        if len(rows) < count:
            raise PcodecError(f"{len(rows)} steps of speech are too few for {count} words")
        clusters = MiniBatchKMeans(count, batch_size=4096, n_init=3, random_state=seed).fit(rows)
        for name, value in {"mean": mean, "scale": scale, "centres": clusters.cluster_centers_}.items():
            getattr(self, name).copy_(torch.from_numpy(np.asarray(value, np.float32)))


def _norm(width):
    """Takes away each channel's mean and scale over an utterance."""
    return nn.InstanceNorm1d(width)


def _same(inputs, outputs, kernel, dilation=1):
    """A convolution that keeps the length."""
    return nn.Conv1d(inputs, outputs, kernel, padding=dilation * (kernel - 1) // 2, dilation=dilation)


class _Cell(nn.Module):
    """A dilated convolution with a gate: what goes on to the next cell, and what is skipped ahead.

    With `voiced`, a speaker's vector is added before the gate.
    """

    def __init__(self, width, dilation, voiced):
        super().__init__()
        self.conv, self.norm = _same(width, 2 * width, 5, dilation), _norm(2 * width)
        self.further, self.skipped = _same(width, width, 5), _same(width, width, 5)
        self.voice = nn.Sequential(
            nn.Linear(UNITS, width), nn.ReLU(), nn.Linear(width, 2 * width)
        ) if voiced else None  # fmt: skip
        self.clean = nn.Identity() if voiced else _norm(width)

    def forward(self, x, voice=None):
        both = self.norm(self.conv(x))
        if self.voice is not None:
            both = both + self.voice(voice)[:, :, None]
        value, gate = both.chunk(2, dim=1)
        value = value.tanh() * gate.sigmoid()
        return x + self.clean(self.further(value)), self.clean(self.skipped(value))


class _Stack(nn.Module):
    def __init__(self, width, voiced):
        super().__init__()
        self.cells = nn.ModuleList(_Cell(width, dilation, voiced) for dilation in DILATIONS)

    def forward(self, x, voice=None):
        total = 0.0
        for cell in self.cells:
            x, skipped = cell(x, voice)
            total = total + skipped
        return total


class _Encoder(nn.Module):
    """(B, inputs, T) -> (B, 32 + width, T / 2), the latents first; the last one has no more than these."""

    def __init__(self, inputs, width, last):
        super().__init__()
        self.first, self.halving = _same(inputs, 2 * width, 15), nn.Conv1d(width, 2 * width, 8, 2, padding=3)
        self.norm_1, self.norm_2 = _norm(2 * width), _norm(2 * width)
        self.stack = _Stack(width, voiced=False)
        self.second = _same(width, 2 * width, 5)
        self.out = nn.Conv1d(width, LATENT + (0 if last else width), 1)

    def forward(self, x):
        x = nn.functional.glu(self.first(x), dim=1)
        x = nn.functional.glu(self.norm_1(self.halving(x)), dim=1)
        return self.out(nn.functional.glu(self.norm_2(self.second(self.stack(x))), dim=1))


class _Decoder(nn.Module):
    """(B, inputs, T / 2) -> (B, outputs, T), in a voice; with `prosody`, which is at T."""

    def __init__(self, inputs, outputs, width, prosody):
        super().__init__()
        self.first, self.twice = _same(inputs, 2 * width, 5), nn.ConvTranspose1d(width, 2 * width, 8, 2, padding=3)
        self.prosody = _same(PROSODY, width, 5) if prosody else None
        self.stack = _Stack(width, voiced=True)
        self.second, self.out = _same(width, 2 * width, 5), _same(width, outputs, 15 if prosody else 5)

    def forward(self, x, prosody, voice):
        x = nn.functional.glu(self.first(x), dim=1)
        x = nn.functional.glu(self.twice(x), dim=1)
        if self.prosody is not None:
            x = x + self.prosody(prosody.transpose(1, 2))
        return self.out(nn.functional.glu(self.second(self.stack(x, voice)), dim=1))
