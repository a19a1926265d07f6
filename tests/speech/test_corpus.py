"""Corpora are read whole, split by speaker for good, and say what they leave out."""

import shutil

import numpy as np
import pytest
import soundfile

from pcodec import PcodecError, paths
from pcodec.experiment import run
from pcodec.speech import corpus, voices


def speak(path, seconds=0.6):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, int(16000 * seconds)), 16000)


@pytest.fixture
def libri(tmp_path):
    """A LibriSpeech folder with 12 speakers, one of them with ten times the speech, and a test-clean subset."""
    lines = ["; comment", ";ID |SEX| SUBSET |MINUTES| NAME"]
    for i in range(12):
        subset = "test-clean" if i >= 10 else "train-clean-100"
        lines.append(f"{100 + i} | {'FM'[i % 2]} | {subset} | 25 | Some One | with a bar")
        for k in range(20 if i == 0 else 2):
            speak(tmp_path / subset / str(100 + i) / "7" / f"{100 + i}-7-{k:04d}.flac")
    (tmp_path / "SPEAKERS.TXT").write_text("\n".join(lines))
    return tmp_path


def test_librispeech_layout(libri):
    table = corpus.load(str(libri))
    assert list(table.columns) == corpus.COLUMNS and len(table) == 42
    assert dict(table.drop_duplicates("speaker").gender.value_counts()) == {"F": 6, "M": 6}
    assert set(table.speaker[table.split == "test"]) == {"110", "111"}
    split = corpus.split(table, 0.2)
    assert set(split.speaker[split.split == "test"]) == {"110", "111"}, "the corpus's own test speakers stay"
    held_out = split[split.split == "validation"].drop_duplicates("speaker")
    assert sorted(held_out.gender) == ["F", "M"]
    assert "100" not in set(held_out.speaker), "the speaker with most speech stays in training"
    assert corpus.name(str(libri)) == "librispeech" and corpus.label(str(libri)) == "LibriSpeech"


def test_librispeech_refuses(libri):
    (libri / "SPEAKERS.TXT").write_text("100 | F | x | 1 | y\n")
    with pytest.raises(PcodecError, match="speaker 110 is not in"):
        corpus.librispeech(libri)
    (libri / "SPEAKERS.TXT").unlink()
    with pytest.raises(PcodecError, match=r"SPEAKERS\.TXT: missing"):
        corpus.librispeech(libri)


def test_folder_counts_what_it_leaves_out(tmp_path):
    for speaker in "abcde":
        speak(tmp_path / speaker / "one.wav")
    (tmp_path / "a" / "zero.wav").write_bytes(b"")
    speak(tmp_path / "b" / "sub" / "long.flac", 2.0)
    whole = (tmp_path / "b" / "sub" / "long.flac").read_bytes()
    (tmp_path / "b" / "cut.flac").write_bytes(whole[: len(whole) // 2])
    speak(tmp_path / "c" / "short.wav", 0.4)
    (tmp_path / "c" / "notes.txt").write_text("no speech")
    table = corpus.folder(tmp_path)
    assert table.utterance.tolist() == ["a/one", "b/one", "b/sub/long", "c/one", "d/one", "e/one"]
    assert [path for path, _ in table.attrs["left_out"]] == ["a/zero.wav", "b/cut.flac", "c/short.wav"]
    assert "zero-length" in table.attrs["left_out"][0][1]
    people = corpus.split(table, 0.1).drop_duplicates("speaker")
    assert people.split.value_counts().to_dict() == {"train": 2, "validation": 2, "test": 1}


def test_corpora_that_cannot_be_used(tmp_path):
    with pytest.raises(PcodecError, match=r"no corpus folder .*nowhere"):
        corpus.load(str(tmp_path / "nowhere"))
    with pytest.raises(PcodecError, match="no speech found"):
        corpus.load(str(tmp_path))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "zero.wav").write_bytes(b"")
    with pytest.raises(PcodecError, match=r"1 files left out, the first is a/zero\.wav: zero-length"):
        corpus.load(str(tmp_path))
    speak(tmp_path / "a" / "one.wav")
    with pytest.raises(PcodecError, match="1 speakers are too few"):
        corpus.split(corpus.load(str(tmp_path)))
    speak(tmp_path / "stray.wav")
    with pytest.raises(PcodecError, match=r"stray\.wav: put every file into its speaker's folder"):
        corpus.load(str(tmp_path))


def test_demo_voices(demo):
    assert demo.speaker.nunique() == len(voices.SPEAKERS) == 24
    assert (demo.groupby("speaker").size() == voices.SENTENCES_PER_SPEAKER).all()
    assert 400 < demo.seconds.sum() < 900
    assert demo.drop_duplicates("speaker").gender.value_counts().to_dict() == {"F": 12, "M": 12}


def test_demo_voices_repeat_sample_by_sample(demo, tmp_path):
    root = corpus.folder_of("demo")
    again = voices.generate(tmp_path / "voices")
    for path in sorted(root.rglob("*.flac")):
        assert path.read_bytes() == (again / path.relative_to(root)).read_bytes(), path.name


def test_split_is_frozen(demo):
    held_out = {part: sorted(demo[demo.split == part].speaker.unique()) for part in ("validation", "test")}
    assert held_out == {"validation": ["f07", "f10", "m03", "m06"], "test": ["f03", "f08", "m01", "m05"]}
    assert (demo.groupby("speaker").split.nunique() == 1).all()
    shuffled = corpus.split(demo.assign(split="").sample(frac=1, random_state=1), 0.17)
    assert shuffled.set_index("utterance").split.loc[demo.utterance].tolist() == demo.split.tolist()
    fewer = corpus.split(demo[demo.speaker != "m12"].assign(split=""), 0.17)
    assert set(fewer[fewer.split == "test"].speaker) == set(held_out["test"])


def test_cap_moves_nobody(demo):
    capped = corpus.cap(demo, {"train": 4, "validation": 2, "test": 0}, {"train": 12.0, "validation": 9.0})
    people = capped.drop_duplicates("speaker")
    assert people.split.value_counts().to_dict() == {"train": 4, "test": 4, "validation": 2}
    assert people[people.split == "train"].gender.value_counts().to_dict() == {"F": 2, "M": 2}
    seconds = capped.groupby(["split", "speaker"]).seconds.sum()
    assert 9.0 < seconds["train"].min() and seconds["train"].max() <= 12.0 and seconds["validation"].max() <= 9.0
    assert seconds["test"].equals(demo[demo.split == "test"].groupby("speaker").seconds.sum())  # no cap
    assert (corpus.cap(demo, {}, {"test": 1.0}).query("split == 'test'").groupby("speaker").size() == 2).all()
    known = demo.set_index("utterance").split
    assert (capped.split == capped.utterance.map(known)).all()


def test_a_list_decides_who_is_heard_where(libri):
    """A published split holds for everyone, whatever else his corpus has."""
    table = corpus.load(str(libri))
    path = libri / "list.csv"
    path.write_text("utterance,split\n101-7-0001,test\n100-7-0003,train\n102-7-0000,train\n")
    found = corpus.frozen(table, path)
    assert list(zip(found.utterance, found.split, strict=True)) == [
        ("101-7-0001", "test"), ("100-7-0003", "train"), ("102-7-0000", "train")
    ]  # fmt: skip
    assert list(found.columns) == corpus.COLUMNS
    with pytest.raises(PcodecError, match=r"lacks 1 of the 3 utterances in .*list[.]csv, such as 102-7-0000"):
        corpus.frozen(table[table.speaker != "102"], path)


def test_a_test_subset_alone_is_a_corpus_too(libri):
    for subset in ("train-clean-100",):
        (libri / subset).rename(libri / "dev-clean")
    split = corpus.split(corpus.load(str(libri)), 0.2)
    assert set(split.split) == {"train", "validation", "test"}


def test_no_folder_passes_for_the_generated_voices(tmp_path):
    (tmp_path / "demo").mkdir()
    assert corpus.name(str(tmp_path / "demo")) == "folder_demo"
    assert corpus.label(str(tmp_path / "demo")) == "corpus folder_demo"


def test_fingerprint_sees_a_new_file(tmp_path):
    for speaker in "abc":
        speak(tmp_path / speaker / "one.wav")
    before = corpus.fingerprint(str(tmp_path))
    assert corpus.fingerprint(str(tmp_path)) == before
    shutil.copy(tmp_path / "a" / "one.wav", tmp_path / "a" / "two.wav")
    assert corpus.fingerprint(str(tmp_path)) != before


def test_real_librispeech(librispeech):
    table = corpus.split(corpus.librispeech(librispeech), 0.1)
    assert not table.attrs["left_out"]
    people = table.drop_duplicates("speaker")
    assert people[people.split == "test"].gender.value_counts().to_dict() == {"F": 5, "M": 5}
    held_out = people[people.split == "validation"]
    assert len(held_out) == 25 and set(held_out.gender) == {"F", "M"}


def test_the_published_split_is_the_desktop_presets(librispeech):
    table = corpus.load(str(librispeech))
    values = run.settings("01_corpus", "desktop", str(librispeech))
    drawn = corpus.split(table, values["held_out"], values["seed"], values["personal_speakers"])
    published = corpus.frozen(table, paths.split_list("desktop-librispeech"))
    assert dict(zip(drawn.utterance, drawn.split, strict=True)) == dict(
        zip(published.utterance, published.split, strict=True)
    )
    speakers = published.groupby("speaker").split.nunique()
    assert len(speakers) == 261 and (speakers == 1).all()
