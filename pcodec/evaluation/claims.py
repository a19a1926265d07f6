"""What papers claim of personalized codecs, asked of every family that has personalized decoders.

Task: from the names of the systems that were rated to the pairs that a claim is about. The paper says that at equal
size a personalized decoder is better, and that a small one is on a par with a large general one; PDAC that a
personalized codec is on a par with a general one at twice the rate.

Conventions: systems are called as in the tables of notebook 09: "general 384" and "personalized 384, C = 2" (LPCNet),
"framewise small personalized, C = 2", "soundstream small general, 1.6 kb/s". A further training adds ", training 2" to
the name, the mean over all trainings ", all trainings". "framewise large, as shipped" is what a user loads: a general
decoder without the updates that control and personalized ones have had. Notebook 23_comparison.

Contents: `CLAIMS`, `System`, `system`, `kind`, `with_means`, `pairs`.
"""

import re
from typing import NamedTuple

import pandas as pd

EQUAL, SMALL, HALF = (
    "personalized against general of equal size",
    "small personalized against large general",
    "personalized against large general at twice the rate",
)
CLAIMS = (EQUAL, SMALL, HALF)
NAME = re.compile(
    r"(?:(?:general|personalized) (?P<units>\d+)"
    r"|(?P<family>\w+) (?P<size>\w+)(?: general| personalized|, (?P<shipped>as shipped)))"
    r"(?:, C = (?P<C>\d+))?(?:, (?P<kbps>[\d.]+) kb/s)?(?:, (?P<training>training \d+|all trainings))?"
)
SIZES = ("tiny", "small", "large")


class System(NamedTuple):
    """What a name says."""

    family: str
    size: int  # larger ones are larger
    C: int  # 1: general
    kbps: float  # 0: its family has one rate
    training: str  # "": the run's first; or "as shipped"


def system(name: str) -> System | None:
    """The system of a name, None if it is not of a family with personalized decoders."""
    found = NAME.fullmatch(name)
    if not found or (found["size"] or "small") not in SIZES:
        return None
    size = int(found["units"]) if found["units"] else SIZES.index(found["size"])
    rest = int(found["C"] or 1), float(found["kbps"] or 0), found["training"] or found["shipped"] or ""
    return System(found["family"] or "LPCNet", size, *rest)


def kind(name: str) -> str:
    """What a system is whatever its rate and groups: "LPCNet 384", "framewise large", "semantic", "Codec 2"."""
    own = re.sub(r", (C = \d+|[\d.]+ k?b/s|as shipped)", "", name)
    if own.split()[0] in ("general", "personalized"):
        return f"LPCNet {own.split()[1]}"
    return re.sub(r" (general|personalized|q?\d+)$", "", own)


def with_means(values: pd.DataFrame) -> pd.DataFrame:
    """Values of `metrics.evaluate`, and those of "NAME, all trainings" for every system that was trained again."""
    first = values.system.str.replace(r", training \d+$", "", regex=True)
    again = set(first[first != values.system])
    mean = values.assign(system=first)[first.isin(again)]
    mean = mean.groupby(["system", "measure", "speaker", "utterance"], sort=False, as_index=False).value.mean()
    return pd.concat([values, mean.assign(system=mean.system + ", all trainings")], ignore_index=True)


def pairs(names: list[str]) -> pd.DataFrame:
    """Every pair of `names` that a claim is about: claim, family, training, first (the personalized one), second.

    The second is of the same training where it was trained again, else of the first. Where a run has not continued its
    large general decoder it is the one as shipped; at equal size there is no such pair, as updates would differ.
    """
    known = {found: name for name in names if (found := system(name))}
    rows = []
    for one, name in known.items():
        if one.C == 1:
            continue
        for claim, other in [(EQUAL, one), *[(SMALL, one._replace(size=size)) for size in _larger(one, known)],
                             *[(HALF, one._replace(size=size, kbps=2 * one.kbps))
                               for size in _larger(one, known) if one.kbps]]:  # fmt: skip
            general = other._replace(C=1)
            rivals = [general, general._replace(training=""), general._replace(training="as shipped")]
            second = next((known[rival] for rival in rivals[: 2 if claim == EQUAL else 3] if rival in known), None)
            if second:
                rows.append((claim, one.family, one.training or "training 1", name, second))
    table = pd.DataFrame(rows, columns=["claim", "family", "training", "first", "second"])
    return table.sort_values("claim", key=lambda claims: claims.map(CLAIMS.index), kind="stable", ignore_index=True)


def _larger(one, known):
    """The largest size of its family, if it is larger."""
    largest = max(each.size for each in known if each.family == one.family)
    return [largest] if largest > one.size else []
