"""What a decoder costs: operations per second of speech.

Task: LPCNet's own count (Valin & Skoglund 2019; specification section 8). Each weight that a sample touches is a
multiplication and an addition; table look-ups, activations and the network at frame rate are not counted.

Conventions: N units of GRU_A, 16 of GRU_B, 256 codes. Notebook 07_validation_loss.

Contents: `count`.
"""

from pcodec import audio

CODES = 256


def count(units: int, density: float = 1.0, units_b: int = 16) -> dict[str, float]:
    """Weights touched per sample, and 10^9 operations per second; `density` is that of GRU_A's recurrent matrix.

    384 units at 10 %: 71,600 weights, 2.3 GFLOPS.
    """
    weights = 3 * density * units**2 + 3 * units_b * (units + units_b) + 2 * units_b * CODES
    return {"weights": weights, "gflops": 2e-9 * audio.RATE * weights}
