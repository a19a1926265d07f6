"""A small network that finds formants and pitch in a spectrum, so that a loss can ask for them.

Task: the construction of VC-PL (Ghosh et al. 2024): a network is trained to read F1 to F3, then frozen, and what it
reads of a true and of a written spectrum is compared. Their labels are corrected by hand (of TIMIT, which is licensed);
here they are roots of linear prediction, as Praat's and every other tracker's, and the pitch is the codec's.

Conventions: spectra (B, T, 80) are `hearing.levelled`. What is read is (B, T, 5): F1, F2, F3 in kHz, log pitch near 150
Hz, and the logit of being voiced. Formants and pitch mean something in voiced frames alone.

Contents: `Tracker`, `formants`, `labels`, `fit`, `errors`.
"""

import functools

import numpy as np
import pandas as pd
import scipy.ndimage
import scipy.signal

from pcodec.anonymizer import spectra
from pcodec.bitstream.quantizer import VOICED
from pcodec.compute.backend import torch
from pcodec.features import hearing
from pcodec.learning import loop, network, optimizers
from pcodec.learning.checkpoint import digest
from pcodec.learning.recognizer import MELS
from pcodec.speech import audio

nn = torch.nn
FORMANTS = 3
PITCH, VOICING = FORMANTS, FORMANTS + 1  # columns
RATE = 8000  # Hz at which roots are looked for
ORDER = 12
BROADEST = 400.0  # Hz, bandwidth of a root that is a formant
LOW, HIGH = 150.0, 3700.0  # Hz, where formants are
SMOOTH = 5  # frames of the median that follows
BATCH, FRAMES = 16, 200
UPDATES = 1500


class Tracker(nn.Module):
    """Three convolutions over time, and a line."""

    def __init__(self, width: int = 96, seed: int = 1):
        super().__init__()
        with network.seeded(seed):
            self.layers = nn.Sequential(
                nn.Conv1d(MELS, width, 5, padding=2), nn.GELU(), nn.Conv1d(width, width, 5, padding=2), nn.GELU(),
                nn.Conv1d(width, width, 5, padding=4, dilation=2), nn.GELU(), nn.Conv1d(width, FORMANTS + 2, 1),
            )  # fmt: skip
        self.register_buffer("middle", torch.tensor([0.5, 1.5, 2.5, 0.0, 0.0]))
        self.register_buffer("spread", torch.tensor([0.2, 0.4, 0.4, 0.3, 1.0]))

    def forward(self, mel):
        """Spectra (B, T, 80) -> (B, T, 5)."""
        return self.layers(mel.transpose(1, 2)).transpose(1, 2) * self.spread + self.middle


def formants(samples: np.ndarray) -> np.ndarray:
    """Signal (samples,) at 16 kHz -> F1, F2, F3 (T, 3) in Hz every 10 ms, NaN where there are less than three.

    Roots of linear prediction (order 12, 25 ms, pre-emphasis, 8 kHz) with a bandwidth under 400 Hz, in order; then a
    median over 5 frames.
    """
    hop, window = RATE // 100, RATE // 40
    signal = audio.preemphasis(scipy.signal.resample_poly(samples, 1, 2).astype(np.float64), 0.0)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(signal, window // 2), window)[::hop]
    frames = frames * np.hamming(window)
    spectrum = np.abs(np.fft.rfft(frames, 2 * window)) ** 2
    r = np.fft.irfft(spectrum)[:, : ORDER + 1]
    r[:, 0] = r[:, 0] * (1.0 + 1e-6) + 1e-9
    toeplitz = r[:, np.abs(np.subtract.outer(np.arange(ORDER), np.arange(ORDER)))]
    a = np.linalg.solve(toeplitz, r[:, 1:, None])[..., 0]
    companion = np.zeros((len(a), ORDER, ORDER))
    companion[:, 0] = a
    companion[:, np.arange(1, ORDER), np.arange(ORDER - 1)] = 1.0
    roots = np.linalg.eigvals(companion)
    hertz = np.angle(roots) * RATE / (2 * np.pi)
    broad = -np.log(np.abs(roots) + 1e-12) * RATE / np.pi
    hertz = np.sort(np.where((hertz > LOW) & (hertz < HIGH) & (broad < BROADEST), hertz, np.inf), axis=1)[:, :FORMANTS]
    found = np.where(np.isfinite(hertz).all(axis=1, keepdims=True), hertz, np.nan)
    known = np.isfinite(found[:, 0])
    if known.any():  # a median of what there is: gaps take their neighbours' place, and are gaps again
        at = np.arange(len(found))
        filled = np.stack([np.interp(at, at[known], column[known]) for column in found.T], axis=1)
        found = np.where(known[:, None], scipy.ndimage.median_filter(filled, (SMOOTH, 1)), np.nan)
    return found


def labels(samples: np.ndarray, speech: hearing.Speech) -> np.ndarray:
    """(T, 5) float32 of a signal and its description; NaN for formants and pitch where there are none."""
    count = len(speech.mel)
    hertz = np.full((count, FORMANTS), np.nan)
    found = formants(samples)[:count]
    hertz[: len(found)] = found
    voiced = speech.correlation > VOICED
    logs = np.where(voiced, np.log(audio.RATE / speech.lags / spectra.PITCH), np.nan)
    hertz[~voiced] = np.nan
    return np.column_stack([hertz / 1000.0, logs, voiced]).astype(np.float32)


def fit(
    tracker: Tracker, train: list[tuple], validation: list[tuple], updates: int = UPDATES, seed: int = 1,
    checkpoint=None,
) -> pd.DataFrame:  # fmt: skip
    """Train in place on (spectra (T, 80), labels (T, 5)); the table of `errors` at each evaluation, with update."""
    adam = torch.optim.AdamW(tracker.parameters(), weight_decay=0.01)
    learner = loop.Learner(tracker, [adam], optimizers.Annealed(2e-3, 0.0, 0.5))
    task = _Tracking(learner, train, validation, seed)
    return loop.fit(task, updates, evaluations=3, seed=seed, checkpoint=checkpoint, name="tracker").evaluations


def errors(tracker: Tracker, data: list[tuple]) -> pd.DataFrame:
    """A row: mean absolute errors of F1, F2, F3 in Hz, of pitch in semitones, of voicing as a share of the frames."""
    rows = []
    with torch.no_grad():
        for mel, label in data:
            found = tracker(torch.from_numpy(mel)[None])[0].numpy()
            off = np.abs(found - label)
            wrong = (found[:, VOICING] > 0) != (label[:, VOICING] > 0.5)
            rows.append(np.column_stack([off[:, :VOICING], wrong]))
    means = np.nanmean(np.concatenate(rows), axis=0) * [1000, 1000, 1000, 12 / np.log(2), 1]
    return pd.DataFrame([means], columns=["F1", "F2", "F3", "pitch", "voicing"])


class _Tracking(loop.Task):
    def __init__(self, learner, train, validation, seed):
        self.learners, self.tracker = {"model": learner}, learner.network
        self.train = [pair for pair in train if len(pair[0]) >= FRAMES]
        self.validation, self.seed = validation, seed

    @functools.cache  # noqa: B019 - one task lives as long as its training
    def identity(self):
        return digest(self.seed, *(array for pair in self.train + self.validation for array in pair))

    def losses(self, update):
        rng = np.random.default_rng([self.seed, update])
        mels, wanted = [], []
        for which in rng.choice(len(self.train), BATCH):
            mel, label = self.train[which]
            start = rng.integers(len(mel) - FRAMES + 1)
            mels.append(mel[start : start + FRAMES])
            wanted.append(label[start : start + FRAMES])
        wanted = torch.from_numpy(np.stack(wanted))
        found = self.tracker(torch.from_numpy(np.stack(mels)))
        known = torch.isfinite(wanted)
        off = ((found - torch.nan_to_num(wanted)) / self.tracker.spread).abs()
        read = off[..., :VOICING][known[..., :VOICING]].mean()
        voicing = nn.functional.binary_cross_entropy_with_logits(found[..., VOICING], wanted[..., VOICING])
        yield "model", read + voicing

    def evaluate(self):
        return errors(self.tracker, self.validation)
