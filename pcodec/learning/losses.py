"""What a signal should be like: losses between what a network wrote and what is true.

Conventions: signals (B, samples); losses (B,), one of each signal, so that unseen speech can be compared utterance by
utterance.

Contents: `root_spectral`, `energy_distance`, `continuity`, `roots`, `apart`, `WINDOWS`.
"""

from pcodec.compute.backend import torch

WINDOWS = (2560, 1280, 640, 320, 160, 80)  # samples; a quarter from one to the next


def magnitudes(signals, window: int):
    """(B, samples) -> Hann-windowed magnitude spectra (B, bins, frames), with a gradient at zero."""
    hann = torch.hann_window(window, device=signals.device)
    spectra = torch.stft(
        signals, window, window // 4, window, hann, center=True, pad_mode="constant", return_complex=True
    )
    return (spectra.real.square() + spectra.imag.square() + 1e-12).sqrt()


def roots(signals, windows=WINDOWS) -> list:
    """(B, samples) -> square roots of the magnitude spectra at each resolution."""
    return [magnitudes(signals, window).sqrt() for window in windows]


def apart(found: list, other: list, true: list):
    """Mean over resolutions of sum |found - other| / sum true, of `roots` each: (B,)."""
    each = [(y - z).abs().sum(dim=(1, 2)) / x.sum(dim=(1, 2)) for y, z, x in zip(found, other, true, strict=True)]
    return torch.stack(each).mean(dim=0)


def root_spectral(found, true):
    """sum |sqrt|Y| - sqrt|X|| / sum sqrt|X|, mean over resolutions (FARGAN, Valin et al. 2024, section III)."""
    true = roots(true)
    return apart(roots(found), true, true)


def energy_distance(first, second, true):
    """How far two signals, found with different noise, are from the true one, less half of how far they are apart.

    The mean of `root_spectral` alone is smallest for the median of what could be true: noise becomes a buzz that is the
    same every time. This is smallest if what is found has the distribution of what is true (Gritsenko et al. 2020).
    """
    first, second, true = roots(first), roots(second), roots(true)
    return 0.5 * (apart(first, true, true) + apart(second, true, true) - apart(first, second, true))


def continuity(found, true):
    """1 - cosine of the angle between two stretches: what was written goes on where the true past ended."""
    return 1.0 - torch.nn.functional.cosine_similarity(found, true, dim=1, eps=1e-6)
