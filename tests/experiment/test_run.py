"""A notebook run with parameters leaves copy, table and figure with their provenance, or one line that says what is
wrong; whoever waits hears where it is; whoever ends it ends its kernel."""

import base64
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from patience import wait
from PIL import Image

from pcodec import PcodecError, cli, paths
from pcodec.experiment import presets, progress, run

IMAGE = """
import numpy as np
from PIL import Image
Image.fromarray((np.random.default_rng(1).integers(0, 256, (99, 99, 1)) * [1, 0.5, 0.1]).astype(np.uint8))
"""
WARNINGS = """
import sys
print(os.getcwd() + "/x.py: a warning")
print(sys.prefix + "/y.py: another", file=sys.stderr)
"""
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def cell(source, *tags):
    return {"cell_type": "code", "id": f"c{abs(hash(source))}", "metadata": {"tags": list(tags)},
            "execution_count": None, "outputs": [], "source": source}  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project with a notebook that can be told to fail, and that shows a player."""
    monkeypatch.setenv("PCODEC_HOME", str(tmp_path))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    cells = [
        cell('preset = "smoke"\ncorpus = "demo"\nseed = 1\nfail = ""', "parameters"),
        cell('from pcodec.experiment.run import Run\nimport os, pandas as pd\nrun = Run("01_x", globals())'),
        cell('if fail: raise (ValueError if fail == "value" else __import__("pcodec").PcodecError)(fail + " broke")'),
        cell("from IPython.display import Audio\nAudio([0.0, 0.5] * 8000, rate=16000)"),
        cell(IMAGE),
        cell(WARNINGS),
        cell('run.write(pd.DataFrame({"threads": [os.environ["OMP_NUM_THREADS"]]}), "x")'),
    ]
    notebook = {"cells": cells, "metadata": {"kernelspec": {"name": "python3", "display_name": "p"}},
                "nbformat": 4, "nbformat_minor": 5}  # fmt: skip
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_x.ipynb").write_text(json.dumps(notebook))
    return tmp_path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_sources_are_clean_lessons(path):
    content = json.loads(path.read_text())
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    assert list(presets.parameters(path))[:3] == list(run.COMMON)
    first = content["cells"][0]
    assert first["cell_type"] == "markdown" and first["source"][0].startswith(f"# {int(path.stem[:2])}. ")
    tagged = next(cell for cell in code if "parameters" in cell["metadata"].get("tags", []))
    assert all("  # " in line for line in tagged["source"]), "every parameter says what it is"
    assert f'Run("{path.stem}", globals())' in "".join("".join(cell["source"]) for cell in code)


def test_a_run_leaves_copy_table_and_provenance(home):
    output = paths.results("smoke-demo") / "01_x.ipynb"
    run.run(paths.notebook("01_x"), output, {"seed": 7}, threads=1)
    table = pd.read_csv(paths.results("smoke-demo") / "x.csv", keep_default_na=False)
    row = table.iloc[0]
    assert (row.threads, row.preset, row.speech, row.seed) == (1, "smoke", "generated voices", 7)
    assert row.notebook == "01_x" and json.loads(row.parameters) == {"fail": ""}
    assert {path.name for path in output.parent.iterdir()} == {"01_x.ipynb", "x.csv"}
    copy = output.read_text()
    assert all(f"{folder}/" not in copy for folder in (home, sys.prefix)), "it names no folder of this machine"
    assert '"x.py: a warning' in copy and '"y.py: another' in copy
    assert "a player" in output.read_text() and "<audio" not in output.read_text(), "and holds nobody's speech"
    (image,) = [data["image/png"] for part in json.loads(output.read_text())["cells"] for out in part["outputs"]
                if "image/png" in (data := out.get("data", {}))]  # fmt: skip
    with Image.open(io.BytesIO(base64.b64decode(image))) as found:
        shades = np.random.default_rng(1).integers(0, 256, (99, 99, 1)) * [1, 0.5, 0.1]
        assert found.mode == "P" and np.abs(np.asarray(found.convert("RGB")) - shades).max() < 4, "small, and the same"
    run.index("smoke-demo")
    readme = (output.parent / "README.md").read_text()
    assert '| x.csv | 1 | 01_x | generated voices | 7 | `{"fail": ""}` |' in readme


@pytest.mark.parametrize(("fail", "kind"), [("value", "ValueError"), ("user", "PcodecError")])
def test_a_failure_names_cell_and_error_and_leaves_nothing(home, fail, kind, capsys):
    output = paths.results("smoke-demo") / "01_x.ipynb"
    with pytest.raises(PcodecError, match=f"01_x.ipynb, cell 3: {kind}: {fail} broke"):
        run.run(paths.notebook("01_x"), output, {"fail": fail})
    assert list(output.parent.iterdir()) == []
    assert ("Traceback" in capsys.readouterr().err) == (fail == "value"), "a user's mistake needs no traceback"


def slow(home, code):
    """The notebook "02_slow" under a heading; `code` is its last cell."""
    notebook = json.loads((home / "notebooks" / "01_x.ipynb").read_text())
    heading = {"cell_type": "markdown", "id": "h", "metadata": {}, "source": "## Waiting"}
    notebook["cells"] = [notebook["cells"][0], heading, cell("import sys, time"), cell(code)]
    (home / "notebooks" / "02_slow.ipynb").write_text(json.dumps(notebook))
    return paths.notebook("02_slow")


def test_a_silent_notebook_is_heard_of(home, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS", 0.1)
    run.run(slow(home, "time.sleep(2)"), home / "a.ipynb", {"seed": 2})
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("a: starting: ") and re.fullmatch(r"a: \d+ s", said[-1])
    assert any(re.fullmatch(r"a: cell 4, Waiting: \d s", line) for line in said), said
    run.run(
        slow(home, "# Counting\ntime.sleep(1)\nprint('1 of 2', file=sys.stderr)\ntime.sleep(1)"), home / "a.ipynb", {}
    )
    said = capsys.readouterr().err
    assert re.search(r"^a: cell 4, Counting: \d s$", said, re.M) and re.search(r"^a: 1 of 2$", said, re.M)


def test_what_a_notebook_leaves_out_is_told_where_it_was_started(home, capsys):
    told = "from pcodec import note\nnote('no ruler')\nprint('measured', file=sys.stderr)"
    run.run(slow(home, told), home / "a.ipynb", {})
    assert "a: note: no ruler\n" in capsys.readouterr().err


def test_a_kernel_that_dies_is_one_line(home):
    with pytest.raises(PcodecError, match=r"02_slow\.ipynb, cell 4, Waiting: kernel: Kernel died"):
        run.run(slow(home, "import os\nos._exit(3)"), home / "a.ipynb", {})
    assert not (home / "a.ipynb").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_kernel_ends_with_its_run(home, number):
    def here():
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                found += [process] if process.environ().get("PCODEC_HOME") == str(home) else []
        return found

    (home / "workflow" / "presets").mkdir(parents=True)
    (home / "workflow" / "presets" / "smoke.yaml").write_text("grid: {seed: 1, units: [16], C: [2]}")
    slow(home, "open('begun', 'w').close()\ntime.sleep(60)")
    process = subprocess.Popen([sys.executable, "-m", "pcodec", "run", "02_slow"], cwd=home)
    wait(60, (home / "begun").exists)
    assert len(here()) >= 2
    process.send_signal(number)
    process.wait()
    wait(10, lambda: not here())
    assert not here() and not list(home.rglob("02_slow.ipynb"))[1:]


def test_weights_trained_again_stand_where_a_codec_looks_for_them(home):
    for name in ("a-control", "a-control-repeat1", "a-control-repeat10", "codebooks", "groups-C2"):
        (paths.models("smoke-demo") / f"{name}.npz").write_text(name)
    here = run.Run("01_x", {"preset": "smoke", "corpus": "demo", "seed": 1, "fail": ""})
    for _ in range(2):
        found = {path.name: path.read_text() for path in here.trained_again(1).glob("*")}
        assert found == {
            "a-control.npz": "a-control-repeat1",
            "codebooks.npz": "codebooks",
            "groups-C2.npz": "groups-C2",
        }


def test_unknown_parameters_are_refused(home):
    with pytest.raises(PcodecError, match=r"01_x\.ipynb: no parameter 'sed'; there are preset, corpus, seed, fail"):
        run.run(paths.notebook("01_x"), home / "out.ipynb", {"sed": 1})
    with pytest.raises(PcodecError, match="seed must be int, got 'one'"):
        run.run(paths.notebook("01_x"), home / "out.ipynb", {"seed": "one"})
    assert not (home / "out.ipynb").exists()


def test_reading_before_writing_says_what_to_do(home):
    here = run.Run("01_x", {"preset": "smoke", "corpus": "demo", "seed": 1, "fail": ""})
    with pytest.raises(PcodecError, match=r"nothing\.csv: missing; run the notebook that writes it"):
        here.read("nothing")


def test_no_column_is_written_over(home):
    here = run.Run("01_x", {"preset": "smoke", "corpus": "demo", "seed": 1, "fail": ""})
    with pytest.raises(PcodecError, match="table y: column speech would be written over"):
        here.write(pd.DataFrame({"speech": ["2 minutes"]}), "y")


def test_command_line_errors_are_one_line(capsys):
    for arguments, message in [
        (["run", "01_corpus", "-p", "speed", "3"], "no parameter 'speed'"),
        (["run", "99_none"], "99_none.ipynb: no such notebook"),
        (["run", "01_corpus", "--preset", "huge"], "no preset 'huge'"),
        (["reproduce", "--corpus", "no/such/folder"], "no corpus folder no/such/folder"),
        (["reproduce", "--preset", "huge"], "no preset 'huge'"),
        (["reproduce", "--minutes", "-1"], "minutes must be 0 (no limit) or more, got -1"),
        (["reproduce", "--profile", "no/such"], "profile no/such: no file config.yaml"),
    ]:
        assert cli.main(arguments) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("pcodec: error: ") and message in lines[0]


def test_module_entry_point():
    done = subprocess.run([sys.executable, "-m", "pcodec", "run", "99_none"], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
