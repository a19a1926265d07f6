"""What the tables of README and docs/ say of all families of codecs, side by side.

Conventions: those of `pcodec.experiment.published`.

Contents: a function for each table.
"""

import re

import pandas as pd

from pcodec.experiment.inventory import lines
from pcodec.experiment.published import between, percent, read


def claims() -> str:
    """What the paper and the papers of the other families say, beside what this run has measured."""
    loss = read("validation_loss_table").query("comparison == 'estimated - control' and split == 'validation and test'")
    loss = loss.set_index(["units", "C"])
    better = [f"{units}, C = {C}: {between(loss.loc[units, C])}" for units in (384, 256) for C in (2, 4)]
    paired = read("objective_paired").query("measure == 'DNSMOS P.808'").set_index(["first", "second"])

    def dnsmos(first, second):
        rows = {C: paired.loc[f"personalized {first}, C = {C}", f"general {second}"] for C in (2, 4)}
        return [f"{first}, C = {C}: {between(row, 2)}" for C, row in rows.items()]

    gender = read("groups_summary-C2").set_index("split").speakers_that_agree_with_gender
    saved = read("complexity_saving").set_index("counted")
    rate = read("objective_summary").query("system == 'general 384'").kbps.iloc[0]
    of_families = read("claims")
    below = read("semantic_paired").set_index(["first", "second", "measure"])

    def pair(table, first, second, measure, decimals=2):
        return f"{measure.removesuffix(' P.808')} {between(table.loc[first, second, measure], decimals)}"

    half = of_families.drop_duplicates(["first", "second", "measure"]).set_index(["first", "second", "measure"])
    halved = "soundstream small personalized, C = 2, 0.8 kb/s, all trainings", "soundstream large, as shipped, 1.6 kb/s"
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
         "<br>".join(["DNSMOS P.808:", *dnsmos(384, 384), *dnsmos(256, 256)]), "comparison"),
        ("MUSHRA: small personalized on a par with large general",
         "<br>".join(["DNSMOS P.808:", *dnsmos(256, 384)]), "comparison"),
        ("the small decoder computes 36 % less",
         f"{percent(saved['density 0.1']['everything per sample'], 1)} with GRU_A pruned to 10 %; "
         f"{percent(saved['density 1']['everything per sample'], 1)} dense, as trained here", "complexity"),
        ("MUSHRA: the authors' LPCNet a little better than the original one",
         "not measured: its weights are not part of this project", "lpcnet"),
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
    return lines(["claim", "here"], [(f"[{claim}](./docs/{page}.md)", here) for claim, here, page in rows])


def results() -> str:
    """One codec of each family, and others', on test speakers: what they send, cost and reach."""
    shown = ["input", "general 384", "personalized 384, C = 2", "framewise large, as shipped"]
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


def framewise_parts() -> str:
    """The framewise decoder after more and more hours, without its parts, and beside critics."""
    table = read("framewise_parts")
    measures = {"STOI": 3, "ESTOI": 3, "PESQ-WB": 2, "pitch error": 3, "buzz": 3, "DNSMOS P.808": 2}
    rows = []
    for system, part in table.groupby("system", sort=False):
        means = part.set_index(["pitch", "measure"])["mean"]
        own = [f"{means['right', name]:.{digits}f}" for name, digits in measures.items()]
        first = part.iloc[0]
        rows.append((system, f"{first.loss:.4f}", *own, f"{means['wrong', 'ESTOI']:.3f}"))
    return lines(["decoder", "loss", *measures, "ESTOI, pitch wrong"], rows)


def personalization() -> str:
    """Framewise decoders for one person: loss less the control's, and means of what is heard."""
    loss = read("personalization-fargan-large").query("comparison == 'estimated - control'")
    loss = loss.set_index(["system", "minutes"])
    means = read("personalization_means-fargan-large").pivot(index="system", columns="measure", values="mean")
    measures = {"STOI": 3, "ESTOI": 3, "PESQ-WB": 2, "DNSMOS P.808": 2, "buzz": 3}
    rows = []
    systems = [("general", None)]
    for kind in ("low-rank", "whole"):
        minutes = loss.loc[kind].index
        systems += [(f"{kind}, everyone", None), *((f"{kind}, {m:g} min", (kind, m)) for m in minutes)]
    for system, row in systems:
        own = [f"{means.loc[system, name]:.{digits}f}" for name, digits in measures.items()]
        rows.append((system, between(loss.loc[row]) if row else "", *own, percent(means.loc[system, "word errors"])))
    return lines(["decoder", "loss less control's", *measures, "misheard"], rows)


def framewise_losses() -> str:
    return spectral_losses("framewise_loss")


def soundstream_losses() -> str:
    return spectral_losses("soundstream_loss")


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


def privacy() -> str:
    """Equal error rates of attackers on each system's speech, in per cent, and what that speech is worth."""
    found = read("privacy")
    rates = found.replace({"attacker": {"unprotected": "ignorant"}}).set_index(["system", "recognizer", "attacker"])
    worth = read("anonymity").pivot(index="system", columns="measure", values="mean")
    asked = [(recognizer, attacker) for recognizer in ("Siamese", "resemblyzer") for attacker in
             ("ignorant", "lazy-informed")]  # fmt: skip
    rows = []
    for system in dict.fromkeys(found.system):
        of, cells = worth.loc[system], []
        for who in asked:
            row = rates.loc[(system, *who)] if (system, *who) in rates.index else None
            cells.append("" if row is None else f"{100 * row.eer:.0f} [{100 * row.low:.0f}, {100 * row.high:.0f}]")
        pitch = f"{of['pitch correlation']:.2f} / {of['of voiced frames']:.2f}"
        rows.append((system, *cells, percent(of["word errors"]), f"{of['DNSMOS P.808']:.2f}", pitch))
    header = ["system", "Siamese, ignorant", "lazy-informed", "resemblyzer, ignorant", "lazy-informed", "misheard"]
    return lines([*header, "DNSMOS P.808", "pitch, all frames / voiced"], rows)


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
