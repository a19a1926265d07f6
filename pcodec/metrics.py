"""Objective measures of decoded speech, and intervals that respect speakers.

Task: one entry, table in, table out: `evaluate` reads reference and decoded files and returns one row per utterance,
system and measure. A generative vocoder does not keep phase; measures that compare waveforms or fine spectra
underrate it, so read them as differences between vocoders, not against waveform codecs.

Conventions: all signals 16 kHz, reference and decoded of equal length. Notebook 09_objective.

Contents: `MEASURES`, `evaluate`, `pesq_wideband`, `stoi`, `interval`, `redrawn_mean`.
"""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from pcodec import PcodecError, audio

SILENT = 1e-4  # root mean square in [-1, 1] under which a signal cannot be rated


class Measure(NamedTuple):
    compute: object
    better: str  # "higher" or "lower"
    range: str
    source: str


def validate(reference: np.ndarray, decoded: np.ndarray) -> None:
    """Raise `PcodecError` unless both are audible signals of one length."""
    if reference.shape != decoded.shape or reference.ndim != 1:
        raise PcodecError(f"reference and decoded differ in length: {reference.shape} and {decoded.shape}")
    for name, signal in (("reference", reference), ("decoded", decoded)):
        if not np.sqrt(np.mean(np.square(signal, dtype=np.float64))) > SILENT:
            raise PcodecError(f"the {name} signal is silent")


def pesq_wideband(reference: np.ndarray, decoded: np.ndarray) -> float:
    """PESQ MOS-LQO of two signals (samples,) at 16 kHz (ITU-T P.862.2)."""
    from pesq import PesqError, pesq

    validate(reference, decoded)
    try:
        return float(pesq(audio.RATE, reference, decoded, "wb"))
    except PesqError as error:  # no utterance, or too short a signal
        raise PcodecError(f"PESQ cannot rate the signal: {type(error).__name__}") from None


def stoi(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Short-time objective intelligibility of two signals (samples,) at 16 kHz (Taal et al. 2011)."""
    from pystoi import stoi as pystoi

    validate(reference, decoded)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi(reference, decoded, audio.RATE))
        except RuntimeWarning:  # it would return 1e-5 as if that were a rating
            raise PcodecError("STOI cannot rate the signal: less than 0.4 s of it are not silent") from None


MEASURES = {
    "PESQ-WB": Measure(pesq_wideband, "higher", "about 1.0 to 4.64 MOS-LQO", "ITU-T P.862.2, package pesq"),
    "STOI": Measure(stoi, "higher", "0 to 1", "Taal et al. 2011, package pystoi"),
}


def evaluate(table: pd.DataFrame, measures: tuple[str, ...] = tuple(MEASURES)) -> pd.DataFrame:
    """Table with columns utterance, speaker, system, reference, decoded (files) -> tidy table, one value a row."""
    unknown = set(measures) - set(MEASURES)
    if unknown:
        raise PcodecError(f"no measure {sorted(unknown)[0]!r}; there are {', '.join(MEASURES)}")
    rows = []
    for row in tqdm(list(table.itertuples()), desc="measures", mininterval=2):
        reference, decoded = audio.read(row.reference), audio.read(row.decoded)
        for measure in measures:
            try:
                value = MEASURES[measure].compute(reference, decoded)
            except PcodecError as error:
                raise PcodecError(f"{row.decoded} ({row.system}): {error}") from None
            rows.append((row.utterance, row.speaker, row.system, measure, value))
    return pd.DataFrame(rows, columns=["utterance", "speaker", "system", "measure", "value"])


def interval(values: np.ndarray, speakers: np.ndarray, draws: int = 2000, seed: int = 1) -> tuple[float, float, float]:
    """Mean of the speakers' means and its 95 % interval by bootstrap: speakers first, then their utterances.

    Utterances of a speaker are not independent; drawing utterances alone would give an interval that is too narrow.
    """
    if len(values) == 0 or len(values) != len(speakers):
        raise PcodecError(f"{len(values)} values of {len(speakers)} utterances")
    by_speaker = [np.asarray(values, dtype=float)[np.asarray(speakers) == name] for name in sorted(set(speakers))]
    if not np.isfinite(np.concatenate(by_speaker)).all():
        raise PcodecError("a value is not a number")
    rng = np.random.default_rng(seed)
    low, high = np.quantile([redrawn_mean(by_speaker, rng) for _ in range(draws)], [0.025, 0.975])
    return float(np.mean([values.mean() for values in by_speaker])), float(low), float(high)


def redrawn_mean(by_speaker: list[np.ndarray], rng: np.random.Generator) -> float:
    """Mean of the speakers' means after drawing speakers, then their values, with replacement."""
    chosen = rng.integers(len(by_speaker), size=len(by_speaker))
    return np.mean([rng.choice(by_speaker[i], len(by_speaker[i])).mean() for i in chosen])
