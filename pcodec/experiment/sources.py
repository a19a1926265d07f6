"""Which files of the package a notebook runs.

Task: a change of a module makes the results of every notebook stale that imports it, however deep. The workflow asks
here instead of listing modules by hand.

Conventions: an import counts wherever it stands, in a function too; with a module counts the `__init__` of its rooms.
Found by reading, nothing is imported: a module whose name is only known at run time is not found.

Contents: `of`.
"""

import ast
import functools
import json
from importlib.util import resolve_name
from pathlib import Path

from pcodec import PcodecError

PACKAGE = Path(__file__).parents[1]


def of(notebook: Path, without: str | None = None, package: Path = PACKAGE) -> list[Path]:
    """Files of `package` that the code of a notebook file runs, sorted; what only the room `without` needs is left out.

    Raises `PcodecError` naming the cell where the notebook is not Python.
    """
    left_out = f"{package.name}.{without}"
    found, waiting = set(), _of_notebook(Path(notebook), package)
    while waiting:
        module = waiting.pop()
        if module not in found and module != left_out and not module.startswith(f"{left_out}."):
            found.add(module)
            waiting |= _of_module(module, package)
    return sorted(_file(module, package) for module in found)


def _of_notebook(notebook: Path, package: Path) -> set[str]:
    modules = set()
    for number, cell in enumerate(json.loads(notebook.read_text())["cells"], 1):
        if cell["cell_type"] == "code":
            try:
                modules |= _imported(_plain("".join(cell["source"])), "", package)
            except SyntaxError as error:
                raise PcodecError(f"{notebook.name}, cell {number}: SyntaxError: {error.msg}") from None
    return modules


def _plain(code: str) -> str:
    """A cell's code without IPython's own commands, such as %time."""
    try:
        ast.parse(code)
        return code
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        return TransformerManager().transform_cell(code)


@functools.cache
def _of_module(module: str, package: Path) -> set[str]:
    """Modules that a module names."""
    file = _file(module, package)
    room = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        return _imported(file.read_text(), room, package)
    except SyntaxError as error:
        raise PcodecError(f"{file}: line {error.lineno}: {error.msg}") from None


def _imported(code: str, room: str, package: Path) -> set[str]:
    """Modules of `package`, and the rooms they are in, that code in `room` names."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), room)
            names |= {module, *(f"{module}.{name.name}" for name in node.names)}  # a name may be a module
    parts = (name.split(".") for name in names if name.split(".")[0] == package.name)
    rooms = {".".join(part[:length]) for part in parts for length in range(1, len(part) + 1)}
    return {module for module in rooms if _file(module, package)}


@functools.cache
def _file(module: str, package: Path) -> Path | None:
    path = package.parent.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_name(f"{path.name}.py")) if file.exists()), None)
