"""What a signal should be like: losses between what a network wrote and what is true.

Conventions: signals (B, samples); losses (B,), one of each signal, so that unseen speech can be compared utterance by
utterance.

Contents: `root_spectral`, `continuity`, `balanced`, `WINDOWS`.
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


def root_spectral(found, true):
    """sum |sqrt|Y| - sqrt|X|| / sum sqrt|X|, mean over resolutions (FARGAN, Valin et al. 2024, section III)."""
    parts = []
    for window in WINDOWS:
        y, x = magnitudes(found, window).sqrt(), magnitudes(true, window).sqrt()
        parts.append((y - x).abs().sum(dim=(1, 2)) / x.sum(dim=(1, 2)))
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
