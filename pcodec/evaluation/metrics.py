"""Objective measures of decoded speech.

Task: one entry, table in, table out: `evaluate` reads reference and decoded files and returns one row per utterance,
system and measure. A generative vocoder keeps neither phase nor fine timing; `MEASURES` says for each what follows from
that. Read them as differences between systems, on the same utterances.

Conventions: all signals 16 kHz, reference and decoded of equal length and aligned. Measures that need a package of the
extra `quality` or `anchors` are left out where it is not installed. Notebook 09_objective.

Contents: `MEASURES`, `ALONE`, `available`, `evaluate`, `validate`, `paired`; `log_spectral_distance`, `mel_distance`,
`stft_distance`, `pitch_error`, `voicing_error`, `buzz`; the others are in `pcodec.evaluation.packages`.
"""

import functools
import hashlib
import importlib.util
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.signal
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from pcodec import PcodecError, features, paths, threads
from pcodec.evaluation import intervals, packages, words
from pcodec.features.cepstrum import FRAME
from pcodec.speakers import voiceprint
from pcodec.speech import audio

VERSION = 3  # of the measures: what an older version found is not used
SHORTEST = 0.75  # s that can be rated: ViSQOL needs 0.7, STOI 0.4 of them not silent
SILENT = 1e-4  # root mean square in [-1, 1] under which a signal cannot be rated
RANGE = 60.0  # dB under a spectrum's peak at which log spectra are cut off
RESOLUTIONS = ((512, 50), (1024, 120), (2048, 240))  # samples of window and hop (Yamamoto et al. 2020)
VOICED = 0.6  # pitch correlation from which a frame is voiced
GROSS = 0.2  # relative pitch difference that is an error, not a deviation
HOPS = (40, 160, 320)  # samples in which decoders write: 2.5, 10 and 20 ms
BUZZ_BAND = scipy.signal.butter(8, 4000, "highpass", fs=audio.RATE, output="sos")
QUIET = 30.0  # dB under the loudest frame


def validate(reference: np.ndarray, decoded: np.ndarray) -> None:
    """Raise `PcodecError` unless both are audible signals of one length, `SHORTEST` or longer."""
    if reference.shape != decoded.shape or reference.ndim != 1:
        raise PcodecError(f"reference and decoded differ in length: {reference.shape} and {decoded.shape}")
    if len(reference) < SHORTEST * audio.RATE:
        raise PcodecError(f"{len(reference) / audio.RATE:.2f} s are too short to be rated, it takes {SHORTEST} s")
    for name, signal in (("reference", reference), ("decoded", decoded)):
        if not np.sqrt(np.mean(np.square(signal, dtype=np.float64))) > SILENT:
            raise PcodecError(f"the {name} signal is silent")


def log_spectral_distance(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Mean over frames of the root mean square difference of log power spectra, dB (32 ms windows, every 8 ms)."""
    first, second = (20 * np.log10(spectrum) for spectrum in _spectra(reference, decoded, 512, 128))
    return float(np.sqrt(np.mean((first - second) ** 2, axis=0)).mean())


def mel_distance(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Mean absolute difference of 40 log mel energies, dB."""
    first, second = (voiceprint.log_mel(signal) for signal in (reference, decoded))
    return float(np.abs(first - second).mean() * 10 / np.log(10))


def stft_distance(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Multi-resolution STFT distance: spectral convergence + log magnitude, mean of three (Yamamoto et al. 2020)."""
    distances = []
    for window, hop in RESOLUTIONS:
        first, second = _spectra(reference, decoded, window, hop)
        convergence = np.linalg.norm(first - second) / np.linalg.norm(first)
        distances.append(convergence + np.abs(np.log(first) - np.log(second)).mean())
    return float(np.mean(distances))


def pitch_error(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Share of the reference's voiced frames in which the decoded pitch, as LPCNet finds it, differs by over 20 %.

    Gross pitch error, but a frame that has lost its voicing counts by the pitch that is found in it. 0 if the reference
    has no voiced frame.
    """
    (lags, voiced), (others, _) = _pitch(reference), _pitch(decoded)
    if not voiced.any():
        return 0.0
    return float((np.abs(lags[voiced] / others[voiced] - 1.0) > GROSS).mean())


def voicing_error(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Share of frames that are voiced in one signal only."""
    return float((_pitch(reference)[1] != _pitch(decoded)[1]).mean())


def buzz(reference: np.ndarray, decoded: np.ndarray) -> float:
    """How much the decoded noise repeats itself where that of speech does not: 0 as the reference, 1 for a buzzer.

    Normalized autocorrelation of the band over 4 kHz at the lags in which decoders write (`HOPS`), mean over frames of
    20 ms that are unvoiced or quiet in the reference; the largest excess over the reference's.
    """
    voiced, audible, found = _pitch(reference)[1], [], []
    for signal in (reference, decoded):
        high = scipy.signal.sosfilt(BUZZ_BAND, signal)
        ends = np.arange(2 * max(HOPS), len(high) + 1, FRAME)  # of frames, whose past is known
        frames = np.stack([high[ends[0] - 2 * FRAME + FRAME * i :][: 2 * FRAME] for i in range(len(ends))])
        energy = np.square(frames).sum(axis=1)
        audible.append(energy > 1e-10)
        similar = []
        for hop in HOPS:
            before = np.stack([high[end - 2 * FRAME - hop : end - hop] for end in ends])
            norm = np.sqrt(energy * np.square(before).sum(axis=1))
            similar.append((frames * before).sum(axis=1) / np.maximum(norm, 1e-12))
        found.append(np.stack(similar))
    power = np.array([np.square(reference[end - 2 * FRAME : end]).mean() for end in ends])
    unvoiced = ~voiced[np.minimum((ends - FRAME) // FRAME, len(voiced) - 1)]
    counted = (unvoiced | (power < power.max() * 10 ** (-QUIET / 10))) & audible[0] & audible[1]
    if not counted.any():
        return 0.0
    return float((found[1] - found[0])[:, counted].mean(axis=1).max())


class Measure(NamedTuple):
    compute: Callable
    better: str  # "higher" or "lower"
    range: str
    source: str
    says: str  # and does not say, of a generative vocoder
    packages: tuple[str, ...] = ()  # that have to be installed


ALONE = ("DNSMOS P.808", "DistillMOS")  # measures that do not hear the reference
MEASURES = {
    "PESQ-WB": Measure(
        packages.pesq_wideband, "higher", "1.0 to 4.64 MOS-LQO", "ITU-T P.862.2, package pesq",
        "Compares fine spectra: near its floor for vocoders, so of no use against waveform codecs.",
    ),
    "STOI": Measure(
        packages.stoi, "higher", "0 to 1", "Taal et al. 2011, package pystoi",
        "Correlates band envelopes over 0.4 s: intelligibility; deaf to hoarseness.",
    ),
    "ESTOI": Measure(
        functools.partial(packages.stoi, extended=True), "higher", "0 to 1", "Jensen & Taal 2016, package pystoi",
        "As STOI, all bands together: also hears smeared spectra. Both need alignment within some ms.",
    ),
    "LSD": Measure(
        log_spectral_distance, "lower", "0 dB and up", "log-spectral distance, 32 ms, 60 dB deep",
        "Punishes other harmonics and noise of the right envelope alike: high for any vocoder.",
    ),
    "mel distance": Measure(
        mel_distance, "lower", "0 dB and up", "40 bands, 25 ms",
        "Envelope and level; pitch and phase hardly matter.",
    ),
    "STFT distance": Measure(
        stft_distance, "lower", "0 and up", "Yamamoto et al. 2020, three resolutions",
        "Magnitudes at three resolutions: what vocoders are often trained on, which LPCNet is not.",
    ),
    "pitch error": Measure(
        pitch_error, "lower", "0 to 1", "gross pitch error, 20 %, with this project's pitch search",
        "Whether the melody is right where the input is voiced: hears octaves, and hoarseness that hides the pitch.",
    ),
    "voicing error": Measure(
        voicing_error, "lower", "0 to 1", "pitch correlation over 0.6 in one signal only",
        "Hoarse frames.",
    ),
    "word errors": Measure(
        words.differential, "lower", "0 to 1", "Whisper base through CTranslate2, share of words that are wrong",
        "Whether sentences are understood; a recognizer guesses from context, as listeners do, and mishears, too.",
        words.PACKAGES,
    ),
    "buzz": Measure(
        buzz, "lower", "about 0 to 1", "autocorrelation over 4 kHz at 2.5, 10 and 20 ms in unvoiced and quiet frames",
        "Noise that repeats itself from one hop of the decoder to the next, which STOI and PESQ do not hear.",
    ),
    "speaker similarity": Measure(
        packages.speaker_similarity, "higher", "-1 to 1", "resemblyzer, cosine",
        "Whether an encoder of other speech knows the speaker again; for telling systems apart, not for certainty.",
        ("resemblyzer",),
    ),
    "DNSMOS P.808": Measure(
        packages.dnsmos, "higher", "1 to 5", "Reddy et al. 2021, package speechmos",
        "Predicts listeners' overall rating without a reference: hears neither a wrong word nor a wrong speaker.",
        ("speechmos",),
    ),
    "DistillMOS": Measure(
        packages.distillmos, "higher", "1 to 5", "Stahl & Gamper 2025, package distillmos",
        "As DNSMOS, and puts neural codecs in the order in which listeners do; hears buzz.",
        ("distillmos",),
    ),
    "ViSQOL": Measure(
        packages.visqol, "higher", "1 to 5 MOS-LQO", "Chinen et al. 2020, speech mode, package visqol-python",
        "Similarity of spectrograms after its own alignment: the fairest of these to vocoders against waveform codecs.",
        ("visqol",),
    ),
}  # fmt: skip


def available() -> list[str]:
    """Measures whose package is installed."""
    return [name for name, of in MEASURES.items() if all(map(importlib.util.find_spec, of.packages))]


def evaluate(
    table: pd.DataFrame, measures: tuple[str, ...] | None = None, truths: dict[str, str] | None = None
) -> pd.DataFrame:
    """Table with columns utterance, speaker, system, reference, decoded (files) -> tidy table, one value a row.

    `measures` are by default all that are `available`; `truths` are the words of utterances, where they are known.
    Works with all threads, shows a progress bar, and keeps what it found in the cache by the files' content: killed, it
    continues. Raises `PcodecError` naming the file and system that cannot be rated.
    """
    missing = [name for name in ("utterance", "speaker", "system", "reference", "decoded") if name not in table]
    if missing:
        raise PcodecError(f"the table of files to rate has no column {', '.join(missing)}")
    measures = list(measures or available())
    unknown = [name for name in measures if name not in MEASURES]
    if unknown:
        raise PcodecError(f"no measure {unknown[0]!r}; there are {', '.join(MEASURES)}")
    absent = [name for name in measures if name not in available()]
    if absent:
        raise PcodecError(f"{absent[0]}: not installed: {', '.join(MEASURES[absent[0]].packages)}")
    jobs = [(row.reference, row.decoded, measures, (truths or {}).get(row.utterance)) for row in table.itertuples()]
    rows, workers = [], min(threads(), max(1, len(jobs) // 4))
    with _pool(workers) as mapped, tqdm(total=len(jobs), desc="measures", mininterval=2) as bar:
        for row, (values, error) in zip(table.itertuples(), mapped(_rate, jobs), strict=True):
            if error:
                raise PcodecError(f"{row.system}, utterance {row.utterance}: {error}")
            rows += [(row.utterance, row.speaker, row.system, name, values[name]) for name in measures]
            bar.update()
    return pd.DataFrame(rows, columns=["utterance", "speaker", "system", "measure", "value"])


def paired(values: pd.DataFrame, pairs: list[tuple[str, str]], seed: int = 1) -> pd.DataFrame:
    """Differences of systems, first less second, on the same utterances, with their intervals.

    `values` as of `evaluate`; table: measure, first, second, better, speakers, utterances, difference, low, high.
    """
    rows = []
    twice = values[values.duplicated(["measure", "speaker", "utterance", "system"])]
    if len(twice):
        raise PcodecError(f"{twice.system.iloc[0]}, utterance {twice.utterance.iloc[0]}: rated twice")
    for measure, part in values.groupby("measure", sort=False):
        by_system = part.pivot(index=["speaker", "utterance"], columns="system", values="value")
        for first, second in pairs:
            for name in {first, second} - set(by_system):
                raise PcodecError(f"no system {name!r}; there are {', '.join(by_system)}")
            difference = (by_system[first] - by_system[second]).dropna()
            speakers = difference.index.get_level_values("speaker")
            estimate = intervals.interval(difference.to_numpy(), speakers.to_numpy(), seed=seed)
            better = MEASURES[measure].better if measure in MEASURES else ""
            rows.append((measure, first, second, better, speakers.nunique(), len(difference), *estimate))
    names = ["measure", "first", "second", "better", "speakers", "utterances", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=names)


class _pool:
    """`map` of this process, or of several ones."""

    def __init__(self, workers):
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(workers, context, _share_cores) if workers > 1 else None

    def __enter__(self):
        return self.pool.map if self.pool else map

    def __exit__(self, *error):
        if self.pool:
            self.pool.shutdown(cancel_futures=True)


def _share_cores():
    """A worker has others beside it: one thread for the libraries that are loaded, and for those that will be."""
    os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")  # the second is what `pcodec.threads` says
    threadpool_limits(1)


def _rate(job):
    """(values by name, None), or (nothing, message). Values are kept in the cache."""
    reference_file, decoded_file, measures, truth = job
    try:
        reference, decoded = audio.read(reference_file), audio.read(decoded_file)
    except PcodecError as error:
        return {}, str(error)
    try:
        validate(reference, decoded)
        key = hashlib.sha256(reference.tobytes() + decoded.tobytes()).hexdigest()[:32]
        file = paths.cache(f"measures-v{VERSION}") / key[:2] / f"{key}.json"
        values = json.loads(file.read_text()) if file.exists() else {}
        for name in measures if truth is None else set(measures) - {"word errors"}:
            if name not in values:
                values[name] = MEASURES[name].compute(reference, decoded)
                with paths.replacing(file) as temporary:
                    temporary.write_text(json.dumps(values))
        if truth is not None and "word errors" in measures:
            values["word errors"] = words.errors(truth, words.heard(decoded)).share
    except PcodecError as error:
        return {}, f"{decoded_file}: {error}"
    return values, None


def _spectra(reference, decoded, window, hop):
    """Magnitude spectra (bins, frames) of both, cut off `RANGE` under the reference's largest magnitude."""
    transform = functools.partial(scipy.signal.stft, fs=audio.RATE, nperseg=window, noverlap=window - hop, padded=False)
    magnitudes = [np.abs(transform(signal)[2]) for signal in (reference, decoded)]
    floor = magnitudes[0].max() * 10 ** (-RANGE / 20)
    return [np.maximum(magnitude, floor) for magnitude in magnitudes]


def _pitch(signal):
    """(lags, voiced) of a signal's frames."""
    analysed = features.analyze(signal).features
    correlation = analysed[:, features.FEATURES["correlation"]] + 0.5
    return features.lag(analysed[:, features.FEATURES["pitch"]]), correlation > VOICED
