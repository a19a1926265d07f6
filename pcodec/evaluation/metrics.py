"""Objective measures of decoded speech.

Task: one entry, table in, table out: `evaluate` reads reference and decoded files and returns one row per utterance,
system and measure. A generative vocoder keeps neither phase nor fine timing; `MEASURES` says for each what follows from
that. Read them as differences between systems, on the same utterances.

Conventions: all signals 16 kHz, reference and decoded of equal length and aligned. Measures that need a package of the
extra `quality` or `anchors` are left out where it is not installed. Notebook 09_objective.

Contents: `MEASURES`, `available`, `evaluate`, `validate`, `paired`; `pesq_wideband`, `stoi`, `log_spectral_distance`,
`mel_distance`, `stft_distance`, `pitch_error`, `voicing_error`, `speaker_similarity`, `dnsmos`, `visqol`.
"""

import functools
import hashlib
import importlib.util
import json
import multiprocessing
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.signal
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from pcodec import PcodecError, features, paths, threads
from pcodec.evaluation import intervals
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


def validate(reference: np.ndarray, decoded: np.ndarray) -> None:
    """Raise `PcodecError` unless both are audible signals of one length, `SHORTEST` or longer."""
    if reference.shape != decoded.shape or reference.ndim != 1:
        raise PcodecError(f"reference and decoded differ in length: {reference.shape} and {decoded.shape}")
    if len(reference) < SHORTEST * audio.RATE:
        raise PcodecError(f"{len(reference) / audio.RATE:.2f} s are too short to be rated, it takes {SHORTEST} s")
    for name, signal in (("reference", reference), ("decoded", decoded)):
        if not np.sqrt(np.mean(np.square(signal, dtype=np.float64))) > SILENT:
            raise PcodecError(f"the {name} signal is silent")


def pesq_wideband(reference: np.ndarray, decoded: np.ndarray) -> float:
    """PESQ MOS-LQO of two signals (samples,) at 16 kHz (ITU-T P.862.2)."""
    from pesq import PesqError, pesq

    try:
        return float(pesq(audio.RATE, reference, decoded, "wb"))
    except PesqError as error:  # no utterance, or too short a signal
        raise PcodecError(f"PESQ cannot rate the signal: {type(error).__name__}") from None


def stoi(reference: np.ndarray, decoded: np.ndarray, extended: bool = False) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), or the extended one (Jensen & Taal 2016)."""
    from pystoi import stoi as pystoi

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi(reference, decoded, audio.RATE, extended))
        except RuntimeWarning:  # it would return 1e-5 as if that were a rating
            raise PcodecError("STOI cannot rate the signal: less than 0.4 s of it are not silent") from None


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


def speaker_similarity(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Cosine of resemblyzer's speaker embeddings."""
    first, second = (_speaker_encoder().embed_utterance(signal) for signal in (reference, decoded))
    return float(first @ second)


def dnsmos(reference: np.ndarray, decoded: np.ndarray) -> float:
    """DNSMOS P.808 of the decoded signal; the reference is not heard (Reddy et al. 2021).

    As speechmos computes it, mean over windows of 9 s, every second, without the three other ratings that cost most.
    """
    from speechmos.dnsmos import DNSMOS, INPUT_LENGTH

    window = int(INPUT_LENGTH * audio.RATE)
    signal = np.clip(decoded, -1.0, 1.0)
    while len(signal) < window:
        signal = np.append(signal, signal)
    ratings = []
    for second in range(int(len(signal) // audio.RATE - INPUT_LENGTH) + 1):
        start = second * audio.RATE
        mel = DNSMOS.audio_melspec(None, signal[start : start + window - FRAME])
        ratings.append(_dnsmos_session().run(None, {"input_1": mel[None].astype(np.float32)})[0][0][0])
    return float(np.mean(ratings))


def visqol(reference: np.ndarray, decoded: np.ndarray) -> float:
    """ViSQOL in speech mode, MOS-LQO by its polynomial (Chinen et al. 2020)."""
    return float(_visqol().measure_from_arrays(reference, decoded, audio.RATE).moslqo)


class Measure(NamedTuple):
    compute: Callable
    better: str  # "higher" or "lower"
    range: str
    source: str
    says: str  # and does not say, of a generative vocoder
    package: str | None = None  # that has to be installed


MEASURES = {
    "PESQ-WB": Measure(
        pesq_wideband, "higher", "1.0 to 4.64 MOS-LQO", "ITU-T P.862.2, package pesq",
        "Compares fine spectra: near its floor for vocoders, so of no use against waveform codecs.",
    ),
    "STOI": Measure(
        stoi, "higher", "0 to 1", "Taal et al. 2011, package pystoi",
        "Correlates band envelopes over 0.4 s: intelligibility; deaf to hoarseness.",
    ),
    "ESTOI": Measure(
        functools.partial(stoi, extended=True), "higher", "0 to 1", "Jensen & Taal 2016, package pystoi",
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
        "Hoarse and buzzy frames.",
    ),
    "speaker similarity": Measure(
        speaker_similarity, "higher", "-1 to 1", "resemblyzer, cosine",
        "Whether an encoder of other speech knows the speaker again; for telling systems apart, not for certainty.",
        "resemblyzer",
    ),
    "DNSMOS P.808": Measure(
        dnsmos, "higher", "1 to 5", "Reddy et al. 2021, package speechmos",
        "Predicts listeners' overall rating without a reference: hears neither a wrong word nor a wrong speaker.",
        "speechmos",
    ),
    "ViSQOL": Measure(
        visqol, "higher", "1 to 5 MOS-LQO", "Chinen et al. 2020, speech mode, package visqol-python",
        "Similarity of spectrograms after its own alignment: the fairest of these to vocoders against waveform codecs.",
        "visqol",
    ),
}  # fmt: skip


def available() -> list[str]:
    """Measures whose package is installed."""
    return [name for name, of in MEASURES.items() if not of.package or importlib.util.find_spec(of.package)]


def evaluate(table: pd.DataFrame, measures: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Table with columns utterance, speaker, system, reference, decoded (files) -> tidy table, one value a row.

    `measures` are by default all that are `available`. Works with all threads, shows a progress bar, and keeps what it
    found in the cache by the files' content: killed, it continues. Raises `PcodecError` naming the file and system that
    cannot be rated.
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
        raise PcodecError(f"{absent[0]}: package {MEASURES[absent[0]].package} is not installed")
    jobs = [(row.reference, row.decoded, measures) for row in table.itertuples()]
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
    os.environ["OMP_NUM_THREADS"] = "1"
    threadpool_limits(1)


def _rate(job):
    """(values by name, None), or (nothing, message). Values are kept in the cache."""
    reference_file, decoded_file, measures = job
    try:
        reference, decoded = audio.read(reference_file), audio.read(decoded_file)
    except PcodecError as error:
        return {}, str(error)
    try:
        validate(reference, decoded)
        key = hashlib.sha256(reference.tobytes() + decoded.tobytes()).hexdigest()[:32]
        file = paths.cache(f"measures-v{VERSION}") / key[:2] / f"{key}.json"
        values = json.loads(file.read_text()) if file.exists() else {}
        for name in measures:
            if name not in values:
                values[name] = MEASURES[name].compute(reference, decoded)
                with paths.replacing(file) as temporary:
                    temporary.write_text(json.dumps(values))
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


@functools.cache
def _speaker_encoder():
    from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False)


@functools.cache
def _dnsmos_session():
    import onnxruntime
    import speechmos

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # other files are rated beside
    return onnxruntime.InferenceSession(
        Path(speechmos.__file__).parent / "dnsmos_models" / "model_v8.onnx", options, ["CPUExecutionProvider"]
    )


@functools.cache
def _visqol():
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api
