"""Planted gains, teachers and mistakes are told apart, and no effect is found where there is none."""

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.evaluation import comparison


def planted(gain=0.03, teacher=0.05, speakers=20, C=2, seed=1):
    """Losses with a known group effect: own group better by `gain`, group 0's decoder better for all by `teacher`."""
    rng = np.random.default_rng(seed)
    specialists, control, groups = [], [], {}
    for speaker in range(speakers):
        for number in range(3):
            utterance, group, level = f"{speaker}-{number}", speaker % C, 3 + rng.normal(0, 0.3)
            groups[utterance] = group
            control.append((utterance, f"s{speaker}", level))
            for decoder in range(C):
                nats = level - gain * (decoder == group) - teacher * (decoder == 0) + rng.normal(0, 0.002)
                specialists.append((decoder, utterance, f"s{speaker}", nats))
    control = pd.DataFrame(control, columns=["utterance", "speaker", "nats"])
    specialists = pd.DataFrame(specialists, columns=["group", "utterance", "speaker", "nats"])
    return specialists, control, pd.Series(groups)


@pytest.mark.parametrize("C", [2, 4])
def test_planted_effects_are_told_apart(C):
    specialists, control, groups = planted(C=C)
    paired = comparison.pair(specialists, control, control, groups)
    table = comparison.differences(paired).set_index("comparison")
    found = table.difference
    assert found["interaction"] == pytest.approx(-0.03, abs=0.002), "the better teacher cancels"
    assert found["estimated - control"] == pytest.approx(-0.03 - 0.05 / C, abs=0.002)
    assert found["wrong - control"] == pytest.approx(-0.05 / C, abs=0.003)
    assert (table.low <= found).all() and (found <= table.high).all()
    square = comparison.mismatch(specialists, control, groups).pivot(
        index="decoder_group", columns="speech_group", values="difference"
    )
    expected = -0.05 * (np.arange(C) == 0)[:, None] - 0.03 * np.eye(C)
    assert square.to_numpy() == pytest.approx(expected, abs=0.003)


def test_a_group_that_nobody_belongs_to_does_not_count_as_other():
    """Its decoder is never own, so it would not cancel."""
    specialists, control, groups = planted()
    spoilt = pd.concat([specialists, specialists[specialists.group == 0].assign(group=2, nats=9.0)])
    pairs = [comparison.pair(table, control, control, groups) for table in (specialists, spoilt)]
    assert comparison.interaction(pairs[0]) == pytest.approx(comparison.interaction(pairs[1]), abs=1e-12)
    assert (pairs[1].wrong > 5).all()


def test_equal_decoders_differ_by_nothing():
    _, control, groups = planted()
    specialists = pd.concat([control.assign(group=0), control.assign(group=1)])
    table = comparison.differences(comparison.pair(specialists, control, control, groups))
    assert len(table) == 6 and (table[["difference", "low", "high"]] == 0).all(axis=None)


def test_no_effect_is_inside_the_interval_about_as_often_as_it_should():
    inside = 0
    for seed in range(40):
        specialists, control, groups = planted(gain=0.0, teacher=0.02, speakers=12, seed=seed)
        _, low, high = comparison.interaction(comparison.pair(specialists, control, control, groups), draws=300)
        inside += low <= 0 <= high
    assert 32 <= inside <= 40


def test_the_oracle_is_the_speaker_s_majority():
    specialists, control, groups = planted()
    groups["0-1"] = 1  # one of three utterances of a speaker of group 0 goes astray
    paired = comparison.pair(specialists, control, control, groups).set_index("utterance")
    own = specialists.set_index(["utterance", "group"]).nats
    assert paired.estimated["0-1"] == own["0-1", 1] and paired.wrong["0-1"] == pytest.approx(own["0-1", 0])
    assert paired.oracle["0-1"] == own["0-1", 0]


def test_trainings_are_compared_one_by_one_and_together():
    """The second training of a specialist is better by 0.02; rates and splits are kept apart."""
    rows = []
    for repeat, stages in ((0, 2), (0, 4), (1, 2), (1, 4)):
        specialists, control, groups = planted()
        tables = [
            control.assign(role="control", group=0),
            specialists.assign(role="group", nats=specialists.nats - 0.02 * repeat),
        ]
        if not repeat:
            tables.append(control.assign(role="general", group=0, nats=control.nats + 1))
        rows.append(pd.concat(tables).assign(repeat=repeat, stages=stages, size="small"))
    losses = pd.concat(rows, ignore_index=True).rename(columns={"nats": "loss"})
    losses["C"] = 1 + (losses.role == "group")
    losses["split"] = np.where(losses.speaker < "s2", "validation", "test")
    sides = {"test": ["test"], "both": ["validation", "test"]}
    table = comparison.compare_trainings(losses, {2: groups}, sides)
    assert len(table) == 3 * 2 * 2 * 6 and set(table.stages) == {2, 4} and set(table["size"]) == {"small"}
    found = table.query("stages == 4 and split == 'both' and comparison == 'estimated - control'")
    found = found.set_index("training").difference
    assert found["1"] - found["2"] == pytest.approx(0.02) and found["all"] == pytest.approx(
        (found["1"] + found["2"]) / 2
    )
    assert table.query("split == 'test'").speakers.max() < table.query("split == 'both'").speakers.min() == 20
    alone = comparison.compare_trainings(losses[losses.repeat == 0], {2: groups}, sides)
    assert set(alone.training) == {"all"}


def test_golden():
    specialists, control, groups = planted()
    paired = comparison.pair(specialists, control, control, groups)
    golden = (-0.030224348931737, -0.031016058302264, -0.029457971465148)
    assert comparison.interaction(paired) == pytest.approx(golden, abs=1e-12)


def test_what_cannot_be_compared_is_refused():
    specialists, control, groups = planted()
    with pytest.raises(PcodecError, match="utterance 0-0: no group with a decoder, or not every decoder's loss"):
        comparison.pair(specialists, control, control, groups.drop("0-0"))
    with pytest.raises(PcodecError, match="utterance 0-0: no group"):
        comparison.pair(specialists[1:], control, control, groups)
    with pytest.raises(PcodecError, match="utterance 1-0: no group with a decoder"):
        comparison.pair(specialists[specialists.group == 0], control, control, groups)
    with pytest.raises(PcodecError, match="not measured on every utterance"):
        comparison.pair(specialists, control[1:], control, groups)
    paired = comparison.pair(specialists, control, control, groups)
    with pytest.raises(PcodecError, match="one group only"):
        comparison.interaction(paired[paired.group == 0])
