"""Personalized against general decoders, fairly.

Task: from every decoder's losses on every unseen utterance to differences with intervals. Three things are told apart:
the gain over the control (a specialist against as many updates on everyone), what a wrong group costs, and the
*interaction*, own group against other groups, in which the quality of a group's training material cancels.

Conventions: negative is good for the personalized decoder; nats per sample; speakers weigh the same. `estimated` is the
group that the codec would send for the utterance, `oracle` that of most utterances of its speaker. Notebook
07_validation_loss.

Contents: `curves`, `compare`, `compare_trainings`, `losses_of`, `pair`, `differences`, `mismatch`, `interaction`.
"""

import itertools

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.evaluation import intervals

COMPARISONS = {  # name: (what, less what)
    "estimated - control": ("estimated", "control"),
    "oracle - control": ("oracle", "control"),
    "wrong - control": ("wrong", "control"),
    "estimated - wrong": ("estimated", "wrong"),
    "control - general": ("control", "general"),
}


def compare(
    losses: pd.DataFrame,
    groups: pd.Series,
    units: int,
    C: int,
    minutes: float = 0.0,
    scratch: bool = False,
    seed: int = 1,
) -> pd.DataFrame:
    """All comparisons of one size and C: comparison, speakers, utterances, difference, low, high, and the levels
    general, control, estimated (means of the speakers' means).

    `losses` are the final rows of notebook 06's tables for the unseen utterances: units, role, C, group, minutes,
    scratch, utterance, speaker, nats. General decoders have no variants.
    """
    variant = {"minutes": minutes, "scratch": scratch}
    specialists = losses_of(losses, units, "group", C, **variant)
    control, general = losses_of(losses, units, "control", **variant), losses_of(losses, units, "general")
    paired = pair(specialists, control, general, groups)
    table = differences(paired, seed)
    level = paired.groupby("speaker")[["general", "control", "estimated"]].mean().mean()
    return table.assign(units=units, C=C, **level)


def compare_trainings(
    losses: pd.DataFrame, groups: dict[int, pd.Series], sides: dict[str, list[str]], seed: int = 1
) -> pd.DataFrame:
    """`compare` for every size and number of stages of `losses`, C of `groups`, side (a name of splits) and training.

    `losses` are those of notebooks 13 and 15 for the unseen utterances: size, role, C, group, utterance, speaker,
    split, loss, of codecs with a quantizer its stages, and repeat, which training this is: 0, 1 ... Column `training`
    is "1", "2" ... for each, and "all" for the mean of their losses on each utterance.
    """
    losses = losses.rename(columns={"size": "units", "loss": "nats"}).assign(minutes=0.0, scratch=False)
    each = ["units", "stages"] if "stages" in losses else ["units"]
    mean = losses.groupby([*each, "role", "C", "group", "minutes", "scratch", "utterance", "speaker", "split"])
    trainings = {"all": mean.nats.mean().reset_index()}
    if losses.repeat.any():
        for number in sorted(losses.repeat.unique()):
            trainings[f"{number + 1}"] = losses[(losses.repeat == number) | (losses.role == "general")]
    rows = []
    for (training, part), (side, splits) in itertools.product(trainings.items(), sides.items()):
        for (size, *stages), mine in part[part.split.isin(splits)].groupby(each):
            about = {"training": training, "split": side} | dict(zip(each[1:], stages, strict=True))
            rows += [compare(mine, groups[C], size, C, seed=seed).assign(**about) for C in groups]
    return pd.concat(rows, ignore_index=True).rename(columns={"units": "size"})


def curves(losses: pd.DataFrame, groups: dict[int, pd.Series]) -> pd.DataFrame:
    """Learning curves: units, system ("general", "control", "personalized, C = ..."), update, samples, nats.

    `losses` are rows of notebook 06's tables during training; of a group's decoder those of its own group's utterances
    count, by `groups`, for each C the groups of the utterances. Every speaker counts the same.
    """
    own = losses.role != "group"
    for C, of_utterance in groups.items():
        own |= (losses.role == "group") & (losses.C == C) & (losses.utterance.map(of_utterance) == losses.group)
    losses = losses[own]
    system = losses.role.where(losses.role != "group", "personalized, C = " + losses.C.astype(str))
    keys = ["units", "system", "update", "samples"]
    by_speaker = losses.assign(system=system).groupby([*keys, "speaker"], as_index=False).nats.mean()
    return by_speaker.groupby(keys, as_index=False).nats.mean()


def losses_of(
    losses: pd.DataFrame, units: int, role: str, C: int = 1, minutes: float = 0.0, scratch: bool = False
) -> pd.DataFrame:
    """The rows of the decoders of one kind: the general one, the control, or the specialists of C groups."""
    kind = {"units": units, "role": role, "C": C, "minutes": minutes, "scratch": scratch}
    return losses[np.all([losses[name] == value for name, value in kind.items()], axis=0)]


def pair(specialists: pd.DataFrame, control: pd.DataFrame, general: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """One row an utterance: speaker, group, control, general, estimated, oracle, wrong, others (nats).

    `specialists` (group, utterance, speaker, nats) has every group's decoder on every utterance; `control` and
    `general` (utterance, nats); `groups` maps utterances to estimated groups; "wrong" is the mean over all other
    groups' decoders, "others" over those of groups that occur among the utterances.
    """
    losses = specialists.pivot(index="utterance", columns="group", values="nats")
    table = specialists.drop_duplicates("utterance").set_index("utterance")[["speaker"]].loc[losses.index]
    C = losses.shape[1]
    table["group"] = groups.reindex(losses.index)
    unusable = ~table.group.isin(losses.columns) | losses.isna().any(axis=1)
    if unusable.any():
        bad = table.index[unusable][0]
        raise PcodecError(f"utterance {bad}: no group with a decoder, or not every decoder's loss")
    majority = table.groupby("speaker").group.agg(lambda values: values.mode().iloc[0])
    own = {"estimated": table.group, "oracle": table.speaker.map(majority)}
    for name, other in (("control", control), ("general", general)):
        table[name] = other.set_index("utterance").nats.reindex(losses.index)
    if table[["control", "general"]].isna().any(axis=None):
        raise PcodecError("control or general decoder were not measured on every utterance")
    values = losses[range(C)].to_numpy()
    for name, chosen in own.items():
        table[name] = values[np.arange(len(table)), chosen.astype(int)]
    table["wrong"] = (values.sum(axis=1) - table.estimated) / (C - 1)
    present = sorted(set(table.group.astype(int)))
    if len(present) > 1:
        table["others"] = (values[:, present].sum(axis=1) - table.estimated) / (len(present) - 1)
    return table.reset_index().astype({"group": int})


def differences(paired: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """Each of `COMPARISONS`, and the interaction, with its 95 % interval.

    Table: comparison, speakers, utterances, difference, low, high. There is no interaction where all utterances fall
    into one group.
    """
    rows = []
    for name, (what, less) in COMPARISONS.items():
        rows.append((name, *intervals.interval(paired[what] - paired[less], paired.speaker, seed=seed)))
    if len(set(paired.group)) > 1:
        rows.append(("interaction", *interaction(paired, seed=seed)))
    table = pd.DataFrame(rows, columns=["comparison", "difference", "low", "high"])
    return table.assign(speakers=paired.speaker.nunique(), utterances=len(paired))


def mismatch(specialists: pd.DataFrame, control: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """Every specialist on every group's speech, less the control: decoder_group, speech_group, speakers, difference."""
    table = specialists.assign(
        difference=specialists.nats - specialists.utterance.map(control.set_index("utterance").nats),
        speech_group=specialists.utterance.map(groups),
    ).rename(columns={"group": "decoder_group"})
    keys = ["decoder_group", "speech_group", "speaker"]
    by_speaker = table.groupby(keys, as_index=False).difference.mean()
    pairs = by_speaker.groupby(keys[:2], as_index=False).agg(
        speakers=("speaker", "size"), difference=("difference", "mean")
    )
    return pairs


def interaction(paired: pd.DataFrame, draws: int = 2000, seed: int = 1) -> tuple[float, float, float]:
    """Own less others' decoder, mean of the groups' means, with its 95 % interval (speakers, then their utterances).

    With every group weighing the same, each decoder is as often own as it is another's: that one group's speech is the
    better teacher, or easier to code, cancels. A speaker whose utterances fall into several groups counts in each.
    """
    values = (paired.estimated - paired.others).groupby([paired.group, paired.speaker]).agg(list)
    by_group = [[np.array(own) for own in values[group]] for group in sorted(paired.group.unique())]
    if len(by_group) < 2:
        raise PcodecError("the utterances fall into one group only: no interaction can be told")
    rng = np.random.default_rng(seed)
    estimate = np.mean([np.mean([own.mean() for own in group]) for group in by_group])
    drawn = np.mean([intervals.redrawn_means(group, draws, rng) for group in by_group], axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(estimate), float(low), float(high)
