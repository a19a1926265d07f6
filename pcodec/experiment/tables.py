"""Writes the README's tables of the published run from that run's own tables.

    .venv/bin/python workflow/readme.py          # after the run, before a commit

Between the lines `<!-- table: NAME -->` and `<!-- end -->` stands what the function NAME gives; a test compares them.
"""

import re
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
RUN = "desktop-librispeech"
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
    "interaction": "own less other groups' (interaction)",
    "control - general": "control - general",
}


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "results" / RUN / f"{name}.csv", dtype={"speaker": str})


def between(row, decimals: int = 4, name: str = "difference") -> str:
    """A mean with its interval; differences carry their sign."""
    sign = "+" if name == "difference" else ""
    return f"{row[name]:{sign}.{decimals}f} [{row.low:{sign}.{decimals}f}, {row.high:{sign}.{decimals}f}]"


def lines(header: list[str], rows: list) -> str:
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (header, ["---"] * len(header), *rows))


def percent(share: float, decimals: int = 0) -> str:
    return f"{100 * share:.{decimals}f} %"


def claims() -> str:
    """What the paper's page says, beside what this run has measured."""
    loss = read("validation_loss_table").query("comparison == 'estimated - control' and split == 'validation and test'")
    loss = loss.set_index(["units", "C"])
    better = [f"{units} units, C = {C}: {between(loss.loc[units, C])}" for units in (384, 256) for C in (2, 4)]
    paired = read("objective_paired").query("measure == 'DNSMOS P.808'").set_index(["first", "second"])

    def dnsmos(first, second):
        rows = {C: paired.loc[f"personalized {first}, C = {C}", f"general {second}"] for C in (2, 4)}
        return [f"C = {C}: {between(row, 2)}" for C, row in rows.items()]

    gender = read("groups_summary-C2").set_index("split").speakers_that_agree_with_gender
    saved = read("complexity_saving").set_index("counted")
    rate = read("objective_summary").query("system == 'general 384'").kbps.iloc[0]
    decoded = read("decoded")
    rows = [
        ("GRU_A of 384 or 256 units; C = 2 or 4 groups", "the same", "`capacity`, `groups_number`"),
        ("1.6 kb/s", f"1600 b/s; {1000 * rate:.0f} b/s with the files' headers", "`rate`"),
        ("two groups are about women and men",
         f"{percent(gender['train and validation'])} of training and validation speakers are in their gender's group",
         "`embedding`, `groups-C2`, `groups-C4`"),
        ("the personalized decoder has the lower validation loss at either size", "<br>".join(better),
         "`validation_loss`, `validation_loss_gain`"),
        ("MUSHRA: personalized better than general of the same size",
         "not measured, nobody has listened; DNSMOS P.808, 384 units "
         + "; ".join(dnsmos(384, 384)) + "<br>256 units " + "; ".join(dnsmos(256, 256)), "`objective_paired`"),
        ("MUSHRA: small personalized on a par with large general",
         "not measured; DNSMOS P.808 " + "; ".join(dnsmos(256, 384)), "`objective_paired`, `quality_complexity`"),
        ("the small decoder computes 36 % less",
         f"{percent(saved['density 0.1']['everything per sample'], 1)} with GRU_A pruned to 10 %; "
         f"{percent(saved['density 1']['everything per sample'], 1)} dense, as trained here", "`complexity`"),
        ("MUSHRA: the authors' LPCNet a little better than the original one",
         "not measured: the original's weights are not part of this project", ""),
        ("four examples to listen to", f"{decoded.utterance.nunique()} utterances, made by the run", "`listen.html`"),
    ]  # fmt: skip
    return lines(["the paper says", "here", "figure"], rows)


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


def write(text: str) -> str:
    """README with every table made anew."""

    def filled(match):
        return f"{match[1]}\n{globals()[match[2]]()}\n{match[3]}"

    return re.sub(r"(<!-- table: (\w+) -->)\n.*?(<!-- end -->)", filled, text, flags=re.S)


if __name__ == "__main__":
    path = ROOT / "README.md"
    before = path.read_text()
    after = write(before)
    path.write_text(after)
    print("README.md:", "changed" if after != before else "unchanged", file=sys.stderr)
