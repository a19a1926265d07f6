"""What tokens mean and what their decoder does: probes, vocabularies, steps and guidance.

Conventions: the codec's own streams are dark, other codes light; a better value is always named. Notebooks
20_semantic_training, 21_semantic_tokens and 22_semantic.

Contents: `probes`, `vocabularies`, `sampling`.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from pcodec.plots import style


def probes(table: pd.DataFrame):
    """Accuracies of linear classifiers, a panel per question. Table: probe, code, accuracy, low, high, chance."""
    asked, codes = list(table.probe.unique()), list(table.code.unique())
    axes = style.panels(len(asked), len(asked), 3.0, 1.2 + 0.3 * len(codes), sharey=True)
    for ax, probe in zip(axes, asked, strict=True):
        for row in table[table.probe == probe].itertuples():
            place = codes.index(row.code)
            part = 100 * pd.Series({"low": row.low, "high": row.high})
            style.interval(ax, place, 100 * row.accuracy, part, horizontal=True, color=style.INK, marker="o")
        ax.axvline(100 * table[table.probe == probe].chance.mean(), color=style.GREY, linestyle=":")
        ax.set(title=probe, xlim=(0, 104), yticks=range(len(codes)))
        ax.set_yticklabels(codes)
    axes[0].invert_yaxis()
    axes[0].figure.supxlabel("right answers (%), 95 % interval; dotted: the most frequent label")
    return axes


def vocabularies(table: pd.DataFrame, ax=None):
    """Mean errors of unseen speakers against the rate, a line per variant. Table: variant, kbps, error."""
    ax = ax or plt.subplots(figsize=(5.4, 3.4), layout="constrained")[1]
    for number, (variant, part) in enumerate(table.groupby("variant", sort=False)):
        means = part.groupby("kbps").error.mean()
        mark = {"color": style.INK, "marker": style.MARKERS[number], "linestyle": style.LINES[number]}
        ax.plot(1000 * means.index, means, label=variant, **mark)
    ax.set(xlabel="rate (b/s)", ylabel="error of the regressor (lower is better)")
    ax.legend(fontsize="small")
    return ax


def sampling(table: pd.DataFrame):
    """Means against steps and guidance, a panel per measure, a row per beginning.

    Table: measure, better, steps, guidance, begin, value. No steps are the regressor; it has neither of these.
    """
    measures, begins = list(table.measure.unique()), sorted(table.begin.unique())
    axes = style.panels(len(measures) * len(begins), len(measures), 3.4, 3.0)
    for ax, (begin, measure) in zip(axes, itertools.product(begins, measures), strict=True):
        part = table[table.measure == measure]
        values = part[(part.steps > 0) & (part.begin == begin)].pivot_table("value", "steps", "guidance")
        good = values if part.better.iloc[0] == "higher" else -values
        low, high = float(good.min().min()), float(good.max().max())
        ax.imshow(good, cmap="Greys", vmin=low, vmax=high + (high == low), aspect="auto", origin="lower")
        for (i, j), value in np.ndenumerate(values.to_numpy()):
            dark = (good.to_numpy()[i, j] - low) / max(high - low, 1e-9) > 0.5
            ax.text(j, i, f"{value:.3g}", ha="center", va="center", color="white" if dark else style.INK, fontsize=8)
        ax.set_xticks(range(values.shape[1]), [f"{each:g}" for each in values.columns])
        ax.set_yticks(range(len(values)), values.index)
        alone = part[part.steps == 0].value
        beside = f"; regressor {alone.iloc[0]:.3g}" if len(alone) else ""
        ax.set(title=f"{measure} ({part.better.iloc[0]} is better{beside})", xlabel="guidance")
        ax.set_ylabel(f"steps, from t = {begin:g}")
        ax.title.set_fontsize(8)
    return axes
