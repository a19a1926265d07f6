"""Figures of anonymity put every rate at its true place, say whose it is, and hide none."""

import numpy as np
import pandas as pd
import pytest

from pcodec import plots

SYSTEMS = ["natural", "1.6 kb/s", "own, fixed"]


@pytest.fixture
def attacks():
    rows = [
        (system, recognizer, attacker, base + extra)
        for recognizer, base in (("Siamese", 0.1), ("resemblyzer", 0.0))
        for system, attacker, extra in (
            ("natural", "unprotected", 0.0), ("1.6 kb/s", "ignorant", 0.1), ("1.6 kb/s", "lazy-informed", 0.05),
            ("own, fixed", "ignorant", 0.4), ("own, fixed", "lazy-informed", 0.3), ("own, fixed", "semi-informed", 0.2),
        ) if recognizer == "Siamese" or attacker != "semi-informed"
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["system", "recognizer", "attacker", "eer"])
    return table.assign(low=table.eer - 0.02, high=table.eer + 0.05)


def test_rates_of_attackers_are_in_per_cent_and_beside_their_system(attacks):
    axes = plots.attackers(attacks)
    assert [ax.get_title() for ax in axes] == ["Siamese", "resemblyzer"]
    assert [text.get_text() for text in axes[0].get_yticklabels()] == SYSTEMS
    for ax, (_, rows) in zip(axes, attacks.groupby("recognizer", sort=False), strict=True):
        drawn = [tuple(np.ravel(bars.lines[0].get_data())) for bars in ax.containers]
        assert [place[0] for place in drawn] == pytest.approx(list(100 * rows.eer))
        assert [SYSTEMS[round(place[1])] for place in drawn] == list(rows.system)
        assert len(set(drawn)) == len(rows)
    (legend,) = axes[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "unprotected", "ignorant", "lazy-informed", "semi-informed"
    ]  # fmt: skip


def test_privacy_is_the_axis_and_each_measure_a_panel():
    rows = [(system, eer, measure, better, value + eer) for measure, better, value in
            (("words", "lower", 0.1), ("sound", "higher", 3.0))
            for system, eer in zip(SYSTEMS, (0.05, 0.1, 0.4), strict=True)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["system", "eer", "measure", "better", "mean"])
    axes = plots.anonymity(table.assign(low=table["mean"] - 0.1, high=table["mean"] + 0.1))
    for ax, (measure, part) in zip(axes, table.groupby("measure", sort=False), strict=True):
        assert measure in ax.get_ylabel() and part.better.iloc[0] in ax.get_ylabel()
        drawn = [tuple(np.ravel(bars.lines[0].get_data())) for bars in ax.containers]
        assert drawn == [(100 * row.eer, pytest.approx(row.mean)) for row in part.itertuples()]
    marks = {bars.lines[0].get_marker() for bars in axes[0].containers}
    assert len(marks) == len(SYSTEMS)


def test_what_a_loss_hates_is_dark_and_written():
    table = pd.DataFrame(
        [(loss, kind, value) for loss, values in (("a", (0.2, 1.8)), ("b", (1.5, 0.5)))
         for kind, value in zip(("softer", "blurred"), values, strict=True)],
        columns=["loss", "spoiled", "value"],
    )  # fmt: skip
    ax = plots.heard_by(table)
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.2, 1.5], [1.8, 0.5]])
    assert [text.get_text() for text in ax.texts] == ["0.2", "1.5", "1.8", "0.5"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b"]
