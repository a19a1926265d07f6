"""Rooms import only rooms below them, no family another: pyproject's contract is kept, and would be heard if not."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint(folder):
    if not importlib.util.find_spec("importlinter"):
        pytest.skip("import-linter is not installed")
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_contract_is_kept():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("features/cepstrum.py", "from pcodec.lpcnet import config", "features is not allowed to import pcodec.lpcnet"),
        ("speech/audio.py", "def late():\n    import pcodec.evaluation.metrics", "speech is not allowed to import"),
        ("attic.py", "", "pcodec.attic"),
    ],
)
def test_a_broken_arrow_is_heard(tmp_path, file, line, message):
    shutil.copytree(ROOT / "pcodec", tmp_path / "pcodec", ignore=shutil.ignore_patterns("data", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with open(tmp_path / "pcodec" / file, "a") as module:
        module.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1 and message in done.stdout, done.stdout[-3000:]
