"""What a framewise decoder costs: operations per second of speech, and weights.

Task: the paper's count (FARGAN, Valin et al. 2024, section IV), in which each weight that is touched is a
multiplication and an addition, 400 times per second or, of the network at frame rate, 100 times; and an open count of
activations, gates and the look back.

Conventions: as in `pcodec.lpcnet.complexity`: an operation is a float32 addition, multiplication, comparison or
conversion; those of an activation are counted in `pcodec.compute.vector`. Notebook 11_complexity.

Contents: `count`, `parts`.
"""

import itertools

import pandas as pd

from pcodec.compute.vector import EXP, SIGMOID, TANH
from pcodec.fargan.config import PERIODS, STEP, STEPS, FarganConfig
from pcodec.features.cepstrum import FRAME
from pcodec.speech import audio

GATES = 7  # additions and multiplications for each unit of a GRU: inputs, reset, update
LOOK = 3  # for each sample that is seen of the past: scale, two limits
TAPS = 3  # frames that a convolution sees


def count(config: FarganConfig) -> dict[str, float]:
    """The paper's count: weights that are touched, 10^9 operations per second (the paper's large model: 0.61)."""
    table = parts(config)
    weights, frames = table.weights.sum(), audio.RATE / FRAME
    of_frame = table.weights[table.part == "frame rate"].sum()
    return {"weights": int(weights), "gflops": 2e-9 * frames * (STEPS * (weights - of_frame) + of_frame)}


def parts(config: FarganConfig) -> pd.DataFrame:
    """Every part: part, weights (touched), operations (per sub-frame or, at frame rate, per frame), gflops."""
    c, step = config, config.step_conditioning
    widths = (c.conv, c.gru_1, c.gru_2, c.gru_3)
    past = 2 * STEP + 2 * PERIODS  # samples: a period ago with its neighbours, and those before
    fed, layers = 2 * STEP, (*widths, c.skip)  # every layer is fed the gated copy and the samples before
    grus = sum(3 * own * (before + fed + own) for before, own in itertools.pairwise(widths))
    dense = (c.features + c.pitch_embedding) * c.dense
    frame = dense + TAPS * (c.dense + c.conditioning) * c.conditioning + c.conditioning * STEPS * step
    squashed = c.dense + 2 * c.conditioning + STEPS * step
    rows = [  # part, weights, other operations
        ("gain and look back", step, EXP + LOOK * past),
        ("convolution", 2 * (step + past) * c.conv, c.conv * TANH),
        ("GRUs", grus, sum(widths[1:]) * (GATES + 2 * SIGMOID + TANH)),
        ("GLUs", sum(width**2 for width in layers), sum(layers) * (SIGMOID + 1)),
        ("pitch gates", 4 * c.conv, 4 * (SIGMOID + STEP)),
        ("skip", (sum(widths) + fed) * c.skip, c.skip * TANH),
        ("output", c.skip * STEP, STEP * (TANH + 3)),
        ("frame rate", frame, squashed * TANH),
    ]
    table = pd.DataFrame(rows, columns=["part", "weights", "operations"])
    table["operations"] += 2 * table.weights
    per_second = [audio.RATE / FRAME * (1 if part == "frame rate" else STEPS) for part in table.part]
    return table.assign(gflops=1e-9 * table.operations * per_second)
