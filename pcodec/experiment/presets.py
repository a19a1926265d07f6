"""Reads and validates a preset.

Task: a preset (workflow/presets/<name>.yaml) has a section for each notebook that it changes; a section gives values
for names of that notebook's parameters cell. The section "grid" says what the workflow runs notebooks over: the seed
and the decoders of `pcodec.experiment.grid`; the section "resources" what a notebook needs of a machine, for clusters.
A misspelled notebook, name or type is an error, never a warning.

Conventions: the parameters cell is the one tagged "parameters"; its assignments are the only list of what exists.

Contents: `load`, `names`, `resources`, `parameters`, `check`, `read`, `word`, `RESOURCES`.
"""

import ast
import contextlib
import json
from pathlib import Path

from pcodec import PcodecError, paths
from pcodec.experiment import grid

# What a notebook needs: MB of memory, minutes, GPUs; and the threads that it may use where it works on several files at
# once. A preset says so for each, or for all others under "default".
RESOURCES = {"mem_mb": 4000, "runtime": 60, "gpu": 0, "threads": 16}


def names() -> list[str]:
    """Presets that exist, by name."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load(name: str) -> dict[str, dict]:
    """Preset `name` as {notebook: {parameter: value}}; raises `PcodecError` naming the file and the key."""
    import yaml

    path = _folder() / f"{name}.yaml"
    if not path.exists():
        raise PcodecError(f"no preset {name!r} in {_folder()}; there are {', '.join(names()) or 'none'}")
    try:
        preset = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise PcodecError.of(path, "not YAML", error) from None
    if not isinstance(preset, dict):
        raise PcodecError(f"{path}: expected a section for each notebook, found {preset!r}")
    if "grid" not in preset:
        raise PcodecError(f"{path}: no section 'grid' with {', '.join(grid.GRID)}")
    for notebook, values in preset.items():
        if notebook == "grid":
            _check(values, grid.GRID, f"{path}: grid")
            preset[notebook] = grid.OPTIONAL | values
            grid.check(preset[notebook], f"{path}: grid")
            continue
        if notebook == "resources":
            _check_resources(values, f"{path}: resources")
            continue
        if not isinstance(notebook, str) or not paths.notebook(notebook).exists():
            raise PcodecError(f"{path}: no notebook {notebook!r}")
        _check(values, parameters(paths.notebook(notebook)), f"{path}: {notebook}")
    return preset


def resources(preset: dict, word: str) -> dict[str, int]:
    """What the notebook `word` needs in a loaded preset: `RESOURCES` by name, those that are zero left out."""
    of = preset.get("resources", {})
    wanted = RESOURCES | of.get("default", {}) | of.get(word, {})
    return {name: value for name, value in wanted.items() if value}


def parameters(notebook: Path) -> dict:
    """Names and default values of the parameters cell of a notebook file, in its order."""
    try:
        cells = json.loads(Path(notebook).read_text())["cells"]
    except FileNotFoundError:
        raise PcodecError(f"{notebook}: no such notebook") from None
    except (ValueError, KeyError, TypeError):
        raise PcodecError(f"{notebook}: not a notebook") from None
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise PcodecError(f"{notebook}: {len(tagged)} cells are tagged 'parameters', expected one")
    assignments = [node for node in ast.parse("".join(tagged[0]["source"])).body if isinstance(node, ast.Assign)]
    return {node.targets[0].id: ast.literal_eval(node.value) for node in assignments}


def check(notebook: Path, values: dict) -> None:
    """Raise `PcodecError` unless each of `values` is a parameter of `notebook` and has its default's type."""
    _check(values, parameters(notebook), str(notebook))


def read(notebook: Path, texts: dict[str, str]) -> dict:
    """Values given as text, each read as what the parameter's default is: text stays text, all else is JSON.

    What does not read as that is left as it is, for `check` to refuse.
    """
    known = parameters(notebook)
    values = dict(texts)
    for name, text in texts.items():
        if not isinstance(known.get(name), str):
            with contextlib.suppress(ValueError):
                values[name] = json.loads(text)
    return values


def word(notebook: str) -> str:
    """ "03_bitstream" of "03_bitstream", "notebooks/03_bitstream.ipynb" or any other path of that file."""
    if not notebook.endswith(".ipynb"):
        return notebook
    path = Path(notebook).resolve()
    if path != paths.notebook(path.stem).resolve():
        raise PcodecError(f"{notebook}: not one of the notebooks in {paths.root() / 'notebooks'}")
    return path.stem


def _check(values, known: dict, where: str) -> None:
    if not isinstance(values, dict):
        raise PcodecError(f"{where}: expected names and values, found {values!r}")
    for name, value in values.items():
        if name not in known:
            raise PcodecError(f"{where}: no parameter {name!r}; there are {', '.join(known)}")
        default = known[name]
        number_for_float = isinstance(default, float) and type(value) is int
        if type(value) is not type(default) and not number_for_float:
            raise PcodecError(f"{where}: {name} must be {type(default).__name__}, got {value!r}")


def _check_resources(values, where):
    if not isinstance(values, dict):
        raise PcodecError(f"{where}: expected notebooks and what they need, found {values!r}")
    for notebook, of in values.items():
        if notebook != "default" and not paths.notebook(str(notebook)).exists():
            raise PcodecError(f"{where}: no notebook {notebook!r}")
        _check(of, RESOURCES, f"{where}: {notebook}")
        for name, value in of.items():
            if value < (name != "gpu"):
                raise PcodecError(f"{where}: {notebook}: {name} must be positive, got {value}")


def _folder() -> Path:
    return paths.root() / "workflow" / "presets"
