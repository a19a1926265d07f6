"""Promises that attackers see what they are said to see: who is unhidden is found, and who has no voice is not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.anonymizer import mcadams
from pcodec.evaluation import anonymity
from pcodec.speech import audio


@pytest.fixture(scope="module")
def table(demo):
    rows = demo[demo.split.isin(["train", "test"])].groupby("speaker").head(2).head(16)
    turn = rows.groupby("speaker").cumcount()
    return rows.assign(part=np.where(turn == 0, anonymity.ENROLLED, anonymity.TESTED))


@pytest.fixture(scope="module")
def files(table, tmp_path_factory):
    systems = {
        anonymity.NATURAL: lambda samples, seed: samples,
        "drawn": lambda samples, seed: mcadams.convert(samples[:8000], mcadams.draw_alpha(np.random.default_rng(seed))),
        "noise": lambda samples, seed: 0.1 * np.random.default_rng(seed).normal(size=len(samples)),
    }
    return anonymity.spoken(table, systems, tmp_path_factory.mktemp("audio"), Path("/"))


def known(file):
    """What tells the generated voices apart well enough: the mean spectrum."""
    return spectrum_of(audio.read(file))


def spectrum_of(samples):
    spectrum = np.abs(np.fft.rfft(samples[: len(samples) // 512 * 512].reshape(-1, 512))).mean(axis=0)
    return np.log(spectrum + 1e-6)


def test_a_file_for_each_system_and_utterance(table, files):
    assert len(files) == 3 * len(table)
    assert all(file.exists() for file in files.decoded)
    natural = files[files.system == anonymity.NATURAL].iloc[0]
    np.testing.assert_allclose(audio.read(natural.decoded), audio.read(natural.reference), atol=1e-4)


def test_a_draw_is_an_utterance_s(table, files, tmp_path):
    again = anonymity.spoken(table, {"drawn": lambda samples, seed: np.full(800, seed % 97 / 97)}, tmp_path,
                             Path("/"))  # fmt: skip
    drawn = [audio.read(file)[0] for file in again.decoded]
    assert len(set(drawn)) > 0.8 * len(drawn)


def test_who_is_unhidden_is_found_and_noise_is_not(files):
    found, trials = anonymity.attack(files, known, anonymity.NATURAL, "unprotected")
    noise, _ = anonymity.attack(files, known, "noise", "ignorant")
    assert found["eer"] < 0.25 < noise["eer"]
    assert found["linkability"] > noise["linkability"]
    genders = files.drop_duplicates("speaker").set_index("speaker").gender
    assert (genders[trials.enrolled].to_numpy() == genders[trials.tested].to_numpy()).all()
    assert found["mated"] == trials.same.sum() == found["speakers"]


def test_the_ignorant_has_natural_speech_and_the_lazy_informed_has_not(files):
    heard = []

    def listening(file):
        heard.append(len(audio.read(file)))
        return spectrum_of(np.resize(audio.read(file), 16000))

    anonymity.attack(files, listening, "drawn", "lazy-informed")
    assert set(heard) == {8000}
    heard.clear()
    anonymity.attack(files, listening, "drawn", "ignorant")
    assert len(set(heard)) > 1


def test_no_voices_are_no_distance(files):
    gain, _ = anonymity.distinctiveness(_twice(files), known, "noise")
    natural, kept = anonymity.distinctiveness(_twice(files), known, anonymity.NATURAL)
    assert natural == pytest.approx(0.0, abs=1e-6) and kept < 0.01
    assert gain < -5.0


def test_distance_is_of_speakers_with_two_pieces(files):
    twice = _twice(files)
    once = twice.drop_duplicates(["system", "speaker"])
    assert np.isnan(anonymity.distinctiveness(once, known, "noise")).all()
    lonely = pd.concat([twice, once.head(1).assign(speaker="lonely")], ignore_index=True)
    expected = anonymity.distinctiveness(twice, known, "noise")
    assert anonymity.distinctiveness(lonely, known, "noise") == pytest.approx(expected)


def _twice(files):
    """Two tested files of each speaker."""
    return files.assign(part=anonymity.TESTED)


def test_melody_is_kept_or_not(files):
    values = anonymity.prosody(files[files.system == anonymity.NATURAL])
    assert values.value.min() > 0.99
    assert set(values.measure) == {"pitch correlation", "of voiced frames"}


def test_a_recognizer_needs_speakers():
    rows = pd.DataFrame({"part": ["trained"], "speaker": ["a"], "decoded": ["x.wav"]})
    with pytest.raises(PcodecError, match="two speakers, there are 1"):
        anonymity.retrained(rows, 10)
