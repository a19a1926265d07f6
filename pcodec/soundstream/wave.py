"""SoundStream as in its paper: convolutions on samples.

Task: the encoder halves time by strides of 2, 4, 5 and 8 until 320 samples are one vector, and the decoder mirrors it
(SoundStream, Zeghidour et al. 2021, sections III-A and III-B). It learns from the same losses, with the same quantizer,
as the codec on spectra, which costs a tenth and is what ships; this one is there to be compared with.

Conventions: signals (B, 320 T) in [-1, 1] at 16 kHz; latents (B, T, D). Inside, (B, channels, time). Convolutions are
padded on the left alone: nothing of the future is seen, and what is decoded is not late.

Contents: `WaveStream`, `WaveConfig`, `WAVES`.
"""

from dataclasses import dataclass
from typing import ClassVar

from pcodec.compute.backend import torch
from pcodec.learning import network, vq

nn = torch.nn
STRIDES = 2, 4, 5, 8
DILATIONS = 1, 3, 9
KERNEL = 7


@dataclass(frozen=True)
class WaveConfig:
    """Channels of the first layer; each stride doubles them."""

    FAMILY: ClassVar[str] = "soundstream-wave"

    channels: int = 16
    latent: int = 64
    stages: int = 8  # of the quantizer
    words: int = 256  # of each stage
    quantizer: str = "averaged"  # a kind of `pcodec.learning.vq.KINDS`

    @property
    def size(self) -> str:
        """Its name in `WAVES`, as in the names of files."""
        return next((name for name, config in WAVES.items() if config == self), "other")


WAVES = {"wave-16": WaveConfig(), "wave-8": WaveConfig(channels=8)}


class Conv(nn.Module):
    """A causal convolution, (B, before, N) -> (B, after, N / stride)."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.past = dilation * (kernel - 1) + 1 - stride
        self.conv = nn.Conv1d(before, after, kernel, stride=stride, dilation=dilation)

    def forward(self, x):
        return self.conv(nn.functional.pad(x, (self.past, 0)))


class Up(nn.Module):
    """A causal transposed convolution, (B, before, N) -> (B, after, stride N); each input is heard for 2 stride."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.stride, self.conv = stride, nn.ConvTranspose1d(before, after, 2 * stride, stride)

    def forward(self, x):
        return self.conv(x)[..., : -self.stride]


class Unit(nn.Module):
    """A residual unit: a dilated convolution and one of a single sample, added (figure 3 of the paper)."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.wide, self.single = Conv(channels, channels, KERNEL, dilation=dilation), nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        return x + self.single(nn.functional.elu(self.wide(nn.functional.elu(x))))


class Encoder(nn.Module):
    """Signals (B, 320 T) -> latents (B, T, D)."""

    def __init__(self, config: WaveConfig):
        super().__init__()
        layers, channels = [Conv(1, config.channels, KERNEL)], config.channels
        for stride in STRIDES:
            layers += [*(Unit(channels, dilation) for dilation in DILATIONS), nn.ELU()]
            layers.append(Conv(channels, 2 * channels, 2 * stride, stride=stride))
            channels *= 2
        self.layers = nn.Sequential(*layers, nn.ELU(), Conv(channels, config.latent, 3))

    def forward(self, signals):
        return self.layers(signals[:, None]).transpose(1, 2)


class Decoder(nn.Module):
    """Latents (B, T, D) -> signals (B, 320 T)."""

    def __init__(self, config: WaveConfig):
        super().__init__()
        channels = config.channels * 2 ** len(STRIDES)
        layers = [Conv(config.latent, channels, KERNEL)]
        for stride in reversed(STRIDES):
            layers += [nn.ELU(), Up(channels, channels // 2, stride)]
            channels //= 2
            layers += [Unit(channels, dilation) for dilation in DILATIONS]
        self.layers = nn.Sequential(*layers, nn.ELU(), Conv(channels, 1, KERNEL), nn.Tanh())

    def forward(self, latents):
        return self.layers(latents.transpose(1, 2))[:, 0]


class WaveStream(network.Network):
    """Encoder, quantizer and decoder, on samples."""

    CONFIG = WaveConfig
    delay = 0  # samples by which what is written is late

    def __init__(self, config: WaveConfig | None = None, seed: int | None = None):
        super().__init__(config or WaveConfig())
        with network.seeded(seed):
            self.encoder, self.decoder = Encoder(self.config), Decoder(self.config)
            self.quantizer = vq.Residual(
                self.config.latent, self.config.stages, self.config.words, self.config.quantizer
            )

    def write(self, latents, seed: int | None = None):
        """Latents (B, T, D) -> signals (B, 320 T). It hears no noise: `seed` is for its like."""
        return self.decoder(latents)
