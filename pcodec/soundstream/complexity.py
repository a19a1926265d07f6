"""What the codec that is learned end to end costs: operations per second of speech, and weights.

Task: each weight that is touched is a multiplication and an addition, 50 times per second or, of the decoder's late
part, 100 times; beside them activations, norms, Fourier transforms and the search for words.

Conventions: as in `pcodec.lpcnet.complexity`: an operation is a float32 addition, multiplication, comparison or
conversion; those of an activation are counted in `pcodec.compute.vector`. A Fourier transform of N real samples is
2.5 N log2 N of them.

Contents: `parts`.
"""

import math

import pandas as pd

from pcodec.compute.vector import EXP, SIGMOID, TANH
from pcodec.soundstream.config import BINS, CONTEXT, EXPANSION, FRAME, HOP, KERNEL, WINDOW, SoundStreamConfig
from pcodec.speech import audio

GATES = 7  # for each unit of a GRU: inputs, reset, update
GELU = TANH + 7
NORM = 8  # for each number: mean, variance, scale, shift
SPECTRUM = 2.5 * WINDOW * math.log2(WINDOW) + WINDOW
LEVEL = EXP + 6  # a magnitude's logarithm costs about what a power does


def parts(config: SoundStreamConfig, stages: int | None = None) -> pd.DataFrame:
    """Every part: part, weights, operations (per frame of 20 ms), gflops, at so many stages or all."""
    c, twice = config, FRAME // HOP
    stages = c.stages if stages is None else stages

    def blocks(width, count):
        return count * (KERNEL * width + 2 * EXPANSION * width**2), count * width * (EXPANSION * GELU + NORM + 2)

    encoder, decoder, late = (
        blocks(width, count)
        for width, count in ((c.encoder, c.encoder_blocks), (c.decoder, c.decoder_blocks), (c.late, c.late_blocks))
    )
    entrance = CONTEXT * c.latent * c.decoder + 6 * c.decoder**2
    head = c.late * c.noise + c.late * BINS + (c.late + c.noise) * 2 * BINS
    rows = [  # part, weights, times they are used in a frame, other operations of a frame
        ("encoder: spectra", 0, 1, twice * (SPECTRUM + LEVEL * BINS)),
        ("encoder: dense", twice * BINS * c.encoder + c.encoder * c.latent, 1, 2 * NORM * c.encoder),
        ("encoder: blocks", encoder[0], 1, encoder[1]),
        ("quantizer", stages * c.words * c.latent, 1, stages * (2 * c.words + c.latent)),
        ("decoder: entrance", entrance, 1, c.decoder * (GATES + 2 * SIGMOID + TANH) + stages * c.latent),
        ("decoder: blocks", decoder[0], 1, decoder[1]),
        ("decoder: doubling", c.decoder * twice * c.late, 1, 0),
        ("decoder: late blocks", late[0], twice, twice * late[1]),
        ("decoder: head", head, twice, twice * (NORM * c.late + BINS * (EXP + 12))),
        ("decoder: sound", 0, 1, twice * (SPECTRUM + WINDOW)),
    ]
    table = pd.DataFrame(rows, columns=["part", "weights", "times", "operations"])
    table["operations"] += 2 * table.weights * table.pop("times")
    return table.assign(gflops=1e-9 * table.operations * audio.RATE / FRAME)
