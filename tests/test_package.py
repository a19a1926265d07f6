"""The package imports at once; README, workflow and dependencies say what is so."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_import_is_light():
    code = "import sys, pcodec; print(sorted({'torch', 'numba', 'numpy', 'pandas', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_readme_figures_are_made_by_the_workflow():
    snakefile = "".join(path.read_text() for path in (ROOT / "workflow").glob("*") if path.is_file())
    rows = re.findall(r"^\| `([\w-]+)` \| \[(\w+)\]\(notebooks/(\w+)\.ipynb\)", (ROOT / "README.md").read_text(), re.M)
    assert len(rows) >= 8
    for figure, word, path in rows:
        assert word == path and (ROOT / "notebooks" / f"{word}.ipynb").exists(), word
        name = re.sub(r"-C[0-9]$", "-C{C}", figure).replace("SIMULATED_", "{PANEL}")
        assert f'"{name}"' in snakefile, figure


def test_every_dependency_says_why():
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.M | re.S)[1].splitlines()
    assert len(listed) >= 20
    assert all(re.match(r'    "[\w-]+",\s+# \S', line) for line in listed)
