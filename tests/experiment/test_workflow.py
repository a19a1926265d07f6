"""The whole chain through Snakemake, in a copy of the project, on a tiny preset."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
TINY = """
grid: {seed: 1, units: [16], C: [2], study: 16}
01_corpus:
  {personal_speakers: 2, train_speakers: 6, validation_speakers: 2, test_speakers: 2, speaker_seconds: 14}
03_bitstream: {max_frames: 6000}
04_embedding: {updates: 10}
06_training: {general_updates: 3, extra_updates: 2, batch: 4, evaluations: 1, unseen_seconds: 1}
08_synthesis: {utterances: 1}
12_personalization: {updates: 2, adaptation_minutes: [0.05], test_utterances: 1}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "notebooks", home / "notebooks", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(ROOT / "workflow", home / "workflow", ignore=shutil.ignore_patterns(".*"))
    if (ROOT / "cache").exists():
        (home / "cache").symlink_to(ROOT / "cache")  # generated voices and features
    (home / "workflow" / "presets" / "tiny.yaml").write_text(TINY)
    return home


def reproduce(home, *options):
    return subprocess.run(
        [sys.executable, "-m", "pcodec", "reproduce", "--preset", "tiny", "--cores", "2", *options],
        env=os.environ | {"PCODEC_HOME": str(home)}, capture_output=True, text=True,
    )  # fmt: skip


def state(home):
    return {path: path.stat().st_mtime_ns for folder in ("results", "figures") for path in (home / folder).rglob("*.*")}


@pytest.fixture(scope="module")
def first(home):
    done = reproduce(home)
    assert done.returncode == 0, done.stderr[-3000:]
    return state(home)


def test_every_step_leaves_figures_and_labelled_tables(home, first):
    figures = {path.name for path in (home / "figures" / "tiny-demo").iterdir()}
    for name in ("embedding", "groups-C2", "validation_loss", "spectrograms", "objective", "features"):
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
        name: pd.read_csv(results / f"training-16-{name}.csv")["update"].max()
        for name in ("0-0", "1-0", "2-0", "2-1", "1-0-scratch", "2-1-scratch")
    }
    assert last.pop("0-0") == 3
    assert set(last.values()) == {5}, "control and specialists have had the same updates"
    corpus = pd.read_csv(results / "corpus.csv")
    train = set(corpus[corpus.split == "train"].speaker)
    losses = pd.read_csv(results / "training-16-2-1.csv")
    assert not train & set(losses.speaker)
    assert not train & set(pd.read_csv(results / "decoded.csv").speaker)


def test_a_second_run_does_nothing(home, first):
    done = reproduce(home)
    assert done.returncode == 0 and state(home) == first


def test_published_weights_are_not_trained_again(home, first):
    command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--dry-run", "--forceall"]
    command += ["--cores", "1", "--nolock", "--config", "preset=tiny", "corpus=demo"]
    environment = os.environ | {"PCODEC_HOME": str(home)}
    rules = {}
    for published in (False, True):
        card = home / "models" / "tiny-demo" / "README.md"
        if published:
            card.touch()
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
        card.unlink(missing_ok=True)
        assert done.returncode == 0, done.stderr[-3000:]
        rules[published] = set(re.findall(r"^rule (\w+):", done.stdout + done.stderr, re.M))
    card.touch()
    table = home / "results" / "tiny-demo" / "training-16-2-1.csv"
    table.rename(table.with_suffix(".away"))
    done = reproduce(home)
    table.with_suffix(".away").rename(table)
    card.unlink()
    assert done.returncode != 0
    assert "training-16-2-1.csv: missing; restore it, or delete models/tiny-demo" in done.stderr.splitlines()[-1]
    assert rules[False] - rules[True] == {"bitstream", "embedding", "groups", "training", "personalization"}
    assert {"corpus", "validation_loss", "synthesis", "objective", "mushra", "complexity", "index"} <= rules[True]


def test_a_changed_notebook_reruns_with_what_depends_on_it_and_a_failure_comes_last(home, first):
    path = home / "notebooks" / "08_synthesis.ipynb"
    original = path.read_text()
    path.write_text(original.replace("# 8. From features", "# 8. Again from features"))
    assert reproduce(home).returncode == 0
    after = state(home)
    rerun = {path.name for path in first if after[path] != first[path]}
    assert {"08_synthesis.ipynb", "decoded.csv", "09_objective.ipynb", "objective.csv"} <= rerun
    assert not {"06_training-16-0-0.ipynb", "04_embedding.ipynb", "07_validation_loss.ipynb"} & rerun

    broken = json.loads(path.read_text())
    broken["cells"][-1]["source"] = ["raise ValueError('planted')"]
    path.write_text(json.dumps(broken))
    done = reproduce(home)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    number = len(broken["cells"])
    assert last == f"pcodec: error: 08_synthesis.ipynb, cell {number}: ValueError: planted"
    assert not (home / "results" / "tiny-demo" / "decoded.csv").exists(), "a failed notebook leaves no table"


def test_a_general_decoder_continues_from_a_file(home, first, tmp_path):
    other = tmp_path / "project"
    shutil.copytree(home, other, symlinks=True)
    decoder = "models/tiny-demo/lpcnet-16-0-0.safetensors"

    def train(*options):
        command = [sys.executable, "-m", "pcodec", "run", "06_training", "--preset", "tiny", "-p", "first", decoder]
        environment = os.environ | {"PCODEC_HOME": str(other)}
        done = subprocess.run([*command, *options], cwd=other, env=environment, capture_output=True, text=True)
        return done, pd.read_csv(other / "results" / "tiny-demo" / "training-16-0-0.csv")

    before = pd.read_csv(home / "results" / "tiny-demo" / "training-16-0-0.csv")
    done, judged = train("-p", "units", "16", "-p", "general_updates", "3")
    assert done.returncode == 0, done.stderr[-3000:]
    last, again = (table[table.split != "curve"].nats.to_numpy() for table in (before, judged))
    assert last == pytest.approx(again, abs=1e-6), "no update is left to do: the decoder is judged as it is"
    done, longer = train("-p", "units", "16", "-p", "general_updates", "5")
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(longer["update"].unique()) == [3, 5]
    done, _ = train("-p", "units", "32")
    assert done.returncode != 0
    assert f"{decoder}: 16 units, expected 32" in done.stderr.splitlines()[-1]
    corpus = other / "results" / "tiny-demo" / "corpus.csv"
    table = pd.read_csv(corpus)
    heard = table.speaker[table.split == "train"].iloc[0]
    table.assign(split=table.split.where(table.speaker != heard, "test")).to_csv(corpus, index=False)
    done, _ = train("-p", "units", "16", "-p", "general_updates", "5")
    assert done.returncode != 0
    assert f"{decoder}: has heard speaker {heard}, who is to be unseen here" in done.stderr.splitlines()[-1]
