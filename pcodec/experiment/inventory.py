"""What there is: rooms, modules, notebooks.

Task: the lists of README, docs/ and the site are made of docstrings and titles, so that none is kept by hand.

Conventions: a list is Markdown. The run that is shown is the published one.

Contents: `rooms`, `modules`, `contents`, `shown`, `summary`, `lines`, `ROOT`, `RUN`.
"""

import ast
import json
import re
from pathlib import Path

from pcodec import PcodecError

ROOT = Path(__file__).resolve().parents[2]
RUN = "desktop-librispeech"
ROOMS = (
    "compute", "speech", "features", "bitstream", "speakers", "learning", "lpcnet", "fargan", "soundstream", "semantic",
    "anonymizer", "codecs", "evaluation", "plots", "experiment",
)  # from the ground up; others follow  # fmt: skip
ON_THE_SITE = ("general", "control", "C2-g0")  # of the decoders of the largest size, where there are many


def lines(header: list[str], rows: list) -> str:
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (header, ["---"] * len(header), *rows))


def rooms() -> str:
    """One line a room, from its docstring."""
    return lines(["room", "what lives there", "modules"], [
        (f"`{room.name}`", summary(room / "__init__.py"),
         ", ".join(f"`{path.stem}`" for path in sorted(room.glob("*.py")) if path.stem != "__init__"))
        for room in _rooms()
    ])  # fmt: skip


def modules() -> str:
    """One line a module, from its docstring."""
    package = ROOT / "pcodec"
    paths = [path for room in _rooms() for path in sorted(room.glob("*.py")) if path.stem != "__init__"]
    paths += [path for path in sorted(package.glob("*.py")) if path.stem not in ("__init__", "__main__")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return lines(
        ["module", "what it does"], [(f"`{name}`", summary(path)) for name, path in zip(names, paths, strict=True)]
    )


def _rooms() -> list[Path]:
    found = [path.parent for path in (ROOT / "pcodec").glob("*/__init__.py")]
    return sorted(found, key=lambda room: (ROOMS.index(room.name) if room.name in ROOMS else len(ROOMS), room.name))


def summary(path: Path) -> str:
    """First paragraph of a module's docstring, in one line."""
    text = ast.get_docstring(ast.parse(path.read_text()))
    if not text:
        raise PcodecError(f"{path}: has no docstring")
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def contents() -> str:
    """The site's list of notebooks: executed copies of the published run; where there is none, the notebook itself."""
    entries = [f"{title} </{path.relative_to(ROOT).with_suffix('')}>" for path, title in shown()]
    return "\n".join(["```{toctree}", ":caption: Notebooks", ":hidden:", "", *entries, "```"])


def shown() -> list[tuple[Path, str]]:
    """The notebooks of the site in order, each with its title. Of the trainings of a family three executed copies."""
    found = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        title = "".join(cells[0]["source"]).splitlines()[0].lstrip("# ")
        copies = sorted((ROOT / "results" / RUN).glob(f"{path.stem}*.ipynb"))
        trained = [copy for copy in copies if copy.stem.endswith(f"-{ON_THE_SITE[-1]}")]
        if trained:
            largest = max((copy.stem.split("-")[2] for copy in trained), key=_size)
            copies = [path for whose in ON_THE_SITE for path in copies if path.stem.endswith(f"-{largest}-{whose}")]
        for copy in copies or [path]:
            which = copy.stem.removeprefix(path.stem).removeprefix("-")
            which = re.sub(r"^C(\d+)$", r"C = \1", which)
            found.append((copy, f"{title}: {which}" if which else title))
    return found


def _size(name):
    """Of a decoder, so that larger ones come later."""
    return int(name) if name.isdecimal() else ("tiny", "small", "large").index(name)
