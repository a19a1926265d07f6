"""Which decoders an experiment trains.

Task: from the grid of a preset, every decoder that notebook 07 compares, each with its name. The workflow trains what
is listed here, the notebook reads what is listed here.

Conventions: C = 0 is the general decoder, C = 1 the control (the general one, continued on everyone), C >= 2 a
specialist (the general one, continued on a group). Notebooks 06_training and 07_validation_loss.

Contents: `Decoder`, `decoders`.
"""

from typing import NamedTuple


class Decoder(NamedTuple):
    """One training, the grid's part of the parameters of notebook 06."""

    units: int
    C: int
    group: int = 0
    minutes: float = 0.0  # of training speech, at most; 0 = all
    scratch: bool = False  # from random weights, for as many updates as the general one and it together

    @property
    def name(self) -> str:
        minutes = f"-{self.minutes:g}min" if self.minutes else ""
        return f"{self.units}-{self.C}-{self.group}{minutes}{'-scratch' if self.scratch else ''}"


def decoders(grid: dict) -> list[Decoder]:
    """All decoders of a grid: `units` with every number of groups C; `capacity`, further sizes, with the first C;
    one size, `study`, also from scratch and with only some `minutes` of speech."""
    sizes = [(units, grid["C"]) for units in grid["units"]] + [(units, grid["C"][:1]) for units in grid["capacity"]]
    plan = [Decoder(units, C, group) for units, Cs in sizes for C in (0, 1, *Cs) for group in range(max(C, 1))]
    for studied in [decoder for decoder in plan if decoder.units == grid["study"] and decoder.C in (1, grid["C"][0])]:
        plan.append(studied._replace(scratch=True))
        plan += [studied._replace(minutes=float(minutes)) for minutes in grid["minutes"]]
    return plan
