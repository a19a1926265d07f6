"""A framewise decoder for one person: how an adapter, or a whole decoder, learns from a minute of speech.

Conventions: adapters are those of `pcodec.learning.adapter`, losses those of `pcodec.fargan.training`, on spectra.
What has learned goes half of the way: naturalness comes from a mean of weights, which any training leaves.

Contents: `adapt`, `heard`, `evaluate`.
"""

import pandas as pd

from pcodec.bitstream.codebooks import Codebooks
from pcodec.fargan import training
from pcodec.fargan.examples import Excerpts
from pcodec.fargan.model import Fargan
from pcodec.fargan.training import evaluate
from pcodec.learning.adapter import Adapted, go_back, learnt

LOSS = "loss"  # column of what `adapt` returns
OPTIONS = {"batch": 32, "learning_rate": 1e-3, "average": 0.98}
WAY = 0.5  # share of what was learned that is left


def heard(signals: list, codebooks: Codebooks) -> Excerpts:
    """(name, speaker, samples) that are held back, as `adapt` measures on them."""
    return Excerpts.of(signals, codebooks, augment=False)


def adapt(
    model: Fargan | Adapted, signals: list, held_back: Excerpts, codebooks: Codebooks, seed: int = 1, **options
) -> pd.DataFrame:
    """Train a decoder or its adapter on (name, speaker, samples), in place; returns `training.fit`'s table.

    `options` go to `training.fit` and replace `OPTIONS`; levels and responses are drawn anew now and then. The last
    losses are those of what is left, `WAY` of what was learned.
    """

    def draw(number):
        return Excerpts.of(signals, codebooks, augment=True, draw=number, seed=seed)

    before = learnt(model)
    losses = training.fit(model, draw, held_back, seed=seed, **OPTIONS | options)
    go_back(model, before, WAY)
    last = losses["update"] == losses["update"].max()
    losses.loc[last, LOSS] = evaluate(model, held_back)[LOSS].to_numpy()
    return losses
