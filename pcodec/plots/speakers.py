"""Voices: the embedding that compares them, and the groups.

Task: show how well speakers are told apart, where they lie, and how soon a group is known.

Conventions: groups are colours, genders are markers; a gender has its own colours where no group is shown. Notebooks
04_embedding and 05_groups.

Contents: `embedding_training`, `scores`, `projection`, `groups`, `groups_number`, `groups_seconds`, `groups_running`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from pcodec.plots import style


def embedding_training(losses: pd.DataFrame, ax=None):
    """Loss against updates. Table: update, split, loss."""
    ax = ax or plt.subplots(figsize=(5, 3), layout="constrained")[1]
    for split, width in (("train", 0.6), ("validation", 2.0)):
        rows = losses[losses.split == split]
        ax.plot(rows["update"], rows.loss, color=style.SPLIT_COLOURS[split], linewidth=width, label=split)
    ax.axhline(np.log(2), color=style.GREY, linestyle=":", label="chance")
    ax.set(xlabel="updates", ylabel="cross-entropy (nats per pair)")
    ax.legend()
    return ax


def scores(trials: pd.DataFrame, rate: float, threshold: float, ax=None):
    """Histogram of same- and different-speaker scores. Table: score, same."""
    ax = ax or plt.subplots(figsize=(5, 3), layout="constrained")[1]
    named = trials.assign(speakers=np.where(trials.same, "same", "different"))
    sns.histplot(
        named, x="score", hue="speakers", stat="density", common_norm=False, element="step", bins=60, ax=ax,
        palette={"same": style.INK, "different": style.GREY}, hue_order=["same", "different"],
    )  # fmt: skip
    ax.axvline(threshold, color=style.INK, linestyle="--")
    ax.set(xlabel=r"score $z_i \cdot z_j$", ylabel="density (per unit of the score)")
    ax.set_title(f"unseen speakers: equal error rate {100 * rate:.1f} % at the dashed line", fontsize="medium")
    return ax


def projection(table: pd.DataFrame, colour: str, ax=None):
    """Speakers in two dimensions. Table: x, y, gender and the column `colour` (a gender or a group)."""
    ax = ax or plt.subplots(figsize=(4, 4), layout="constrained")[1]
    for (value, gender), rows in table.groupby([colour, "gender"]):
        by_gender = colour == "gender"
        ax.scatter(
            rows.x, rows.y, s=28, edgecolors=style.INK, linewidths=0.4, marker=style.GENDER_MARKERS[gender],
            color=style.GENDER_COLOURS[gender] if by_gender else style.group_colour(value),
            label=style.GENDERS[gender] if by_gender else f"group {value}, {style.GENDERS[gender]}",
        )  # fmt: skip
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    style.legend_below(ax)
    return ax


def groups(table: pd.DataFrame):
    """The paper's first figure for one C: t-SNE, and PCA beside it. Table: method, x, y, gender, group."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.8), layout="constrained")
    for ax, (method, rows) in zip(axes, table.groupby("method", sort=False), strict=True):
        projection(rows, "group", ax)
        ax.set_title(method)
        shown = ax.get_legend_handles_labels()
        ax.get_legend().remove()
    figure.legend(*shown, loc="outside upper center", ncols=4)  # one for both, beside the points
    return axes


def groups_number(table: pd.DataFrame):
    """Silhouette and inertia against the number of groups. Table: C, silhouette, inertia."""
    _, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    for ax, column in zip(axes, ("silhouette", "inertia"), strict=True):
        ax.plot(table.C, table[column], "o-", color=style.INK)
        ax.set(xlabel="number of groups C", ylabel=column, xticks=table.C)
    return axes


def groups_seconds(table: pd.DataFrame, confusion: pd.DataFrame, seconds: float):
    """How soon a group is known, and what is confused with what after `seconds`.

    Tables: classifier, seconds, split, right; confusion of true (rows) and assigned (columns) groups.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), width_ratios=[3, 2], layout="constrained")
    sns.lineplot(
        table, x="seconds", y="right", hue="split", style="classifier", markers=True, errorbar=None, ax=axes[0],
        palette=style.SPLIT_COLOURS, hue_order=table.split.unique(),
    )  # fmt: skip
    axes[0].set(xlabel="speech heard (s)", ylabel="share in the true group", ylim=(None, 1.01))
    entries = [(handle, name) for handle, name in zip(*axes[0].get_legend_handles_labels(), strict=True)
               if name in {*table.split, *table.classifier}]  # fmt: skip
    axes[0].get_legend().remove()
    figure.legend(*zip(*entries, strict=True), loc="outside upper left", ncols=len(entries), fontsize="small")
    sns.heatmap(confusion, annot=True, fmt="d", cmap="Greys", cbar=False, square=True, ax=axes[1])
    axes[1].tick_params(axis="y", rotation=0)
    axes[1].set(title=f"unseen speakers, {seconds:g} s", xlabel="assigned group", ylabel="true group")
    return axes


def groups_running(table: pd.DataFrame, turns: list[tuple[float, int]], C: int, ax=None):
    """The running assignment over time, over the true group of whoever talks.

    Table: seconds, group, probability; any group from C up is "unknown". `turns`: (start, true group) of each talker.
    """
    ax = ax or plt.subplots(figsize=(8, 2.8), layout="constrained")[1]
    ends = [start for start, _ in turns[1:]] + [table.seconds.max()]
    for number, ((start, group), end) in enumerate(zip(turns, ends, strict=True), 1):
        ax.axvspan(start, end, color=style.group_colour(group), alpha=0.15, linewidth=0)
        ax.hlines(group, start, end, color=style.group_colour(group), alpha=0.6, linewidth=12)
        ax.axvline(end, color="white", linewidth=2)
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center", "va": "bottom"}
        ax.annotate(f"talker {number}: group {group}", ((start + end) / 2, 1), (0, 3), fontsize="small", **place)
    shown = table.group.where(table.group < C, -1)
    ax.step(table.seconds, shown, where="post", color=style.INK)
    dots = ax.scatter(
        table.seconds, shown, c=table.probability, cmap="Greys", vmin=0, vmax=1, s=18, edgecolors=style.INK,
        linewidths=0.6, zorder=3,
    )  # fmt: skip
    ax.figure.colorbar(dots, ax=ax, label="probability of the group")
    ax.set(yticks=range(-1, C), yticklabels=["unknown", *map(str, range(C))], ylim=(-1.5, C - 0.5))
    ax.set(xlabel="time (s)", ylabel="assigned group")
    return ax
