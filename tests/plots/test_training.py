"""Figures of losses show each curve whole, each value at its place, and name what is counted."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from pcodec import plots
from pcodec.plots import style
from pcodec.plots.training import COMPARISONS

BRANCHES = ("control", "personalized, C = 2", "personalized, C = 4")


def curves(before, after=(6200, 6800, 7400)):
    """Learning curves of two sizes: the general decoder's at updates `before`, the branches' at `after`."""
    rows = [(units, "general", update, 5.0 - update / 6200) for units in (384, 256) for update in before]
    for k, name in enumerate(BRANCHES):
        rows += [(units, name, update, 4.0 - k) for units in (384, 256) for update in after]
    return pd.DataFrame(rows, columns=["units", "system", "update", "nats"])


def drawn(ax, system):
    (line,) = [line for line in ax.lines if line.get_color() == style.system_colour(system)]
    return line


def test_curves_run_from_the_start_of_training_to_the_end_of_each_branch():
    table = curves(before=range(0, 6201, 620))
    table.loc[table.units == 256, "nats"] += 0.5
    whole, end = plots.validation_loss(table)
    for ax in whole:
        assert list(drawn(ax, "general").get_xdata()) == list(range(0, 6201, 620))
        assert all(list(drawn(ax, name).get_xdata()) == [6200, 6800, 7400] for name in BRANCHES)
    for ax in (*whole, *end):
        (dotted,) = [line for line in ax.lines if line.get_linestyle() == ":"]
        assert set(dotted.get_xdata()) == {6200}, "where the branches start"
    assert whole[0].get_ylim() == whole[1].get_ylim()
    large, small = (np.array(ax.get_ylim()) for ax in end)
    assert small - large == pytest.approx([0.5, 0.5]), "the branches to one scale, each size where it is"


def test_a_general_decoder_that_was_there_already_is_a_point():
    axes = plots.validation_loss(curves(before=[6200]))
    assert np.shape(axes) == (2,), "nothing is known of its training: no panels of it"
    general = drawn(axes[0], "general")
    assert general.get_linestyle() == "None" and general.get_marker() == "s"


@pytest.mark.parametrize("before", [[6200], range(0, 6201, 620)])
def test_there_is_one_legend_with_every_system_once(before):
    axes = np.ravel(plots.validation_loss(curves(before)))
    (legend,) = axes[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["general", *BRANCHES]
    assert all(ax.get_legend() is None for ax in axes)


def test_one_decoder_alone_can_be_drawn():
    table = curves(before=[0, 100, 200])
    (ax,) = plots.validation_loss(table[(table.units == 384) & (table.system == "general")])
    assert list(drawn(ax, "general").get_ydata()) == [5.0 - update / 6200 for update in (0, 100, 200)]


@pytest.fixture
def differences():
    """Comparisons of two sizes and two numbers of groups, every value another one."""
    names = ["estimated - control", "wrong - control", "control - general", "interaction"]
    rows = [(units, C, name) for units in (384, 256) for C in (2, 4) for name in names]
    table = pd.DataFrame(rows, columns=["units", "C", "comparison"]).assign(difference=np.arange(16) / 1000)
    table.loc[table.comparison == "control - general", "difference"] = -0.005
    levels = {"control": 3.5 - table.units / 1000, "estimated": 3.4 - table.units / 1000, "gflops": table.units / 25.6}
    return table.assign(low=table.difference - 1e-4, high=table.difference + 1e-4, **levels)


def test_gains_has_a_panel_a_size_and_a_row_a_comparison(differences):
    axes = plots.gains(differences)
    assert [ax.get_title() for ax in axes] == ["384 units", "256 units"]
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names == list(differences.comparison.unique())
    for ax, units in zip(axes, (384, 256), strict=True):
        found = set()
        for bars in ax.containers:
            (x,), (y,) = bars.lines[0].get_data()
            found.add((names[round(y)], to_hex(bars.lines[0].get_color()), round(x, 6)))
        rows = differences[differences.units == units]
        expected = {
            (row.comparison, style.system_colour(f"personalized, C = {row.C}"), round(row.difference, 6))
            for row in rows.itertuples()
            if row.comparison != "control - general"
        }
        assert found == expected | {("control - general", style.system_colour("control"), -0.005)}


def test_gains_has_a_ring_for_each_training(differences):
    """The interval is that of all trainings; one alone has none."""
    again = pd.concat([differences.assign(training=name) for name in ("all", "1", "2")])
    axes, once = plots.gains(again), plots.gains(differences)
    for ax, before in zip(axes, once, strict=True):
        rings = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
        assert len(ax.containers) == len(before.containers) and len(rings) == 2 * len(before.containers)


def test_capacity_says_that_it_counts_weights(differences, box):
    table = differences[(differences.C == 2) & differences.comparison.isin(COMPARISONS)]
    level, gain = plots.capacity(table)
    assert list(level.lines[0].get_xdata()) == [256, 384]
    for ax in (level, gain):
        (top,) = ax.child_axes
        assert top.get_xlabel().startswith(style.WEIGHTS_ALONE)
        assert [label.get_text() for label in top.get_xticklabels()] == ["10.00", "15.00"]
        assert not box(ax.get_legend()).overlaps(ax.bbox)


def test_study_and_personalization_tell_comparisons_by_their_marker(differences):
    table = differences[(differences.units == 384) & (differences.C == 2)]
    for ax, ticks in (
        (plots.study(pd.concat([table.assign(variant=name) for name in ("10 minutes", "all")])), ["10 minutes", "all"]),
        (plots.personalization(table.assign(system="low-rank", minutes=1.0)), ["low-rank\n1 min"]),
    ):
        assert [label.get_text() for label in ax.get_xticklabels()] == ticks
        markers = [bars.lines[0].get_marker() for bars in ax.containers]
        assert markers == [COMPARISONS[name][0] for name in COMPARISONS] * len(ticks)


def test_mismatch_has_the_decoders_group_in_the_rows():
    table = pd.DataFrame({"decoder_group": [0, 0, 1, 1], "speech_group": [0, 1, 0, 1], "difference": range(4)})
    (ax,) = plots.mismatch(table.assign(units=384, C=2))
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("group of the decoder", "group of the speech")
    assert ax.collections[0].get_array().ravel().tolist() == [0, 1, 2, 3]
