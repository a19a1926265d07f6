import pytest

from pcodec.experiment import grid, presets


def test_plan_lists_every_decoder_once():
    grid = {"units": [64], "C": [2, 4], "capacity": [16], "study": 16, "minutes": [1, 3]}
    names = [decoder.name for decoder in grid.decoders(grid)]
    assert names[:8] == [f"64-{x}" for x in ("0-0", "1-0", "2-0", "2-1", "4-0", "4-1", "4-2", "4-3")]
    assert names[8:12] == ["16-0-0", "16-1-0", "16-2-0", "16-2-1"]
    studied = {f"16-{x}-{kind}" for x in ("1-0", "2-0", "2-1") for kind in ("scratch", "1min", "3min")}
    assert set(names[12:]) == studied and len(names) == len(set(names)) == 21


@pytest.mark.parametrize("preset", presets.names())
def test_specialists_have_their_general_decoder_and_control(preset):
    decoders = grid.decoders(presets.load(preset)["grid"])
    kinds = {(decoder.units, decoder.C, decoder.minutes, decoder.scratch) for decoder in decoders}
    for decoder in decoders:
        assert (decoder.units, 0, 0.0, False) in kinds
        assert decoder.C == 0 or (decoder.units, 1, decoder.minutes, decoder.scratch) in kinds
