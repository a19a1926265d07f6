"""Which decoders an experiment trains.

Task: from the grid of a preset, every decoder that notebook 07 compares, each with its name. The workflow trains what
is listed here, the notebook reads what is listed here.

Conventions: a decoder's role is "general" (trained on everyone), "control" (the general one, continued on everyone) or
"group" (the general one, continued on the speakers of a group). C is a number of groups; a decoder for everybody has
C = 1, group 0. Notebooks 06_training and 07_validation_loss.

Contents: `Decoder`, `decoders`, `check`, `GRID`.
"""

from typing import NamedTuple

from pcodec import PcodecError

# Names of a preset's grid section, with values of their types.
GRID = {"seed": 1, "units": [64, 48], "C": [2, 4], "capacity": [16], "study": 16, "minutes": [1]}
OPTIONAL = {"capacity": [], "study": 0, "minutes": []}  # what an absent name means
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
        whose = f"C{self.C}-g{self.group}" if self.role == "group" else self.role
        minutes = f"-{self.minutes:g}min" if self.minutes else ""
        return f"lpcnet-{self.units}-{whose}{minutes}{'-scratch' if self.scratch else ''}"

    def check(self) -> None:
        """Raise `PcodecError` if there is no such decoder."""
        known = self.role in ROLES and (self.C >= 2 if self.role == "group" else self.C == 1)
        if not known or self.group not in range(self.C) or (self.role == "general" and (self.scratch or self.minutes)):
            raise PcodecError("no such decoder: " + ", ".join(f"{name} = {value}" for name, value in
                              self._asdict().items()))  # fmt: skip


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


def check(values: dict, where: str) -> None:
    """Raise `PcodecError`, beginning with `where`, unless a preset's grid can be trained."""
    for name in GRID:
        if name not in values:
            raise PcodecError(f"{where}: {name} is missing")
    for name in ("units", "C"):
        if not values[name]:
            raise PcodecError(f"{where}: {name} is empty")
    for name, least, step in (("units", 16, 16), ("capacity", 16, 16), ("C", 2, 1), ("minutes", 1, 1)):
        for value in values[name]:
            if type(value) is not int or value < least or value % step:
                raise PcodecError(f"{where}: {name} must list multiples of {step} from {least} up, got {value!r}")
    sizes = values["units"] + values["capacity"]
    if values["study"] and values["study"] not in sizes:
        raise PcodecError(f"{where}: study must be 0 or one of {sizes}, got {values['study']}")
    for name in ("units", "C", "capacity", "minutes"):
        listed = sizes if name == "capacity" else values[name]
        if len(set(listed)) < len(listed):
            raise PcodecError(f"{where}: {name} lists a value twice: {listed}")
