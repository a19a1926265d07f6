"""The grid lists every decoder once, each with its general decoder and its control."""

import pytest

from pcodec import PcodecError
from pcodec.experiment import grid, presets


def test_plan_lists_every_decoder_once():
    sizes = {"units": [64], "C": [2, 4], "capacity": [16], "study": 16, "minutes": [1, 3]}
    decoders = grid.decoders(sizes)
    names = [decoder.name.removeprefix("lpcnet-") for decoder in decoders]
    groups = [f"C{C}-g{group}" for C in (2, 4) for group in range(C)]
    assert names[:8] == [f"64-{whose}" for whose in ("general", "control", *groups)]
    assert names[8:12] == [f"16-{whose}" for whose in ("general", "control", *groups[:2])]
    studied = {f"16-{whose}-{kind}" for whose in ("control", *groups[:2]) for kind in ("scratch", "1min", "3min")}
    for decoder in decoders:
        decoder.check()
    assert set(names[12:]) == studied and len(names) == len(set(names)) == 21


@pytest.mark.parametrize(("listed", "family"), [("framewise", "fargan"), ("soundstream", "soundstream")])
def test_sized_decoders_of_a_grid(listed, family):
    plan = getattr(grid, listed)
    continued = ("control", "C2-g0", "C2-g1")
    planned = plan({listed: ["large", "tiny"], f"{listed}_C": [2], "repeats": 1})
    whose = ["general", *continued, *(f"{each}-repeat1" for each in continued)]
    assert [decoder.name for decoder in planned] == [
        f"{family}-{size}-{each}" for size in ("large", "tiny") for each in whose
    ]
    assert [decoder.name for decoder in grid.spoken(planned)] == [
        f"{family}-{size}-{each}" for size in ("large", "tiny") for each in continued
    ]
    alone = plan({listed: ["large"], f"{listed}_C": [], "repeats": 1})
    assert alone == [("large", "general", 1, 0, 0)] and grid.spoken(alone) == alone
    (alone,) = alone
    for wrong in ({"size": "huge"}, {"role": "group"}, {"role": "control", "C": 2}, {"repeat": 1}, {"repeat": -1}):
        with pytest.raises(PcodecError, match="no such decoder: size = "):
            alone._replace(**wrong).check()


@pytest.mark.parametrize("preset", presets.names())
def test_specialists_have_their_general_decoder_and_control(preset):
    decoders = grid.decoders(presets.load(preset)["grid"])
    for decoder in decoders:
        assert grid.Decoder(decoder.units) in decoders
        assert decoder.role == "general" or decoder._replace(role="control", C=1, group=0) in decoders


@pytest.mark.parametrize(
    "wrong",
    [{"role": "leader"}, {"role": "group"}, {"role": "control", "C": 2}, {"role": "group", "C": 2, "group": 2},
     {"scratch": True}, {"minutes": 3.0}],
)  # fmt: skip
def test_no_such_decoder(wrong):
    with pytest.raises(PcodecError, match="no such decoder: units = 16"):
        grid.Decoder(16)._replace(**wrong).check()
