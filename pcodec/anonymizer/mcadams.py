"""Another voice without learning: formants move by the McAdams coefficient.

Task: baseline B2 of the VoicePrivacy challenge (Patino et al. 2021). Linear prediction splits a frame into residual and
poles; the angle phi of a complex pole becomes sign(phi) |phi|^alpha, so that with alpha < 1 formants under 2.5 kHz rise
and those above fall; the residual goes through the new filter.

Conventions: signals (samples,) at 16 kHz in [-1, 1]. Frames of 20 ms, every 10 ms, square roots of Hann windows.

Contents: `convert`, `draw_alpha`.
"""

import numpy as np
import scipy.linalg
import scipy.signal

from pcodec import PcodecError

WINDOW, HOP = 320, 160  # samples
ORDER = 20  # of linear prediction
LOWEST, HIGHEST = 0.5, 0.9  # of alpha, drawn for an utterance
FLOOR = 1e-9  # of the residual's power, in the signal's: keeps silence and pure tones solvable


def draw_alpha(rng: np.random.Generator) -> float:
    """A coefficient as the challenge draws it, for an utterance."""
    return float(rng.uniform(LOWEST, HIGHEST))


def convert(samples: np.ndarray, alpha: float) -> np.ndarray:
    """A signal with its formants moved, float32, as long, with the same peak.

    Raises `PcodecError` for alpha <= 0.
    """
    if not alpha > 0:
        raise PcodecError(f"the McAdams coefficient must be above 0, got {alpha}")
    samples = np.asarray(samples, dtype=np.float64)
    padded = np.pad(samples, (HOP, HOP + -len(samples) % HOP))
    out, window = np.zeros(len(padded)), np.sqrt(scipy.signal.windows.hann(WINDOW, sym=False))
    count = len(padded) // HOP - 1
    for start in range(0, count * HOP, HOP):
        frame = slice(start, start + WINDOW)
        out[frame] += window * _moved(window * padded[frame], alpha)
    out = out[HOP : HOP + len(samples)]
    peak = np.abs(out).max(initial=0.0)
    return (out * (np.abs(samples).max(initial=0.0) / peak if peak else 1.0)).astype(np.float32)


def _moved(frame, alpha):
    """A windowed frame (320,) with its poles turned."""
    correlation = np.correlate(frame, frame, "full")[WINDOW - 1 : WINDOW + ORDER]
    if not correlation[0] > 0:
        return frame
    correlation[0] *= 1.0 + FLOOR
    whitening = np.append(1.0, -scipy.linalg.solve_toeplitz(correlation[:-1], correlation[1:]))
    poles = np.roots(whitening)
    angles = np.angle(poles)
    turned = np.abs(poles) * np.exp(1j * np.sign(angles) * np.abs(angles) ** alpha)
    poles = np.where(np.abs(poles.imag) > 0, turned, poles)
    return scipy.signal.lfilter([1.0], np.poly(poles).real, scipy.signal.lfilter(whitening, [1.0], frame))
