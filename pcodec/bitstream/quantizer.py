"""Quantizers of the 1.6 kb/s codec: what the features become, 64 bits for every 40 ms.

Task: LPCNet specification sections 5.3 (pitch) and 6 (cepstrum). The codebooks are in `pcodec.bitstream.codebooks`.

Conventions: a packet is four frames; its nine integer fields are `FIELDS`, in the order in which they are sent. Three
additive codebooks of 17-dimensional vectors code c1..c17 of frame 3, one codebook of 18-dimensional vectors codes
frame 1 relative to its neighbours, frames 0 and 2 are interpolated. Arithmetic is float32 in the reference's order of
operations, packet after packet: searches come out the same to the bit. Notebook 03_bitstream.

Contents: `quantize`, `dequantize`, `check`, `quantized_features`, `rms_error`.
"""

import math

import numpy as np

from pcodec import PcodecError
from pcodec.bitstream.codebooks import DELTA_WORDS, PREDICTORS, STAGE_WORDS, STAGES, Codebooks
from pcodec.compute.compiling import compiled
from pcodec.features.analysis import BANDS, FEATURES, LAG_MAX, LAG_MIN, PACKET, Analysis

FIELDS = {  # name: bits, in the order of the packet
    "c0": 7, "pitch": 6, "modulation": 3, "correlation": 2, "vq1": 10, "vq2": 10, "vq3": 10,
    "delta": 13, "interpolation": 3,
}  # fmt: skip
SURVIVORS = 5  # candidates kept after each stage of the search
VOICED = 0.3  # pitch correlation from which a packet is voiced
FORBIDDEN = 7  # of the nine pairs 3 (frame 0) + (frame 2) of interpolations: right and left, frame 1 twice


def quantize(analysis: Analysis, codebooks: Codebooks, before: np.ndarray | None = None) -> np.ndarray:
    """Analysis of P packets -> fields (P, 9) int64, columns as `FIELDS` (sections 5.3 and 6).

    `before` is the decoded cepstrum (18,) of the last frame before, zeros at the start of a stream.
    """
    cepstra = analysis.features[:, FEATURES["cepstrum"]].reshape(-1, PACKET, BANDS)
    fields = np.empty((len(cepstra), len(FIELDS)), dtype=np.int64)
    _quantize_pitch(analysis.lags, analysis.weights, analysis.correlation, fields)
    books = (codebooks.stages, codebooks.delta, *codebooks.columns)
    _quantize_cepstra(np.ascontiguousarray(cepstra), _start(before), *books, fields)
    return fields


def dequantize(fields: np.ndarray, codebooks: Codebooks, before: np.ndarray | None = None) -> np.ndarray:
    """Fields (P, 9) -> decoded features (4 P, 20) float32; `before` as in `quantize`.

    Raises `PcodecError` for a field that does not fit its bits.
    """
    fields = check(fields)
    cepstra = _dequantize_cepstra(fields, _start(before), codebooks.stages, codebooks.delta)
    _, pitch, modulation, correlation = fields[:, :4].T
    slope = np.where(modulation > 0, modulation - 4, 0) / 112
    lag = 32 * 2 ** (pitch / 21)[:, None] * (1 + slope[:, None] * (2 * np.arange(PACKET) - 3))
    lag = np.clip(lag, LAG_MIN + 1, LAG_MAX - 1)
    strength = np.where(modulation > 0, 0.3875 + 0.175 * correlation, 0.0375 + 0.075 * correlation)
    return np.column_stack(
        [cepstra.reshape(-1, BANDS), 0.02 * (lag.ravel() - 100), np.repeat(strength - 0.5, PACKET)]
    ).astype(np.float32)


def check(fields: np.ndarray) -> np.ndarray:
    """Return fields as int64 (P, 9); raises `PcodecError` for another shape or a field that does not fit its bits."""
    fields = np.asarray(fields)
    if fields.ndim != 2 or fields.shape[1] != len(FIELDS) or not np.issubdtype(fields.dtype, np.integer):
        raise PcodecError(f"fields must be integers (packets, {len(FIELDS)}), got {fields.dtype} {fields.shape}")
    for (name, bits), values in zip(FIELDS.items(), fields.T, strict=True):
        if len(values) and not 0 <= values.min() <= values.max() < 1 << bits:
            raise PcodecError(f"field {name} must fit {bits} bits, got {values.min()} to {values.max()}")
    return fields.astype(np.int64)


def quantized_features(analysis: Analysis, codebooks: Codebooks) -> np.ndarray:
    """What the decoder will see of a signal: (T, 20) float32."""
    return dequantize(quantize(analysis, codebooks), codebooks)


def _start(before) -> np.ndarray:
    before = np.zeros(BANDS, np.float32) if before is None else np.ascontiguousarray(before, dtype=np.float32)
    if before.shape != (BANDS,):
        raise PcodecError(f"the frame before must be ({BANDS},), got shape {before.shape}")
    return before


@compiled()
def _rounded(x):
    """The nearest integer; where the reference converts a number that is not one, it gets the smallest integer."""
    return -(2**31) if math.isnan(x) or math.isinf(x) else math.floor(0.5 + x)


@compiled(error_model="numpy")
def _quantize_pitch(lags, weights, correlation, fields):
    """Codes of main pitch, modulation and correlation into columns 1 to 3 (section 5.3).

    A digitally silent packet has no weights; all its quotients are 0 / 0, and the reference's code is 0.
    """
    for p in range(len(lags)):
        sw = sx = sxx = sxy = sy = np.float32(0.0)
        for s in range(len(lags[p])):  # weighted least squares of lag T on x
            w, x, t = weights[p, s], np.float32(s + 2), np.float32(lags[p, s])
            sw += w
            sx += w * x
            sxx += w * x * x
            sxy += w * x * t
            sy += w * t
        slope = np.float32(0.0)
        r = max(np.float32(0.0), correlation[p])
        voiced = r >= VOICED
        if voiced:
            slope = (sw * sxy - sx * sy) / (sw * sxx - sx * sx)
            limit = sy / sw / np.float32(32.0)
            slope = -limit if -limit > slope else slope
            slope = limit if limit < slope else slope
            step = (r - np.float32(VOICED)) / np.float32(0.175)
        else:
            step = r / np.float32(0.075)
        centre = (sy - slope * sx) / sw + np.float32(5.5) * slope
        main = 21.0 * math.log2(float(centre / np.float32(LAG_MIN))) if centre > 0 else math.nan
        fields[p, 1] = min(63, max(0, _rounded(main)))
        fields[p, 2] = min(3, max(-3, _rounded(np.float32(112.0) * slope / centre))) + 4 if voiced else 0
        fields[p, 3] = min(3, int(step))  # at r = 1 the reference would send 0: 4 does not fit


@compiled()
def _quantize_cepstra(cepstra, before, stages, delta, stage_columns, delta_columns, fields):
    """Codes of the cepstra (P, 4, 18) into columns 0 and 4 to 8 (section 6)."""
    for p in range(len(cepstra)):
        frames = cepstra[p]
        fields[p, 0] = min(63, max(-64, math.floor(0.5 + 4.0 * frames[3, 0]))) + 64
        _search_stages(frames[3, 1:], stages, stage_columns, fields[p, 4:7])
        last = _last_frame(fields[p], stages)
        fields[p, 7] = _search_delta(frames[1], before, last, delta_columns)
        middle = _middle_frame(fields[p, 7], before, last, delta)
        fields[p, 8] = _search_interpolation(frames, before, middle, last)
        before = last


@compiled()
def _dequantize_cepstra(fields, before, stages, delta):
    """Fields (P, 9) -> cepstra (P, 4, 18) float32."""
    cepstra = np.empty((len(fields), PACKET, BANDS), dtype=np.float32)
    for p in range(len(fields)):
        last = _last_frame(fields[p], stages)
        middle = _middle_frame(fields[p, 7], before, last, delta)
        pair = fields[p, 8] + (fields[p, 8] >= FORBIDDEN)
        cepstra[p, 0] = _interpolate(pair // 3, before, middle)
        cepstra[p, 1] = middle
        cepstra[p, 2] = _interpolate(pair % 3, middle, last)
        cepstra[p, 3] = last
        before = last
    return cepstra


@compiled()
def _distances(x, columns, out):
    """Squared distances of x (D,) to the words in the columns of (D, words)."""
    out[:] = 0.0
    for j in range(len(x)):
        value = x[j]
        column = columns[j]
        for w in range(len(out)):
            difference = value - column[w]
            out[w] += difference * difference


@compiled()
def _search_stages(target, stages, columns, result):
    """M-best search of three additive codebooks for a target (17,): three indices into `result` (step 2)."""
    words = np.zeros((SURVIVORS, STAGES), dtype=np.int64)  # of the best candidates so far, best first
    kept = 1
    distances = np.empty(STAGE_WORDS, dtype=np.float32)
    for stage in range(STAGES):
        best = np.full(SURVIVORS, np.inf, dtype=np.float32)
        new = np.zeros((SURVIVORS, STAGES), dtype=np.int64)
        for k in range(kept):
            residual = target.copy()
            for earlier in range(stage):
                residual -= stages[earlier, words[k, earlier]]
            _distances(residual, columns[stage], distances)
            for w in range(STAGE_WORDS):
                if distances[w] < best[SURVIVORS - 1]:
                    at = SURVIVORS - 1
                    while at > 0 and distances[w] < best[at - 1]:
                        best[at] = best[at - 1]
                        new[at] = new[at - 1]
                        at -= 1
                    best[at] = distances[w]
                    new[at] = words[k]
                    new[at, stage] = w
        words = new
        kept = SURVIVORS
    result[:] = words[0]


@compiled()
def _search_delta(target, before, last, columns):
    """Frame 1 (18,) -> delta field: index, + 4096 when the code word is subtracted (step 3)."""
    best = np.float32(np.inf)
    field = 0
    distances = np.empty(columns.shape[2], dtype=np.float32)
    for negative in range(2):
        for kind in range(PREDICTORS):
            difference = target - _predict(kind, before, last)
            _distances(-difference if negative else difference, columns[kind], distances)
            w = distances.argmin()
            code = PREDICTORS * w + kind + DELTA_WORDS * negative
            if distances[w] < best or (distances[w] == best and code < field):
                best = distances[w]
                field = code
    return field


@compiled()
def _search_interpolation(frames, before, middle, last):
    """Frames 0 and 2 of (4, 18) -> interpolation field: the pair of least squared error that can be sent (step 4)."""
    best = np.float32(np.inf)
    field = 0
    for pair in range(9):
        first = frames[0] - _interpolate(pair // 3, before, middle)
        second = frames[2] - _interpolate(pair % 3, middle, last)
        error = _energy(first) + _energy(second)
        if pair != FORBIDDEN and error < best:
            best = error
            field = pair - (pair > FORBIDDEN)
    return field


@compiled()
def _energy(x):
    total = np.float32(0.0)
    for value in x:
        total += value * value
    return total


@compiled()
def _last_frame(fields, stages):
    """Fields of a packet -> decoded frame 3 (18,)."""
    frame = np.empty(BANDS, dtype=np.float32)
    frame[0] = (fields[0] - 64) / 4.0
    frame[1:] = stages[0, fields[4]] + stages[1, fields[5]] + stages[2, fields[6]]
    return frame


@compiled()
def _middle_frame(field, before, last, delta):
    """Delta field -> decoded frame 1 (18,)."""
    index = field % DELTA_WORDS
    prediction = _predict(index % PREDICTORS, before, last)
    return prediction - delta[index] if field >= DELTA_WORDS else prediction + delta[index]


@compiled()
def _predict(kind, before, last):
    """Prediction of frame 1 by the kind of code word, its index modulo 4."""
    return before.copy() if kind == 2 else last.copy() if kind == 3 else np.float32(0.5) * (before + last)


@compiled()
def _interpolate(kind, left, right):
    return np.float32(0.5) * (left + right) if kind == 0 else left.copy() if kind == 1 else right.copy()


def rms_error(analyses: list[Analysis], codebooks: Codebooks) -> np.ndarray:
    """Root mean square error of each feature (20,) that quantization makes, over all frames of some signals."""
    error = np.concatenate([quantized_features(each, codebooks) - each.features for each in analyses])
    return np.sqrt((error**2).mean(axis=0))
