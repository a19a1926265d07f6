import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.groups import SpeakerGroups, speaker_means


@pytest.fixture
def planted():
    """Three clusters of 8, 5 and 3 speakers, far apart."""
    rng = np.random.default_rng(1)
    centres = np.eye(3, 32) * 5
    truth = np.repeat([2, 0, 1], [8, 5, 3])
    return pd.DataFrame(centres[truth] + rng.normal(0, 0.3, (16, 32))), truth


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_groups_are_found_and_numbered_by_size(planted, seed):
    means, _ = planted
    found = SpeakerGroups.fit(means, 3, seed).assign(means.to_numpy())
    assert found.tolist() == [0] * 8 + [1] * 5 + [2] * 3


def test_unseen_go_to_the_nearest(planted, tmp_path):
    groups = SpeakerGroups.fit(planted[0], 3)
    groups.save(tmp_path / "g.npz")
    z = np.zeros((2, 32))
    z[0, 1], z[1, 2] = 4.0, 9.0  # near the clusters of 3 and of 8 speakers
    assert SpeakerGroups.load(tmp_path / "g.npz").assign(z).tolist() == [2, 0]


def test_a_speaker_counts_once():
    z = np.array([[0.0], [2.0], [8.0]])
    assert speaker_means(z, ["b", "b", "a"])[0].to_dict() == {"a": 8.0, "b": 1.0}


@pytest.mark.parametrize("C", [0, 1, 17])
def test_impossible_numbers_of_groups(planted, C):
    with pytest.raises(PcodecError, match=f"C = {C} .* there are 16"):
        SpeakerGroups.fit(planted[0], C)
