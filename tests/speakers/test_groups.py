"""Planted groups are found with fixed numbers; a talk's group is followed and silence is nobody's."""

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.speakers import UNKNOWN, embedding, voiceprint
from pcodec.speakers.groups import (
    RunningAssignment,
    SpeakerGroups,
    median_talkers,
    number_of_groups,
    share_right,
    speaker_means,
    stability,
)
from pcodec.speech import audio


@pytest.fixture
def planted():
    """Embeddings of three clusters of 8, 5 and 3 speakers, ten segments each, far apart; and the speakers."""
    rng = np.random.default_rng(1)
    centres = np.eye(3, 32) * 5
    people = centres[np.repeat([2, 0, 1], [8, 5, 3])] + rng.normal(0, 0.3, (16, 32))
    speakers = [f"s{i:02d}" for i in range(16)]
    z = np.repeat(people, 10, axis=0) + rng.normal(0, 0.3, (160, 32))
    return z.astype(np.float32), list(np.repeat(speakers, 10))


@pytest.fixture(scope="module")
def by_gender(demo):
    """Two groups fitted on z that separate the generated voices' genders: an encoder told the genders."""
    torch.manual_seed(1)
    encoder = embedding.SpeakerEncoder().eval()
    rows = demo[demo.split == "train"].groupby("speaker").head(6)
    mels = [voiceprint.log_mel(audio.read(path)) for path in rows.path]
    known = (mels, rows.gender.tolist())
    embedding.fit(encoder, known, known, 60, 2, 16, seconds=(1.0, 1.5))
    return SpeakerGroups.fit(encoder, embedding.embed(encoder, mels), rows.gender.tolist(), 2)


def fit(planted, C, seed=1):
    return SpeakerGroups.fit(embedding.SpeakerEncoder(), *planted, C, seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("C", [2, 3])
def test_planted_groups_are_found_by_both_classifiers_and_numbered_by_size(planted, C, seed):
    groups = fit(planted, C, seed)
    expected = np.repeat([0, 1, 2 if C == 3 else 1], [80, 50, 30])
    assert np.array_equal(groups.nearest(planted[0]), expected)
    probabilities = groups.probabilities(planted[0])
    assert np.array_equal(probabilities.argmax(axis=1), expected) and probabilities.sum(axis=1) == pytest.approx(1.0)


def test_every_speaker_has_the_same_weight(planted):
    """A speaker with a thousand segments moves neither means nor the softmax layer's balance."""
    z, speakers = planted
    many = np.repeat(z[:10], 100, axis=0), speakers[:10] * 100
    groups = SpeakerGroups.fit(embedding.SpeakerEncoder(), np.vstack([many[0], z[10:]]), many[1] + speakers[10:], 3)
    assert groups.probabilities(z) == pytest.approx(fit(planted, 3).probabilities(z), abs=0.05)
    assert speaker_means(np.array([[0.0], [2.0], [8.0]]), ["b", "b", "a"])[0].to_dict() == {"a": 8.0, "b": 1.0}


@pytest.mark.parametrize("C", [0, 1, 17])
def test_impossible_numbers_of_groups(planted, C):
    with pytest.raises(PcodecError, match=f"C = {C} .* there are 16"):
        fit(planted, C)


def test_voices_that_are_all_the_same_make_no_groups():
    z, speakers = np.repeat(np.eye(2, 32, dtype=np.float32), 5, axis=0), list("abcdefghij")
    with pytest.raises(PcodecError, match="the 10 speakers have 2"):
        SpeakerGroups.fit(embedding.SpeakerEncoder(), z, speakers, 3)
    assert len(number_of_groups(speaker_means(z, speakers))) == 0


def test_unseen_utterances_get_their_group_with_its_probability(by_gender, demo):
    rows = demo[demo.split != "train"]
    found = [by_gender.assign(audio.read(path)) for path in rows.path]
    groups = pd.Series([one.group for one in found])
    agree = pd.crosstab(groups, rows.gender.to_numpy()).max(axis=1).sum() / len(rows)
    assert agree > 0.85 and groups.nunique() == 2
    assert all(0.5 <= one.probability <= 1.0 for one in found)


@pytest.mark.parametrize("samples", [0, 1, 399, 3000, 32000])
def test_silence_and_scraps_are_nobody(by_gender, samples):
    assert by_gender.assign(np.zeros(samples, np.float32)) == (UNKNOWN, 0.0)
    if samples < 4000:
        noise = np.random.default_rng(1).normal(0, 0.1, samples).astype(np.float32)
        assert by_gender.assign(noise) == (UNKNOWN, 0.0)


def test_a_talk_settles_and_follows_a_change_of_talker(by_gender, demo):
    rows = demo[demo.split == "test"]
    first, second = (
        np.concatenate([audio.read(path) for path in rows[rows.speaker == speaker].path[:5]])[: 8 * 16000]
        for speaker in ("m01", "f08")
    )
    expected = [by_gender.assign(one).group for one in (first, second)]
    assert expected[0] != expected[1]
    running = RunningAssignment(by_gender)
    assert running.push(np.zeros(40000, np.float32)).group == UNKNOWN, "silence is nobody"
    seen = [running.push(first[at : at + 4000]).group for at in range(0, len(first), 4000)]
    assert set(seen[:4]) == {UNKNOWN} and set(seen[8:]) == {expected[0]}
    seen = [running.push(second[at : at + 4000]).group for at in range(0, len(second), 4000)]
    assert seen[0] == expected[0] and set(seen[20:]) == {expected[1]}


@pytest.mark.parametrize("end", [0, 4 * 16000])
def test_how_a_talk_is_cut_does_not_matter(by_gender, demo, end):
    signal = np.concatenate([audio.read(demo[demo.split == "test"].path.iloc[0]), np.zeros(end, np.float32)])
    whole, cut = RunningAssignment(by_gender), RunningAssignment(by_gender)
    for at in range(0, len(signal), 77):
        now = cut.push(signal[at : at + 77])
    assert now == whole.push(signal) and now.group != UNKNOWN


def test_signals_that_are_none_are_refused(by_gender):
    running = RunningAssignment(by_gender)
    for bad, match in (
        (np.array([0.0, np.nan]), "not numbers"),
        (np.zeros(9, np.int16), "int16"),
        (np.zeros((9, 2)), r"\(9, 2\)"),
    ):
        for function in (by_gender.assign, running.push):
            with pytest.raises(PcodecError, match=match):
                function(bad)
    assert running.push(np.zeros(8000)).group == UNKNOWN, "what was refused is not heard"
    for settings in ({"window": 0.0}, {"settle": 9.0}, {"confidence": 2.0}):
        with pytest.raises(PcodecError, match="must lie between"):
            RunningAssignment(by_gender, **settings)


def test_stability_of_planted_and_of_made_up_groups(planted):
    means = speaker_means(*planted)
    rand = stability(means, 3, seeds=4).groupby("kind").rand.mean()
    assert rand["seed"] == 1.0 and rand["half"] > 0.75
    noise = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 32)))
    assert stability(noise, 3, seeds=4).query("kind == 'half'").rand.mean() < 0.4
    numbers = number_of_groups(means).set_index("C")
    assert numbers.silhouette.idxmax() == 3 and numbers.index.tolist() == list(range(2, 9))


def test_files(planted, tmp_path):
    groups = fit(planted, 3)
    groups.save(tmp_path / "g.safetensors", seed=1)
    back = SpeakerGroups.load(tmp_path / "g.safetensors")
    assert np.array_equal(back.probabilities(planted[0]), groups.probabilities(planted[0]))
    mel = np.random.default_rng(1).normal(size=(50, 40)).astype(np.float32)
    assert np.array_equal(voiceprint.embed(back.encoder, [mel]), voiceprint.embed(groups.encoder, [mel]))
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    SpeakerGroups(groups.encoder, groups.centroids[:2], groups.weight, groups.bias).save(tmp_path / "c.safetensors")
    SpeakerGroups(groups.encoder, groups.centroids, groups.weight * np.nan, groups.bias).save(
        tmp_path / "n.safetensors"
    )
    for name in ("bad.safetensors", "missing.safetensors", "c.safetensors", "n.safetensors"):
        with pytest.raises(PcodecError, match=name):
            SpeakerGroups.load(tmp_path / name)


def test_the_share_in_the_right_group_counts_from_the_first_known_group_on():
    timeline = pd.DataFrame({"group": [UNKNOWN, UNKNOWN, 0, 1, 1, 1]})
    assert share_right(timeline, 1) == 0.75 and share_right(timeline, 0) == 0.25
    assert np.isnan(share_right(timeline[:2], 0)), "never known"


def test_example_talkers_are_the_medians_of_the_two_largest_groups():
    group = pd.Series({"a": 1, "b": 1, "c": 1, "d": 2, "e": 2, "f": 0, "g": 0, "h": 0, "i": 0, "silent": 2})
    right = pd.Series({"c": 0.2, "b": 0.9, "a": 0.5, "d": 1.0, "e": 0.0, "i": 1.0, "h": 1.0, "g": 0.7, "f": 0.0})
    assert median_talkers(right, group) == ["g", "a"], "of an even number the lower of the two in the middle"
    assert median_talkers(right.drop(["f", "g", "c"]), group) == ["h", "a"], "of equal shares the first name"
    assert median_talkers(right.drop("f"), group) == ["h", "a"], "of equally large groups the lower number"
    assert median_talkers(right[["d"]], group) == ["d"], "one group only"
