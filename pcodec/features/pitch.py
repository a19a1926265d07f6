"""Pitch lag of every 5 ms and pitch correlation of every packet.

Task: LPCNet specification sections 5.1 and 5.2: normalized correlations of the LPC residual, then the best path through
them (Viterbi).

Conventions: P packets of 8 sub-frames of 80 samples (5 ms). A lag T is in samples, 32 < T <= 256; state i of the search
means T = 256 - i. Arithmetic is float32 in the reference's order of operations, because packets depend on comparisons.

The search of the 2019 reference differs from what its paper describes; `reference_step` is the one place that
repeats it, `clean_step` is what was meant. Notebook 02_features.

Contents: `residual`, `correlations`, `track`, `reference_step`, `clean_step`.
"""

import math

import numpy as np

from pcodec.compute.compiling import compiled
from pcodec.features.cepstrum import FRAME, ORDER

OFFSET = 80  # samples by which a frame's audio starts before its window's second half
LAG_MIN, LAG_MAX = 32, 256  # samples
SUBFRAME = 80  # samples, 5 ms, one pitch lag each
SUBFRAMES = 8  # of a packet
STATES = LAG_MAX - LAG_MIN
JUMP = np.float32(6.0)  # cost of a free jump to the best state of the sub-frame before
SMOOTHING = np.float32(0.7)  # of the residual: e[n] = d[n] + 0.7 d[n - 1]
SQUARED_STEP = np.array([np.float32(0.02) * np.float32(j) * np.float32(j) for j in range(STATES)], dtype=np.float32)


@compiled()
def residual(signal, lpc, d):
    """Smoothed LPC residual e (160 T,) float32 of the frames' own audio, and the last unsmoothed d (section 5.1).

    `signal` (160 + 160 T,) float32 is pre-emphasized and starts one frame early; `lpc` is (T, 16), `d` the last
    residual sample before.
    """
    out = np.empty(len(lpc) * FRAME, dtype=np.float32)
    frame = np.empty(FRAME, dtype=np.float32)
    for k in range(len(lpc)):
        start = FRAME * (k + 1) - OFFSET
        for n in range(FRAME):
            frame[n] = signal[start + n]
        for i in range(ORDER):
            a = lpc[k, i]
            for n in range(FRAME):
                frame[n] += a * signal[start + n - 1 - i]
        for n in range(FRAME):
            out[k * FRAME + n] = frame[n] + SMOOTHING * d
            d = frame[n]
    return out, d


@compiled()
def correlations(e):
    """Residual (256 + 640 P,) -> normalized correlation (P, 8, 256) at lag 256 - i, energy (P, 8) (section 5.1)."""
    packets = (len(e) - LAG_MAX) // (SUBFRAMES * SUBFRAME)
    xc = np.empty((packets, SUBFRAMES, LAG_MAX), dtype=np.float32)
    energies = np.empty((packets, SUBFRAMES), dtype=np.float32)
    for p in range(packets):
        for s in range(SUBFRAMES):
            start = LAG_MAX + (p * SUBFRAMES + s) * SUBFRAME
            energy = np.float32(0.0)
            products = np.zeros(LAG_MAX, dtype=np.float32)
            delayed = np.zeros(LAG_MAX, dtype=np.float32)
            for n in range(SUBFRAME):  # lags innermost: contiguous, so the compiler uses vectors
                now = e[start + n]
                energy += now * now
                past = e[start + n - LAG_MAX : start + n]
                for i in range(LAG_MAX):
                    products[i] += now * past[i]
                    delayed[i] += past[i] * past[i]
            for i in range(LAG_MAX):
                xc[p, s, i] = np.float32(2.0) * products[i] / ((np.float32(1.0) + energy) + delayed[i])
            energies[p, s] = energy
    return xc, energies


@compiled()
def track(xc, energies, score, best, gain, clean):
    """The best path through the correlations (section 5.2).

    `score` (224,) float32, `best` and `gain` are the search's state after the packets before (zeros at the start).
    `clean` selects `clean_step`. Changes `xc`. Returns lags (P, 8), weights (P, 8) of mean 1, mean correlation (P,) and
    the new state.
    """
    packets = len(xc)
    lags = np.zeros((packets, SUBFRAMES), dtype=np.int32)
    weights = np.zeros((packets, SUBFRAMES), dtype=np.float32)
    correlation = np.zeros(packets, dtype=np.float32)
    back = np.zeros((SUBFRAMES, STATES), dtype=np.int32)
    top = np.zeros(STATES, dtype=np.float32)
    for p in range(packets):
        total = np.float32(1e-15)
        for s in range(SUBFRAMES):
            total += energies[p, s]
        for s in range(SUBFRAMES):
            weights[p, s] = energies[p, s] * (np.float32(8.0) / total)
            row = xc[p, s]
            _prefer_short_lags(row)
            if clean:
                clean_step(score, best, top, back[s])
            else:
                reference_step(score, best, gain, top, back[s])
            best = 0
            for i in range(STATES):
                top[i] += weights[p, s] * row[i]
                if top[i] > top[best]:
                    best = i
            gain = top[best]
            for i in range(STATES):
                score[i] = top[i] - gain
        state = best
        mean = np.float32(0.0)
        for s in range(SUBFRAMES - 1, -1, -1):
            lags[p, s] = LAG_MAX - state
            mean += weights[p, s] * xc[p, s, state]
            state = back[s, state]
        correlation[p] = mean / np.float32(8.0)
    return lags, weights, correlation, score, best, gain


@compiled()
def _prefer_short_lags(row):
    """A lag must beat its half clearly, against pitch doubling."""
    for i in range(LAG_MAX - 2 * LAG_MIN):
        half = max(row[(256 + i) // 2], max(row[(258 + i) // 2], row[(255 + i) // 2]))
        if row[i] < half * 1.1:
            row[i] *= 0.8


@compiled()
def clean_step(score, best, top, origin):
    """What is meant: into state i from i - 4 .. i + 4 at 0.02 per squared step, or from the best state at 6."""
    top[:] = score[best] - JUMP
    origin[:] = best
    for j in range(-4, 5):
        cost = SQUARED_STEP[abs(j)]
        start, stop = max(0, -j), min(STATES, STATES - j)
        candidates, tops, origins = score[start + j : stop + j], top[start:stop], origin[start:stop]
        for i in range(stop - start):
            through = candidates[i] - cost
            better = through > tops[i]
            tops[i] = through if better else tops[i]
            origins[i] = np.int32(start + j + i) if better else origins[i]


@compiled()
def reference_step(score, best, gain, top, origin):
    """What the 2019 reference does, and its packets depend on.

    A state i > 4 is reached from any state 4 .. i + 4, tried in this order; a candidate is compared before its penalty
    is subtracted; and the free jump costs 6 less the last gain, because that was noted before the scores were
    renormalized.

    Tried one by one that is 25,000 comparisons per step. But once any candidate is taken, the next ones are all taken
    as long as their distance costs more than the scores differ at all. So only the last `far` candidates need trying,
    from the one before them if an earlier one had been taken.
    """
    jump = gain - JUMP
    far = int(math.sqrt((score.max() - score.min()) / 0.02)) + 2
    first = 4  # the first candidate that any state takes
    while first < STATES and not score[first] > jump:
        first += 1
    top[:] = jump
    origin[:] = best
    for i in range(max(first + far, 5), STATES):
        top[i] = score[i - far] - SQUARED_STEP[far]
        origin[i] = i - far
    for j in range(max(1 - far, 5 - STATES), 5):
        cost = SQUARED_STEP[abs(j)]
        start, stop = max(5, 4 - j) if j < 0 else 0, min(STATES, STATES - j)
        candidates, tops, origins = score[start + j : stop + j], top[start:stop], origin[start:stop]
        for i in range(stop - start):
            better = candidates[i] > tops[i]
            tops[i] = candidates[i] - cost if better else tops[i]
            origins[i] = np.int32(start + j + i) if better else origins[i]
