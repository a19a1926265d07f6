"""What all figures share: colours, markers, axis labels and small helpers.

Task: one colour has one meaning in all figures.

Conventions: every meaning has its own family of hues. The colours of one meaning stay apart for colour-blind readers
(a test looks through their eyes), and most figures say it a second time by marker or line style.

| meaning | colours |
| --- | --- |
| speaker group | purple, teal, yellow, pink, wine, pale teal |
| gender | dark and light brown; markers: circle, triangle |
| split | greens |
| system | blues: general, control; orange to rust: personalized, by the number of groups C; grey: others' codecs |
| nothing | black and greys: curves told apart by line style, sizes by lightness, axes, reference lines |

No red stands beside green. Values of an image have a colour map of their own; what lies over an image is cyan.

Contents: `PALETTES` and its parts, `group_colour`, `system_colour`, `system_marks`, `size_colours`, `interval`,
`panels`, `legend_above`, `legend_below`, `legend_on_image`.
"""

import re

import matplotlib.pyplot as plt
import numpy as np

INK, GREY, PALE = "#222222", "#8c8c8c", "#d2d2d2"  # no meaning
ON_IMAGE = "cyan"
WARNING = "#b00020"  # written across a figure that must not be taken for a result

GENDERS = {"F": "female", "M": "male", "": "unknown"}
GENDER_COLOURS = {"F": "#5d4037", "M": "#c4a484", "": "#efe3d6"}
GENDER_MARKERS = {"F": "o", "M": "^", "": "s"}
SPLIT_COLOURS = {"train": "#79c07e", "validation": "#2c8540", "test": "#0b3d1e", "personal": "#a4c400"}
GROUP_COLOURS = ("#6a3d9a", "#0d7d73", "#d4b106", "#e879b9", "#5a1035", "#c8efe6")
SYSTEM_COLOURS = {
    "general": "#7fb2dd",
    "control": "#1f5a94",
    "personalized, C = 2": "#e8820c",
    "personalized, C = 4": "#a33b00",
    "personalized": "#f6c27a",  # any other C
    "other": "#6e6e6e",
}
PALETTES = {
    "nothing": {"ink": INK, "grey": GREY, "pale": PALE},
    "gender": GENDER_COLOURS,
    "split": SPLIT_COLOURS,
    "group": dict(enumerate(GROUP_COLOURS)),
    "system": SYSTEM_COLOURS,
}
MARKERS = "os^DvP*X<>"  # of systems of one colour
LINES = ("-", "--", ":", "-.")

EVERY_OPERATION = "10⁹ operations per second, every operation counted"  # pcodec.lpcnet.complexity.parts
WEIGHTS_ALONE = "10⁹ operations per second, LPCNet's count of weights"  # pcodec.lpcnet.complexity.count


def group_colour(group: int) -> str:
    """Colour of a speaker group; from the seventh group on they come again."""
    return GROUP_COLOURS[group % len(GROUP_COLOURS)]


def system_colour(system: str) -> str:
    """Colour of a system by the role in its name, for example "control 384" or "personalized 256, C = 2"."""
    if "personalized" in system:
        C = re.search(r"C = \d+", system)
        return SYSTEM_COLOURS.get(f"personalized, {C[0]}" if C else "", SYSTEM_COLOURS["personalized"])
    return next((SYSTEM_COLOURS[role] for role in ("general", "control") if role in system), SYSTEM_COLOURS["other"])


def system_marks(systems) -> dict[str, dict]:
    """Colour, marker and filling of each system, no two alike: the colour says the role, the marker which of them."""
    marks, number = {}, {}
    for system in dict.fromkeys(systems):
        colour = system_colour(system)
        number[colour] = number.get(colour, -1) + 1
        filling = "white" if number[colour] else colour
        marks[system] = {"color": colour, "marker": MARKERS[number[colour] % len(MARKERS)], "markerfacecolor": filling}
    return marks


def size_colours(sizes) -> dict[int, np.ndarray]:
    """A grey for each size of decoder, the largest darkest."""
    shades = plt.get_cmap("Greys")(np.linspace(0.85, 0.3, len(sizes)))
    return dict(zip(sorted(sizes, reverse=True), shades, strict=True))


def interval(ax, place: float, value: float, row, horizontal: bool = False, capsize: float = 3, **marks):
    """A value with the interval `low` to `high` of a table's row, at a place on the other axis."""
    reach = [[value - row.low], [row.high - value]]
    x, y = (value, place) if horizontal else (place, value)
    options = {"marker": "o", "linestyle": "", "capsize": capsize, "elinewidth": 1.2} | marks
    return ax.errorbar(x, y, **{"xerr" if horizontal else "yerr": reach}, **options)


def panels(number: int, columns: int, width: float, height: float, **options):
    """Axes of so many panels, row by row; `width` and `height` (inches) are of one panel."""
    columns = min(number, columns)
    rows = -(-number // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained", **options
    )
    for ax in axes.ravel()[number:]:
        figure.delaxes(ax)
    return axes.ravel()[:number]


def legend_above(ax, **options):
    """A legend over the axes, where it can hide nothing."""
    place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
    return ax.legend(**place, ncols=4, frameon=False, fontsize="small", **options)


def legend_below(ax, distance: float = 0, columns: int = 2, **options):
    """A legend under the axes, `distance` heights below them."""
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -distance)}
    return ax.legend(**place, ncols=columns, frameon=False, **options)


def legend_on_image(ax):
    """A legend over the axes for points in the colour that lies over images: on black, and large enough to be seen."""
    place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
    return ax.legend(**place, facecolor="black", labelcolor="white", framealpha=1, fontsize="small", markerscale=3)
