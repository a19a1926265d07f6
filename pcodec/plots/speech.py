"""Signals and what is measured of them.

Task: the corpus, one utterance with its features, the predictor, how a sample is made, and signals side by side.

Conventions: samples (N,) in [-1, 1] at `rate` Hz; frames of 10 ms. Notebooks 01_corpus, 02_features and 08_synthesis.

Contents: `corpus`, `features`, `spectrogram`, `lpc_envelopes`, `excitation`, `spectrograms`, `waveforms`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.signal
import seaborn as sns

from pcodec.plots import style


def corpus(table: pd.DataFrame, ax=None):
    """Minutes of speech by split and gender. Table: split, gender, seconds, of each utterance."""
    ax = ax or plt.subplots(figsize=(5, 3), layout="constrained")[1]
    minutes = table.assign(minutes=table.seconds / 60)
    sns.barplot(
        minutes, x="split", y="minutes", hue="gender", estimator="sum", errorbar=None, saturation=1, ax=ax,
        order=[split for split in style.SPLIT_COLOURS if split in set(table.split)],
        hue_order=[gender for gender in style.GENDERS if gender in set(table.gender)], palette=style.GENDER_COLOURS,
    )  # fmt: skip
    handles, genders = ax.get_legend_handles_labels()
    ax.get_legend().remove()
    style.legend_above(ax, handles=handles, labels=[style.GENDERS[gender] for gender in genders])
    ax.set(xlabel="", ylabel="minutes of speech")
    return ax


def features(
    samples: np.ndarray, pitch_hz: np.ndarray, voiced: np.ndarray, log_energies: np.ndarray, rate: int = 16000
):
    """Waveform, spectrogram with the pitch track, band energies. Frames are 10 ms: pitch and voiced (T,), (T, 18)."""
    _, axes = plt.subplots(3, 1, figsize=(8, 6), sharex=True, layout="constrained")
    times = np.arange(len(pitch_hz)) / 100
    axes[0].plot(np.arange(len(samples)) / rate, samples, color=style.INK, linewidth=0.4)
    axes[0].set_ylabel("amplitude")
    spectrogram(samples, rate, axes[1])
    track = np.where(voiced, pitch_hz, np.nan)
    axes[1].plot(times, track, ".", color=style.ON_IMAGE, markersize=2, label="pitch track")
    axes[1].set_ylim(0, 4000)
    style.legend_on_image(axes[1])
    axes[2].imshow(
        log_energies.T, origin="lower", aspect="auto", extent=(0, len(pitch_hz) / 100, 0, log_energies.shape[1])
    )
    axes[2].set(ylabel="band", xlabel="time (s)", xlim=(0, len(samples) / rate))
    return axes


def spectrogram(samples: np.ndarray, rate: int, ax):
    """Spectrogram in dB on `ax`, 80 dB range."""
    hertz, times, power = scipy.signal.spectrogram(samples, rate, "hann", nperseg=512, noverlap=384)
    level = 10 * np.log10(np.maximum(power, 1e-8 * max(power.max(), 1e-12)))
    ax.pcolormesh(times, hertz, level, cmap="magma", rasterized=True)
    ax.set_ylabel("frequency (Hz)")
    return ax


def lpc_envelopes(table: pd.DataFrame):
    """LPC envelopes over spectra, a panel per frame. Table: frame, hertz, spectrum, envelope (dB)."""
    frames = list(table.frame.unique())
    axes = style.panels(len(frames), len(frames), 4, 3, sharey=True)
    for ax, frame in zip(axes, frames, strict=True):
        rows = table[table.frame == frame]
        ax.plot(rows.hertz, rows.spectrum, color=style.GREY, linewidth=0.8, label="spectrum of the frame")
        ax.plot(rows.hertz, rows.envelope, color=style.INK, label="1 / |A(f)|")
        ax.set(title=frame, xlabel="frequency (Hz)")
    axes[0].set_ylabel("level (dB)")
    axes[0].legend(fontsize="small")
    return axes


def excitation(signal: pd.DataFrame, probabilities: pd.DataFrame, drawing: pd.DataFrame):
    """How samples are made. Tables: signal (sample, signal, prediction, excitation), at int16 scale but for the last, a
    code; probabilities (sample, code, nats); drawing (step, code, probability), of one sample."""
    _, axes = plt.subplots(3, 1, figsize=(8, 8), layout="constrained")
    ends = (signal["sample"].min() - 0.5, signal["sample"].max() + 0.5)
    axes[0].plot(signal["sample"], signal.signal, color=style.GREY, label="signal $s_t$, pre-emphasized")
    axes[0].plot(signal["sample"], signal.prediction, color=style.INK, linewidth=1, label="prediction $p_t$")
    axes[0].set(ylabel="amplitude (int16 steps)", xlim=ends)
    style.legend_above(axes[0])
    image = probabilities.pivot(index="code", columns="sample", values="nats")
    axes[1].pcolormesh(image.columns, image.index, image.to_numpy(), vmin=-9, vmax=0, cmap="magma", rasterized=True)
    axes[1].plot(signal["sample"], signal.excitation, ".", color=style.ON_IMAGE, markersize=3, label="excitation $e_t$")
    codes = np.concatenate([image.index, signal.excitation])  # an excitation may lie outside the codes of the image
    axes[1].set(xlabel="sample", ylabel="mu-law code", xlim=ends, ylim=(codes.min() - 2, codes.max() + 2))
    axes[1].set_facecolor("black")
    style.legend_on_image(axes[1])
    lines = ((style.GREY, ":"), (style.GREY, "-"), (style.INK, "-"))
    for (step, rows), (colour, line) in zip(drawing.groupby("step", sort=False), lines, strict=True):
        axes[2].plot(rows.code, rows.probability, color=colour, linestyle=line, label=step)
    axes[2].set(xlabel="mu-law code", ylabel="probability")
    style.legend_above(axes[2])
    return axes


def spectrograms(signals: dict[str, np.ndarray], rate: int = 16000):
    """One panel per signal, same time axis."""
    axes = style.panels(len(signals), 1, 8, 1.9, sharex=True)
    for ax, (name, samples) in zip(axes, signals.items(), strict=True):
        spectrogram(samples, rate, ax)
        ax.set_title(name, fontsize="small")
    axes[-1].set_xlabel("time (s)")
    return axes


def waveforms(signals: dict[str, np.ndarray], start: float, seconds: float, rate: int = 16000):
    """The same stretch of several signals, one below the other."""
    axes = style.panels(len(signals), 1, 8, 1.2, sharex=True, sharey=True)
    for ax, (name, samples) in zip(axes, signals.items(), strict=True):
        part = samples[int(start * rate) : int((start + seconds) * rate)]
        ax.plot(start + np.arange(len(part)) / rate, part, color=style.INK, linewidth=0.8)
        ax.set_title(name, fontsize="small")
    axes[-1].set_xlabel("time (s)")
    return axes
