"""Which decoders an experiment trains.

Task: from the grid of a preset, every decoder that notebook 07 compares, each with its name. The workflow trains what
is listed here, the notebook reads what is listed here.

Conventions: a decoder's role is "general" (trained on everyone), "control" (the general one, continued on everyone) or
"group" (the general one, continued on the speakers of a group). C is a number of groups; a decoder for everybody has
C = 1, group 0. `units` and what follows are LPCNet's; `framewise` and `framewise_C` are sizes and numbers of groups
of framewise decoders, `soundstream` and `soundstream_C` of codecs that are learned end to end; `anonymizer` says where
anonymizers find words, `semantic` the size of a semantic codec. `repeats` says how often control and specialists of
framewise decoders and of codecs learned end to end are trained again, each time with the next seed. `framewise_study`
is the size of which the parts are studied, or nothing; `personal` names decoders, family and size, that are adapted to
single speakers. Notebooks 06_training, 07_validation_loss, 12_personalization, 13_framewise_training,
15_soundstream_training, 18_anonymizer_training, 20_semantic_training and 24_framewise_parts.

Contents: `Decoder`, `decoders`, `Framewise`, `framewise`, `SoundStream`, `soundstream`, `spoken`, `personal`, `check`,
`GRID`.
"""

from typing import NamedTuple

from pcodec import PcodecError
from pcodec.anonymizer.config import CONTENTS
from pcodec.fargan.config import SIZES as FRAMEWISE_SIZES
from pcodec.semantic.config import SIZES as SEMANTIC_SIZES
from pcodec.soundstream.config import SIZES as SOUNDSTREAM_SIZES

# Names of a preset's grid section, with values of their types.
GRID = {"seed": 1, "units": [64, 48], "C": [2, 4], "capacity": [16], "study": 16, "minutes": [1]}
GRID |= {"framewise": ["tiny"], "framewise_C": [2], "soundstream": ["tiny"], "soundstream_C": [2]}
GRID |= {"anonymizer": ["own"], "semantic": ["tiny"], "repeats": 0, "framewise_study": "tiny"}
GRID |= {"personal": ["lpcnet-16"]}
OPTIONAL = {"capacity": [], "study": 0, "minutes": []}  # what an absent name means
OPTIONAL |= {"framewise": [], "framewise_C": [], "soundstream": [], "soundstream_C": [], "anonymizer": []}
OPTIONAL |= {"semantic": [], "repeats": 0, "framewise_study": "", "personal": []}
ROLES = ("general", "control", "group")


class Decoder(NamedTuple):
    """One training, the grid's part of the parameters of notebook 06."""

    units: int
    role: str = "general"
    C: int = 1
    group: int = 0
    minutes: float = 0.0  # of training speech, at most; 0 = all
    scratch: bool = False  # from random weights, for as many updates as the general one and it together

    @property
    def name(self) -> str:
        """For example lpcnet-384-general, lpcnet-256-C2-g0, lpcnet-16-control-1min; of its files and tables."""
        minutes = f"-{self.minutes:g}min" if self.minutes else ""
        return f"lpcnet-{self.units}-{_whose(self)}{minutes}{'-scratch' if self.scratch else ''}"

    def check(self) -> None:
        """Raise `PcodecError` if there is no such decoder."""
        _check_role(self, self.role == "general" and (self.scratch or self.minutes))


class _Sized(NamedTuple):
    size: str  # one of its family's `SIZES`
    role: str = "general"
    C: int = 1
    group: int = 0
    repeat: int = 0  # 1, 2 ...: the same training again, with the next seeds

    @property
    def name(self) -> str:
        """For example fargan-large-general, soundstream-small-C2-g0-repeat1; of its files and tables."""
        again = f"-repeat{self.repeat}" if self.repeat else ""
        return f"{self.FAMILY}-{self.size}-{_whose(self)}{again}"

    def check(self) -> None:
        """Raise `PcodecError` if there is no such decoder."""
        _check_role(self, self.size not in self.SIZES or self.repeat < 0 or (self.role == "general" and self.repeat))


class Framewise(_Sized):
    """One training of a framewise decoder, the grid's part of the parameters of notebook 13."""

    FAMILY, SIZES = "fargan", FRAMEWISE_SIZES


class SoundStream(_Sized):
    """One training of a codec that is learned end to end, the grid's part of the parameters of notebook 15."""

    FAMILY, SIZES = "soundstream", SOUNDSTREAM_SIZES


def _whose(decoder):
    return f"C{decoder.C}-g{decoder.group}" if decoder.role == "group" else decoder.role


def _check_role(decoder, wrong):
    known = decoder.role in ROLES and (decoder.C >= 2 if decoder.role == "group" else decoder.C == 1)
    if wrong or not known or decoder.group not in range(decoder.C):
        raise PcodecError("no such decoder: " + ", ".join(f"{name} = {value}" for name, value in
                          decoder._asdict().items()))  # fmt: skip


def decoders(grid: dict) -> list[Decoder]:
    """All decoders of a grid: `units` with every number of groups C; `capacity`, further sizes, with the first C;
    one size, `study`, also from scratch and with only some `minutes` of speech."""
    sizes = [(units, grid["C"]) for units in grid["units"]] + [(units, grid["C"][:1]) for units in grid["capacity"]]
    planned = []
    for units, Cs in sizes:
        planned += [Decoder(units), Decoder(units, "control")]
        planned += [Decoder(units, "group", C, group) for C in Cs for group in range(C)]
    studied = [decoder for decoder in planned if decoder.units == grid["study"] and decoder.C <= grid["C"][0]]
    for decoder in studied:
        if decoder.role == "general":
            continue
        planned.append(decoder._replace(scratch=True))
        planned += [decoder._replace(minutes=float(minutes)) for minutes in grid["minutes"]]
    return planned


def framewise(grid: dict) -> list[Framewise]:
    """All framewise decoders of a grid; where there are no specialists there is no control."""
    return _sized(Framewise, grid["framewise"], grid["framewise_C"], grid["repeats"])


def soundstream(grid: dict) -> list[SoundStream]:
    """All codecs of a grid that are learned end to end; where there are no specialists there is no control."""
    return _sized(SoundStream, grid["soundstream"], grid["soundstream_C"], grid["repeats"])


def spoken(planned: list) -> list:
    """Those of `framewise` or `soundstream` that decode speech. Where there are specialists the control stands for the
    general one, as it has had as many updates; what was trained again is compared by its loss alone."""
    alone = all(decoder.role == "general" for decoder in planned)
    return [decoder for decoder in planned if not decoder.repeat and (alone or decoder.role != "general")]


def personal(grid: dict) -> dict[str, list[str]]:
    """Of every decoder that is adapted to single speakers what it is compared with: general, control, first groups."""
    planned = decoders(grid) + framewise(grid)
    first = grid["C"][0]
    found = {}
    for size in grid["personal"]:
        wanted = [f"{size}-{whose}" for whose in ("general", "control", *(f"C{first}-g{g}" for g in range(first)))]
        if missing := set(wanted) - {decoder.name for decoder in planned}:
            raise PcodecError(f"personal must list decoders with {first} groups, got {size!r}: no {min(missing)}")
        found[size] = wanted
    return found


def _sized(kind, sizes, Cs, repeats):
    planned = []
    for size in sizes:
        continued = [kind(size, "control")] if Cs else []
        continued += [kind(size, "group", C, group) for C in Cs for group in range(C)]
        again = [decoder._replace(repeat=repeat) for repeat in range(1, repeats + 1) for decoder in continued]
        planned += [kind(size), *continued, *again]
    return planned


def check(values: dict, where: str) -> None:
    """Raise `PcodecError`, beginning with `where`, unless a preset's grid can be trained."""
    for name in GRID:
        if name not in values:
            raise PcodecError(f"{where}: {name} is missing")
    for name in ("units", "C"):
        if not values[name]:
            raise PcodecError(f"{where}: {name} is empty")
    numbers = [("units", 16, 16), ("capacity", 16, 16), ("C", 2, 1), ("minutes", 1, 1)]
    numbers += [("framewise_C", 2, 1), ("soundstream_C", 2, 1)]
    for name, least, step in numbers:
        for value in values[name]:
            if type(value) is not int or value < least or value % step:
                raise PcodecError(f"{where}: {name} must list multiples of {step} from {least} up, got {value!r}")
    families = {"framewise": FRAMEWISE_SIZES, "soundstream": SOUNDSTREAM_SIZES, "semantic": SEMANTIC_SIZES}
    for family, known in families.items():
        for size in values[family]:
            if size not in known:
                raise PcodecError(f"{where}: {family} must list sizes of {', '.join(known)}, got {size!r}")
        if not {*values.get(f"{family}_C", [])} <= {*values["C"]}:
            raise PcodecError(f"{where}: {family}_C must be among C, got {values[f'{family}_C']}")
    if len(values["semantic"]) > 1:
        raise PcodecError(f"{where}: semantic must list one size, or none, got {values['semantic']}")
    for content in values["anonymizer"]:
        if content not in CONTENTS:
            raise PcodecError(f"{where}: anonymizer must list some of {', '.join(CONTENTS)}, got {content!r}")
    if values["framewise_study"] not in ("", *FRAMEWISE_SIZES):
        raise PcodecError(
            f"{where}: framewise_study must be one of {', '.join(FRAMEWISE_SIZES)}, got {values['framewise_study']!r}"
        )
    if values["repeats"] < 0:
        raise PcodecError(f"{where}: repeats must be 0 or more, got {values['repeats']}")
    sizes = values["units"] + values["capacity"]
    if values["study"] and values["study"] not in sizes:
        raise PcodecError(f"{where}: study must be 0 or one of {sizes}, got {values['study']}")
    try:
        personal(values)
    except PcodecError as error:
        raise PcodecError(f"{where}: {error}") from None
    lists = ("units", "C", "capacity", "minutes", *families, "framewise_C", "soundstream_C", "anonymizer", "personal")
    for name in lists:
        listed = sizes if name == "capacity" else values[name]
        if len(set(listed)) < len(listed):
            raise PcodecError(f"{where}: {name} lists a value twice: {listed}")
