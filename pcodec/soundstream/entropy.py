"""Codes in fewer bits: which word follows which is counted, and a range coder spends bits accordingly.

Task: a stage's word is not independent of the one that it had 20 ms before. `Model` has counted pairs of them in
training speech; `compress` and `expand` are exact inverses of each other. A file can be stored so; a live stream cannot
be, because one lost packet would make all that follow unreadable.

Conventions: codes (P, S) of P frames at S stages, 0 .. 255. The model of a network's codes is a file beside it,
<network>.codes.npz, and knows the network's identity. Probabilities are quotients of whole numbers in double precision,
so that every machine has the same. The range coder is that of the library constriction (Bamler 2022).

Contents: `Model`, `beside`.
"""

import zipfile
from pathlib import Path

import constriction
import numpy as np

from pcodec import PcodecError, paths

WORDS = 256
SHARED = (
    32,
    64,
    128,
    256,
    512,
    1024,
    4096,
    65536,
)  # codes after a word that its own counts must outweigh, to choose from
FOLDS = 5  # parts of the speech of which each is predicted from the others, to choose it
WHAT = "no model of codes"
FAMILY = constriction.stream.model.Categorical(perfect=False)


def beside(network: str | Path) -> Path:
    """The file of the model of a network's codes."""
    return Path(network).with_suffix(".codes.npz")


class Model:
    """How often the words of each stage follow each other."""

    def __init__(self, pairs: np.ndarray, shared: np.ndarray, identity: str):
        """`pairs` (S, 256, 256) counts, `shared` (S,) as `SHARED`, `identity` of the network."""
        self.pairs, self.shared, self.identity = pairs, shared, identity
        single = pairs.sum(axis=1, dtype=np.int64) + 1
        self.single = single / single.sum(axis=1, keepdims=True)  # (S, 256)

    @classmethod
    def of(cls, signals: list[np.ndarray], identity: str) -> "Model":
        """Counted in the codes (P, S) of signals; what a word's own counts weigh is chosen on speech left out."""
        folds = min(FOLDS, len(signals))
        if folds < 2:
            raise PcodecError(f"{len(signals)} signals are too few to count codes in, at least 2 are needed")
        parts = [_counted(signals[fold::folds]) for fold in range(folds)]
        total, stages = sum(parts), signals[0].shape[1]
        bits = np.zeros((len(SHARED), stages))
        for row, shared in enumerate(SHARED):
            for fold, part in enumerate(parts):
                rest = cls(total - part, np.full(stages, shared), identity)
                bits[row] += rest.bits(signals[fold::folds]).sum(axis=0)
        return cls(total, np.array(SHARED)[bits.argmin(axis=0)], identity)

    def save(self, path: str | Path) -> None:
        """Write the file; it appears when it is whole."""
        pairs = self.pairs.astype(np.uint8 if self.pairs.max() < 256 else np.uint32)
        with paths.replacing(Path(path)) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, pairs=pairs, shared=self.shared, identity=self.identity)

    @classmethod
    def load(cls, path: str | Path) -> "Model":
        """Raises `PcodecError` naming the file if it is missing or another."""
        try:
            with np.load(path) as file:
                pairs, shared, identity = (file[name] for name in ("pairs", "shared", "identity"))
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise PcodecError.of(path, WHAT, error) from None
        if pairs.ndim != 3 or pairs.shape[1:] != (WORDS, WORDS) or shared.shape != pairs.shape[:1]:
            raise PcodecError(f"{path}: {WHAT}")
        return cls(pairs.astype(np.int64), shared, str(identity))

    def after(self, stage: int, before: np.ndarray) -> np.ndarray:
        """Probabilities (N, 256) of a stage's words after those `before` (N,)."""
        counts = self.pairs[stage][before]
        weight = float(self.shared[stage])
        return (counts + weight * self.single[stage]) / (counts.sum(axis=1, keepdims=True) + weight)

    def bits(self, signals: list[np.ndarray]) -> np.ndarray:
        """What each code (frames of all signals, S) costs an ideal coder."""
        return np.concatenate([self._bits(codes) for codes in signals])

    def _bits(self, codes):
        cost = np.empty(codes.shape)
        for stage, column in enumerate(codes.T.astype(np.int64)):
            cost[:1, stage] = -np.log2(self.single[stage][column[:1]])
            chosen = self.pairs[stage][column[:-1], column[1:]] + self.shared[stage] * self.single[stage][column[1:]]
            cost[1:, stage] = np.log2((self.pairs[stage].sum(axis=1)[column[:-1]] + self.shared[stage]) / chosen)
        return cost

    def compress(self, codes: np.ndarray) -> bytes:
        """Codes (P, S) -> bytes."""
        encoder = constriction.stream.queue.RangeEncoder()
        for frame in range(len(codes)):
            encoder.encode(codes[frame].astype(np.int32), FAMILY, self._next(codes, frame))
        return encoder.get_compressed().astype("<u4").tobytes()

    def expand(self, data: bytes, frames: int, stages: int) -> np.ndarray:
        """Bytes of `compress` -> codes (frames, stages) uint8; raises `PcodecError` if they are of something else."""
        if len(data) % 4 or not 1 <= stages <= len(self.pairs):
            raise PcodecError(f"damaged: {len(data)} bytes of codes at {stages} stages")
        codes = np.zeros((frames, stages), np.uint8)
        decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
        try:
            for frame in range(frames):
                codes[frame] = decoder.decode(FAMILY, self._next(codes, frame))
        except AssertionError as error:
            raise PcodecError(f"damaged: {error}") from None
        return codes

    def _next(self, codes, frame):
        """Probabilities (S, 256) of the words of a frame."""
        stages = codes.shape[1]
        if frame == 0:
            return self.single[:stages]
        return np.concatenate([self.after(stage, codes[frame - 1, stage : stage + 1]) for stage in range(stages)])


def _counted(signals):
    """Pairs (S, 256, 256) in codes of signals."""
    stages = signals[0].shape[1]
    pairs = np.zeros((stages, WORDS, WORDS), np.int64)
    for codes in signals:
        for stage, column in enumerate(codes.T.astype(np.int64)):
            np.add.at(pairs[stage], (column[:-1], column[1:]), 1)
    return pairs
