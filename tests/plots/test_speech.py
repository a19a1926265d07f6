"""Figures of signals show every minute and every sample that they are given, and hide none under a legend."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from pcodec import plots
from pcodec.plots import style


def test_corpus_adds_up_minutes_in_the_colours_of_the_genders():
    table = pd.DataFrame(
        {"split": ["train", "train", "test", "train"], "gender": ["F", "M", "M", "F"], "seconds": [60, 120, 30, 90]}
    )
    ax = plots.corpus(table)
    found = {to_hex(bars.patches[0].get_facecolor()): [bar.get_height() for bar in bars] for bars in ax.containers}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["train", "test"]
    assert found[style.GENDER_COLOURS["F"]] == [2.5] and found[style.GENDER_COLOURS["M"]] == [2.0, 0.5]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["female", "male"]


def test_excitation_shows_samples_outside_the_drawn_codes(box):
    samples, shown = np.arange(20), np.arange(100, 150)
    codes = np.full(20, 128)
    codes[[3, 11]] = 60, 200
    signal = pd.DataFrame({"sample": samples, "signal": 0.0, "prediction": 0.0, "excitation": codes})
    probabilities = pd.DataFrame({"sample": np.repeat(samples, 50), "code": np.tile(shown, 20), "nats": -5.0})
    drawing = pd.concat([pd.DataFrame({"step": step, "code": shown, "probability": 0.02}) for step in "abc"])
    axes = plots.excitation(signal, probabilities, drawing)
    bottom, top = axes[1].get_ylim()
    assert bottom < 60 and top > 200
    legend = axes[1].get_legend()
    assert not box(legend).overlaps(box(axes[1].collections[0])), "the legend hides nothing of the image"
    assert to_hex(legend.get_frame().get_facecolor()) == "#000000", "the bright points can be seen in the legend"


def test_a_spectrogram_spans_80_decibels():
    rng = np.random.default_rng(1)
    samples = np.concatenate([np.zeros(8000), rng.normal(0, 0.1, 8000)])
    axes = plots.spectrograms({"noise": samples, "softer": samples / 2})
    assert len(axes) == 2 and axes[1].get_xlabel() == "time (s)"
    level = axes[0].collections[0].get_array()
    assert np.isclose(level.max() - level.min(), 80)
