"""A framewise decoder for one person: how an adapter, or a whole decoder, learns from a minute of speech.

Conventions: adapters are those of `pcodec.learning.adapter`, losses those of `pcodec.fargan.training`, on spectra.
What has learned goes half of the way: naturalness comes from a mean of weights, which any training leaves.

Contents: `adapt`, `heard`, `evaluate`.
"""

from pcodec.bitstream.codebooks import Codebooks
from pcodec.fargan import training
from pcodec.fargan.examples import Excerpts
from pcodec.fargan.model import Fargan
from pcodec.learning.adapter import Adapted, go_back, learnt

evaluate = training.evaluate  # on what was `heard`
LOSS = "loss"  # column of what it returns
OPTIONS = {"batch": 32, "learning_rate": 1e-3, "average": 0.98}
WAY = 0.5  # share of what was learned that is left


def heard(signals: list, codebooks: Codebooks) -> Excerpts:
    """(name, speaker, samples) as `evaluate` measures on them."""
    return Excerpts.of(signals, codebooks, augment=False)


def adapt(model: Fargan | Adapted, signals: list, codebooks: Codebooks, seed: int = 1, **options) -> None:
    """Train a decoder or its adapter on (name, speaker, samples), in place.

    `options` go to `training.fit` and replace `OPTIONS`; levels and responses are drawn anew now and then. What
    is left is `WAY` of what was learned.
    """

    def draw(number):
        return Excerpts.of(signals, codebooks, augment=True, draw=number, seed=seed)

    before = learnt(model)
    training.fit(model, draw, None, seed=seed, evaluations=0, **OPTIONS | options)
    go_back(model, before, WAY)
