"""A notebook's results are stale when a module changes that it imports, however deep, and only then."""

import json
from pathlib import Path

import pytest

from pcodec import PcodecError, paths
from pcodec.experiment import sources

MODULES = {
    "__init__": "",
    "ground": "import numpy",
    "room/__init__": "from pcodec.room.inner import word",
    "room/inner": "word = 1",
    "room/one": "from pcodec.room import two, word",
    "room/two": "def late():\n    from pcodec.room import three",
    "room/three": "from pcodec import ground, PcodecError",
    "room/relative": "from . import three",
    "plots/__init__": "from pcodec.plots import lines",
    "plots/lines": "from pcodec import colours",
    "colours": "import pcodec.ground",
    "unused": "import pcodec.room.one",
}
ONE = {"__init__", "ground", "room/__init__", "room/inner", "room/one", "room/two", "room/three"}


@pytest.fixture
def package(tmp_path):
    for name, code in MODULES.items():
        path = tmp_path / "pcodec" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    return tmp_path / "pcodec"


def found(package, *cells, without=None):
    notebook = package.parent / "01_x.ipynb"
    text = [{"cell_type": "markdown", "source": ["from pcodec import unused"]}]
    code = [{"cell_type": "code", "source": cell.splitlines(True)} for cell in cells]
    notebook.write_text(json.dumps({"cells": text + code}))
    return {str(path.relative_to(package).with_suffix("")) for path in sources.of(notebook, without, package)}


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("import numpy as np, os.path", set()),
        ("from pcodec.room import one", ONE),  # two at depth 2, in a function three at depth 3, ground at depth 4
        ("from pcodec.room.one import two as other", ONE),
        ("import pcodec.room.one", ONE),
        ("if True:\n    def f():\n        import pcodec.ground", {"__init__", "ground"}),
        ("%matplotlib inline\nfrom pcodec import ground", {"__init__", "ground"}),
        ("from pcodec.room import relative", ONE - {"room/one", "room/two"} | {"room/relative"}),
        ("from pcodec import plots", {"__init__", "plots/__init__", "plots/lines", "colours", "ground"}),
    ],
)
def test_what_is_imported_is_found_and_nothing_else(package, code, modules):
    assert found(package, "x = 1", code) == modules


def test_a_room_is_left_out_with_what_only_it_needs(package):
    assert found(package, "from pcodec import plots\nfrom pcodec.plots.lines import x", without="plots") == {"__init__"}
    both = found(package, "from pcodec import plots, colours", without="plots")
    assert both == {"__init__", "colours", "ground"}


def test_code_that_cannot_be_read_is_named(package):
    with pytest.raises(PcodecError, match=r"01_x\.ipynb, cell 3: SyntaxError"):
        found(package, "x = 1", "x = = 1")


def test_the_projects_notebooks():
    def modules(word, without=None):
        return {str(path.relative_to(sources.PACKAGE)) for path in sources.of(paths.notebook(word), without)}

    for word in ("08_synthesis", "09_objective"):
        found = modules(word)
        assert {"bitstream/quantizer.py", "features/pitch.py", "speech/audio.py", "__init__.py"} <= found, word
        assert any("plots" in path for path in found)
        assert all(path.endswith(".py") for path in found), "nothing outside the package, no data"
    training = modules("06_training", without="plots")
    assert "lpcnet/training.py" in training and not any("plots" in path for path in training)
    assert "evaluation/mushra.py" not in training


def test_every_notebook_can_be_read():
    notebooks = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
    assert len(notebooks) >= 12 and all(len(sources.of(path)) > 10 for path in notebooks)
