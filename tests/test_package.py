"""What a stranger meets first: an instant import, dependencies with reasons, README's own example."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pcodec import cli
from pcodec.speech import audio

ROOT = Path(__file__).parents[1]


def test_import_is_light():
    code = "import sys, pcodec; print(sorted({'torch', 'numba', 'numpy', 'pandas', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_dependency_says_why():
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.M | re.S)[1].splitlines()
    assert len(listed) >= 20
    assert all(re.match(r'    "[\w-]+",\s+# \S', line) for line in listed)


def test_every_dependency_has_one_measured_version():
    text = (ROOT / "pyproject.toml").read_text().lower().split("[project.scripts]")[0]
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text().lower(), re.M)
    assert len(pinned) == len(set(pinned))
    assert set(re.findall(r'^    "([\w-]+)",', text, re.M)) == set(pinned)


@pytest.fixture
def talk(tmp_path, speech, monkeypatch):
    monkeypatch.chdir(tmp_path)
    audio.write("talk.wav", speech[:8000])
    return tmp_path


def test_readmes_python_runs_as_it_stands(talk):
    block = re.search(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)[1]
    assert sum(bool(line) for line in block.splitlines()) == 4
    exec(block, {})
    assert len(audio.read("out.wav")) == 8000


def test_readmes_commands_run_as_they_stand(talk, capsys):
    commands = re.findall(r"^\.venv/bin/pcodec (.*?) +#", (ROOT / "README.md").read_text(), re.M)
    assert len(commands) == 3
    for command in commands:
        assert cli.main(command.split()) == 0
    assert "1600 b/s; group" in capsys.readouterr().out
    assert {path.name for path in talk.iterdir()} == {"talk.wav", "talk.plpc", "out.wav", "both.wav"}
