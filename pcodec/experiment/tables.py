"""The generated tables of README and docs/.

Task: no number is copied by hand. Between the lines `<!-- table: NAME -->` and `<!-- end -->` of README.md and
docs/*.md stands what the function NAME makes of the published run's tables, or `pcodec.experiment.inventory` of what
there is; a test compares them.

    python -m pcodec.experiment.tables      # after a run, a new module or a new notebook, before a commit

Conventions: a table is Markdown. Names of systems are those of the run's tables; "general" in them is the control
wherever a specialist is compared with it.

Contents: `TABLES` (name: function), `pages`, `written`, `main`.
"""

import re
import sys
from pathlib import Path

import pandas as pd

from pcodec import PcodecError
from pcodec.experiment import inventory
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
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->)\n(?:.*?\n)??(<!-- end -->)", re.S)


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "results" / RUN / f"{name}.csv", dtype={"speaker": str})


def between(row, decimals: int = 4, name: str = "difference") -> str:
    """A mean with its interval; differences carry their sign."""
    sign = "+" if name == "difference" else ""
    return f"{row[name]:{sign}.{decimals}f} [{row.low:{sign}.{decimals}f}, {row.high:{sign}.{decimals}f}]"


def percent(share: float, decimals: int = 0) -> str:
    return f"{100 * share:.{decimals}f} %"


def claims() -> str:
    """What the paper and the papers of the other families say, beside what this run has measured."""
    loss = read("validation_loss_table").query("comparison == 'estimated - control' and split == 'validation and test'")
    loss = loss.set_index(["units", "C"])
    better = [f"{units} units, C = {C}: {between(loss.loc[units, C])}" for units in (384, 256) for C in (2, 4)]
    paired = read("objective_paired").query("measure == 'DNSMOS P.808'").set_index(["first", "second"])

    def dnsmos(first, second):
        rows = {C: paired.loc[f"personalized {first}, C = {C}", f"general {second}"] for C in (2, 4)}
        return [f"{first} units, C = {C}: {between(row, 2)}" for C, row in rows.items()]

    gender = read("groups_summary-C2").set_index("split").speakers_that_agree_with_gender
    saved = read("complexity_saving").set_index("counted")
    rate = read("objective_summary").query("system == 'general 384'").kbps.iloc[0]
    of_families = read("claims")
    below = read("semantic_paired").set_index(["first", "second", "measure"])

    def pair(table, first, second, measure, decimals=2):
        return f"{measure.removesuffix(' P.808')} {between(table.loc[first, second, measure], decimals)}"

    half = of_families.drop_duplicates(["first", "second", "measure"]).set_index(["first", "second", "measure"])
    halved = "soundstream small personalized, C = 2, 0.8 kb/s, all trainings", "soundstream large general, 1.6 kb/s"
    ahead = read("objective_paired").set_index(["first", "second", "measure"])
    low = "soundstream small general, 1.6 kb/s", "Opus 6"
    rows = [
        ("GRU_A of 384 or 256 units; C = 2 or 4 groups", "the same", "lpcnet"),
        ("1.6 kb/s", f"1600 b/s; {1000 * rate:.0f} b/s with the files' headers", "bitstream"),
        ("two groups are about women and men",
         f"{percent(gender['train and validation'])} of training and validation speakers are in their gender's group",
         "results"),
        ("the personalized decoder has the lower validation loss at either size", "<br>".join(better), "results"),
        ("MUSHRA: personalized better than general of the same size",
         "<br>".join(["nobody has listened; DNSMOS P.808:", *dnsmos(384, 384), *dnsmos(256, 256)]), "comparison"),
        ("MUSHRA: small personalized on a par with large general",
         "<br>".join(["DNSMOS P.808:", *dnsmos(256, 384)]), "comparison"),
        ("the small decoder computes 36 % less",
         f"{percent(saved['density 0.1']['everything per sample'], 1)} with GRU_A pruned to 10 %; "
         f"{percent(saved['density 1']['everything per sample'], 1)} dense, as trained here", "complexity"),
        ("MUSHRA: the authors' LPCNet a little better than the original one",
         "not measured: the original's weights are not part of this project", "lpcnet"),
        ("PDAC: small personalized at 1 kb/s on a par with large general at 2",
         "SoundStream, C = 2, at 0.8 and 1.6: " + ", ".join(pair(half, *halved, measure)
                                                            for measure in ("DNSMOS P.808", "ViSQOL")), "comparison"),
        ("SoundStream: at 3 kb/s better than Opus at 12",
         "at 1.6 and 6.2: " + ", ".join(pair(ahead, *low, measure) for measure in ("DNSMOS P.808", "ViSQOL")),
         "soundstream"),
        ("VC-PL: losses that hear help sound and words of another voice", "sound, not words", "anonymizer"),
        ("SemantiCodec: better than codecs of two to three times its rate",
         "at 0.5 and 1.6 (Codec 2): " + pair(below, "semantic, 525 b/s", "Codec 2 1600", "DNSMOS P.808"), "semantic"),
    ]  # fmt: skip
    rows = [(*texts, f"[{page}](./docs/{page}.md)") for *texts, page in rows]
    return lines(["claim", "here", "more"], rows)


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


def spectral_losses(name: str) -> str:
    """Differences of the distance of spectra on unseen speakers: the mean of all trainings, and each training."""
    table = read(name).query("split == 'validation and test'")
    of = ["size", "stages"] if "stages" in table else ["size"]
    trainings = [training for training in dict.fromkeys(table.training) if training != "all"]
    rows = []
    for (size, *stages, C), part in table.groupby([*of, "C"], sort=False):
        part = part.set_index(["comparison", "training"])
        each = [f"{part.difference['estimated - control', training]:+.4f}" for training in trainings]
        shown = ("estimated - control", "wrong - control", "interaction")
        means = [between(part.loc[comparison, "all"]) for comparison in shown]
        rows.append((size, *(f"{0.4 * number:.1f}" for number in stages), C, means[0], *each, *means[1:]))
    header = ["size", "kb/s", "C"] if "stages" in table else ["size", "C"]
    return lines([*header, "personalized - control", *(f"training {training}" for training in trainings),
                  "other groups' - control", "interaction"], rows)  # fmt: skip


def framewise_losses() -> str:
    return spectral_losses("framewise_loss")


def soundstream_losses() -> str:
    return spectral_losses("soundstream_loss")


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


def results() -> str:
    """One codec of each family, and others', on test speakers: what they send, cost and reach."""
    shown = ["input", "general 384", "personalized 384, C = 4"]
    shown += ["framewise large general", "framewise large personalized, C = 2"]
    shown += [f"soundstream small {whose}, {rate} kb/s" for rate, whose in
              ((0.8, "general"), (1.6, "general"), (1.6, "personalized, C = 2"), (3.2, "general"))]  # fmt: skip
    shown += ["semantic, 525 b/s", "Codec 2 3200", "Opus 6", "Speex wideband q0"]
    return compared(shown, {"STOI": 3, "DNSMOS P.808": 2, "ViSQOL": 2})


def comparison() -> str:
    """Every system of the run on the same utterances of test speakers."""
    names = [name for name in dict.fromkeys(read("comparison").system) if "training" not in name]
    return compared(names, {"STOI": 3, "ESTOI": 3, "DNSMOS P.808": 2, "ViSQOL": 2})


def compared(systems: list[str], measures: dict[str, int]) -> str:
    """Rows of notebook 23's table; measures with their decimals."""
    table = read("comparison")
    means, about = table.pivot(index="system", columns="measure", values="mean"), table.groupby("system").first()
    rows = []
    for system in systems:
        of = means.loc[system]
        rows.append((
            f"LPCNet, {system}" if system.split()[0] in ("general", "personalized") else system,
            *("" if pd.isna(value) else f"{value:.2f}" for value in about.loc[system, ["kbps", "gflops"]]),
            *("" if pd.isna(of[name]) else f"{of[name]:.{decimals}f}" for name, decimals in measures.items()),
            percent(of["word errors"]),
        ))  # fmt: skip
    names = [name.removesuffix(" P.808") for name in measures]
    return lines(["codec", "kb/s", "10⁹ op/s", *names, "misheard"], rows)


def curves() -> str:
    """Loss of validation speakers while control and groups' decoders learn."""
    table = read("validation_loss").replace({"system": {"general": "control"}})
    wide = table.pivot_table(index=["units", "system"], columns="update", values="nats").sort_index(
        ascending=[False, True]
    )
    header = ["units", "decoder", *(f"{update} updates" for update in wide.columns)]
    return lines(header, [(*row.Index, *(f"{value:.4f}" for value in row[1:])) for row in wide.itertuples()])


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


def semantic() -> str:
    """The semantic codec at its rates, beside others."""
    quality = read("semantic_summary")
    means = quality.pivot(index="system", columns="measure", values="mean")
    kbps, order = quality.groupby("system").kbps.first(), list(dict.fromkeys(quality.system))
    shown = {"DNSMOS P.808": 2, "DistillMOS": 2, "ViSQOL": 2, "ESTOI": 3, "mel distance": 1, "STFT distance": 2}
    shown |= {"speaker similarity": 2, "pitch error": 2}
    rows = []
    for system in [name for name in order if name != "input"] + ["input"]:
        of = means.loc[system]
        values = ("" if pd.isna(of[name]) else f"{of[name]:.{decimals}f}" for name, decimals in shown.items())
        rate = "" if pd.isna(kbps[system]) else f"{1000 * kbps[system]:.0f}"
        rows.append((system, rate, percent(of["word errors"]), *values))
    return lines(["codec", "b/s", "misheard", *shown], rows)


def semantic_probes() -> str:
    """What linear classifiers read from codes, in per cent, with intervals."""
    found = read("semantic_probes")
    asked, rows = list(dict.fromkeys(found.probe)), []
    for code in dict.fromkeys(found.code):
        of = found[found.code == code].set_index("probe")
        rows.append((code, *(f"{100 * of.accuracy[name]:.0f} [{100 * of.low[name]:.0f}, {100 * of.high[name]:.0f}]"
                             for name in asked)))  # fmt: skip
    chance = found.groupby("probe").chance.mean()
    rows.append(("the most frequent label", *(f"{100 * chance[name]:.0f}" for name in asked)))
    return lines(["codes", *asked], rows)


def family_claims() -> str:
    """The claims in every family: paired differences, of both trainings where there are two."""
    table = read("claims")
    shown = {"ESTOI": 3, "DNSMOS P.808": 2, "ViSQOL": 2, "word errors": 2}
    first = table["first"].str.replace(r", (training \d+|all trainings)$", "", regex=True)
    rows = []
    for (claim, name), part in table.assign(name=first).groupby(["claim", "name"], sort=False):
        part = part.set_index(["trainings", "measure"])
        trainings = sorted(set(part.index.get_level_values(0)) - {"all trainings"})
        whole = "all trainings" if len(trainings) > 1 else trainings[0]
        cells = []
        for measure, decimals in shown.items():
            each = [f"{part.difference[training, measure]:+.{decimals}f}" for training in trainings]
            mean = between(part.loc[whole, measure], decimals)
            cells.append(mean + (f" ({', '.join(each)})" if len(trainings) > 1 else ""))
        second = re.sub(", all trainings", "", part.second.iloc[0])
        rows.append((claim, f"{name} - {second}", *cells))
    return lines(["claim", "difference", "ESTOI", "DNSMOS", "ViSQOL", "misheard"], rows)


TABLES = {
    "claims": claims,
    "results": results,
    "comparison": comparison,
    "family-claims": family_claims,
    "speech": speech,
    "groups": groups,
    "curves": curves,
    "losses": losses,
    "framewise-losses": framewise_losses,
    "soundstream-losses": soundstream_losses,
    "mismatch": mismatch,
    "objective": objective,
    "objective-validation": objective_validation,
    "paired": paired,
    "operations": operations,
    "saving": saving,
    "quantization": quantization,
    "measures": measures,
    "semantic": semantic,
    "semantic-probes": semantic_probes,
    "rooms": inventory.rooms,
    "modules": inventory.modules,
    "contents": inventory.contents,
}


def pages() -> list[Path]:
    """README and the pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def written(text: str, where: str = "") -> str:
    """A page with every table made anew. Raises `PcodecError` for a table that nobody knows or that does not end."""

    def filled(match):
        if match[2] not in TABLES:
            raise PcodecError(f"{where}: no table {match[2]!r}; there are {', '.join(TABLES)}")
        return f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}"

    if text.count("<!-- table:") != len(MARKED.findall(text)):
        raise PcodecError(f"{where}: a line <!-- table: NAME --> without its <!-- end -->")
    return MARKED.sub(filled, text)


def main() -> None:
    """Write the tables of all pages; say which pages changed."""
    for path in pages():
        before = path.read_text()
        after = written(before, path.name)
        if after != before:
            path.write_text(after)
        print(f"{path.relative_to(ROOT)}: {'changed' if after != before else 'unchanged'}", file=sys.stderr)


if __name__ == "__main__":
    main()
