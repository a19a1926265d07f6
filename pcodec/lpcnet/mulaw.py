"""Mu-law: a sample in 8 bits, finely where signals are small.

Task: LPCNet says a sample by one of 256 codes, and hears signal, prediction and excitation as such (specification
section 7; ITU-T G.711's curve, without its segments).

Conventions: samples are at int16 scale; codes are 0..255, code 128 is zero. Notebook 08_synthesis.

Contents: `mulaw_encode`, `mulaw_decode`, `LEVELS`, `MULAW_TABLE`, `MULAW_ZERO`.
"""

import math

import numba
import numpy as np

LEVELS = 256  # codes
MULAW_ZERO = 128  # the code of 0


@numba.vectorize(cache=True)
def mulaw_encode(x):
    """Sample at int16 scale -> nearest of 256 mu-law codes (section 7). Elementwise; callable in compiled code."""
    code = 128.0 * math.log1p(255.0 / 32768.0 * abs(x)) / math.log(256.0)
    return np.uint8(min(255.0, max(0.0, math.floor(0.5 + 128.0 + (code if x >= 0 else -code)))))


def mulaw_decode(code):
    """Mu-law codes 0..255 -> samples at int16 scale, float32; 128 -> 0 (section 7). Elementwise."""
    v = np.asarray(code, float) - 128.0
    return np.float32(np.sign(v) * 32768.0 / 255.0 * (np.exp(abs(v) * math.log(256.0) / 128.0) - 1.0))


MULAW_TABLE = mulaw_decode(np.arange(LEVELS, dtype=np.uint8))  # (256,) float32, for inner loops
