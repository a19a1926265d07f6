"""LPCNet for one person: how an adapter, or a whole decoder, learns from a minute of speech.

Conventions: adapters are those of `pcodec.learning.adapter`; losses in nats per sample. Notebook 12_personalization.

Contents: `adapt`, `adapted`, `heard`.
"""

import copy

import pandas as pd

from pcodec import PcodecError
from pcodec.bitstream.codebooks import Codebooks
from pcodec.learning.adapter import Adapted
from pcodec.lpcnet import training
from pcodec.lpcnet.examples import SampleDataset
from pcodec.lpcnet.model import LPCNet

LOSS = "nats"  # column of what `adapt` returns
OPTIONS = {"batch": 32, "sequence": 160, "learning_rate": 2e-3, "evaluation_seconds": 0.0}


def heard(signals: list, codebooks: Codebooks) -> SampleDataset:
    """(name, speaker, samples) that are held back, as `adapt` measures on them."""
    return SampleDataset.of(signals, codebooks, augment=False)


def adapt(
    model: LPCNet | Adapted, signals: list, held_back: SampleDataset, codebooks: Codebooks, seed: int = 1, **options
) -> pd.DataFrame:
    """Train a decoder or its adapter on (name, speaker, samples), in place; returns `training.fit`'s table.

    `options` go to `training.fit` and replace `OPTIONS`; gains, responses and noise are drawn anew for every epoch.
    """

    def draw(number):
        return SampleDataset.of(signals, codebooks, augment=True, draw=number, seed=seed)

    return training.fit(model, draw, held_back, seed=seed, **OPTIONS | options)


def adapted(
    general: LPCNet, kind: str, signals: list, held_back: SampleDataset, codebooks: Codebooks, rank: int,
    density: list[float], seed: int, **options,
) -> LPCNet | Adapted:  # fmt: skip
    """A copy of `general` that was trained on (name, speaker, samples): "whole", or "low-rank", an adapter of `rank`.

    A whole decoder stays pruned to `density` of GRU_A's gates z, r, h ([] for none). `options` as in `adapt`.
    """
    if kind not in ("whole", "low-rank"):
        raise PcodecError(f"a decoder is adapted whole or low-rank, got {kind}")
    model = copy.deepcopy(general) if kind == "whole" else Adapted(general, rank, seed)
    pruned = training.Sparsifier(density) if density and kind == "whole" else None
    adapt(model, signals, held_back, codebooks, seed, sparsifier=pruned, **options)
    return model
