"""A decoder for one person: a small adapter, learned from a minute of speech.

Task: what the paper does for groups, for one speaker and with few numbers to store. Every matrix W of the general
decoder becomes W + U V with U, V of rank r, every vector gets an offset; only these are trained (low-rank adaptation).
Added to the decoder before it runs they cost nothing in synthesis; what is pruned stays pruned.

Conventions: an adapter file is float16 safetensors and belongs to one decoder, which it names by its identity. Notebook
12_personalization.

Contents: `personalize`, `Personalized`, `Adapted`, `adapted`, `load`, `pieces`, `hold_back`, `adapt`.
"""

import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pcodec import PcodecError, paths
from pcodec.bitstream.codebooks import Codebooks
from pcodec.compute.backend import torch
from pcodec.learning import weights
from pcodec.lpcnet import training
from pcodec.lpcnet.examples import SampleDataset
from pcodec.lpcnet.model import LPCNet
from pcodec.speech import audio, corpus

RANK = 8
PIECE = 5.0  # s: recordings are cut into pieces, of which some are held back
HELD_BACK = 6  # every sixth piece is not trained on
LEAST = 10.0  # s of speech to learn from
OPTIONS = {"batch": 32, "sequence": 160, "learning_rate": 2e-3, "evaluation_seconds": 0.0}


class Adapted(torch.nn.Module):
    """`base`, frozen, with trainable low-rank updates; called like `LPCNet`. It starts equal to `base`."""

    def __init__(self, base: LPCNet, rank: int = RANK, seed: int = 1):
        super().__init__()
        largest = max(min(len(value), value[0].numel()) for value in base.parameters())
        if not 1 <= rank < largest:
            raise PcodecError(f"the rank of an adapter is 1 to {largest - 1}, below that of the matrices, got {rank}")
        self.base, self.config, self.rank = copy.deepcopy(base).requires_grad_(False), base.config, rank
        generator = torch.Generator().manual_seed(seed)
        parts = {}
        for name, value in base.named_parameters():
            rows, columns = len(value), value[0].numel()
            if value.ndim >= 2 and min(rows, columns) > rank:
                parts[f"{name}:up"] = torch.zeros(rows, rank)
                parts[f"{name}:down"] = torch.randn(rank, columns, generator=generator) / columns**0.5
            else:
                parts[f"{name}:offset"] = torch.zeros(value.shape)
        self.parts = torch.nn.ParameterDict({name.replace(".", "/"): value for name, value in parts.items()})

    def forward(self, *inputs):
        """As `LPCNet.forward`."""
        return torch.func.functional_call(self.base, self.weights(), inputs)

    def weights(self) -> dict:
        """Weights of the adapted decoder by name."""
        merged = {}
        for name, value in self.base.named_parameters():
            key = name.replace(".", "/")
            if f"{key}:offset" in self.parts:
                merged[name] = value + self.parts[f"{key}:offset"]
            else:
                change = (self.parts[f"{key}:up"] @ self.parts[f"{key}:down"]).view_as(value)
                merged[name] = value + change * (value != 0)
        return merged

    def merged(self) -> LPCNet:
        """A decoder like any other."""
        model = LPCNet(self.config)
        model.load_state_dict({name: value.detach() for name, value in self.weights().items()})
        model.provenance = dict(self.base.provenance)
        return model.eval()

    def save(self, path: str | Path, **provenance) -> None:
        """Write the adapter alone, as float16."""
        arrays = {name: value.detach().cpu().numpy().astype(np.float16) for name, value in self.parts.items()}
        weights.save(path, arrays, adapter={"rank": self.rank, "decoder": self.base.identity} | provenance)


def load(path: str | Path, base: LPCNet) -> LPCNet:
    """The decoder `base` with the adapter in file `path`.

    Raises `PcodecError` naming the file if it is no adapter, or belongs to another decoder.
    """
    what = "no adapter"
    arrays, metadata = weights.load(path, what)
    try:
        adapter = metadata["adapter"]
        state = {name: torch.from_numpy(value).float() for name, value in arrays.items()}
        model = Adapted(base, adapter["rank"])
        if adapter["decoder"] != base.identity:
            raise PcodecError(f"{path}: an adapter of decoder {adapter['decoder']}, not of {base.identity}")
        model.parts.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise PcodecError.of(path, what, error) from None
    return model.merged()


def pieces(folder: str | Path) -> list[tuple[str, str, np.ndarray]]:
    """All recordings under a folder, cut into `PIECE` seconds: (name, folder's name, samples) of each piece.

    Raises `PcodecError` naming the file that cannot be read, or the folder if it holds less than `LEAST` seconds.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PcodecError(f"{folder}: no folder of recordings")
    cut = []
    for path in corpus.audio_files(folder):
        samples = audio.read(path)
        name = path.relative_to(folder).as_posix()
        length = int(PIECE * audio.RATE)
        cut += [(f"{name}:{at}", folder.name, samples[at : at + length]) for at in range(0, len(samples), length)]
    seconds = sum(len(samples) for _, _, samples in cut) / audio.RATE
    if seconds < LEAST:
        raise PcodecError(f"{folder}: {seconds:.1f} s of recordings, at least {LEAST:.0f} s are needed")
    return cut


def hold_back(cut: list) -> tuple[list, list]:
    """Pieces to learn from and pieces to measure on: every sixth, or of fewer the longest."""
    longest = max(range(len(cut)), key=lambda i: len(cut[i][2]))
    measured = set(range(HELD_BACK - 1, len(cut), HELD_BACK)) or {longest}
    return [piece for i, piece in enumerate(cut) if i not in measured], [cut[i] for i in sorted(measured)]


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


class Personalized(NamedTuple):
    """What `personalize` has done."""

    bytes: int  # of the adapter's file
    seconds: float  # of speech that it has learned from
    held_back: int  # pieces of speech on which it was measured
    before: float  # their loss in nats without the adapter
    after: float  # and with it


def personalize(
    decoder: Path, codebooks: Path, recordings: Path, output: Path, updates: int, rank: int = RANK, seed: int = 1
) -> Personalized:
    """Adapt the decoder in a file to the speaker whose recordings are in a folder; write the adapter to `output`.

    Killed, it continues from a checkpoint beside `output`. Raises `PcodecError` if the decoder was trained with other
    codebooks, or as `pieces` does.
    """
    model, books = LPCNet.load(decoder), Codebooks.load(codebooks)
    if model.provenance.get("codebooks") != books.identity:
        raise PcodecError(
            f"{decoder}: trained with codebooks {model.provenance.get('codebooks')}, not {books.identity}; "
            "give them with --codebooks"
        )
    paths.check_target(output, decoder)
    learnt, measured = hold_back(pieces(recordings))
    adapted = Adapted(model, rank, seed)
    checkpoint = output.with_name(output.name + ".checkpoint")
    losses = adapt(
        adapted, learnt, SampleDataset.of(measured, books, augment=False), books, seed, updates=updates,
        evaluations=1, checkpoint=checkpoint,
    )  # fmt: skip
    before, after = losses.groupby("update").nats.mean()
    seconds = sum(len(samples) for _, _, samples in learnt) / audio.RATE
    adapted.save(output, seconds=seconds, updates=updates, seed=seed, before=before, after=after)
    checkpoint.unlink(missing_ok=True)
    return Personalized(output.stat().st_size, seconds, len(measured), before, after)
