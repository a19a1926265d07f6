"""Critics: networks that learn to tell what a decoder wrote from what is true, and so teach it what losses do not see.

Task: each looks at complex spectra of one resolution, compressed so that quiet and high regions count (magnitudes to
the power of 0.3), and judges every region of them. They are small enough to train on a processor core.

Conventions: signals (B, samples); scores (B, 1, bins, frames) are 1 for true and 0 for found ones (least squares, Mao
et al. 2017). A critic's layers are features that a decoder should reproduce, too.

Contents: `Critics`, `Critic`, `WINDOWS`.
"""

from pcodec.compute.backend import torch
from pcodec.learning import network

nn = torch.nn
COMPRESSION = 0.3
SLOPE = 0.2  # of leaky rectifiers
CHANNELS = 16, 24, 32  # of the layers that halve the frequencies
LAST = 32  # of the one that follows
WINDOWS = (1024, 256)  # samples: one tells harmonics of any voice apart, one its single periods


class Critic(nn.Module):
    """Signals (B, samples) -> scores and layers (each (B, channels, bins, frames))."""

    def __init__(self, window: int, seed: int | None = None):
        super().__init__()
        self.window = window  # samples; a quarter from one spectrum to the next
        norm = nn.utils.parametrizations.weight_norm
        with network.seeded(seed):
            layers, before = [], 3  # real and imaginary part, and the frequency
            for channels in CHANNELS:
                layers.append(norm(nn.Conv2d(before, channels, (5, 3), stride=(2, 1), padding=(2, 1))))
                before = channels
            layers.append(norm(nn.Conv2d(before, LAST, 3, padding=1)))
            self.layers = nn.ModuleList(layers)
            self.score = norm(nn.Conv2d(LAST, 1, 3, padding=1))

    def forward(self, signals):
        spectra = torch.stft(
            signals, self.window, self.window // 4, self.window, torch.hann_window(self.window, device=signals.device),
            center=True, pad_mode="constant", return_complex=True,
        )  # fmt: skip
        power = spectra.real.square() + spectra.imag.square() + 1e-9
        compressed = power ** ((COMPRESSION - 1) / 2)
        bins = torch.linspace(-1, 1, spectra.shape[1], device=signals.device)[:, None].expand(spectra.shape)
        x = torch.stack([spectra.real * compressed, spectra.imag * compressed, bins], dim=1)
        layers = []
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), SLOPE)
            layers.append(x)
        return self.score(x), layers


class Critics(nn.Module):
    """Several critics with different windows, in samples."""

    def __init__(self, windows: tuple[int, ...] = WINDOWS, seed: int | None = None):
        super().__init__()
        self.critics = nn.ModuleList(Critic(window, seed) for window in windows)

    def loss(self, found, true):
        """What they learn from: 0.5 (mean of squared scores of `found` + that of 1 less those of `true`)."""
        each = [critic(found)[0].square().mean() + (1.0 - critic(true)[0]).square().mean() for critic in self.critics]
        return 0.5 * torch.stack(each).mean()

    def decoder_losses(self, found, true) -> tuple:
        """What a decoder learns from them: (how far they are from deceived, relative difference of their layers)."""
        self.requires_grad_(False)  # their own gradients are not asked for
        deceiving, matching = [], []
        for critic in self.critics:
            score, layers = critic(found)
            _, wanted = critic(true)
            deceiving.append((1.0 - score).square().mean())
            matching += [
                (own - other).abs().mean() / other.abs().mean() for own, other in zip(layers, wanted, strict=True)
            ]
        self.requires_grad_(True)
        return torch.stack(deceiving).mean(), torch.stack(matching).mean()
