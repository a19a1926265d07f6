"""What the tables of README and docs/ say of speech, groups and LPCNet: the paper's chain.

Conventions: a function makes a Markdown table of the published run's tables. Names of systems are those of the run;
"general" in them is the control wherever a specialist is compared with it.

Contents: `read`, `between`, `percent`; a function for each table.
"""

import pandas as pd

from pcodec.experiment.inventory import ROOT, RUN, lines

MEASURES = {
    "STOI": 3,
    "ESTOI": 3,
    "DNSMOS P.808": 2,
    "ViSQOL": 2,
    "speaker similarity": 3,
    "pitch error": 2,
}  # decimals
COMPARISONS = {
    "estimated - control": "personalized - control",
    "wrong - control": "other groups' decoders - control",
    "interaction": "interaction: own - other groups",
    "control - general": "control - general",
}


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "results" / RUN / f"{name}.csv", dtype={"speaker": str})


def between(row, decimals: int = 4, name: str = "difference") -> str:
    """A mean with its interval; differences carry their sign."""
    sign = "+" if name == "difference" else ""
    return f"{row[name]:{sign}.{decimals}f} [{row.low:{sign}.{decimals}f}, {row.high:{sign}.{decimals}f}]"


def percent(share: float, decimals: int = 0) -> str:
    return f"{100 * share:.{decimals}f} %"


def speech() -> str:
    """Speakers and minutes of each split."""
    table = read("corpus")
    rows = []
    for split, of in (
        ("train", "everything that learns"), ("validation", "losses, and when the speaker encoder stops"),
        ("test", "test-other: nothing was trained on them"), ("personal", "decoders for one person"),
    ):  # fmt: skip
        part = table[table.split == split]
        each = part.groupby("speaker").seconds.sum()
        rows.append(
            (split, of, len(each), len(part), f"{part.seconds.sum() / 60:.1f}", f"{each.min():.0f} to {each.max():.0f}")
        )
    return lines(["split", "for", "speakers", "utterances", "minutes", "seconds of a speaker"], rows)


def groups() -> str:
    """Embedding and groups."""
    found, rows = read("embedding_eer").set_index(["splits", "system"]), []
    sides = list(dict.fromkeys(found.index.get_level_values(0)))
    for system in dict.fromkeys(found.index.get_level_values(1)):
        both = [percent(found.equal_error_rate[side, system], 1) for side in sides]
        rows.append((f"equal error rate on 3 s, {system}: {' / '.join(sides)} speakers", " / ".join(both)))
    for C in (2, 4):
        summary = read(f"groups_summary-C{C}").set_index("split")
        rand = read(f"groups_stability-C{C}").groupby("kind").rand.mean()
        rows.append((f"C = {C}: unseen test utterances in the group of their speaker",
                     percent(summary.same_group_as_speaker["test"])))  # fmt: skip
        if C == 2:
            agree = [
                percent(summary.speakers_that_agree_with_gender[side]) for side in ("train and validation", "test")
            ]
            rows.append(("C = 2: training and validation / test speakers in the group of their gender",
                         " / ".join(agree)))  # fmt: skip
        soon = read(f"groups_seconds-C{C}").query("seconds == 3 and split == 'test'").set_index("classifier").right
        rows.append((f"C = {C}: 3 s of test speakers in the true group (always the most frequent one)",
                     f"{percent(soon['softmax'])} ({percent(soon['most frequent group'])})"))  # fmt: skip
        rows.append((f"C = {C}: adjusted Rand index over seeds / over halves of the speakers",
                     " / ".join(f"{rand[kind]:.2f}" for kind in ("seed", "half"))))  # fmt: skip
    return lines(["measure", "result"], rows)


def curves() -> str:
    """Loss of validation speakers before, amid and after what control and groups' decoders learn."""
    table = read("validation_loss").query("system != 'general'")
    table["update"] -= table.groupby("units")["update"].transform("min")
    last = table["update"].max()
    table = table[table["update"].isin([0, last // 2, last])]
    wide = table.pivot_table(index=["units", "system"], columns="update", values="nats").sort_index(
        ascending=[False, True]
    )
    header = ["units", "decoder", "general", *(f"{update} updates" for update in wide.columns[1:])]
    return lines(header, [(*row.Index, *(f"{value:.4f}" for value in row[1:])) for row in wide.itertuples()])


def losses() -> str:
    """Differences of validation loss on unseen speakers."""
    table = read("validation_loss_table").set_index(["comparison", "units", "C", "split"]).sort_index()
    sides = ["validation", "test", "validation and test"]
    rows = []
    for comparison, name in COMPARISONS.items():
        for units in sorted(set(table.index.get_level_values("units")), reverse=True):
            for C in (2, 4):
                if (comparison, units, C, "test") not in table.index or (comparison == "control - general" and C == 4):
                    continue
                cells = [between(table.loc[comparison, units, C, side]) for side in sides]
                rows.append((name, units, "" if comparison == "control - general" else C, *cells))
    return lines(["difference", "units", "C", "validation speakers", "test-other", "all"], rows)


def mismatch() -> str:
    """Loss of every specialist on every group's speech, minus the control's."""
    table = read("validation_loss_mismatch")
    rows = []
    for units in sorted(set(table.units), reverse=True):
        for C in (2, 4):
            part = table.query("units == @units and C == @C")
            cells = part.pivot_table(index="decoder_group", columns="speech_group", values="difference")
            for group, row in cells.iterrows():
                found = [f"**{value:+.4f}**" if other == group else f"{value:+.4f}" for other, value in row.items()]
                rows.append((units, C, group, *found, *[""] * (4 - len(found))))
    return lines(["units", "C", "decoder of group", *(f"speech of group {group}" for group in range(4))], rows)


def objective(split: str = "test") -> str:
    """Means of the decoded speech by system."""
    table = read("objective_summary").query("split == @split")
    measures = {name: decimals for name, decimals in MEASURES.items() if name in set(table.measure)}
    rows = []
    for system in dict.fromkeys(table.system):
        part = table[table.system == system].set_index("measure")
        cells = []
        for measure, decimals in measures.items():
            shown = measure in part.index
            interval = (
                shown and measure in ("STOI", "DNSMOS P.808") and system.split()[0] in ("general", "personalized")
            )
            cells.append(between(part.loc[measure], decimals, "mean") if interval
                         else f"{part['mean'][measure]:.{decimals}f}" if shown else "")  # fmt: skip
        kbps = part.kbps.iloc[0]
        rows.append((system, "" if pd.isna(kbps) else f"{kbps:.2f}", *cells))
    return lines(["system", "kb/s, with headers", *measures], rows)


def objective_validation() -> str:
    return objective("validation")


def paired() -> str:
    """Differences of systems on the same utterances of test speakers."""
    table = read("objective_paired").set_index(["first", "second", "measure"])
    rows = []
    for first, second in dict.fromkeys(index[:2] for index in table.index):
        cells = [between(table.loc[first, second, measure], 2 if measure == "ViSQOL" else 3)
                 for measure in ("ESTOI", "DNSMOS P.808", "ViSQOL")]  # fmt: skip
        rows.append((f"{first} - {second}", *cells))
    return lines(["difference", "ESTOI", "DNSMOS P.808", "ViSQOL"], rows)


def operations() -> str:
    """Operations per second of speech, part by part."""
    table = read("complexity")
    wide = table.pivot_table(index="part", columns=["density", "units"], values="gflops", sort=False)
    order = sorted(wide.columns, key=lambda column: (-column[0], -column[1]))
    header = ["part", *(f"{units} units, {'dense' if density == 1 else percent(density)}" for density, units in order)]
    total = pd.DataFrame([wide.sum()], index=["together"])
    rows = [(part, *(f"{row[column]:.3f}" for column in order)) for part, row in pd.concat([wide, total]).iterrows()]
    return lines(header, rows)


def saving() -> str:
    """What 256 units save of 384, by what is counted."""
    table = read("complexity_saving")
    rows = [
        (row["counted"], percent(row["density 1"], 1), percent(row["density 0.1"], 1)) for _, row in table.iterrows()
    ]
    return lines(["counted", "dense GRU_A, as trained here", "GRU_A pruned to 10 %"], rows)


def quantization() -> str:
    """Errors of the codebooks on the cepstrum without its level."""
    table = read("quantization")
    table = table[table.feature.str.fullmatch(r"c([1-9]|1[0-7])")]
    rows = table.groupby(["codebooks", "split"], sort=False).rms_error.mean().reset_index()
    named = {"this run": "the run's, trained on its training speakers", "shipped": "shipped with the package"}
    found = [(named[row.codebooks], f"{row.split} speakers", f"{row.rms_error:.3f}") for row in rows.itertuples()]
    return lines(["codebooks", "speech", "rms error of c1 to c17"], found)


def measures() -> str:
    """What every objective measure can and cannot tell."""
    from pcodec.evaluation.metrics import MEASURES as known

    rows = [(name, of.range, of.better, of.source, of.says) for name, of in known.items()]
    return lines(["measure", "range", "better", "source", "what it says of a vocoder"], rows)
