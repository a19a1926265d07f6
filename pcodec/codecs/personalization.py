"""A decoder for one person: an adapter, learned from a minute of speech, of whatever family the decoder is.

Conventions: of each family that can be adapted, its network, and its module with `adapt`, `heard`, `evaluate` and
`Adapted`. Notebook 12_personalization.

Contents: `personalize`, `Personalized`, `adapted`, `KINDS`, `FAMILIES`, `pieces`, `hold_back`.
"""

import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pcodec import PcodecError, paths
from pcodec.bitstream.codebooks import Codebooks
from pcodec.fargan import adapter as fargan
from pcodec.fargan.model import Fargan
from pcodec.learning import weights
from pcodec.learning.adapter import RANK, Adapted
from pcodec.learning.network import Network
from pcodec.lpcnet import adapter as lpcnet
from pcodec.lpcnet.model import LPCNet
from pcodec.soundstream import adapter as soundstream
from pcodec.soundstream.model import SoundStream
from pcodec.speech import audio, corpus

FAMILIES = {"lpcnet": (LPCNet, lpcnet), "fargan": (Fargan, fargan), "soundstream": (SoundStream, soundstream)}
WITHOUT_CODEBOOKS = ("soundstream",)
KINDS = ("low-rank", "whole")
PIECE = 5.0  # s: recordings are cut into pieces, of which some are held back
HELD_BACK = 6  # every sixth piece is not trained on
LEAST = 10.0  # s of speech to learn from


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


def adapted(
    decoder: Network, kind: str, signals: list, codebooks: Codebooks | None, rank: int = RANK, seed: int = 1, **options
) -> Network | Adapted:
    """A copy of `decoder` that was trained on (name, speaker, samples).

    Of `KINDS`, "low-rank" is an adapter of `rank`, "whole" has all weights trained. `options` as in the family's
    `adapt`.
    """
    if kind not in KINDS:
        raise PcodecError(f"a decoder is adapted {' or '.join(KINDS)}, got {kind}")
    _, family = FAMILIES[decoder.config.FAMILY]
    model = copy.deepcopy(decoder) if kind == "whole" else family.Adapted(decoder, rank, seed)
    family.adapt(model, signals, codebooks, seed, **options)
    return model


class Personalized(NamedTuple):
    """What `personalize` has done."""

    bytes: int  # of the adapter's file
    seconds: float  # of speech that it has learned from
    held_back: int  # pieces of speech on which it was measured
    before: float  # their loss without the adapter
    after: float  # and with it


def personalize(
    decoder: Path, codebooks: Path | None, recordings: Path, output: Path, updates: int, rank: int = RANK, seed: int = 1
) -> Personalized:
    """Adapt the decoder in a file to the speaker whose recordings are in a folder; write the adapter to `output`.

    `codebooks` are by default those beside the decoder; a codec that is learned end to end has none.

    Killed, it continues from a checkpoint beside `output`. Raises `PcodecError` if the decoder was trained with other
    codebooks, or as `pieces` does.
    """
    name = weights.family(decoder)
    if name not in FAMILIES:
        raise PcodecError(f"{decoder}: of the family {name}; there are adapters for {', '.join(FAMILIES)}")
    network, family = FAMILIES[name]
    model, books = network.load(decoder), None
    if name not in WITHOUT_CODEBOOKS:
        books = Codebooks.load(codebooks or decoder.parent / "codebooks.npz")
    if books and model.provenance.get("codebooks") != books.identity:
        raise PcodecError(
            f"{decoder}: trained with codebooks {model.provenance.get('codebooks')}, not {books.identity}; "
            "give them with --codebooks"
        )
    paths.check_target(output, decoder)
    learnt, measured = hold_back(pieces(recordings))
    checkpoint = output.with_name(output.name + ".checkpoint")
    own = adapted(model, "low-rank", learnt, books, rank, seed, updates=updates, checkpoint=checkpoint)
    held_back = family.heard(measured, books)
    before, after = (float(family.evaluate(each, held_back)[family.LOSS].mean()) for each in (model, own))
    seconds = sum(len(samples) for _, _, samples in learnt) / audio.RATE
    own.save(output, seconds=seconds, updates=updates, seed=seed, before=before, after=after)
    checkpoint.unlink(missing_ok=True)
    return Personalized(output.stat().st_size, seconds, len(measured), before, after)
