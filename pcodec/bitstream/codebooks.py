"""The trained part of the quantizer, and its training.

Task: LPCNet specification section 6.1: three additive codebooks for the last frame of a packet, one for the prediction
error of its second frame.

Conventions: cepstra are float32, c0 first. The books are data: sender and receiver must hold the same, so they have an
identity, which travels in the bitstream. The package ships its own (`Codebooks.shipped`); the original ones can be read
from the reference's source. Notebook 03_bitstream.

Contents: `Codebooks`, `train_codebooks`.
"""

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pcodec import PcodecError, paths
from pcodec.features.analysis import BANDS, FEATURES, PACKET

STAGES = 3
STAGE_WORDS = 1024
DELTA_WORDS = 4096
PREDICTORS = 4  # of frame 1: mean, mean, last frame of the packet before, last frame of this packet
CENTROID_PASSES = 4  # Lloyd iterations after each doubling
FINAL_PASSES = 20  # at full size
BLOCK = 256  # vectors that are compared with a book at a time
SHIPPED = paths.SHIPPED / "codebooks.npz"


@dataclass(frozen=True, eq=False)
class Codebooks:
    """The trained part of the quantizer."""

    stages: np.ndarray  # (3, 1024, 17) float32, additive
    delta: np.ndarray  # (4096, 18) float32; entry n uses predictor n mod 4
    provenance: dict = field(default_factory=dict)  # what they were trained on

    def __post_init__(self):
        if self.stages.shape != (STAGES, STAGE_WORDS, BANDS - 1) or self.delta.shape != (DELTA_WORDS, BANDS):
            raise PcodecError(f"codebooks have shapes {self.stages.shape} and {self.delta.shape}")
        if not (np.isfinite(self.stages).all() and np.isfinite(self.delta).all()):
            raise PcodecError("codebooks hold values that are not numbers")

    @property
    def identity(self) -> str:
        """Hash of the values, 16 hexadecimal digits: sender and receiver must hold the same books."""
        return hashlib.sha256(self.stages.tobytes() + self.delta.tobytes()).hexdigest()[:16]

    @classmethod
    def shipped(cls) -> "Codebooks":
        """The project's own, trained on the training speakers of a LibriSpeech subset (see `provenance`).

        They are those of notebook 03_bitstream with the desktop preset.
        """
        return cls.load(SHIPPED)

    @classmethod
    def load(cls, path: str | Path) -> "Codebooks":
        """Read codebooks that `save` wrote, or the original ones: the reference's ceps_codebooks.c, or its npz."""
        if Path(path).suffix == ".c":
            return cls.from_c_source(path)
        try:
            with np.load(path) as file:
                if "ceps_codebook1" in file:
                    return cls._original(lambda name: file[name], path)
                provenance = json.loads(str(file["provenance"])) if "provenance" in file else {}
                stages, delta = file["stages"].astype(np.float32), file["delta"].astype(np.float32)
            return cls(stages, delta, provenance)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise PcodecError(f"{path}: no codebooks: {error}") from None
        except PcodecError as error:
            raise PcodecError(f"{path}: {error}") from None

    @classmethod
    def from_c_source(cls, path: str | Path) -> "Codebooks":
        """Read the original codebooks from the reference's source file, ceps_codebooks.c."""
        try:
            text = Path(path).read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise PcodecError(f"{path}: no codebooks: {error}") from None
        arrays = dict(re.findall(r"(\w+)\s*\[[^\]]*\]\s*=\s*\{([^}]*)\}", re.sub(r"/\*.*?\*/", "", text, flags=re.S)))

        def values(name):
            words = arrays[name].replace(",", " ").split()
            return np.array([float(word.rstrip("fF")) for word in words]).reshape(-1, 18 if "diff" in name else 17)

        try:
            return cls._original(values, path)
        except (KeyError, ValueError) as error:
            raise PcodecError(f"{path}: not the reference's ceps_codebooks.c: {error}") from None
        except PcodecError as error:
            raise PcodecError(f"{path}: {error}") from None

    @classmethod
    def _original(cls, values, path) -> "Codebooks":
        stages = np.stack([values(f"ceps_codebook{i}") for i in (1, 2, 3)]).astype(np.float32)
        delta = np.ascontiguousarray(values("ceps_codebook_diff4"), dtype=np.float32)
        return cls(stages, delta, {"origin": f"xiph/LPCNet 2019, {Path(path).name}"})

    def save(self, path: str | Path) -> None:
        """Write an npz, for `load`."""
        with paths.replacing(Path(path)) as temporary:
            np.savez_compressed(temporary, stages=self.stages, delta=self.delta, provenance=json.dumps(self.provenance))

    @cached_property
    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Books with the words innermost, for searches: (3, 17, 1024) and, by predictor, (4, 18, 1024)."""
        stages = np.ascontiguousarray(self.stages.transpose(0, 2, 1))
        delta = np.ascontiguousarray(self.delta.reshape(-1, PREDICTORS, BANDS).transpose(1, 2, 0))
        return stages, delta


def train_codebooks(utterances: list[np.ndarray], seed: int = 1, max_frames: int = 0) -> Codebooks:
    """Codebooks from unquantized features, one array (T, 20) per utterance (section 6.1).

    Every stage is split from the mean to full size, with Lloyd iterations at each size. `max_frames` limits the work to
    a seeded choice of utterances; 0 uses all. Raises `PcodecError` when there are fewer frames than code words.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(utterances))
    ends = np.cumsum([len(utterances[i]) for i in order])
    keep = order if not max_frames else order[: max(1, np.searchsorted(ends, max_frames, side="right"))]
    cepstra = [utterances[i][:, FEATURES["cepstrum"]].astype(np.float32) for i in sorted(keep)]
    cepstra = [cepstrum for cepstrum in cepstra if len(cepstrum) > PACKET]  # a delta spans five frames
    frames = sum(map(len, cepstra))
    if frames < DELTA_WORDS:
        raise PcodecError(
            f"{frames} frames ({frames / 100:.0f} s) are too few to train codebooks of {DELTA_WORDS} words"
        )
    doublings = 10  # both kinds of book double ten times: 1 -> 1024 and 4 -> 4096
    with tqdm(total=4 * (doublings * CENTROID_PASSES + FINAL_PASSES), desc="codebooks", mininterval=2) as bar:
        stages = []
        residual = np.vstack(cepstra)[:, 1:]
        for _ in range(3):
            book = _grow(residual.mean(axis=0, keepdims=True), lambda b, r=residual: _lloyd(r, b), rng, bar)
            residual = residual - book[_nearest(residual, book)]
            stages.append(book)
        stages = np.stack(stages)
        targets = [_delta_targets(cepstrum, stages) for cepstrum in cepstra]
        targets = [np.vstack(kind) for kind in zip(*targets, strict=True)]
        start = np.stack([target.mean(axis=0) for target in targets])
        delta = _grow(start, lambda book: _lloyd_delta(targets, book), rng, bar)
    return Codebooks(stages, delta)


def _grow(book, lloyd, rng, bar) -> np.ndarray:
    """Double `book` ten times by +-0.005 perturbation, refined by `lloyd` after each doubling."""
    for _ in range(10):
        book = np.vstack([book, book]) + rng.uniform(-0.005, 0.005, (2 * len(book), book.shape[1])).astype(np.float32)
        for _ in range(CENTROID_PASSES):
            book = lloyd(book)
            bar.update()
    for _ in range(FINAL_PASSES):
        book = lloyd(book)
        bar.update()
    return book.astype(np.float32)


def _nearest(vectors: np.ndarray, book: np.ndarray, either_sign: bool = False) -> np.ndarray:
    """Index of the code word nearest to each vector; with `either_sign` nearest to it or to its negative.

    `BLOCK` vectors at a time, whose products with all words stay in the processor's cache, in one piece of memory.
    """
    norms, columns = (book**2).sum(axis=1) / 2, np.ascontiguousarray(book.T)
    words = np.empty(len(vectors), dtype=np.int64)
    memory = np.empty((BLOCK, len(book)), dtype=np.float32)
    for i in range(0, len(vectors), BLOCK):
        part = vectors[i : i + BLOCK]
        products = np.matmul(part, columns, out=memory[: len(part)])
        if either_sign:
            np.abs(products, out=products)
        products -= norms
        products.argmax(axis=1, out=words[i : i + BLOCK])
    return words


def _centroids(vectors, nearest, book) -> np.ndarray:
    """Mean of the vectors of each cell; a cell without vectors keeps its word."""
    counts = np.bincount(nearest, minlength=len(book))
    sums = np.stack([np.bincount(nearest, vectors[:, d], len(book)) for d in range(vectors.shape[1])], axis=1)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], book).astype(np.float32)


def _lloyd(vectors, book) -> np.ndarray:
    return _centroids(vectors, _nearest(vectors, book), book)


def _delta_targets(cepstrum: np.ndarray, stages: np.ndarray) -> list[np.ndarray]:
    """Cepstrum (T, 18) of an utterance -> four arrays of prediction errors of every frame t + 2 from t and t + 4."""
    residual = cepstrum[:, 1:].copy()
    for book in stages:
        residual -= book[_nearest(residual, book)]
    coded = np.column_stack([cepstrum[:, 0], cepstrum[:, 1:] - residual])
    before, last = coded[:-4], coded[4:]
    mean = (before + last) / 2
    return [cepstrum[2:-2] - prediction for prediction in (mean, mean, before, last)]


def _lloyd_delta(targets, book) -> np.ndarray:
    new = np.empty_like(book)
    for kind, vectors in enumerate(targets):
        words = book[kind::PREDICTORS]
        nearest = _nearest(vectors, words, either_sign=True)
        signs = np.where((vectors * words[nearest]).sum(axis=1, keepdims=True) < 0, -1.0, 1.0).astype(np.float32)
        new[kind::PREDICTORS] = _centroids(signs * vectors, nearest, words)
    return new
