"""What a signal should be like: losses between what a network wrote and what is true.

Conventions: signals (B, samples); losses (B,), one of each signal, so that unseen speech can be compared utterance by
utterance.

Contents: `root_spectral`, `log_mel`, `continuity`, `balanced`, `WINDOWS`, `MELS`.
"""

import functools

import numpy as np

from pcodec.compute.backend import torch

WINDOWS = (2560, 1280, 640, 320, 160, 80)  # samples; a quarter from one to the next
MELS = {2048: 160, 1024: 80, 512: 40, 256: 20, 128: 10}  # window in samples: bands, about as wide as a bin at least
FLOOR = 1e-3  # of a band's magnitude, of a full-scale tone's 512 in a window of 2048 samples


def magnitudes(signals, window: int):
    """(B, samples) -> Hann-windowed magnitude spectra (B, bins, frames), with a gradient at zero."""
    hann = torch.hann_window(window, device=signals.device)
    spectra = torch.stft(
        signals, window, window // 4, window, hann, center=True, pad_mode="constant", return_complex=True
    )
    return (spectra.real.square() + spectra.imag.square() + 1e-12).sqrt()


def root_spectral(found, true, windows=WINDOWS):
    """sum |sqrt|Y| - sqrt|X|| / sum sqrt|X|, mean over resolutions (FARGAN, Valin et al. 2024, section III)."""
    parts = []
    for window in windows:
        y, x = magnitudes(found, window).sqrt(), magnitudes(true, window).sqrt()
        parts.append((y - x).abs().sum(dim=(1, 2)) / x.sum(dim=(1, 2)))
    return torch.stack(parts).mean(dim=0)


@functools.cache
def mel_bands(window: int, bands: int, rate: int = 16000, device: torch.device | str = "cpu"):
    """Triangles (bins, bands) that are evenly spaced in mels, from 0 to half the rate, and overlap by half.

    mel(f) = 2595 log10(1 + f / 700) (O'Shaughnessy 1987). A band's weights add up to one.
    """
    edges = 700.0 * (10.0 ** (np.linspace(0.0, 2595.0 * np.log10(1.0 + rate / 1400.0), bands + 2) / 2595.0) - 1.0)
    bins = np.arange(window // 2 + 1)[:, None] * rate / window
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    weights = np.clip(np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)), 0.0, None)
    return torch.from_numpy((weights / weights.sum(axis=0)).astype(np.float32)).to(device)


def log_mel(found, true, windows=tuple(MELS)):
    """| log mel |Y| - log mel |X| |, mean over bands, frames and resolutions (DAC, Kumar et al. 2023, section 3.4).

    Nepers; where both are under `FLOOR` there is no difference.
    """
    parts = []
    for window in windows:
        bands = mel_bands(window, MELS[window], device=found.device)
        y, x = (torch.log(magnitudes(signals, window).transpose(1, 2) @ bands + FLOOR) for signals in (found, true))
        parts.append((y - x).abs().mean(dim=(1, 2)))
    return torch.stack(parts).mean(dim=0)


def continuity(found, true):
    """1 - cosine of the angle between two stretches: what was written goes on where the true past ended."""
    return 1.0 - torch.nn.functional.cosine_similarity(found, true, dim=1, eps=1e-6)


def balanced(signals, first, others: list[tuple]):
    """The loss `first` with the gradients of `others`, (loss, share) each, in fixed proportions to its own.

    At `signals`, what a network wrote, the gradient of another loss has the norm of the first one's times its share:
    none takes over when its scale changes (the loss balancer of Defossez et al. 2022, section 3.4). The value is that
    of `first`.
    """
    (own,) = torch.autograd.grad(first, signals)
    gradient = own.clone()
    for loss, share in others:
        (other,) = torch.autograd.grad(loss, signals, retain_graph=True)
        gradient += share * own.norm() / other.norm().clamp_min(1e-12) * other
    product = (signals * gradient).sum()
    return product - product.detach() + first.detach()
