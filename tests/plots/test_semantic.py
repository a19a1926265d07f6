"""Figures of the semantic codec show every value at its place, and the better ones darker."""

import itertools

import numpy as np
import pandas as pd
import pytest

from pcodec import plots


def test_probes_stand_beside_their_code():
    asked, codes = ("speaker", "phone"), ("semantic", "acoustic", "both")
    rows = [
        (probe, code, 0.1 * i + 0.2 * j, 0.1 * i, 0.9, 0.25)
        for (i, probe), (j, code) in itertools.product(enumerate(asked), enumerate(codes))
    ]
    table = pd.DataFrame(rows, columns=["probe", "code", "accuracy", "low", "high", "chance"])
    axes = plots.probes(table)
    assert [ax.get_title() for ax in axes] == ["speaker", "phone"]
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["semantic", "acoustic", "both"]
    for ax, (_, part) in zip(axes, table.groupby("probe", sort=False), strict=True):
        drawn = [tuple(np.ravel(bars.lines[0].get_data())) for bars in ax.containers]
        assert drawn == [pytest.approx((100 * value, place)) for place, value in enumerate(part.accuracy)]
        assert any(np.allclose(line.get_xdata(), 25) for line in ax.get_lines())


def test_vocabularies_are_means_of_their_variant():
    table = pd.DataFrame({
        "variant": np.repeat(["variable", "fixed"], 4), "kbps": [0.2, 0.2, 0.5, 0.5] * 2, "error": np.arange(8.0)
    })  # fmt: skip
    ax = plots.vocabularies(table)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["variable", "fixed"]
    lines = [line.get_xydata().tolist() for line in ax.get_lines()]
    assert lines == [[[200, 0.5], [500, 2.5]], [[200, 4.5], [500, 6.5]]]


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_better_value_is_darker(better):
    rows = [
        (measure, better, steps, guidance, begin, steps + 10 * guidance + (5 if begin > 0.9 else 0))
        for measure, begin, steps, guidance in itertools.product(("a", "b"), (0.6, 0.99), (4, 8), (1.0, 2.0))
    ]
    rows += [(measure, better, 0, 1.0, 0.6, 77) for measure in ("a", "b")]
    axes = plots.sampling(pd.DataFrame(rows, columns=["measure", "better", "steps", "guidance", "begin", "value"]))
    assert len(axes) == 4 and all("regressor 77" in ax.get_title() for ax in axes)
    for ax, first in zip(axes, (14, 14, 19, 19), strict=True):
        values = ax.get_images()[0].get_array()
        assert (values[1, 1] > values[0, 0]) == (better == "higher")
        assert ax.texts[0].get_text() == f"{first}"
        assert [text.get_text() for text in ax.get_yticklabels()] == ["4", "8"]
