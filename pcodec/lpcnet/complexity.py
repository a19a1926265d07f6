"""What a decoder costs: operations per second of speech, weights, bytes.

Task: LPCNet's own count (Valin & Skoglund 2019; specification section 8), in which each weight that a sample touches is
a multiplication and an addition, and an open count of everything else: activations, gates, look-ups, drawing, linear
prediction and the network at frame rate.

Conventions: N units of GRU_A, 16 of GRU_B, 256 codes; an operation is a float32 addition, multiplication, comparison or
conversion; a division counts as one. Those of an activation are counted in `pcodec.compute.vector`. Notebook
11_complexity.

Contents: `count`, `parts`, `saving`.
"""

import pandas as pd

from pcodec import PcodecError
from pcodec.compute.vector import EXP, SIGMOID, TANH
from pcodec.features.cepstrum import FRAME, ORDER
from pcodec.lpcnet.config import LPCNetConfig
from pcodec.lpcnet.mulaw import LEVELS
from pcodec.speech import audio

GATES = 13  # additions and multiplications for each unit of a GRU: biases, diagonals, inputs, reset, update
DRAW = 7  # for each code: largest, shift and scale, two sums, floor, search
TAPS = 3  # frames that a convolution sees


def count(units: int, density: float = 1.0, units_b: int = 16) -> dict[str, float]:
    """LPCNet's count: weights touched per sample, 10^9 operations per second; `density` is of GRU_A's recurrent matrix.

    384 units at 10 %: 71,600 weights, 2.3 GFLOPS.
    """
    weights = int(parts(units, density, units_b).query("counted_by_lpcnet").weights.sum())
    return {"weights": weights, "gflops": 2e-9 * audio.RATE * weights}


def parts(units: int, density: float = 1.0, units_b: int = 16) -> pd.DataFrame:
    """Every part of the decoder: part, weights and operations (per sample), gflops, counted_by_lpcnet.

    The network at frame rate is spread over the 160 samples of a frame.
    """
    if not 0 < density <= 1:
        raise PcodecError(f"a density is over 0 and at most 1, got {density}")
    config = LPCNetConfig(units, units_b)
    width = config.conditioning
    frame = TAPS * (config.features + config.pitch_embedding) * width + (TAPS + 2) * width**2
    conditioning = width * 3 * (units + units_b)
    rows = [  # part, weights, other operations, whether LPCNet counts the weights
        ("GRU_A, recurrent", 3 * density * units**2, 0, True),
        ("GRU_A, gates", 0, units * (GATES + 2 * SIGMOID + TANH), False),
        ("GRU_A, look-ups", 0, 9 * units, False),
        ("GRU_B", 3 * units_b * (units + units_b), units_b * (GATES + 2 * SIGMOID + TANH), True),
        ("dual FC", 2 * units_b * LEVELS, LEVELS * (2 * TANH + 3), True),
        ("softmax and draw", 0, LEVELS * (EXP + DRAW), False),
        ("linear prediction", ORDER, 0, False),
        ("frame rate", (frame + conditioning) / FRAME, 4 * width * TANH / FRAME, False),
    ]
    table = pd.DataFrame(rows, columns=["part", "weights", "operations", "counted_by_lpcnet"])
    table["operations"] += 2 * table.weights
    table.insert(3, "gflops", 1e-9 * audio.RATE * table.operations)
    return table


def saving(small: int, large: int, density: float = 1.0) -> pd.Series:
    """Share of operations that `small` units save against `large`: by LPCNet's count, with activations, with all parts.

    The paper: about 36 % for 256 against 384 units.
    """
    of = {units: parts(units, density).set_index("part") for units in (small, large)}
    lpcnet = {units: count(units, density)["gflops"] for units in of}
    every = {units: table.gflops.sum() for units, table in of.items()}
    per_sample = {units: table.drop(index="frame rate").gflops.sum() for units, table in of.items()}
    return pd.Series(
        {
            "LPCNet's count": 1 - lpcnet[small] / lpcnet[large],
            "everything per sample": 1 - per_sample[small] / per_sample[large],
            "with the frame rate": 1 - every[small] / every[large],
        }
    )
