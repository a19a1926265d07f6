"""One function per figure: table in, figure out.

Task: draw what the notebooks computed; nothing is computed here beyond what drawing needs.

Conventions: a function takes a tidy table and `ax=None` (or makes its own panels) and returns the axes it drew on.
Groups are colours, genders are markers, sizes are line styles, in every figure alike.

Contents: `corpus`, `features`, `lpc_envelopes`, `bit_allocation`, `quantization`, `decoded_features`,
`bit_sensitivity`, `rate`, `embedding_training`, `scores`, `projection`, `groups`, `groups_number`,
`groups_seconds`, `groups_running`, `validation_loss`, `gains`, `mismatch`, `capacity`, `study`,
`personalization`, `excitation`, `waveforms`, `spectrograms`, `objective`, `objective_paired`, `rate_quality`,
`mushra`, `complexity`, `quality_complexity`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.signal
import seaborn as sns
from matplotlib.lines import Line2D

MARKERS = {"F": "o", "M": "^", "": "s"}
GENDERS = {"F": "female", "M": "male", "": "unknown"}
SYSTEM_COLOURS = {"general": "tab:blue", "personalized": "tab:orange"}
SYSTEM_MARKERS = "osD^vP*X<>"


def group_colour(group: int) -> str:
    return f"C{group}"


def corpus(table: pd.DataFrame, ax=None):
    """Minutes of speech by split and gender. Table: `pcodec.speech.corpus`."""
    ax = ax or plt.subplots(figsize=(5, 3))[1]
    minutes = table.assign(minutes=table.seconds / 60, gender=table.gender.map(GENDERS))
    sns.barplot(
        minutes, x="split", y="minutes", hue="gender", estimator="sum", errorbar=None, ax=ax,
        order=[split for split in ("train", "validation", "test", "personal") if split in set(table.split)],
    )  # fmt: skip
    ax.set(xlabel="", ylabel="minutes of speech")
    return ax


def features(
    samples: np.ndarray, pitch_hz: np.ndarray, voiced: np.ndarray, log_energies: np.ndarray, rate: int = 16000
):
    """Waveform, spectrogram with the pitch track, band energies. Frames are 10 ms: pitch and voiced (T,), (T, 18)."""
    _, axes = plt.subplots(3, 1, figsize=(8, 6), sharex=True, layout="constrained")
    times = np.arange(len(pitch_hz)) / 100
    axes[0].plot(np.arange(len(samples)) / rate, samples, linewidth=0.4)
    axes[0].set_ylabel("amplitude")
    spectrogram(samples, rate, axes[1])
    axes[1].plot(times, np.where(voiced, pitch_hz, np.nan), ".", color="cyan", markersize=2, label="pitch track")
    axes[1].set_ylim(0, 4000)
    axes[1].legend(loc="upper right")
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
    ax.set_ylabel("Hz")
    return ax


def lpc_envelopes(table: pd.DataFrame):
    """LPC envelopes over spectra, a panel per frame. Table: frame, hertz, spectrum, envelope (dB)."""
    frames = list(table.frame.unique())
    _, axes = plt.subplots(1, len(frames), figsize=(4 * len(frames), 3), sharey=True, layout="constrained")
    for ax, frame in zip(axes, frames, strict=True):
        rows = table[table.frame == frame]
        ax.plot(rows.hertz, rows.spectrum, linewidth=0.8, label="spectrum of the frame")
        ax.plot(rows.hertz, rows.envelope, label="1 / |A(f)|")
        ax.set(title=frame, xlabel="Hz")
    axes[0].set_ylabel("dB")
    axes[0].legend(fontsize="small")
    return axes


def bit_allocation(fields: dict[str, int], ax=None):
    """The 64 bits of a packet in the order in which they are sent. `fields`: name -> bits."""
    ax = ax or plt.subplots(figsize=(9, 1.5), layout="constrained")[1]
    start = 0
    for number, (name, bits) in enumerate(fields.items()):
        ax.barh(0, bits, left=start, color=f"C{number}", edgecolor="white")
        ax.text(start + bits / 2, 0, f"{name}\n{bits}", ha="center", va="center", fontsize=7, rotation=90 * (bits < 6))
        start += bits
    ax.set(xlim=(0, start), yticks=[], xticks=range(0, start + 1, 8), xlabel="bit of the packet")
    return ax


def quantization(table: pd.DataFrame, ax=None):
    """Error per coefficient. Table: codebooks, split, feature, rms_error."""
    ax = ax or plt.subplots(figsize=(8, 3.4), layout="constrained")[1]
    named = table.assign(codebooks=table.codebooks + ", " + table.split)
    sns.lineplot(
        named, x="feature", y="rms_error", hue="codebooks", style="codebooks", markers=True, sort=False, errorbar=None,
        ax=ax,
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
    for number, (name, hertz) in enumerate(pitch_hz.items()):
        axes[-1].plot(np.arange(len(hertz)) / 100, hertz, ".", markersize=3 - number, label=name)
    axes[-1].set(ylabel="pitch (Hz)", xlabel="time (s)", xlim=(0, len(shown) / len(bands) / 100))
    axes[-1].legend(fontsize="small")
    return axes


def bit_sensitivity(table: pd.DataFrame):
    """What one flipped bit does. Table: bit, field, rms_cepstrum, rms_octaves, rms_correlation."""
    _, axes = plt.subplots(3, 1, figsize=(9, 5.5), sharex=True, layout="constrained")
    fields = list(table.field.unique())
    for number, field in enumerate(fields):
        rows = table[table.field == field]
        for ax, column in zip(axes, ("rms_cepstrum", "rms_octaves", "rms_correlation"), strict=True):
            ax.bar(rows.bit, rows[column], color=f"C{number}", label=field)
    axes[0].set_ylabel("rms change of\nthe cepstrum")
    axes[1].set_ylabel("of the pitch\n(octaves)")
    axes[2].set(ylabel="of the\ncorrelation", xlabel="flipped bit of the packet")
    axes[0].legend(fontsize=7, ncols=len(fields))
    return axes


def rate(table: pd.DataFrame, ax=None):
    """Bits per second against duration. Table: seconds, stream, rate."""
    ax = ax or plt.subplots(figsize=(5.5, 3), layout="constrained")[1]
    sns.lineplot(table, x="seconds", y="rate", hue="stream", style="stream", errorbar=None, ax=ax)
    ax.set(xscale="log", xlabel="duration (s)", ylabel="b/s, everything counted")
    ax.legend(fontsize="small")
    return ax


def embedding_training(losses: pd.DataFrame, ax=None):
    """Loss against updates. Table: update, split, loss."""
    ax = ax or plt.subplots(figsize=(5, 3))[1]
    for split, width in (("train", 0.6), ("validation", 2.0)):
        rows = losses[losses.split == split]
        ax.plot(rows["update"], rows.loss, linewidth=width, label=split)
    ax.axhline(np.log(2), color="grey", linestyle=":", label="chance")
    ax.set_ylabel("cross-entropy (nats per pair)")
    ax.legend()
    return ax


def scores(trials: pd.DataFrame, rate: float, threshold: float, ax=None):
    """Histogram of same- and different-speaker scores. Table: score, same."""
    ax = ax or plt.subplots(figsize=(5, 3))[1]
    named = trials.assign(speakers=np.where(trials.same, "same", "different"))
    sns.histplot(
        named, x="score", hue="speakers", stat="density", common_norm=False, element="step", bins=60, ax=ax,
        hue_order=["same", "different"],
    )  # fmt: skip
    ax.axvline(threshold, color="black", linestyle="--")
    ax.set(xlabel=r"$z_i \cdot z_j$", title=f"unseen speakers: equal error rate {100 * rate:.1f} %")
    return ax


def projection(table: pd.DataFrame, colour: str, ax=None):
    """Speakers in two dimensions. Table: x, y, gender and the column `colour` (a gender or a group)."""
    ax = ax or plt.subplots(figsize=(4, 4))[1]
    for (value, gender), rows in table.groupby([colour, "gender"]):
        shade = {"F": "tab:red", "M": "tab:blue", "": "grey"}.get(value) if colour == "gender" else group_colour(value)
        name = GENDERS[gender] if colour == "gender" else f"group {value}, {GENDERS[gender]}"
        ax.scatter(
            rows.x, rows.y, c=shade, marker=MARKERS[gender], s=28, edgecolors="white", linewidths=0.4, label=name
        )
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    ax.legend(fontsize="small")
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
        ax.plot(table.C, table[column], "o-")
        ax.set(xlabel="C", ylabel=column, xticks=table.C)
    return axes


def groups_seconds(table: pd.DataFrame, confusion: pd.DataFrame, seconds: float):
    """How soon a group is known, and what is confused with what after `seconds`.

    Tables: classifier, seconds, split, right; confusion of true (rows) and assigned (columns) groups.
    """
    _, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), width_ratios=[3, 2], layout="constrained")
    sns.lineplot(
        table, x="seconds", y="right", hue="classifier", style="split", markers=True, errorbar=None, ax=axes[0]
    )
    axes[0].set(xlabel="seconds heard", ylabel="share in the true group", ylim=(None, 1.01))
    axes[0].legend(fontsize="small")
    sns.heatmap(confusion, annot=True, fmt="d", cmap="Blues", cbar=False, square=True, ax=axes[1])
    axes[1].set(title=f"unseen speakers, {seconds:g} s", xlabel="assigned group", ylabel="true group")
    return axes


def groups_running(table: pd.DataFrame, turns: list[tuple[float, int]], C: int, ax=None):
    """The running assignment over time. Table: seconds, group, probability; turns: (start, true group) of each talker.

    Any group from C up is "unknown".
    """
    ax = ax or plt.subplots(figsize=(8, 2.6), layout="constrained")[1]
    ends = [start for start, _ in turns[1:]] + [table.seconds.max()]
    for (start, group), end in zip(turns, ends, strict=True):
        ax.axvspan(start, end, color=group_colour(group), alpha=0.15, linewidth=0)
    shown = table.group.where(table.group < C, -1)
    ax.step(table.seconds, shown, where="post", color="black")
    ax.scatter(table.seconds, shown, c=table.probability, cmap="viridis", vmin=1 / C, vmax=1, s=14, zorder=3)
    ax.set(yticks=range(-1, C), yticklabels=["unknown", *map(str, range(C))], xlabel="time (s)", ylabel="group")
    ax.set_title("shaded: the talker's true group; dots: how sure the softmax layer is", fontsize="small")
    return ax


def validation_loss(curves: pd.DataFrame):
    """The paper's central figure: loss against updates, a panel per size. Table: units, system, update, nats.

    `system` is "general" (the control after the dotted line) or "personalized, C = ...".
    """
    sizes = sorted(curves.units.unique(), reverse=True)
    _, axes = plt.subplots(
        1, len(sizes), figsize=(4.6 * len(sizes), 3.6), sharey=True, squeeze=False, layout="constrained"
    )
    tails = []
    for ax, units in zip(axes[0], sizes, strict=True):
        rows = curves[curves.units == units]
        personalized = rows[rows.system != "general"]
        branch = personalized["update"].min() if len(personalized) else 0
        sns.lineplot(rows, x="update", y="nats", hue="system", style="system", markers=True, errorbar=None, ax=ax)
        ax.axvline(branch, color="grey", linestyle=":")
        ax.set(title=f"GRU_A with {units} units", ylabel="validation loss (nats per sample)", xlabel="updates")
        tails.append(rows[rows["update"] >= branch / 2].nats)
    tail = pd.concat(tails)
    margin = 0.1 * (tail.max() - tail.min()) or 0.01  # of a single point
    axes[0, 0].set_ylim(tail.min() - margin, tail.max() + margin)  # of all panels, which share the axis
    return axes[0]


COMPARISON_COLOURS = {"estimated - control": "tab:orange", "interaction": "tab:green"}


def gains(table: pd.DataFrame, ax=None):
    """Every comparison with its interval. Table: units, C, comparison, difference, low, high (nats)."""
    ax = ax or plt.subplots(figsize=(7, 0.6 + 0.2 * len(table)), layout="constrained")[1]
    table = table.reset_index(drop=True)
    names = [f"{row.units} units, C = {row.C}: {row.comparison}" for row in table.itertuples()]
    for row in table.itertuples():
        _interval(ax, row.Index, row.difference, row, COMPARISON_COLOURS.get(row.comparison, "grey"), horizontal=True)
    ax.axvline(0, color="grey", linestyle=":")
    ax.set(yticks=range(len(table)), yticklabels=names, xlabel="difference of losses (nats per sample), 95 % interval")
    ax.invert_yaxis()
    return ax


def mismatch(table: pd.DataFrame):
    """Specialist less control by group of the speech, a panel per size and C.

    Table: units, C, decoder_group, speech_group, speakers, difference.
    """
    panels = list(table.groupby(["C", "units"], sort=True))
    columns = table.units.nunique()
    _, axes = plt.subplots(
        -(-len(panels) // columns), columns, figsize=(4.2 * columns, 3.4 * -(-len(panels) // columns)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    limit = table.difference.abs().max() or 1.0
    for ax, ((C, units), rows) in zip(axes.flat, panels, strict=False):
        square = rows.pivot(index="decoder_group", columns="speech_group", values="difference")
        sns.heatmap(square, annot=True, fmt="+.4f", cmap="RdBu_r", vmin=-limit, vmax=limit, cbar=False, ax=ax)
        ax.set(title=f"{units} units, C = {C}", xlabel="group of the speech", ylabel="group of the decoder")
    return axes


def capacity(table: pd.DataFrame):
    """Loss and gain against size. Table: units, gflops, comparison, control, estimated, difference, low, high."""
    _, (level, gain) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    first = table[table.comparison == "estimated - control"].sort_values("units")
    for name, label, colour in (("control", "general", "general"), ("estimated", "personalized", "personalized")):
        level.plot(first.units, first[name], "o-", label=label, color=SYSTEM_COLOURS[colour])
    level.set(ylabel="loss on unseen speakers (nats per sample)")
    level.legend()
    for comparison, rows in table.groupby("comparison"):
        for row in rows.itertuples():
            _interval(gain, row.units, row.difference, row, COMPARISON_COLOURS[comparison])
        rows = rows.sort_values("units")
        gain.plot(rows.units, rows.difference, "-", color=COMPARISON_COLOURS[comparison], label=comparison)
    gain.axhline(0, color="grey", linestyle=":")
    gain.set(ylabel="difference (nats per sample)")
    gain.legend()
    for ax in (level, gain):
        ax.set(xscale="log", xlabel="units of GRU_A", xticks=first.units)
        ax.minorticks_off()
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
        top = ax.secondary_xaxis("top")
        top.set_xticks(first.units, [f"{value:.2g}" for value in first.gflops], fontsize="small")
        top.minorticks_off()
        top.set_xlabel("10⁹ operations per second, dense", fontsize="small")
    return level, gain


def study(table: pd.DataFrame, ax=None):
    """Gain for each amount of training speech, and from scratch. Table: variant, comparison, difference, low, high."""
    ax = ax or plt.subplots(figsize=(6, 3.4), layout="constrained")[1]
    names = list(dict.fromkeys(table.variant))
    for shift, (comparison, colour) in zip((-0.1, 0.1), COMPARISON_COLOURS.items(), strict=True):
        rows = table[table.comparison == comparison]
        for row in rows.itertuples():
            _interval(ax, names.index(row.variant) + shift, row.difference, row, colour)
        ax.plot([], [], "o", color=colour, label=comparison)
    ax.axhline(0, color="grey", linestyle=":")
    ax.set(xticks=range(len(names)), xticklabels=names, xlabel="training speech", ylabel="difference (nats per sample)")
    ax.legend()
    return ax


def personalization(table: pd.DataFrame, ax=None):
    """Gain of decoders for one person. Table: system, minutes (0 for "group"), comparison, difference, low, high."""
    ax = ax or plt.subplots(figsize=(7, 3.6), layout="constrained")[1]
    names = [(row.system, row.minutes) for row in table.drop_duplicates(["system", "minutes"]).itertuples()]
    for shift, (comparison, colour) in zip((-0.1, 0.1), COMPARISON_COLOURS.items(), strict=True):
        for row in table[table.comparison == comparison].itertuples():
            _interval(ax, names.index((row.system, row.minutes)) + shift, row.difference, row, colour)
        ax.plot([], [], "o", color=colour, label=comparison)
    labels = [f"{system}\n{minutes:g} min" if minutes else system for system, minutes in names]
    ax.axhline(0, color="grey", linestyle=":")
    ax.set(xticks=range(len(names)), xticklabels=labels, ylabel="difference (nats per sample)")
    ax.legend()
    return ax


def _interval(ax, place, value, row, colour, horizontal=False, marker="o"):
    """A value with the interval `low` to `high` of a table's row, at a place on the other axis."""
    reach = [[value - row.low], [row.high - value]]
    x, y = (value, place) if horizontal else (place, value)
    ax.errorbar(x, y, **{"xerr" if horizontal else "yerr": reach}, fmt=marker, capsize=3, color=colour)


def spectrograms(signals: dict[str, np.ndarray], rate: int = 16000):
    """One panel per system, same time axis."""
    _, axes = plt.subplots(len(signals), 1, figsize=(8, 1.9 * len(signals)), sharex=True, layout="constrained")
    for ax, (name, samples) in zip(np.atleast_1d(axes), signals.items(), strict=True):
        spectrogram(samples, rate, ax)
        ax.set_title(name, fontsize="small")
    np.atleast_1d(axes)[-1].set_xlabel("time (s)")
    return axes


def excitation(signal: pd.DataFrame, probabilities: pd.DataFrame, drawing: pd.DataFrame):
    """How samples are made. Tables: signal (sample, signal, prediction, excitation), at int16 scale but for the last, a
    code; probabilities (sample, code, nats); drawing (step, code, probability), of one sample."""
    _, axes = plt.subplots(3, 1, figsize=(8, 8), layout="constrained")
    axes[0].plot(signal["sample"], signal.signal, label="signal $s_t$, pre-emphasized")
    axes[0].plot(signal["sample"], signal.prediction, linewidth=1, label="prediction $p_t$")
    axes[0].set(ylabel="int16 steps", xlim=(signal["sample"].min(), signal["sample"].max()))
    axes[0].legend(loc="upper right")
    image = probabilities.pivot(index="code", columns="sample", values="nats")
    axes[1].pcolormesh(image.columns, image.index, image.to_numpy(), vmin=-9, vmax=0, cmap="magma", rasterized=True)
    axes[1].plot(signal["sample"], signal.excitation, ".", color="cyan", markersize=2.5, label="excitation $e_t$")
    axes[1].set(xlabel="sample", ylabel="mu-law code", xlim=axes[0].get_xlim())
    axes[1].legend(loc="upper right")
    for step, rows in drawing.groupby("step", sort=False):
        axes[2].plot(rows.code, rows.probability, label=step)
    axes[2].set(xlabel="mu-law code", ylabel="probability")
    axes[2].legend()
    return axes


def waveforms(signals: dict[str, np.ndarray], start: float, seconds: float, rate: int = 16000):
    """The same stretch of several signals, one below the other."""
    _, axes = plt.subplots(len(signals), 1, figsize=(8, 1.2 * len(signals)), sharex=True, sharey=True, squeeze=False,
                           layout="constrained")  # fmt: skip
    for ax, (name, samples) in zip(axes[:, 0], signals.items(), strict=True):
        part = samples[int(start * rate) : int((start + seconds) * rate)]
        ax.plot(start + np.arange(len(part)) / rate, part, linewidth=0.8)
        ax.set_title(name, fontsize="small")
    axes[-1, 0].set_xlabel("time (s)")
    return axes[:, 0]


def objective(summary: pd.DataFrame):
    """Means and intervals, a panel per measure. Table: measure, better, system, mean, low, high."""
    measures = list(summary.measure.unique())
    axes = _panels(len(measures), 4, 3.4)
    for number, (ax, measure) in enumerate(zip(axes, measures, strict=True)):
        rows = summary[summary.measure == measure].reset_index(drop=True)
        for i, row in rows.iterrows():
            _interval(ax, i, row["mean"], row, _system_colour(row.system), horizontal=True)
        ax.set(yticks=range(len(rows)), xlabel=f"{measure} ({rows.better.iloc[0]} is better)")
        ax.set_yticklabels(rows.system if number % 4 == 0 else [])
        ax.invert_yaxis()
        ax.locator_params(axis="x", nbins=5)
    return axes


def objective_paired(table: pd.DataFrame):
    """Differences of two systems with intervals, a panel per measure; better is to the right.

    Table: measure, first, second, better, difference, low, high.
    """
    measures = list(table.measure.unique())
    axes = _panels(len(measures), 4, 2.8)
    for number, (ax, measure) in enumerate(zip(axes, measures, strict=True)):
        rows = table[table.measure == measure].reset_index(drop=True)
        for i, row in rows.iterrows():
            _interval(ax, i, row.difference, row, _system_colour(row["first"]), horizontal=True)
        ax.axvline(0, color="grey", linewidth=0.8)
        ax.set(yticks=range(len(rows)), xlabel=measure)
        ax.set_yticklabels(rows["first"] + " − " + rows.second if number % 4 == 0 else [])
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
    return _against(summary, "kbps", "kb/s")


def _against(table, column, label):
    """A measure against a column, a panel per measure; systems at one place are set side by side."""
    measures, systems = list(table.measure.unique()), list(table.system.unique())
    marks = {
        name: (_system_colour(name), SYSTEM_MARKERS[number % len(SYSTEM_MARKERS)])
        for number, name in enumerate(systems)
    }
    axes = _panels(len(measures), 4, 3.0)
    for ax, measure in zip(axes, measures, strict=True):
        rows = table[table.measure == measure]
        for place, same in rows.groupby(column):
            for number, (_, row) in enumerate(same.iterrows()):
                beside = (number - (len(same) - 1) / 2) * 0.015 * table[column].max()
                colour, marker = marks[row.system]
                _interval(ax, place + beside, row["mean"], row, colour, marker=marker)
        ax.set(xlabel=label, ylabel=f"{measure} ({rows.better.iloc[0]} is better)")
        ax.set_xlim(0, 1.08 * table[column].max())
    handles = [Line2D([], [], color=colour, marker=marker, linestyle="") for colour, marker in marks.values()]
    axes[0].figure.legend(handles, systems, loc="outside right upper", fontsize="small")
    return axes


def _system_colour(system):
    return SYSTEM_COLOURS.get(system.split()[0], "dimgrey")


def _panels(number, columns, height):
    """Axes of so many panels, row by row."""
    rows = -(-number // columns)
    figsize = (3.2 * min(number, columns) + 1.6, height * rows)
    figure, axes = plt.subplots(rows, min(number, columns), figsize=figsize, squeeze=False, layout="constrained")
    for ax in axes.ravel()[number:]:
        figure.delaxes(ax)
    return axes.ravel()[:number]


def mushra(summary: pd.DataFrame, watermark: str = "", ax=None):
    """Means of the listeners' means with their intervals, best first; `watermark` is written across.

    Table: condition, listeners, listener_mean, low, high.
    """
    ax = ax or plt.subplots(figsize=(7, 4), layout="constrained")[1]
    for i, row in summary.iterrows():
        kind = row.condition.split()[0]
        colour, marker = SYSTEM_COLOURS.get(kind, "dimgrey"), {"general": "D", "personalized": "o"}.get(kind, "s")
        _interval(ax, i, row.listener_mean, row, colour, marker=marker)
    ax.set(xticks=range(len(summary)), ylim=(0, 102), ylabel="MUSHRA score")
    ax.set_xticklabels(summary.condition, rotation=25, ha="right")
    ax.set_title(f"{summary.listeners.max()} listeners, 95 % intervals", fontsize="small")
    for edge in range(20, 100, 20):
        ax.axhline(edge, color="lightgrey", linewidth=0.6, zorder=0)
    if watermark:
        ax.text(0.5, 0.5, watermark, transform=ax.transAxes, ha="center", va="center", rotation=25, fontsize=44,
                color="tab:red", alpha=0.25)  # fmt: skip
    return ax


def complexity(table: pd.DataFrame):
    """Operations of a decoder, part by part, a panel per density. Table: density, units, part, gflops."""
    densities = list(table.density.unique())
    _, axes = plt.subplots(1, len(densities), figsize=(4.6 * len(densities), 3.6), squeeze=False, layout="constrained")
    for ax, density in zip(axes[0], densities, strict=True):
        parts = table[table.density == density].pivot_table(index="units", columns="part", values="gflops", sort=False)
        bottom = 0.0
        for number, (part, values) in enumerate(parts.items()):
            ax.bar(parts.index.astype(str), values, bottom=bottom, label=part, color=f"C{number}")
            bottom = bottom + values
        for place, total in enumerate(bottom):
            ax.annotate(f"{total:.2f}", (place, total), ha="center", va="bottom")
        ax.set(xlabel="units of GRU_A", ylabel="10⁹ operations per second", title=f"density {density:g}")
        ax.margins(y=0.1)
    axes[0, -1].legend(fontsize="x-small")
    return axes[0]


def quality_complexity(table: pd.DataFrame):
    """A measure against operations per second, a panel per measure.

    Table: measure, better, system, gflops, mean, low, high.
    """
    return _against(table, "gflops", "10⁹ operations per second, dense")
