"""Pairs are those that a claim is about, and a mean over trainings is of the same utterances."""

import pandas as pd
import pytest

from pcodec.evaluation import claims

NAMES = [
    "general 384, unquantized", "general 384", "personalized 384, C = 2", "general 256", "personalized 256, C = 4",
    "framewise large general", "framewise small general", "framewise small personalized, C = 2",
    "framewise small general, training 2", "framewise small personalized, C = 2, training 2",
    "soundstream small general, 0.8 kb/s", "soundstream small personalized, C = 2, 0.8 kb/s",
    "soundstream large, as shipped, 0.8 kb/s", "soundstream large, as shipped, 1.6 kb/s", "Codec 2 3200",
    "framewise large, as shipped", "soundstream small, as shipped, 0.8 kb/s", "semantic, 525 b/s",
    "framewise tiny, as shipped", "framewise tiny personalized, C = 2",
]  # fmt: skip


def test_names_are_read():
    assert claims.system("personalized 256, C = 4") == ("LPCNet", 256, 4, 0.0, "")
    assert claims.system("soundstream small general, 0.8 kb/s") == ("soundstream", 1, 1, 0.8, "")
    assert claims.system("framewise large general, training 2") == ("framewise", 2, 1, 0.0, "training 2")
    assert claims.system("soundstream tiny, as shipped, 0.8 kb/s") == ("soundstream", 0, 1, 0.8, "as shipped")
    for other in (
        "general 384, unquantized",
        "Codec 2 3200",
        "semantic, 525 b/s, C = 2",
        "Opus 6",
        "input",
    ):
        assert claims.system(other) is None, other


@pytest.mark.parametrize(
    ("name", "kind"),
    [("personalized 256, C = 4", "LPCNet 256"), ("framewise large general", "framewise large"),
     ("soundstream small, as shipped, 0.8 kb/s", "soundstream small"),
     ("soundstream small personalized, C = 2, 0.8 kb/s", "soundstream small"), ("semantic, 212.5 b/s", "semantic"),
     ("semantic, 525 b/s, C = 2", "semantic"), ("another voice, own", "another voice, own"),
     ("Codec 2 3200", "Codec 2"), ("Opus 6", "Opus"), ("Speex wideband q0", "Speex wideband")],
)  # fmt: skip
def test_a_kind_has_all_rates_and_groups(name, kind):
    assert claims.kind(name) == kind


def test_pairs_are_those_of_the_claims():
    found = claims.pairs(NAMES)
    of = {claim: set(zip(part["first"], part.second, strict=True)) for claim, part in found.groupby("claim")}
    small, again = "framewise small personalized, C = 2", "framewise small personalized, C = 2, training 2"
    half = "soundstream small personalized, C = 2, 0.8 kb/s"
    assert of[claims.EQUAL] == {
        ("personalized 384, C = 2", "general 384"), ("personalized 256, C = 4", "general 256"),
        (small, "framewise small general"), (again, "framewise small general, training 2"),
        (half, "soundstream small general, 0.8 kb/s"),
    }, "of equal updates: not against what is shipped"  # fmt: skip
    assert of[claims.SMALL] == {
        ("personalized 256, C = 4", "general 384"), (small, "framewise large general"),
        (again, "framewise large general"), (half, "soundstream large, as shipped, 0.8 kb/s"),
        ("framewise tiny personalized, C = 2", "framewise large general"),
    }  # fmt: skip
    assert of[claims.HALF] == {(half, "soundstream large, as shipped, 1.6 kb/s")}
    assert list(found.claim) == sorted(found.claim, key=claims.CLAIMS.index)
    assert set(found[found["first"] == again].training) == {"training 2"}


def test_the_mean_over_trainings_is_of_each_utterance():
    rows = [(name, "STOI", "s", utterance, value + number)
            for number, name in enumerate(("a general", "a general, training 2", "b"))
            for utterance, value in (("u1", 0.1), ("u2", 0.5))]  # fmt: skip
    values = pd.DataFrame(rows, columns=["system", "measure", "speaker", "utterance", "value"])
    found = claims.with_means(values)
    assert len(found) == 8 and found[:6].equals(values)
    mean = found[found.system == "a general, all trainings"].set_index("utterance").value
    assert dict(mean) == pytest.approx({"u1": 0.6, "u2": 1.0})
    alone = values[values.system == "b"].reset_index(drop=True)
    assert claims.with_means(alone).equals(alone)
