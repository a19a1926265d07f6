"""Another voice, same words: what losses hear, what attackers learn, and what it costs.

Conventions: attackers are greys, the better informed the darker, told apart by marker too; systems stand by name.
Notebooks 18_anonymizer_training and 19_anonymization.

Contents: `heard_by`, `attackers`, `anonymity`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from pcodec.plots import style

ATTACKERS = {"unprotected": "D", "ignorant": "o", "lazy-informed": "s", "semi-informed": "^"}


def heard_by(table: pd.DataFrame, ax=None):
    """What each loss makes of each way of spoiling. Table: loss, spoiled, value (in units of the loss's mean)."""
    values = table.pivot_table("value", "spoiled", "loss", sort=False)
    if ax is None:
        _, ax = plt.subplots(figsize=(1.6 + 1.0 * values.shape[1], 1.2 + 0.45 * len(values)), layout="constrained")
    ax.imshow(values, cmap="Greys", vmin=0, vmax=max(2.0, float(values.max().max())), aspect="auto")
    for (i, j), value in np.ndenumerate(values.to_numpy()):
        shade = value / max(2.0, float(values.max().max()))
        ax.text(j, i, f"{value:.1f}", ha="center", va="center", color="white" if shade > 0.5 else style.INK)
    ax.set_xticks(range(values.shape[1]), values.columns, rotation=30, ha="right")
    ax.set_yticks(range(len(values)), values.index)
    ax.set(xlabel="loss, in units of its mean over the rows")
    return ax


def attackers(table: pd.DataFrame):
    """Equal error rates with intervals, a panel per recognizer. Table: system, recognizer, attacker, eer, low, high."""
    names, systems = list(table.recognizer.unique()), list(table.system.unique())
    axes = style.panels(len(names), len(names), 4.6, 1.2 + 0.32 * len(systems), sharey=True, sharex=True)
    shades = dict(zip(ATTACKERS, plt.get_cmap("Greys")(np.linspace(0.4, 0.95, len(ATTACKERS))), strict=True))
    for ax, recognizer in zip(axes, names, strict=True):
        for row in (100 * table[table.recognizer == recognizer].set_index(["system", "attacker"])[
            ["eer", "low", "high"]
        ]).itertuples():  # fmt: skip
            system, attacker = row.Index
            place = systems.index(system) + 0.2 * (list(ATTACKERS).index(attacker) - 2)
            style.interval(
                ax, place, row.eer, row, horizontal=True, color=shades[attacker], marker=ATTACKERS[attacker], capsize=2
            )
        ax.axvline(50, color=style.GREY, linestyle=":")
        ax.set(title=recognizer, xlim=(-2, 75), yticks=range(len(systems)))
        ax.set_yticklabels(systems)
    axes[0].invert_yaxis()
    axes[0].figure.supxlabel("equal error rate (%), 95 % interval over speakers; 50 % is chance")
    there = [name for name in ATTACKERS if name in set(table.attacker)]
    handles = [
        plt.Line2D([], [], color=shades[name], marker=ATTACKERS[name], linestyle="", label=name) for name in there
    ]
    axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return axes


def anonymity(table: pd.DataFrame):
    """Privacy against each other measure, a point per system.

    Table: system, eer (0 to 1), measure, better, mean, low, high (of the measure).
    """
    measures, systems = list(table.measure.unique()), list(table.system.unique())
    axes = style.panels(len(measures), 4, 3.4, 3.2)
    colours = plt.get_cmap("Greys")(np.linspace(0.35, 0.95, len(systems)))
    for ax, measure in zip(axes, measures, strict=True):
        for row in table[table.measure == measure].itertuples():
            number = systems.index(row.system)
            mark = style.MARKERS[number % len(style.MARKERS)]
            style.interval(ax, 100 * row.eer, row.mean, row, color=colours[number], marker=mark, capsize=2)
        better = table[table.measure == measure].better.iloc[0]
        ax.set_ylabel(f"{measure}\n({better} is better)")
    axes[0].figure.supxlabel("privacy: equal error rate (%) of the best informed attacker")
    handles = [
        plt.Line2D([], [], color=colours[i], marker=style.MARKERS[i % len(style.MARKERS)], linestyle="", label=system)
        for i, system in enumerate(systems)
    ]
    axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize="small")
    return axes
