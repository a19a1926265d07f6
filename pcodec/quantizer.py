"""Quantizers of the 1.6 kb/s codec: what the features become, 64 bits for every 40 ms.

Task: LPCNet specification sections 5.3 (pitch), 6 (cepstrum) and 6.1 (codebook training).

Conventions: a packet is four frames; its nine integer fields are `FIELDS`, in the order in which they are sent. Three
additive codebooks of 17-dimensional vectors code c1..c17 of frame 3, one codebook of 18-dimensional vectors codes
frame 1 relative to its neighbours, frames 0 and 2 are interpolated. Notebook 02_features.

Contents: `Codebooks`, `train_codebooks`, `quantize`, `dequantize`, `quantized_features`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pcodec import PcodecError, paths
from pcodec.features import BANDS, FEATURES, LAG_MAX, LAG_MIN, PACKET, Analysis

FIELDS = {  # name: bits, in the order of the packet
    "c0": 7, "pitch": 6, "modulation": 3, "correlation": 2, "vq1": 10, "vq2": 10, "vq3": 10,
    "delta": 13, "interpolation": 3,
}  # fmt: skip
STAGE_WORDS = 1024
DELTA_WORDS = 4096
SURVIVORS = 5  # candidates kept after each stage of the search
VOICED = 0.3  # pitch correlation from which a packet is voiced
PREDICTORS = 4  # of frame 1: mean, mean, last frame of the packet before, last frame of this packet
# (frame 0, frame 2) by interpolation code: 0 the mean of both neighbours, 1 the left, 2 the right. The pair (2, 1),
# frame 1 twice, cannot be sent.
INTERPOLATIONS = [(a, b) for a in range(3) for b in range(3) if (a, b) != (2, 1)]
CENTROID_PASSES = 4  # Lloyd iterations after each doubling
FINAL_PASSES = 20  # at full size


@dataclass(frozen=True)
class Codebooks:
    """The trained part of the quantizer."""

    stages: np.ndarray  # (3, 1024, 17) float32, additive
    delta: np.ndarray  # (4096, 18) float32; entry n uses predictor n mod 4

    def __post_init__(self):
        if self.stages.shape != (3, STAGE_WORDS, BANDS - 1) or self.delta.shape != (DELTA_WORDS, BANDS):
            raise PcodecError(f"codebooks have shapes {self.stages.shape} and {self.delta.shape}")

    @property
    def identity(self) -> str:
        """Hash of the values: sender and receiver must hold the same books."""
        return hashlib.sha256(self.stages.tobytes() + self.delta.tobytes()).hexdigest()[:16]

    @classmethod
    def load(cls, path: str | Path) -> "Codebooks":
        """Read codebooks that `save` wrote, or the original ones under their names (ceps_codebook1, ...)."""
        try:
            with np.load(path) as file:
                original = "ceps_codebook1" in file
                stages = [file[f"ceps_codebook{i}"] for i in (1, 2, 3)] if original else file["stages"]
                delta = file["ceps_codebook_diff4"] if original else file["delta"]
        except (OSError, ValueError, KeyError) as error:
            raise PcodecError(f"{path}: no codebooks: {error}") from None
        return cls(np.ascontiguousarray(stages, dtype=np.float32), np.ascontiguousarray(delta, dtype=np.float32))

    def save(self, path: str | Path) -> None:
        with paths.replacing(Path(path)) as temporary:
            np.savez(temporary, stages=self.stages, delta=self.delta)


def quantize(analysis: Analysis, codebooks: Codebooks) -> np.ndarray:
    """Analysis of P packets -> fields (P, 9) int64, columns as `FIELDS` (sections 5.3 and 6)."""
    cepstrum = analysis.features[:, FEATURES["cepstrum"]].astype(np.float64).reshape(-1, PACKET, BANDS)
    pitch, modulation, correlation = _quantize_pitch(analysis)
    c0 = np.clip(_round(4 * cepstrum[:, 3, 0]), -64, 63)
    vq = _search_stages(cepstrum[:, 3, 1:], codebooks.stages)
    last = np.column_stack([c0 / 4, _sum_stages(vq, codebooks.stages)])
    before = np.vstack([np.zeros((1, BANDS)), last[:-1]])
    delta = _search_delta(cepstrum[:, 1], before, last, codebooks.delta)
    middle = _frame1(delta, before, last, codebooks.delta)
    errors = [
        ((cepstrum[:, [0, 2]] - _frames02(code, before, middle, last)) ** 2).sum(axis=(1, 2))
        for code in range(len(INTERPOLATIONS))
    ]
    interpolation = np.argmin(errors, axis=0)
    return np.column_stack([c0 + 64, pitch, modulation, correlation, vq, delta, interpolation]).astype(np.int64)


def dequantize(fields: np.ndarray, codebooks: Codebooks) -> np.ndarray:
    """Fields (P, 9) -> decoded features (4 P, 20) float32."""
    fields = np.asarray(fields)
    c0, pitch, modulation, correlation = fields[:, :4].T
    last = np.column_stack([(c0 - 64) / 4, _sum_stages(fields[:, 4:7], codebooks.stages)])
    before = np.vstack([np.zeros((1, BANDS)), last[:-1]])
    middle = _frame1(fields[:, 7], before, last, codebooks.delta)
    cepstrum = np.empty((len(fields), PACKET, BANDS))
    cepstrum[:, 1], cepstrum[:, 3] = middle, last
    for code in range(len(INTERPOLATIONS)):
        chosen = fields[:, 8] == code
        cepstrum[chosen, ::2] = _frames02(code, before[chosen], middle[chosen], last[chosen])
    slope = np.where(modulation > 0, modulation - 4, 0) / 112
    lag = 32 * 2 ** (pitch / 21)[:, None] * (1 + slope[:, None] * (2 * np.arange(PACKET) - 3))
    lag = np.clip(lag, LAG_MIN + 1, LAG_MAX - 1)
    strength = np.where(modulation > 0, 0.3875 + 0.175 * correlation, 0.0375 + 0.075 * correlation)
    return np.column_stack(
        [cepstrum.reshape(-1, BANDS), 0.02 * (lag.ravel() - 100), np.repeat(strength - 0.5, PACKET)]
    ).astype(np.float32)


def quantized_features(analysis: Analysis, codebooks: Codebooks) -> np.ndarray:
    """What the decoder will see of a signal: (T, 20) float32."""
    return dequantize(quantize(analysis, codebooks), codebooks)


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
        targets = [_delta_targets(cepstrum, stages) for cepstrum in cepstra if len(cepstrum) > PACKET]
        targets = [np.vstack(kind) for kind in zip(*targets, strict=True)]
        start = np.stack([target.mean(axis=0) for target in targets])
        delta = _grow(start, lambda book: _lloyd_delta(targets, book), rng, bar)
    return Codebooks(stages, delta)


def _round(x):
    return np.floor(0.5 + x)


def _quantize_pitch(analysis: Analysis):
    """Codes of main pitch, modulation and correlation, each (P,) (section 5.3)."""
    x = np.arange(2.0, 10.0)
    w, y = analysis.weights, analysis.lags.astype(np.float64)
    sw, sx, sy = w.sum(axis=1), (w * x).sum(axis=1), (w * y).sum(axis=1)
    sxx, sxy = (w * x * x).sum(axis=1), (w * x * y).sum(axis=1)
    spread = sw * sxx - sx**2
    # A silent packet has no weights: flat pitch at the mean of its lags.
    slope = np.divide(sw * sxy - sx * sy, spread, out=np.zeros_like(sw), where=spread > 1e-9)
    mean = np.divide(sy, sw, out=y.mean(axis=1), where=sw > 1e-9)
    centre_x = np.divide(sx, sw, out=np.full_like(sw, x.mean()), where=sw > 1e-9)
    r = np.maximum(0.0, analysis.correlation)
    voiced = r >= VOICED
    slope = np.where(voiced, np.clip(slope, -mean / 32, mean / 32), 0.0)
    centre = mean - slope * centre_x + 5.5 * slope
    pitch = np.clip(_round(21 * np.log2(centre / 32)), 0, 63)
    modulation = np.where(voiced, np.clip(_round(16 * 7 * slope / centre), -3, 3) + 4, 0)
    correlation = np.where(voiced, np.floor((r - VOICED) / 0.175), np.floor(r / 0.075))
    return pitch, modulation, np.clip(correlation, 0, 3)


def _search_stages(targets: np.ndarray, stages: np.ndarray) -> np.ndarray:
    """M-best search of three additive codebooks: targets (P, 17) -> indices (P, 3) (section 6, step 2)."""
    residuals = targets.astype(np.float32)[:, None, :]  # (P, survivors, 17)
    indices = np.zeros((len(targets), 1, 0), dtype=np.int64)
    rows = np.arange(len(targets))[:, None]
    for book in stages:
        distances = ((residuals**2).sum(axis=2, keepdims=True) - 2 * residuals @ book.T) + (book**2).sum(axis=1)
        flat = distances.reshape(len(targets), -1)
        best = np.argpartition(flat, SURVIVORS, axis=1)[:, :SURVIVORS]
        best = np.take_along_axis(best, np.argsort(np.take_along_axis(flat, best, 1), axis=1), 1)
        parent, word = best // STAGE_WORDS, best % STAGE_WORDS
        residuals = residuals[rows, parent] - book[word]
        indices = np.concatenate([indices[rows, parent], word[:, :, None]], axis=2)
    return indices[:, 0]


def _sum_stages(vq: np.ndarray, stages: np.ndarray) -> np.ndarray:
    return sum(stages[i][vq[:, i]].astype(np.float64) for i in range(3))


def _predictions(before: np.ndarray, last: np.ndarray) -> list[np.ndarray]:
    """Four predictions of frame 1, by entry modulo 4."""
    mean = (before + last) / 2
    return [mean, mean, before, last]


def _search_delta(targets, before, last, book) -> np.ndarray:
    """Frame 1 (P, 18) -> delta field (P,): index + 4096 when the code word is subtracted (section 6, step 3)."""
    best = np.full(len(targets), np.inf)
    field = np.zeros(len(targets), dtype=np.int64)
    for kind, prediction in enumerate(_predictions(before, last)):
        words = book[kind::PREDICTORS].astype(np.float64)
        difference = targets - prediction
        products = difference @ words.T
        # min over the sign: |d|^2 - 2 |d.w| + |w|^2
        distances = (difference**2).sum(axis=1, keepdims=True) - 2 * np.abs(products) + (words**2).sum(axis=1)
        index = distances.argmin(axis=1)
        found = np.take_along_axis(distances, index[:, None], 1)[:, 0]
        negative = np.take_along_axis(products, index[:, None], 1)[:, 0] < 0
        better = found < best
        best = np.where(better, found, best)
        field = np.where(better, PREDICTORS * index + kind + DELTA_WORDS * negative, field)
    return field


def _frame1(delta, before, last, book) -> np.ndarray:
    delta = np.asarray(delta)
    index = delta % DELTA_WORDS
    sign = np.where(delta >= DELTA_WORDS, -1.0, 1.0)
    prediction = np.choose((index % PREDICTORS)[:, None], _predictions(before, last))
    return prediction + sign[:, None] * book[index]


def _frames02(code, before, middle, last) -> np.ndarray:
    """Frames 0 and 2 (P, 2, 18) under interpolation code `code` (section 6, step 4)."""
    first, second = INTERPOLATIONS[code]
    frame0 = [(before + middle) / 2, before, middle][first]
    frame2 = [(middle + last) / 2, middle, last][second]
    return np.stack([frame0, frame2], axis=1)


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


def _nearest(vectors: np.ndarray, book: np.ndarray, either_sign: bool = False, block: int = 16384) -> np.ndarray:
    """Index of the code word nearest to each vector; with `either_sign` nearest to it or to its negative."""
    norms = (book**2).sum(axis=1) / 2
    found = np.empty(len(vectors), dtype=np.int64)
    for i in range(0, len(vectors), block):
        products = vectors[i : i + block] @ book.T
        found[i : i + block] = ((np.abs(products) if either_sign else products) - norms).argmax(axis=1)
    return found


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
    return [cepstrum[2:-2] - prediction for prediction in _predictions(coded[:-4], coded[4:])]


def _lloyd_delta(targets, book) -> np.ndarray:
    new = np.empty_like(book)
    for kind, vectors in enumerate(targets):
        words = book[kind::PREDICTORS]
        nearest = _nearest(vectors, words, either_sign=True)
        signs = np.where((vectors * words[nearest]).sum(axis=1, keepdims=True) < 0, -1.0, 1.0).astype(np.float32)
        new[kind::PREDICTORS] = _centroids(signs * vectors, nearest, words)
    return new
