"""Decoded speech: its measures, its listeners, its rate and its cost.

Task: draw means with their intervals for each system, alone, in pairs, against the rate and against operations.

Conventions: a system's colour is its role, its marker says which system of that role it is; intervals are of 95 %.
Notebooks 09_objective, 10_mushra, 11_complexity, 17_denoising, 23_comparison and 24_framewise_parts.

Contents: `objective`, `objective_paired`, `rate_quality`, `kinds`, `denoising`, `mushra`, `complexity`,
`quality_complexity`, `quality_hours`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pcodec.plots import style

COLUMNS = 4  # panels in a row
TICKS = {"kbps": (0.2, 0.3, 0.5, 0.8, 1.6, 3.2, 6.4), "gflops": (0.03, 0.1, 0.3, 1, 3, 10)}  # of logarithmic axes
FAR = 10  # times, from which on an axis is logarithmic
SHIPPED = "as shipped"  # in the name of a system that a user loads
HALF_FILLED = {"fillstyle": "left", "markerfacecoloralt": "white"}


def objective(summary: pd.DataFrame):
    """Means and intervals, a panel per measure. Table: measure, better, system, mean, low, high."""
    measures = list(summary.measure.unique())
    axes = style.panels(len(measures), COLUMNS, 3.6, 3.4)
    for number, (ax, measure) in enumerate(zip(axes, measures, strict=True)):
        rows = summary[summary.measure == measure].reset_index(drop=True)
        for i, row in rows.iterrows():
            style.interval(ax, i, row["mean"], row, horizontal=True, color=style.system_colour(row.system))
        ax.set(yticks=range(len(rows)), xlabel=f"{measure} ({rows.better.iloc[0]} is better)")
        ax.set_yticklabels(rows.system if number % COLUMNS == 0 else [])
        ax.invert_yaxis()
        ax.locator_params(axis="x", nbins=5)
    return axes


def objective_paired(table: pd.DataFrame):
    """Differences of two systems with intervals, a panel per measure; better is to the right.

    Table: measure, first, second, better, difference, low, high.
    """
    measures = list(table.measure.unique())
    axes = style.panels(len(measures), COLUMNS, 3.6, max(2.8, 0.24 * table.measure.value_counts().max()))
    for number, (ax, measure) in enumerate(zip(axes, measures, strict=True)):
        rows = table[table.measure == measure].reset_index(drop=True)
        for i, row in rows.iterrows():
            style.interval(ax, i, row.difference, row, horizontal=True, color=style.system_colour(row["first"]))
        ax.axvline(0, color=style.GREY, linestyle=":")
        ax.set(yticks=range(len(rows)), xlabel=measure)
        ax.set_yticklabels(rows["first"] + " − " + rows.second if number % COLUMNS == 0 else [])
        ax.invert_yaxis()
        ax.locator_params(axis="x", nbins=4)
        if rows.better.iloc[0] == "lower":
            ax.invert_xaxis()
    axes[0].figure.supxlabel(
        "right of the line the first system is better (axes of errors and distances run backwards)"
    )
    return axes


def rate_quality(summary: pd.DataFrame):
    """A measure against kb/s, a panel per measure. Table: measure, better, system, kbps, mean, low, high."""
    return _against(summary, "kbps", "rate (kb/s)", "{:.2f} kb/s")


def quality_complexity(table: pd.DataFrame):
    """A measure against operations per second, a panel per measure.

    Table: measure, better, system, gflops, mean, low, high. `gflops` counts every operation of a dense decoder, the sum
    of the family's `complexity.parts`.
    """
    return _against(table, "gflops", f"{style.EVERY_OPERATION}, dense weights", "{:.2f}")


def quality_hours(table: pd.DataFrame):
    """A measure against the hours that learning took, a panel per measure. Table: measure, better, system, hours, mean,
    low, high."""
    return _against(table, "hours", "training (hours of one core)", "{:.2f} h")


def _against(table, column, label, entry):
    """A measure against a column, a panel per measure.

    Systems at one place are told apart by colour, marker and the width of the caps. `entry` writes the column's value
    into the legend.
    """
    measures, marks = list(table.measure.unique()), style.system_marks(table.system)
    axes = style.panels(len(measures), COLUMNS, 3.4, 3.0)
    for ax, measure in zip(axes, measures, strict=True):
        rows = table[table.measure == measure]
        before = rows.groupby(column).cumcount()  # systems at the same place
        for (_, row), number in zip(rows.iterrows(), before, strict=True):
            thin = {"capsize": 2 + number, "elinewidth": 0.7, "markersize": 5}
            style.interval(ax, row[column], row["mean"], row, **thin, **marks[row.system])
        far = table[column].max() > FAR * table[column].min()
        scale = {"xscale": "log"} if far else {"xlim": (0, 1.08 * table[column].max())}
        ax.set(ylabel=f"{measure} ({rows.better.iloc[0]} is better)", **scale)
    axes[0].figure.supxlabel(label)
    places = table.drop_duplicates("system").set_index("system")[column]
    handles = [
        Line2D([], [], linestyle="", label=f"{system}: {entry.format(places[system])}", **mark)
        for system, mark in marks.items()
    ]
    axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=-(-len(marks) // 3), fontsize="small")
    return axes


def kinds(table: pd.DataFrame, column: str):
    """A measure against "kbps" or "gflops", a panel per measure. The marker says which kind, the colour which role.

    Table: measure, better, system, kind, own (of this project), mean, low, high, and the column. A line joins the rates
    of a kind's general codecs, or of those as shipped, whose markers are half filled, where there are no others.
    """
    measures, marks = list(table.measure.unique()), {}
    for number, name in enumerate(dict.fromkeys(table.sort_values("own", ascending=False, kind="stable").kind)):
        colour = style.SYSTEM_COLOURS["control" if table.own[table.kind == name].all() else "other"]
        face = colour if number < len(style.MARKERS) else "white"
        marks[name] = {"marker": style.MARKERS[number % len(style.MARKERS)], "color": colour, "markerfacecolor": face}
    personalized = [f"personalized, C = {C}" for C in sorted(set(table.system.str.extract(r"C = (\d+)")[0].dropna()))]
    axes = style.panels(len(measures), COLUMNS, 3.4, 3.8)
    ticks = [tick for tick in TICKS[column] if table[column].min() / 1.5 <= tick <= table[column].max() * 1.5]
    for ax, measure in zip(axes, measures, strict=True):
        for name, rows in table[table.measure == measure].groupby("kind", sort=False):
            general = rows[~rows.system.str.contains("C = ")].sort_values(column)
            as_shipped = general.system.str.contains(SHIPPED)
            general = general if as_shipped.all() else general[~as_shipped]
            ax.plot(general[column], general["mean"], color=marks[name]["color"], linewidth=0.8)
            for row in rows.sort_values("system", ascending=False).itertuples():
                own = next((style.system_colour(each) for each in personalized if each[-5:] in row.system), None)
                mark = marks[name] | ({"color": own, "markerfacecolor": "white"} if own else {})
                mark |= HALF_FILLED if SHIPPED in row.system else {}
                style.interval(ax, getattr(row, column), row.mean, row, capsize=1, elinewidth=0.5, markersize=5, **mark)
        better = table[table.measure == measure].better.iloc[0]
        ax.set(xscale="log", ylabel=f"{measure} ({better} is better)")
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    axes[0].figure.supxlabel({"kbps": "rate (kb/s)", "gflops": style.EVERY_OPERATION}[column])
    handles = [Line2D([], [], linestyle="", label=name, **mark) for name, mark in marks.items()]
    handles += [Line2D([], [], linestyle="", marker="o", markerfacecolor="white", label=name,
                       color=style.system_colour(name)) for name in personalized]  # fmt: skip
    if table.system.str.contains(SHIPPED).any():
        colour = style.SYSTEM_COLOURS["control"]
        handles.append(Line2D([], [], linestyle="", marker="o", color=colour, label=SHIPPED, **HALF_FILLED))
    axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=6, fontsize="small")
    return axes


def denoising(table: pd.DataFrame):
    """A measure against the noise, a panel per measure. Table: measure, better, system, snr (dB), mean, low, high.

    An infinite signal-to-noise ratio is speech alone, and stands at the right.
    """
    ratios = sorted(table.snr.unique())
    measures, systems = list(table.measure.unique()), list(table.system.unique())
    axes = style.panels(len(measures), COLUMNS, 3.4, 3.0)
    for ax, measure in zip(axes, measures, strict=True):
        for number, system in enumerate(systems):
            rows = table[(table.measure == measure) & (table.system == system)].sort_values("snr")
            places = np.searchsorted(ratios, rows.snr) + 0.12 * (number - 1)
            mark = {"color": style.INK, "marker": style.MARKERS[number], "linestyle": style.LINES[number]}
            reach = [rows["mean"] - rows.low, rows.high - rows["mean"]]
            ax.errorbar(places, rows["mean"], reach, **mark, capsize=2, linewidth=1, elinewidth=0.7, label=system)
        names = ["no noise" if np.isinf(ratio) else f"{ratio:g}" for ratio in ratios]
        ax.set(ylabel=f"{measure} ({rows.better.iloc[0]} is better)", xticks=range(len(ratios)), xticklabels=names)
    axes[0].figure.supxlabel("signal-to-noise ratio (dB)")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(systems))
    return axes


def mushra(summary: pd.DataFrame, watermark: str = "", ax=None):
    """Means of the listeners' means with their intervals, best first; `watermark` is written across.

    Table: condition, listeners, listener_mean, low, high.
    """
    ax = ax or plt.subplots(figsize=(7, 4), layout="constrained")[1]
    marks = style.system_marks(summary.condition)
    for i, row in summary.iterrows():
        style.interval(ax, i, row.listener_mean, row, **marks[row.condition])
    ax.set(xticks=range(len(summary)), ylim=(0, 102), ylabel="MUSHRA score")
    ax.set_xticklabels(summary.condition, rotation=25, ha="right")
    ax.set_title(f"{summary.listeners.max()} listeners, 95 % intervals", fontsize="small")
    for edge in range(20, 100, 20):
        ax.axhline(edge, color=style.PALE, linewidth=0.6, zorder=0)
    if watermark:
        ax.text(0.5, 0.5, watermark, transform=ax.transAxes, ha="center", va="center", rotation=25, fontsize=44,
                color=style.WARNING, alpha=0.25)  # fmt: skip
    return ax


def complexity(table: pd.DataFrame):
    """Operations of a decoder, part by part and all together, a panel per density of GRU_A's recurrent matrix.

    Table: density, units, part, gflops; every operation is counted.
    """
    densities, sizes = list(table.density.unique()), sorted(table.units.unique(), reverse=True)
    parts, colours = [*table.part.unique(), "all parts"], style.size_colours(sizes)
    height = 0.8 / len(sizes)
    axes = style.panels(
        len(densities), len(densities), 4.4, 1.4 + 0.17 * len(parts) * len(sizes), sharex=True, sharey=True
    )
    for ax, density in zip(axes, densities, strict=True):
        for number, units in enumerate(sizes):
            values = table[(table.density == density) & (table.units == units)].groupby("part").gflops.sum()
            values["all parts"] = values.sum()
            places = [place + height * (number - (len(sizes) - 1) / 2) for place in range(len(parts))]
            bars = ax.barh(places, values[parts], height, color=colours[units])
            ax.bar_label(bars, fmt=_rounded, padding=2, fontsize=7)
        ax.axhline(len(parts) - 1.5, color=style.GREY, linewidth=0.8)  # parts over it, their sum under it
        ax.set_title("GRU_A dense" if density == 1 else f"GRU_A pruned to {100 * density:g} %")
        ax.margins(x=0.12)
    axes[0].set(yticks=range(len(parts)), yticklabels=parts)
    axes[0].invert_yaxis()
    axes[0].figure.supxlabel(style.EVERY_OPERATION)
    handles = [Patch(color=colours[units], label=f"{units} units") for units in sizes]
    axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=len(sizes))
    return axes


def _rounded(value):
    return f"{value:.2f}" if value >= 0.1 else f"{value:.1g}"
