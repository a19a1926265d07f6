"""A colour means one thing, and colour-blind readers can tell what stands in one palette."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from pcodec.plots import style

# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB
EYES = {
    "all cones": np.eye(3),
    "no red cones": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green cones": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue cones": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
JUST_SEEN = 2.3  # CIELAB distance that is just noticed


def lab(colour, eye):
    """CIELAB coordinates of a colour as an eye sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(EYES[eye]) @ linear, 0, 1)
    to_xyz = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
    xyz = np.array(to_xyz) @ seen / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_no_colour_is_in_two_palettes():
    colours = [to_hex(colour) for palette in style.PALETTES.values() for colour in palette.values()]
    colours += [to_hex(style.ON_IMAGE), to_hex(style.WARNING)]
    assert len(set(colours)) == len(colours)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("meaning", style.PALETTES)
def test_the_colours_of_a_palette_can_be_told_apart(meaning, eye):
    for (a, one), (b, other) in combinations(style.PALETTES[meaning].items(), 2):
        distance = np.linalg.norm(lab(one, eye) - lab(other, eye))
        assert distance > 8 * JUST_SEEN, f"{meaning}: {a} and {b}"


def test_a_system_has_the_colour_of_its_role():
    colours = style.SYSTEM_COLOURS
    assert style.system_colour("general 384") == colours["general"]
    assert style.system_colour("control 256, unquantized") == colours["control"]
    assert style.system_colour("personalized 256, C = 2") == colours["personalized, C = 2"]
    assert style.system_colour("personalized, C = 24") == style.system_colour("personalized") == colours["personalized"]
    assert style.system_colour("Opus 6") == colours["other"]


def test_no_two_systems_look_alike():
    names = [f"{role} {units}{C}" for units in (384, 256, 64) for role, C in
             (("control", ""), ("personalized", ", C = 2"), ("personalized", ", C = 4"))]  # fmt: skip
    names += ["Codec 2 3200", "Codec 2 1600", "Opus 6", "Speex wideband q0"]
    marks = style.system_marks(names)
    assert list(marks) == names
    assert len({tuple(mark.values()) for mark in marks.values()}) == len(names)
    assert marks["control 256"]["marker"] == marks["personalized 256, C = 2"]["marker"], "one marker a size"
