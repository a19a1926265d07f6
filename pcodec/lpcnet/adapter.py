"""LPCNet for one person: how an adapter, or a whole decoder, learns from a minute of speech.

Conventions: adapters are those of `pcodec.learning.adapter`; losses in nats per sample. Notebook 12_personalization.

Contents: `adapt`, `heard`, `evaluate`.
"""

import pandas as pd

from pcodec.bitstream.codebooks import Codebooks
from pcodec.learning.adapter import Adapted
from pcodec.lpcnet import training
from pcodec.lpcnet.examples import SampleDataset
from pcodec.lpcnet.model import LPCNet

LOSS = "nats"  # column of what `evaluate` returns
SECONDS = 4.0  # of an utterance that is held back, evenly spread, that are heard
OPTIONS = {"batch": 32, "sequence": 160, "learning_rate": 2e-3, "evaluation_seconds": SECONDS}
WHOLE = {"learning_rate": 1e-3}  # of these for a whole decoder


def heard(signals: list, codebooks: Codebooks) -> SampleDataset:
    """(name, speaker, samples) as `evaluate` measures on them."""
    return SampleDataset.of(signals, codebooks, augment=False)


def evaluate(model: LPCNet, held_back: SampleDataset) -> pd.DataFrame:
    """Table (utterance, speaker, nats, bits) of what a decoder loses on `SECONDS` of each."""
    return training.evaluate(model, held_back, SECONDS)


def adapt(model: LPCNet | Adapted, signals: list, codebooks: Codebooks, seed: int = 1, **options) -> None:
    """Train a decoder or its adapter on (name, speaker, samples), in place.

    `options` go to `training.fit` and replace `OPTIONS`; gains, responses and noise are drawn anew for every epoch. A
    decoder that was pruned stays as sparse as it was.
    """
    own = {} if isinstance(model, Adapted) else WHOLE | {"sparsifier": training.Sparsifier.of(model)}

    def draw(number):
        return SampleDataset.of(signals, codebooks, augment=True, draw=number, seed=seed)

    training.fit(model, draw, None, seed=seed, evaluations=0, **OPTIONS | own | options)
