"""Figures of voices: axes have names and units, no point is cut off, groups and genders keep their colours."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from pcodec import plots
from pcodec.plots import style
from pcodec.speakers import UNKNOWN


@pytest.fixture
def people():
    table = pd.DataFrame({"gender": ["F", "M", "F", "M"], "group": [0, 0, 1, 3], "x": range(4), "y": range(4)})
    return pd.concat([table.assign(method="t-SNE"), table.assign(method="PCA")])


def test_axes_of_the_embedding_have_names_and_units():
    losses = pd.DataFrame({"update": [0, 1, 0, 1], "split": ["train"] * 2 + ["validation"] * 2, "loss": 0.5})
    ax = plots.embedding_training(losses)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("updates", "cross-entropy (nats per pair)")
    trials = pd.DataFrame({"score": np.linspace(-2, 3, 50), "same": [True, False] * 25})
    assert plots.scores(trials, 0.1, 1.0).get_ylabel() == "density (per unit of the score)"


def test_groups_are_colours_and_genders_markers(people):
    axes = plots.groups(people)
    colours = [to_hex(points.get_facecolor()[0]) for points in axes[0].collections]
    assert colours == [style.group_colour(group) for group in (0, 0, 1, 3)]
    figure = axes[0].figure
    assert len(figure.legends) == 1 and all(ax.get_legend() is None for ax in axes)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["group 0, female", "group 0, male", "group 1, female", "group 3, male"]


def test_genders_have_their_own_colours_where_no_group_is_shown(people, box):
    ax = plots.projection(people[people.method == "PCA"], "gender")
    colours = [to_hex(points.get_facecolor()[0]) for points in ax.collections]
    assert colours == [style.GENDER_COLOURS["F"], style.GENDER_COLOURS["M"]]
    assert not box(ax.get_legend()).overlaps(ax.bbox), "no speaker lies under the legend"


@pytest.mark.parametrize("C", [2, 4])
def test_the_running_assignment_is_shown_whole(C):
    table = pd.DataFrame({"seconds": [0.25, 0.5, 0.75, 1.0], "group": [UNKNOWN, 0, C - 1, 0], "probability": 0.5})
    ax = plots.groups_running(table, [(0.0, C - 1), (0.5, 0)], C)
    points = ax.collections[-1]
    assert [y for _, y in points.get_offsets()] == [-1, 0, C - 1, 0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["unknown", *map(str, range(C))]
    ax.figure.canvas.draw()
    radius = np.sqrt(points.get_sizes().max()) / 2 * ax.figure.dpi / 72
    for x, y in ax.transData.transform(points.get_offsets()):
        inside = ax.bbox.x0 <= x - radius and x + radius <= ax.bbox.x1
        assert inside and ax.bbox.y0 <= y - radius and y + radius <= ax.bbox.y1
    bar = next(other for other in ax.figure.axes if other is not ax)
    assert bar.get_ylabel() == "probability of the group"
    assert [text.get_text() for text in ax.texts] == [f"talker 1: group {C - 1}", "talker 2: group 0"]


def test_no_curve_lies_under_the_legend_of_groups_seconds(box):
    classifiers, splits = ["softmax", "nearest centroid", "most frequent group"], ["personal", "test"]
    table = pd.DataFrame(
        [(one, seconds, split, 0.5) for one in classifiers for split in splits for seconds in (0.5, 3.0)],
        columns=["classifier", "seconds", "split", "right"],
    )
    axes = plots.groups_seconds(table, pd.DataFrame([[5, 1], [2, 4]]), 3.0)
    (legend,) = axes[0].figure.legends
    assert not box(legend).overlaps(axes[0].bbox) and not box(legend).overlaps(axes[1].bbox)
    assert [text.get_text() for text in legend.get_texts()] == [*splits, *classifiers]
