"""Losses: what personalization gains, when, and how much.

Task: draw learning curves, and differences of losses with their intervals.

Conventions: nats per sample; a negative difference is good for the personalized decoder; intervals are of 95 %.
Systems are colours, comparisons are markers. Notebooks 06_training, 07_validation_loss and 12_personalization.

Contents: `validation_loss`, `gains`, `mismatch`, `capacity`, `study`, `personalization`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

from pcodec.plots import style

COMPARISONS = {  # the main two: marker, filling, line
    "estimated - control": ("o", style.INK, "-"),
    "interaction": ("D", "white", "--"),
}
BEFORE = "control - general"  # the comparison without a personalized decoder
CURVES = {  # system: marker, line; any other is drawn as personalized
    "general": ("s", "-"),
    "control": ("D", "--"),
    "personalized, C = 2": ("o", "-"),
    "personalized, C = 4": ("^", "-"),
}
FEW = 20  # points of the longest curve; with more, curves have no markers


def validation_loss(curves: pd.DataFrame):
    """The paper's central figure: loss against updates, a column per size. Table: units, system, update, nats.

    `system` is "general", "control" or "personalized, C = ...". Control and personalized decoders branch off the
    general one at the dotted line. Above, the whole training, where the general decoder's is known; below, the
    branches, all to the same scale. A general decoder of one or two points is drawn as points.
    """
    sizes = sorted(curves.units.unique(), reverse=True)
    branches = curves["update"].where(curves.system != "general").groupby(curves.units).min()
    before = curves["update"] < curves.units.map(branches)
    parts = [curves, curves[~before]] if (before & (curves.system == "general")).any() else [curves[~before]]
    figure, axes = plt.subplots(
        len(parts), len(sizes), figsize=(4.6 * len(sizes), 3.2 * len(parts) + 0.5), squeeze=False, layout="constrained"
    )
    for ax in axes[0, 1:]:
        ax.sharey(axes[0, 0])
    for row, part in zip(axes, parts, strict=True):
        few = part.groupby(["units", "system"]).size().max() <= FEW
        for ax, units in zip(row, sizes, strict=True):
            for system, points in part[part.units == units].groupby("system"):
                marks = _curve_marks(system)
                if system == "general" and len(points) <= 2:
                    marks |= {"linestyle": "", "zorder": 3}
                elif not few:
                    marks["marker"] = ""
                points = points.sort_values("update")
                ax.plot(points["update"], points.nats, **marks)
            if pd.notna(branches[units]):
                ax.axvline(branches[units], color=style.GREY, linestyle=":")
            ax.set_xlabel("updates")
        row[0].set_ylabel("validation loss\n(nats per sample)")
        span = max(np.ptp(ax.get_ylim()) for ax in row)
        for ax in row:
            middle = np.mean(ax.get_ylim())
            ax.set_ylim(middle - span / 2, middle + span / 2)
    for ax, units in zip(axes[0], sizes, strict=True):
        ax.set_title(f"GRU_A with {units} units")
    systems = [name for name in CURVES if name in set(curves.system)]
    systems += sorted({*curves.system} - {*CURVES})
    handles = [Line2D([], [], **_curve_marks(system), label=system) for system in systems]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return axes[0] if len(parts) == 1 else axes


def _curve_marks(system):
    marker, line = CURVES.get(system, ("v", "-"))
    return {"color": style.system_colour(system), "marker": marker, "linestyle": line}


def gains(table: pd.DataFrame, unit: str = "nats per sample"):
    """Every comparison with its interval, a panel per size. Table: units, C, comparison, difference, low, high.

    Numbers of groups are colours; what does not depend on them is drawn once. Where a column `training` tells several
    trainings apart, that of "all" has the interval, and each of the others is a small ring.
    """
    sizes = sorted(table.units.unique(), reverse=True)
    names, numbers = list(dict.fromkeys(table.comparison)), sorted(table.C.unique())
    axes = style.panels(len(sizes), len(sizes), 4.4, 1.1 + 0.42 * len(names), sharex=True, sharey=True)
    for ax, units in zip(axes, sizes, strict=True):
        for row in table[table.units == units].itertuples():
            place, system = names.index(row.comparison), f"personalized, C = {row.C}"
            if row.comparison == BEFORE:
                system = "control"
                if row.C != numbers[0]:
                    continue
            else:
                place += 0.3 * (numbers.index(row.C) - (len(numbers) - 1) / 2)
            colour = style.system_colour(system)
            if getattr(row, "training", "all") == "all":
                style.interval(ax, place, row.difference, row, horizontal=True, color=colour)
            else:
                ax.plot(row.difference, place + 0.13, marker="o", markersize=3, markerfacecolor="none", color=colour)
        ax.axvline(0, color=style.GREY, linestyle=":")
        ax.set_title(units if isinstance(units, str) else f"{units} units")
    axes[0].set(yticks=range(len(names)), yticklabels=names)
    axes[0].invert_yaxis()
    axes[0].locator_params(axis="x", nbins=5)
    axes[0].figure.supxlabel(f"difference of losses ({unit}), 95 % interval")
    systems = [f"personalized, C = {C}" for C in numbers]
    systems += ["control"] if BEFORE in names else []
    handles = [Line2D([], [], color=style.system_colour(name), marker="o", linestyle="") for name in systems]
    axes[0].figure.legend(handles, systems, loc="outside upper center", ncols=4)
    return axes


def mismatch(table: pd.DataFrame):
    """Specialist less control by group of the speech, a panel per size and C.

    Table: units, C, decoder_group, speech_group, speakers, difference.
    """
    parts = list(table.groupby(["C", "units"], sort=True))
    axes = style.panels(len(parts), table.units.nunique(), 4.2, 3.4)
    limit = table.difference.abs().max() or 1.0
    for ax, ((C, units), rows) in zip(axes, parts, strict=True):
        square = rows.pivot(index="decoder_group", columns="speech_group", values="difference")
        sns.heatmap(square, annot=True, fmt="+.4f", cmap="RdBu_r", vmin=-limit, vmax=limit, cbar=False, ax=ax)
        ax.set(title=f"{units} units, C = {C}", xlabel="group of the speech", ylabel="group of the decoder")
    return axes


def capacity(table: pd.DataFrame):
    """Loss and gain against size, for one C.

    Table: units, C, gflops, comparison, control, estimated, difference, low, high. `gflops` is LPCNet's count of
    weights, `pcodec.lpcnet.complexity.count`.
    """
    _, (level, gain) = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained")
    first = table[table.comparison == "estimated - control"].sort_values("units")
    systems = {"control": "control", "estimated": f"personalized, C = {first.C.iloc[0]}"}
    for column, system in systems.items():
        level.plot(first.units, first[column], **_curve_marks(system), label=system)
    level.set(ylabel="loss on unseen speakers (nats per sample)")
    for comparison, rows in table.sort_values("units").groupby("comparison"):
        for row in rows.itertuples():
            _difference(gain, row.units, row)
        gain.plot(rows.units, rows.difference, color=style.INK, linewidth=1, linestyle=COMPARISONS[comparison][2])
    gain.axhline(0, color=style.GREY, linestyle=":")
    gain.set(ylabel="difference (nats per sample), 95 % interval")
    for ax, handles in ((level, level.get_legend_handles_labels()[0]), (gain, _comparison_handles(table))):
        style.legend_below(ax, 0.16, handles=handles)
        ax.set(xscale="log", xlabel="units of GRU_A", xticks=first.units)
        ax.minorticks_off()
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
        top = ax.secondary_xaxis("top")
        top.set_xticks(first.units, [f"{value:.2f}" for value in first.gflops], fontsize="small")
        top.minorticks_off()
        top.set_xlabel(f"{style.WEIGHTS_ALONE}, dense", fontsize="small")
    return level, gain


def study(table: pd.DataFrame, ax=None):
    """Gain for each amount of training speech, and from scratch. Table: variant, comparison, difference, low, high."""
    ax = ax or plt.subplots(figsize=(6, 3.4), layout="constrained")[1]
    _categories(ax, table, table.variant)
    ax.set_xlabel("training speech")
    return ax


def personalization(table: pd.DataFrame, unit: str = "nats per sample", ax=None):
    """Gain of decoders for one person. Table: system, minutes (0 for "group"), comparison, difference, low, high."""
    ax = ax or plt.subplots(figsize=(7, 3.6), layout="constrained")[1]
    names = [f"{row.system}\n{row.minutes:g} min" if row.minutes else row.system for row in table.itertuples()]
    _categories(ax, table, names, unit)
    return ax


def _categories(ax, table, names, unit="nats per sample"):
    """The main two comparisons beside each other, for each name; `names` has the name of each row of the table."""
    order = list(dict.fromkeys(names))
    shift = dict(zip(COMPARISONS, (-0.1, 0.1), strict=True))
    for name, row in zip(names, table.itertuples(), strict=True):
        if row.comparison in COMPARISONS:
            _difference(ax, order.index(name) + shift[row.comparison], row)
    ax.axhline(0, color=style.GREY, linestyle=":")
    ax.set(xticks=range(len(order)), xticklabels=order, ylabel=f"difference ({unit}),\n95 % interval")
    ax.margins(x=0.1)
    style.legend_above(ax, handles=_comparison_handles(table))


def _difference(ax, place, row):
    marker, filling, _ = COMPARISONS[row.comparison]
    style.interval(ax, place, row.difference, row, color=style.INK, marker=marker, markerfacecolor=filling)


def _comparison_handles(table):
    """For a legend of the main comparisons of a table."""
    return [
        Line2D([], [], color=style.INK, marker=marker, markerfacecolor=filling, linestyle="", label=name)
        for name, (marker, filling, _) in COMPARISONS.items()
        if name in set(table.comparison)
    ]
