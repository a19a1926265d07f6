"""How well a score tells whether two pieces of speech are of the same speaker.

Task: the measures of speaker verification for the Siamese embedding and for its two reference points, on the same
trials: the median pitch alone, and resemblyzer, a pretrained encoder.

Conventions: pieces are `spans` of utterances, in frames of 10 ms; a scorer gives the (N, N) scores of all pairs of
pieces, higher for more alike; trials are the pairs, each once. Notebook 04_embedding.

Contents: `spans`, `siamese_scores`, `pitch_scores`, `resemblyzer_scores`, `trials`, `equal_error_rate`,
`detection_cost`, `evaluate`.
"""

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.features.analysis import SUBFRAMES, Analysis
from pcodec.speakers import embedding
from pcodec.speakers.embedding import HOP
from pcodec.speech import audio

LEVELS = 2000  # of scores, for error rates
PERIODIC = 0.5  # pitch correlation from which a packet's lags count


def spans(mels: list[np.ndarray], seconds: float) -> np.ndarray:
    """Cut utterances into pieces of `seconds`: (N, 3) int, utterance, first frame, frame after the last.

    An utterance shorter than two pieces gives what it has: one piece, or itself.
    """
    size = int(seconds * audio.RATE / HOP)
    rows = [
        (i, at, min(at + size, len(mel)))
        for i, mel in enumerate(mels)
        for at in range(0, max(len(mel) - size, 0) + 1, size)
    ]
    return np.array(rows).reshape(-1, 3)


def siamese_scores(encoder: embedding.SpeakerEncoder, mels: list[np.ndarray], pieces: np.ndarray) -> np.ndarray:
    """Inner products of the embeddings of pieces (N, 3) of log-mels, (N, N) (Eq. 1 of Jang et al. 2024)."""
    z = embedding.embed(encoder, [mels[u][start:stop] for u, start, stop in pieces])
    return z @ z.T


def pitch_scores(analyses: list[Analysis], pieces: np.ndarray) -> np.ndarray:
    """Minus the distance in octaves of the median pitch lags of pieces (N, 3), (N, N)."""
    octaves = []
    for u, start, stop in pieces:
        lags = analyses[u].lags.ravel()[2 * start : 2 * stop]  # one each 5 ms
        periodic = np.repeat(analyses[u].correlation >= PERIODIC, SUBFRAMES)[2 * start : 2 * stop]
        octaves.append(np.log2(np.median(lags[periodic] if periodic.any() else lags)))
    return -np.abs(np.subtract.outer(octaves, octaves))


def resemblyzer_scores(signals: list[np.ndarray], pieces: np.ndarray) -> np.ndarray | None:
    """Cosines of resemblyzer's embeddings of pieces (N, 3) of signals, (N, N); None where it is not installed."""
    try:
        from resemblyzer import VoiceEncoder
    except ImportError:
        return None
    anchor = VoiceEncoder("cpu", verbose=False)
    z = np.stack([anchor.embed_utterance(signals[u][HOP * start : HOP * stop]) for u, start, stop in pieces])
    return z @ z.T


def trials(scores: np.ndarray, speakers: np.ndarray) -> pd.DataFrame:
    """Scores of all pairs (N, N) -> table (score, same) of every pair once, and whether the speakers are the same."""
    first, second = np.triu_indices(len(scores), 1)
    speakers = np.asarray(speakers)
    return pd.DataFrame({"score": scores[first, second], "same": speakers[first] == speakers[second]})


def equal_error_rate(trials: pd.DataFrame) -> tuple[float, float]:
    """Trials -> (rate 0..1 at which false alarms equal misses, threshold on the score), by speechbrain."""
    from speechbrain.utils.metric_stats import EER

    rate, threshold = EER(*_positive_and_negative(trials))
    return float(rate), float(threshold)


def detection_cost(trials: pd.DataFrame) -> float:
    """Lowest detection cost (minDCF) of trials over all thresholds, by speechbrain; 1 is that of refusing everything.

    A miss and a false alarm cost the same; one trial in a hundred is of the same speaker.
    """
    from speechbrain.utils.metric_stats import minDCF

    share = 0.01
    return float(minDCF(*_positive_and_negative(trials), c_miss=1.0, c_fa=1.0, p_target=share)[0]) / share


def evaluate(trials: pd.DataFrame) -> dict:
    """Trials -> trials, same (numbers of them), equal_error_rate, min_dcf, threshold of the equal error rate."""
    rate, threshold = equal_error_rate(trials)
    return {
        "trials": len(trials),
        "same": int(trials.same.sum()),
        "equal_error_rate": rate,
        "min_dcf": detection_cost(trials),
        "threshold": threshold,
    }


def _positive_and_negative(trials):
    """Scores of same and of different speakers, as tensors, rounded to `LEVELS` of their range.

    speechbrain compares every score with every different score: without rounding that is gigabytes.
    """
    if trials.same.nunique() < 2:
        raise PcodecError("an error rate needs trials of the same speaker and of different speakers")
    if not np.isfinite(trials.score).all():
        raise PcodecError("trials hold scores that are not numbers")
    scores, same = trials.score.to_numpy(np.float64), trials.same.to_numpy(copy=True)
    step = max(np.ptp(scores), 1e-12) / LEVELS
    rounded = torch.tensor(scores.min() + step * np.rint((scores - scores.min()) / step), dtype=torch.float32)
    return rounded[same], rounded[~same]
