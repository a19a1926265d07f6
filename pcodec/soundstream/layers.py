"""The layers of the codec that is learned end to end: each sees the present and the past, never the future.

Task: spectra that end where their frame ends, blocks of convolution over time, and the way back from spectra to sound.

Conventions: sequences are (B, T, width); signals (B, samples). Before its beginning a sequence is zero.

Contents: `spectra`, `signal`, `CausalConv`, `Block`, `Switched`.
"""

from pcodec.compute.backend import torch
from pcodec.soundstream.config import EXPANSION, HOP, KERNEL, OVERLAP, WINDOW

nn = torch.nn
SCALE = 1e-3  # of what a block adds, at the beginning of training (Liu et al. 2022 have 1e-6 for deeper networks)


def window(like):
    """The Hann window (640,)."""
    return torch.hann_window(WINDOW, dtype=like.dtype, device=like.device)


def spectra(signals):
    """Signals (B, 160 T) -> complex spectra (B, T, 321), each of the 640 samples that end with its own 160."""
    padded = nn.functional.pad(signals, (WINDOW - HOP, 0))
    return torch.fft.rfft(padded.unfold(1, WINDOW, HOP) * window(signals))


def signal(spectra):
    """Spectra (B, T, 321) -> signals (B, 160 T), 480 samples late: the inverse of `spectra`, windows overlap-added."""
    frames = torch.fft.irfft(spectra, n=WINDOW) * (window(spectra.real) / OVERLAP)
    parts = frames.unflatten(-1, (WINDOW // HOP, HOP)).unbind(dim=2)
    return sum(nn.functional.pad(part, (0, 0, late, 0))[:, : part.shape[1]] for late, part in enumerate(parts)).flatten(
        1
    )


class Switched(nn.LayerNorm):
    """Layer norm, scaled and shifted once more where a switch is on (FiLM; SoundStream, section III-E).

    Off, it is a layer norm; so is it on, until it has learned.
    """

    def __init__(self, width: int):
        super().__init__(width)
        self.gains, self.offsets = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x, switch=None):
        """x (B, T, width), switch (B,) 0 or 1, or None for off."""
        x = super().forward(x)
        if switch is None:
            return x
        switch = switch[:, None, None]
        return x * (1.0 + switch * self.gains) + switch * self.offsets


class CausalConv(nn.Module):
    """Convolution over time of each channel by itself, (B, T, width) -> the same."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv1d(width, width, KERNEL, groups=width)

    def forward(self, x):
        return self.conv(nn.functional.pad(x.transpose(1, 2), (KERNEL - 1, 0))).transpose(1, 2)


class Block(nn.Module):
    """A ConvNeXt block (Liu et al. 2022), causal: convolution over time, then a network at each frame, added."""

    def __init__(self, width: int):
        super().__init__()
        self.conv, self.norm = CausalConv(width), nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, EXPANSION * width), nn.Linear(EXPANSION * width, width)
        self.scale = nn.Parameter(torch.full((width,), SCALE))

    def forward(self, x):
        return x + self.scale * self.narrow(nn.functional.gelu(self.wide(self.norm(self.conv(x))), approximate="tanh"))
