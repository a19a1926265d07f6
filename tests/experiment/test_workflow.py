"""The whole chain through Snakemake, in a copy of the project, on a tiny preset: killed, ended, refused, completed,
repeated and changed, each with what it promises."""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from patience import wait

ROOT = Path(__file__).parents[2]
TINY = """
grid:
  {seed: 1, units: [16], C: [2], study: 16, framewise: [tiny], framewise_study: tiny, soundstream: [tiny],
   soundstream_C: [2], personal: [lpcnet-16]}
01_corpus:
  {personal_speakers: 2, train_speakers: 6, validation_speakers: 2, test_speakers: 2, training_seconds: 9,
   personal_seconds: 27, unseen_seconds: 9}
03_bitstream: {max_frames: 4800}
04_embedding: {updates: 3, speeds: []}
05_groups: {seeds: 2}
06_training:
  {general_updates: 3, extra_updates: 2, batch: 4, evaluations: 1, evaluation_seconds: 0.04, unseen_seconds: 0.2,
   precision: float32}
08_synthesis: {utterances: 1, validation_utterances: 1}
12_personalization: {updates: 1, adaptation_minutes: [0.05], test_utterances: 1, measures: [STOI]}
13_framewise_training: {spectral_updates: 2, critic_updates: 2, batch: 4, frames: 4, critic_frames: 8, evaluations: 1}
14_framewise_synthesis: {lossy: 1}
15_soundstream_training: {unquantized: 1, spectral_updates: 2, critic_updates: 1, extra_updates: 1, evaluations: 1}
16_soundstream: {rates: [0.8, 1.6], lossy: 1}
17_denoising: {snrs: [5], utterances: 1, measures: [STOI]}
24_framewise_parts:
  {updates: [1], critic_updates: 1, critics_ahead: 1, batch: 2, frames: 2, utterances: 1, measures: [STOI]}
resources: {default: {threads: 1}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "notebooks", home / "notebooks", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(ROOT / "workflow", home / "workflow", ignore=shutil.ignore_patterns(".*"))
    (home / "cache").mkdir()
    for path in (ROOT / "cache").glob("*-v*"):  # generated voices and features
        (home / "cache" / path.name).symlink_to(path)
    (home / "workflow" / "presets" / "tiny.yaml").write_text(TINY)
    return home


def command(home):
    """Of a run with two cores, for subprocess."""
    environment = os.environ | {"PCODEC_HOME": str(home)}
    if noise := os.environ.get("PCODEC_NOISE"):
        environment["PCODEC_NOISE"] = str((ROOT / noise).resolve())
    return {
        "args": [sys.executable, "-m", "pcodec", "reproduce", "--preset", "tiny", "--cores", "2"],
        "env": environment, "text": True, "preexec_fn": _prepare,
    }  # fmt: skip


def _prepare():
    """It ends with the tests, and heeds a closed terminal, also where they were started with nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def started(home):
    return subprocess.Popen(**command(home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def reproduce(home):
    return subprocess.run(**command(home), capture_output=True)


def state(home):
    return {path: path.stat().st_mtime_ns for folder in ("results", "figures") for path in (home / folder).rglob("*.*")}


def processes(home):
    """Command lines of all that runs for this project."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PCODEC_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def interrupted(home):
    """What became of runs that were ended while notebooks ran, and of a rival of one; by the signal's name."""
    found = {}
    for number, kernels in ((signal.SIGKILL, 1), (signal.SIGTERM, 2), (signal.SIGHUP, 1)):
        process = started(home)
        assert wait(120, lambda n=kernels: sum("experiment.warm kernel" in line for line in processes(home)) >= n)
        found["rival"] = (process.pid, reproduce(home)) if number == signal.SIGKILL else found["rival"]
        time.sleep(1)
        process.send_signal(number)
        process.communicate()
        gone = wait(10, lambda: not processes(home))
        found[number.name] = (process.returncode, gone, list(home.rglob(".????????-*")))
    short = command(home)
    short["args"] = [*short["args"], "--trainings", "--minutes", "0.15"]
    done = subprocess.run(**short, capture_output=True)
    gone = wait(10, lambda: not processes(home))
    found["minutes"] = (done.returncode, gone, list(home.rglob(".????????-*")))
    found["told"] = done.stdout
    return found


@pytest.fixture(scope="module")
def first(home, interrupted):
    """The run, completed."""
    begun = time.monotonic()
    process = started(home)
    silence, last, told = 0.0, begun, []
    for line in process.stderr:
        silence, last = max(silence, time.monotonic() - last), time.monotonic()
        told.append(line)
    assert process.wait() == 0, "".join(told)[-3000:]
    return {"state": state(home), "silence": silence, "told": told}


@pytest.mark.parametrize(("number", "status"), [("SIGKILL", -9), ("SIGTERM", 143), ("SIGHUP", 129), ("minutes", 0)])
def test_whatever_a_run_has_started_ends_with_it(interrupted, number, status):
    assert interrupted[number] == (status, True, []), "no process, nothing half-written"


def test_minutes_that_are_over_are_told(interrupted):
    assert interrupted["told"] == "0.15 minutes are over; the same command goes on\n"


def test_a_second_run_on_the_same_folders_is_refused_in_one_line(interrupted):
    pid, rival = interrupted["rival"]
    (line,) = rival.stderr.splitlines()
    assert re.fullmatch(
        rf"pcodec: error: results/tiny-demo is being made already, by process {pid} since [\d-]{{10}} [\d:]{{8}}", line
    )
    assert rival.returncode != 0 and not rival.stdout


def test_silence_is_short(first):
    assert first["silence"] < 15, "10 s, and what a busy machine adds"
    assert any(re.match(r"\d\d_\w+.*: (cell \d+, .*: )?\d+ s$", line) for line in first["told"])


def test_every_step_leaves_figures_and_labelled_tables(home, first):
    figures = {path.name for path in (home / "figures" / "tiny-demo").iterdir()}
    made = ["embedding", "groups-C2", "validation_loss", "spectrograms", "objective", "features", "soundstream_codes"]
    made.append("framewise_parts_paired")
    for name in [*made, *(["denoising"] if os.environ.get("PCODEC_NOISE") else [])]:
        assert {f"{name}.png", f"{name}.pdf"} <= figures
    tables = sorted((home / "results" / "tiny-demo").glob("*.csv"))
    assert not len(pd.read_csv(tables.pop([path.stem for path in tables].index("corpus_left_out"))))
    assert len(tables) >= 15
    for path in tables:
        table = pd.read_csv(path)
        assert len(table) and (table.speech == "generated voices").all() and (table.preset == "tiny").all(), path
        json.loads(table.parameters[0])
    assert all(path.name in (home / "results" / "tiny-demo" / "README.md").read_text() for path in tables)
    assert not [path for path in (home / "results").rglob(".*")], "no temporary file stays"


def test_the_comparison_is_fair_and_on_unseen_speakers(home, first):
    results = home / "results" / "tiny-demo"
    last = {
        name: pd.read_csv(results / f"training-lpcnet-16-{name}.csv")["update"].max()
        for name in ("general", "control", "C2-g0", "C2-g1", "control-scratch", "C2-g1-scratch")
    }
    assert last.pop("general") == 3
    assert set(last.values()) == {5}, "control and specialists have had the same updates"
    corpus = pd.read_csv(results / "corpus.csv")
    train = set(corpus[corpus.split == "train"].speaker)
    losses = pd.read_csv(results / "training-lpcnet-16-C2-g1.csv")
    assert not train & set(losses.speaker)
    assert not train & set(pd.read_csv(results / "decoded.csv").speaker)


def test_a_second_run_does_nothing(home, first):
    done = reproduce(home)
    assert done.returncode == 0 and state(home) == first["state"]


def test_what_was_deleted_is_made_again_and_nothing_else(home, first):
    gone = home / "figures" / "tiny-demo" / "lpc_envelope.pdf"
    gone.unlink()
    assert reproduce(home).returncode == 0
    remade = {path for path, when in state(home).items() if first["state"].get(path) != when}
    assert gone in remade and "08_synthesis.ipynb" not in {path.name for path in remade}


def test_published_weights_are_not_trained_again(home, first):
    command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--dry-run", "--forceall"]
    command += ["--cores", "1", "--nolock", "--config", "preset=tiny", "corpus=demo"]
    environment = os.environ | {"PCODEC_HOME": str(home)}
    inputs = {}
    for published in (False, True):
        card = home / "models" / "tiny-demo" / "README.md"
        if published:
            card.touch()
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
        card.unlink(missing_ok=True)
        assert done.returncode == 0, done.stderr[-3000:]
        inputs[published] = dict(re.findall(r"^rule (\w+):\n    input: (.*)", done.stdout + done.stderr, re.M))
    card.touch()
    table = home / "results" / "tiny-demo" / "training-lpcnet-16-C2-g1.csv"
    table.rename(table.with_suffix(".away"))
    done = reproduce(home)
    table.with_suffix(".away").rename(table)
    card.unlink()
    assert done.returncode != 0
    assert f"{table.name}: missing; restore it, or delete models/tiny-demo" in done.stderr.splitlines()[-1]
    learn = {"bitstream", "embedding", "groups", "training", "personalization"}
    learn |= {"framewise_training", "framewise_parts", "soundstream_training"}
    assert inputs[False].keys() - inputs[True].keys() == learn
    measure = {
        "validation_loss",
        "synthesis",
        "framewise_synthesis",
        "soundstream",
        "objective",
        "mushra",
        "complexity",
        "comparison",
    }
    measure |= {"denoising"} if os.environ.get("PCODEC_NOISE") else set()
    assert measure | {"corpus", "index"} <= inputs[True].keys()
    assert all("bitstream/quantizer.py" in inputs[True][rule] for rule in ("synthesis", "objective"))
    assert {rule for rule, files in inputs[False].items() if "pcodec/plots" in files} == measure | {"features"}


def test_a_changed_notebook_reruns_with_what_depends_on_it_and_a_failure_comes_last(home, first):
    path = home / "notebooks" / "09_objective.ipynb"
    path.write_text(path.read_text().replace("# 9. Objective", "# 9. Again, objective"))
    broken = home / "notebooks" / "11_complexity.ipynb"  # reads what 09 writes
    original = broken.read_text()
    content = json.loads(original)
    last_code = max(number for number, cell in enumerate(content["cells"]) if cell["cell_type"] == "code")
    content["cells"][last_code]["source"] = ["raise ValueError('planted')"]
    broken.write_text(json.dumps(content))
    done = reproduce(home)
    broken.write_text(original)
    after = state(home)
    rerun = {path.name for path, written in first["state"].items() if after.get(path) != written}
    assert {"09_objective.ipynb", "objective.csv", "objective.png", "11_complexity.ipynb", "complexity.csv"} <= rerun
    assert not {"06_training-lpcnet-16-general.ipynb", "07_validation_loss.ipynb", "08_synthesis.ipynb"} & rerun
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"pcodec: error: 11_complexity.ipynb, cell {last_code + 1}: ValueError: planted"
    assert not (home / "results" / "tiny-demo" / "complexity.csv").exists(), "a failed notebook leaves no table"


def test_a_general_decoder_continues_from_a_file(home, first, tmp_path):
    other = tmp_path / "project"
    shutil.copytree(home, other, symlinks=True, ignore=shutil.ignore_patterns("locks", ".snakemake"))
    decoder = "models/tiny-demo/lpcnet-16-general.safetensors"

    def train(*options):
        command = [sys.executable, "-m", "pcodec", "run", "06_training", "--preset", "tiny", "-p", "first", decoder]
        environment = os.environ | {"PCODEC_HOME": str(other)}
        done = subprocess.run([*command, *options], cwd=other, env=environment, capture_output=True, text=True)
        return done, pd.read_csv(other / "results" / "tiny-demo" / "training-lpcnet-16-general.csv")

    before = pd.read_csv(home / "results" / "tiny-demo" / "training-lpcnet-16-general.csv")
    done, judged = train("-p", "units", "16", "-p", "general_updates", "3")
    assert done.returncode == 0, done.stderr[-3000:]
    last, again = (table[table.split != "curve"].nats.to_numpy() for table in (before, judged))
    assert last == pytest.approx(again, abs=1e-6), "no update is left to do: the decoder is judged as it is"
    done, longer = train("-p", "units", "16", "-p", "general_updates", "5")
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(longer["update"].unique()) == [3, 4, 5], "one more evaluation for every update"
    done, _ = train("-p", "units", "32")
    assert done.returncode != 0
    assert f"{decoder}: lpcnet of size 16, expected 32" in done.stderr.splitlines()[-1]
    corpus = other / "results" / "tiny-demo" / "corpus.csv"
    table = pd.read_csv(corpus)
    heard = table.speaker[table.split == "train"].iloc[0]
    table.assign(split=table.split.where(table.speaker != heard, "test")).to_csv(corpus, index=False)
    done, _ = train("-p", "units", "16", "-p", "general_updates", "5")
    assert done.returncode != 0
    assert f"{decoder}: has heard speaker {heard}, who is to be unseen here" in done.stderr.splitlines()[-1]
