"""Figures of quality and cost put every value at its true place, let it be seen, and name what is counted."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from pcodec import plots
from pcodec.lpcnet import complexity
from pcodec.plots import style

DECODERS = [f"{role} {units}{C}" for units in (384, 256) for role, C in
            (("control", ""), ("personalized", ", C = 2"), ("personalized", ", C = 4"))]  # fmt: skip
SYSTEMS = [*DECODERS, "Codec 2 1600", "Opus 6"]


@pytest.fixture
def summary():
    """Two measures of systems, six of them at one rate."""
    rows = [
        (measure, better, system, 1.62691 if system in DECODERS else 2.0 * number, 1 + number / 10)
        for measure, better in (("STOI", "higher"), ("LSD", "lower"))
        for number, system in enumerate(SYSTEMS)
    ]
    table = pd.DataFrame(rows, columns=["measure", "better", "system", "kbps", "mean"])
    return table.assign(low=table["mean"] - 0.2, high=table["mean"] + 0.3)


@pytest.fixture
def parts():
    sizes, densities = (384, 256), (1.0, 0.1)
    return pd.concat([complexity.parts(n, d).assign(units=n, density=d) for n in sizes for d in densities])


def test_rates_are_those_of_the_table(summary):
    for ax, (_, rows) in zip(plots.rate_quality(summary), summary.groupby("measure", sort=False), strict=True):
        places = [tuple(np.ravel(bars.lines[0].get_data())) for bars in ax.containers]
        assert places == list(zip(rows.kbps, rows["mean"], strict=True)), "systems at one rate are not moved apart"
        for bars, row in zip(ax.containers, rows.itertuples(), strict=True):
            ((x0, low), (x1, high)) = bars.lines[2][0].get_segments()[0]
            assert x0 == x1 == row.kbps and (low, high) == pytest.approx((row.low, row.high))


def test_every_system_can_be_told_and_found_in_the_legend(summary):
    axes = plots.rate_quality(summary)
    looks = [(to_hex(line.get_color()), line.get_marker(), to_hex(line.get_markerfacecolor()))
             for line in (bars.lines[0] for bars in axes[0].containers)]  # fmt: skip
    assert len(set(looks)) == len(SYSTEMS)
    caps = [bars.lines[1][0].get_markersize() for bars in axes[0].containers][: len(DECODERS)]
    assert len(set(caps)) == len(DECODERS), "intervals at one rate differ in the width of their caps"
    (legend,) = axes[0].figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[0] == "control 384: 1.63 kb/s" and [text.split(": ")[0] for text in texts] == SYSTEMS


def test_kinds_are_markers_rates_are_joined_and_personalized_ones_are_not():
    rows = [
        ("soundstream small general, 0.8 kb/s", "soundstream small", True, 0.8, 2.9),
        ("soundstream small general, 1.6 kb/s", "soundstream small", True, 1.6, 3.1),
        ("soundstream small personalized, C = 2, 1.6 kb/s", "soundstream small", True, 1.6, 3.2),
        ("soundstream small, as shipped, 1.6 kb/s", "soundstream small", True, 1.6, 3.3),
        ("soundstream tiny, as shipped, 0.8 kb/s", "soundstream tiny", True, 0.8, 2.6),
        ("soundstream tiny, as shipped, 1.6 kb/s", "soundstream tiny", True, 1.6, 2.7),
        ("Codec 2 3200", "Codec 2", False, 3.2, 2.9), ("Codec 2 1600", "Codec 2", False, 1.6, 2.8),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["system", "kind", "own", "kbps", "mean"])
    table = table.assign(measure="DNSMOS", better="higher", low=table["mean"] - 0.1, high=table["mean"] + 0.1)
    (ax,) = plots.kinds(table, "kbps")
    joined = [tuple(map(tuple, line.get_xydata())) for line in ax.lines if len(line.get_xydata()) == 2]
    assert ((0.8, 2.9), (1.6, 3.1)) in joined and ((1.6, 2.8), (3.2, 2.9)) in joined
    assert ((0.8, 2.6), (1.6, 2.7)) in joined, "where there is nothing but what is shipped"
    looks, halves = {}, set()
    for bars in ax.containers:
        (x, y), line = bars.lines[0].get_xydata()[0], bars.lines[0]
        looks[round(x, 3), round(y, 3)] = line.get_marker(), to_hex(line.get_color())
        halves |= {round(y, 3)} if line.get_fillstyle() == "left" else set()
    assert len(looks) == len(rows) and halves == {3.3, 2.6, 2.7}
    own, others = style.SYSTEM_COLOURS["control"], style.SYSTEM_COLOURS["other"]
    assert looks[0.8, 2.9] == looks[1.6, 3.1] and looks[0.8, 2.9][1] == own
    assert looks[1.6, 3.2] == (looks[1.6, 3.1][0], style.system_colour("personalized, C = 2"))
    assert looks[3.2, 2.9][1] == others and looks[3.2, 2.9][0] != looks[0.8, 2.9][0]


def test_noise_is_sorted_and_none_is_last():
    rows = [("STOI", "higher", system, snr, 4, value, value - 0.1, value + 0.2)
            for system, base in (("coded", 0.5), ("not coded", 0.6))
            for snr, value in ((np.inf, base + 0.3), (5.0, base + 0.1), (-5.0, base))]  # fmt: skip
    table = pd.DataFrame(rows, columns=["measure", "better", "system", "snr", "speakers", "mean", "low", "high"])
    (ax,) = plots.denoising(table)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["-5", "5", "no noise"]
    for bars, base in zip(ax.containers, (0.5, 0.6), strict=True):
        assert list(bars.lines[0].get_ydata()) == pytest.approx([base, base + 0.1, base + 0.3])
        assert bars.lines[2][0].get_segments()[0][:, 1] == pytest.approx([base - 0.1, base + 0.2])


def test_complexity_hides_no_value_and_has_one_scale(parts, box):
    axes = plots.complexity(parts)
    (legend,) = axes[0].figure.legends
    for ax in axes:
        for artist in (*ax.patches, *ax.texts):
            assert not box(legend).overlaps(box(artist))
        assert all(box(text).x1 <= ax.bbox.x1 for text in ax.texts), "numbers stay in their panel"
    assert axes[0].get_xlim() == axes[1].get_xlim()


def test_complexity_shows_every_part_and_their_sum(parts):
    axes = plots.complexity(parts)
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names == [*parts.part.unique(), "all parts"]
    for ax, density in zip(axes, (1.0, 0.1), strict=True):
        for bars, units in zip(ax.containers, (384, 256), strict=True):
            rows = parts[(parts.density == density) & (parts.units == units)]
            widths = [bar.get_width() for bar in bars]
            assert widths == pytest.approx([*rows.gflops, rows.gflops.sum()])


def test_axes_name_what_is_counted(parts, summary):
    assert plots.complexity(parts)[0].figure.get_supxlabel() == style.EVERY_OPERATION
    counted = summary[summary.system.isin(DECODERS)].assign(gflops=16.05)
    assert plots.quality_complexity(counted)[0].figure.get_supxlabel().startswith(style.EVERY_OPERATION)
    assert style.EVERY_OPERATION != style.WEIGHTS_ALONE


def test_better_is_to_the_right_in_pairs():
    table = pd.DataFrame({"measure": ["STOI", "LSD"], "better": ["higher", "lower"], "difference": [0.1, -0.1]})
    table = table.assign(first="personalized 384, C = 2", second="control 384", low=table.difference - 0.05)
    axes = plots.objective_paired(table.assign(high=table.difference + 0.05))
    assert [ax.xaxis_inverted() for ax in axes] == [False, True]
    assert axes[0].get_yticklabels()[0].get_text() == "personalized 384, C = 2 − control 384"


def test_objective_has_a_row_a_system(summary):
    axes = plots.objective(summary)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == SYSTEMS
    assert [ax.get_xlabel() for ax in axes] == ["STOI (higher is better)", "LSD (lower is better)"]


def test_a_simulated_listening_test_says_so():
    table = pd.DataFrame({"condition": ["reference", "control 384"], "listeners": 5, "listener_mean": [99.0, 60.0]})
    ax = plots.mushra(table.assign(low=50.0, high=100.0), "SIMULATED")
    assert "SIMULATED" in [text.get_text() for text in ax.texts]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["reference", "control 384"]
