"""Packets: their bits, what quantization costs, the rate, and damage.

Task: show where the 64 bits of a packet go and what they are worth.

Conventions: features per frame of 10 ms; fields as `pcodec.bitstream.quantizer.FIELDS`. Fields of the pitch are darker
than those of the spectrum. What lost packets do is drawn by `speech.spectrograms`. Notebooks 03_bitstream and
16_soundstream.

Contents: `bit_allocation`, `quantization`, `decoded_features`, `bit_sensitivity`, `rate`, `codes`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from pcodec.plots import speech, style

OF_PITCH = ("pitch", "modulation", "correlation")  # fields; the others are of the spectrum
NARROW = 6  # bits; the name of a smaller field is written upright


def bit_allocation(fields: dict[str, int], ax=None):
    """The 64 bits of a packet in the order in which they are sent. `fields`: name -> bits."""
    ax = ax or plt.subplots(figsize=(9, 1.5), layout="constrained")[1]
    start = 0
    for name, bits in fields.items():
        ax.barh(0, bits, left=start, color=_field_colour(name), edgecolor="white")
        ax.text(start + bits / 2, 0, f"{name}\n{bits}", ha="center", va="center", fontsize=7, rotation=_turned(bits))
        start += bits
    ax.set(xlim=(0, start), yticks=[], xticks=range(0, start + 1, 8), xlabel="bit of the packet")
    return ax


def _field_colour(name):
    return style.GREY if name in OF_PITCH else style.PALE


def _turned(bits):
    return 90 if bits < NARROW else 0


def quantization(table: pd.DataFrame, ax=None):
    """Error per coefficient. Table: codebooks, split, feature, rms_error."""
    ax = ax or plt.subplots(figsize=(8, 3.4), layout="constrained")[1]
    sns.lineplot(
        table, x="feature", y="rms_error", hue="split", style="codebooks", markers=True, sort=False, errorbar=None,
        palette=style.SPLIT_COLOURS, hue_order=table.split.unique(), ax=ax,
    )  # fmt: skip
    ax.set(xlabel="", ylabel="rms quantization error")
    ax.tick_params(axis="x", rotation=60)
    ax.legend(fontsize="small")
    return ax


def decoded_features(bands: dict[str, np.ndarray], pitch_hz: dict[str, np.ndarray]):
    """Band log energies (T, 18) before and after coding, one panel each, and the pitch tracks (T,) over each other."""
    _, axes = plt.subplots(len(bands) + 1, 1, figsize=(8, 6), sharex=True, layout="constrained")
    shown = np.concatenate(list(bands.values()))
    for ax, (name, energies) in zip(axes, bands.items(), strict=False):
        ax.imshow(
            energies.T, origin="lower", aspect="auto", extent=(0, len(energies) / 100, 0, energies.shape[1]),
            vmin=shown.min(), vmax=shown.max(),
        )  # fmt: skip
        ax.set(title=name, ylabel="band")
    marks = ((style.PALE, 6), (style.INK, 2))
    for (name, hertz), (colour, size) in zip(pitch_hz.items(), marks, strict=True):
        axes[-1].plot(np.arange(len(hertz)) / 100, hertz, ".", color=colour, markersize=size, label=name)
    axes[-1].set(ylabel="pitch (Hz)", xlabel="time (s)", xlim=(0, len(shown) / len(bands) / 100))
    style.legend_above(axes[-1], markerscale=2)
    return axes


def bit_sensitivity(table: pd.DataFrame):
    """What one flipped bit does. Table: bit, field, rms_cepstrum, rms_octaves, rms_correlation."""
    _, axes = plt.subplots(3, 1, figsize=(9, 5.5), sharex=True, layout="constrained")
    for field, rows in table.groupby("field", sort=False):
        for ax, column in zip(axes, ("rms_cepstrum", "rms_octaves", "rms_correlation"), strict=True):
            ax.bar(rows.bit, rows[column], color=style.INK)
            ax.axvspan(
                rows.bit.min() - 0.5, rows.bit.max() + 0.5, color=_field_colour(field), alpha=0.4, linewidth=0, zorder=0
            )
            ax.axvline(rows.bit.max() + 0.5, color="white", linewidth=1)
        axes[0].annotate(
            field, (rows.bit.mean(), 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="bottom", fontsize=8, rotation=_turned(len(rows)),
        )  # fmt: skip
    axes[0].set_ylabel("rms change of\nthe cepstrum")
    axes[1].set_ylabel("of the pitch\n(octaves)")
    axes[2].set(ylabel="of the\ncorrelation", xlabel="flipped bit of the packet")
    axes[2].set_xlim(table.bit.min() - 0.5, table.bit.max() + 0.5)
    return axes


def rate(table: pd.DataFrame, ax=None):
    """Bits per second against duration. Table: seconds, stream, rate."""
    ax = ax or plt.subplots(figsize=(5.5, 3), layout="constrained")[1]
    for (stream, rows), line in zip(table.groupby("stream", sort=False), style.LINES, strict=False):
        ax.plot(rows.seconds, rows.rate, color=style.INK, linestyle=line, label=stream)
    ax.set(xscale="log", xlabel="duration (s)", ylabel="rate (b/s)")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.legend(fontsize="small")
    return ax


def codes(samples: np.ndarray, places: np.ndarray, rate: int = 16000):
    """A signal's spectrogram, and below it its codes: `places` (S, T) are their ranks among the words of each stage."""
    axes = style.panels(2, 1, 8, 2.2, sharex=True)
    speech.spectrogram(samples, rate, axes[0])
    axes[0].set(xlabel="")
    axes[0].set_title("input", fontsize="small")
    stages, frames = places.shape
    axes[1].imshow(
        places, aspect="auto", interpolation="nearest", extent=(0, frames * 0.02, stages + 0.5, 0.5), cmap="viridis"
    )
    axes[1].set(ylabel="stage", yticks=range(1, stages + 1), xlabel="time (s)", xlim=(0, len(samples) / rate))
    axes[1].set_title("codes, in the order of their words' first principal component", fontsize="small")
    return axes
