"""A codec that is learned end to end, on spectra: encoder, residual vector quantizer, decoder.

Task: SoundStream (Zeghidour et al. 2021, IEEE/ACM TASLP), whose layers work here on spectra at 50 and 100 frames/s
where the paper's work on samples: that learns many times faster on a processor core.

Conventions: signals (B, 320 T) in [-1, 1] at 16 kHz; latents (B, T, D), 50 a second; codes (B, T, S). What is decoded
comes `config.DELAY` samples late. Everything is causal: a latent vector has seen the samples of its frame and those
before.

Contents: `SoundStream`, `Encoder`, `Decoder`.
"""

from pcodec.compute.backend import torch
from pcodec.learning import network, vq
from pcodec.soundstream.config import (
    BINS,
    CENTRE,
    CONTEXT,
    DELAY,
    FLOOR,
    FRAME,
    HOP,
    LOUDEST,
    SPREAD,
    SoundStreamConfig,
)
from pcodec.soundstream.layers import Block, Switched, signal, spectra

nn = torch.nn


class Encoder(nn.Module):
    """Signals (B, 320 T) -> latents (B, T, D); with `denoise` (B,), 0 or 1, those of the speech alone where it is 1."""

    def __init__(self, config: SoundStreamConfig):
        super().__init__()
        self.inside = nn.Linear(FRAME // HOP * BINS, config.encoder)
        self.norm = Switched(config.encoder)
        self.blocks = nn.ModuleList(Block(config.encoder) for _ in range(config.encoder_blocks))
        self.last, self.latent = Switched(config.encoder), nn.Linear(config.encoder, config.latent)

    def forward(self, signals, denoise=None):
        levels = (torch.log(spectra(signals).abs() + FLOOR) - CENTRE) / SPREAD
        x = self.norm(self.inside(levels.unflatten(1, (-1, FRAME // HOP)).flatten(2)), denoise)
        for block in self.blocks:
            x = block(x)
        return self.latent(self.last(x, denoise))


class Decoder(nn.Module):
    """Latents (B, T, D) and noise (B, 2 T, N) -> signals (B, 320 T), 480 samples late."""

    def __init__(self, config: SoundStreamConfig):
        super().__init__()
        self.inside = nn.Linear(CONTEXT * config.latent, config.decoder)
        self.memory = nn.GRU(config.decoder, config.decoder, batch_first=True)
        self.blocks = nn.ModuleList(Block(config.decoder) for _ in range(config.decoder_blocks))
        self.up = nn.Linear(config.decoder, FRAME // HOP * config.late)
        self.noise = nn.Linear(config.noise, config.late, bias=False)
        self.late = nn.ModuleList(Block(config.late) for _ in range(config.late_blocks))
        self.norm = nn.LayerNorm(config.late)
        self.level = nn.Linear(config.late, BINS)
        self.phase = nn.Linear(config.late + config.noise, 2 * BINS)

    def forward(self, latents, noise):
        seen = [nn.functional.pad(latents, (0, 0, back, 0))[:, : latents.shape[1]] for back in range(CONTEXT)]
        x = self.inside(torch.cat(seen, dim=2))
        x = x + self.memory(x)[0]
        for block in self.blocks:
            x = block(x)
        x = self.up(x).unflatten(2, (FRAME // HOP, -1)).flatten(1, 2) + self.noise(noise)
        for block in self.late:
            x = block(x)
        x = self.norm(x)
        magnitude = torch.exp((SPREAD * self.level(x) + CENTRE).clamp(max=LOUDEST))
        real, imaginary = self.phase(torch.cat([x, noise], dim=2)).chunk(2, dim=2)
        length = (real.square() + imaginary.square() + 1e-8).rsqrt()
        return signal(torch.complex(magnitude * real * length, magnitude * imaginary * length))


class SoundStream(network.Network):
    """Encoder, quantizer and decoder."""

    CONFIG = SoundStreamConfig
    ADAPTED = "decoder."
    delay = DELAY  # samples by which what is written is late

    def __init__(self, config: SoundStreamConfig | None = None, seed: int | None = None):
        super().__init__(config or SoundStreamConfig())
        with network.seeded(seed):
            self.encoder, self.decoder = Encoder(self.config), Decoder(self.config)
            self.quantizer = vq.Residual(
                self.config.latent, self.config.stages, self.config.words, self.config.quantizer
            )

    def forward(self, latents, seed: int | None = None):
        """As `write`."""
        return self.write(latents, seed)

    def write(self, latents, seed: int | None = None):
        """Latents (B, T, D) -> signals (B, 320 T), with noise of a seed, or with PyTorch's next random numbers."""
        shape = len(latents), 2 * latents.shape[1], self.config.noise
        if seed is None:
            noise = torch.randn(shape, device=latents.device)
        else:  # the same on every machine
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(latents.device)
        return self.decoder(latents, noise)
