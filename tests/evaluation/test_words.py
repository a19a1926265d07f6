"""Word errors: text is compared as a reader would, errors are told apart, real speech is understood, noise is not."""

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.evaluation import metrics, words
from pcodec.speech import audio

needed = pytest.mark.skipif(not words.available(), reason="optional extra words")


@needed
def test_text_is_compared_as_a_reader_would():
    assert words.normalized("Mr. Smith paid twenty-one pounds.") == words.normalized("MISTER SMITH PAID 21 POUNDS")
    assert words.normalized("the colour, the Harbour!") == words.normalized("THE COLOR THE HARBOR")
    assert words.normalized("he'll go") != words.normalized("he goes")


@needed
@pytest.mark.parametrize(
    ("truth", "heard", "found", "share"),
    [
        ("the cat sat on the mat", "The cat sat on the mat.", (6, 0, 0, 0), 0.0),
        ("the cat sat on the mat", "the hat sat on mat", (6, 1, 1, 0), 2 / 6),
        ("the cat sat", "the big cat sat down", (3, 0, 0, 2), 2 / 3),
        ("the cat sat", "", (3, 0, 3, 0), 1.0),
        ("one word", "and so on and so on and so on", (2, 2, 0, 7), 1.0),
        ("", "thank you", (0, 0, 0, 2), 1.0),
        ("", "", (0, 0, 0, 0), 0.0),
    ],
)
def test_errors_are_told_apart(truth, heard, found, share):
    errors = words.errors(truth, heard)
    assert sum(errors[1:]) == sum(found[1:]) and errors.words == found[0]
    assert errors == found or "so on" in heard, "which words of nonsense replace which is open"
    assert errors.share == pytest.approx(share)


def test_transcripts_of_a_corpus(tmp_path):
    chapter = tmp_path / "corpus" / "test" / "19" / "198"
    chapter.mkdir(parents=True)
    (chapter / "19-198.trans.txt").write_text("19-198-0000 THE CAT SAT\n19-198-0001 ON THE MAT\n")
    assert words.transcripts(tmp_path / "corpus") == {"19-198-0000": "THE CAT SAT", "19-198-0001": "ON THE MAT"}
    (tmp_path / "corpus-transcripts.tsv").write_text("utterance\ttext\n19-198-0000\tNULL\n")
    assert words.transcripts(tmp_path / "corpus") == {"19-198-0000": "NULL"}, "the table counts, words are not values"
    (tmp_path / "corpus-transcripts.tsv").write_text("a\tb\n")
    with pytest.raises(PcodecError, match=r"corpus-transcripts\.tsv: has no columns utterance and text"):
        words.transcripts(tmp_path / "corpus")
    assert words.transcripts(tmp_path) == {"19-198-0000": "THE CAT SAT", "19-198-0001": "ON THE MAT"}
    assert words.transcripts(tmp_path / "none") == {}


@needed
def test_real_speech_is_understood_and_noise_is_not(librispeech, tmp_path, monkeypatch):
    monkeypatch.setattr(words.paths, "cache", lambda name, cache=words.paths.cache: made(tmp_path / name))
    truths = words.transcripts(librispeech)
    files = sorted(librispeech.glob("test-other/*/*/*.flac"))
    file = next(file for file in files if len(truths[file.stem].split()) >= 20)  # one word may be guessed
    speech = audio.read(file)
    noise = np.random.default_rng(1).normal(0, 0.05, len(speech)).astype(np.float32)
    audio.write(tmp_path / "noise.wav", noise)
    table = pd.DataFrame(
        [(file.stem, "s", "natural", file, file), (file.stem, "s", "noise", file, tmp_path / "noise.wav")],
        columns=["utterance", "speaker", "system", "reference", "decoded"],
    )
    counts = words.evaluate(table, truths)
    pooled = words.pooled(counts).set_index("system")
    assert pooled.words.unique() == [len(words.normalized(truths[file.stem]).split())]
    assert pooled.errors.natural < 0.2 and pooled.errors.noise > 0.9 and pooled.utterances.tolist() == [1, 1]
    assert words.pooled(words.evaluate(table)).set_index("system").errors.natural == 0.0
    monkeypatch.setattr(words, "_recognizer", None)
    pd.testing.assert_frame_equal(words.evaluate(table, truths), counts)  # what was heard is kept
    rated = metrics.evaluate(table, ("word errors",), truths).set_index("system").value
    assert rated.natural == pooled.errors.natural and rated.noise == pooled.errors.noise
    assert metrics.evaluate(table, ("word errors",)).set_index("system").value.natural == 0.0


def made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_what_is_missing_is_named(monkeypatch):
    words._normalizer.cache_clear()
    monkeypatch.setattr(words, "PACKAGES", ("no_such_package",))
    with pytest.raises(PcodecError, match="word errors need the extra `words`: make words"):
        words.errors("a", "b")
