"""A preset is what its file says, in the types of the notebooks' parameters; every mistake is named."""

import json

import pytest

from pcodec import PcodecError, paths
from pcodec.experiment import presets, run
from pcodec.experiment.grid import OPTIONAL

GRID = "grid: {seed: 3, units: [16], C: [2]}"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project with one notebook and a folder for presets."""
    monkeypatch.setenv("PCODEC_HOME", str(tmp_path))
    (tmp_path / "workflow" / "presets").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    source = ['preset = "smoke"  # name; of the run\n', "rate = 0.5  # [Hz]\n", "sizes = []  # [] = none, 1 = one\n"]
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    (tmp_path / "notebooks" / "01_x.ipynb").write_text(json.dumps({"cells": [cell]}))
    return tmp_path


def write(home, text):
    (home / "workflow" / "presets" / "mine.yaml").write_text(text)


def test_every_shipped_preset_is_valid():
    assert set(presets.names()) >= {"smoke", "desktop", "paper"}
    for name in presets.names():
        assert presets.load(name)["grid"]["C"] == [2, 4]
    assert presets.load("paper")["grid"]["units"] == presets.load("desktop")["grid"]["units"] == [384, 256]


def test_notebooks_open_in_the_smoke_size():
    """Whoever runs a notebook by hand gets what the smoke preset would give."""
    for word, values in presets.load("smoke").items():
        if word not in ("grid", "resources"):
            known = presets.parameters(paths.notebook(word))
            assert values == {name: known[name] for name in values}, word


def test_parameters_cell_is_read(home):
    assert presets.parameters(paths.notebook("01_x")) == {"preset": "smoke", "rate": 0.5, "sizes": []}


def test_values_of_the_right_type_pass(home):
    write(home, f"{GRID}\n01_x: {{rate: 2, sizes: [1]}}")
    grid = {"seed": 3, "units": [16], "C": [2], **OPTIONAL}
    assert presets.load("mine") == {"grid": grid, "01_x": {"rate": 2, "sizes": [1]}}


def test_a_notebook_needs_what_its_preset_says(home):
    write(home, f"{GRID}\nresources: {{default: {{mem_mb: 500}}, 01_x: {{runtime: 7, gpu: 1}}}}")
    preset = presets.load("mine")
    assert presets.resources(preset, "01_x") == {"mem_mb": 500, "runtime": 7, "gpu": 1, "threads": 16}
    others = {name: presets.RESOURCES[name] for name in ("runtime", "threads")}
    assert presets.resources(preset, "02_y") == {"mem_mb": 500} | others, "no gpu=0"
    write(home, GRID)
    assert presets.resources(presets.load("mine"), "01_x") == {"mem_mb": 4000, "runtime": 60, "threads": 16}


def test_a_notebook_s_own_value_goes_before_the_grid_s(home):
    write(home, "grid: {seed: 3, units: [16], C: [2, 4], repeats: 1}")
    known = home / "notebooks" / "01_x.ipynb"
    known.write_text(known.read_text().replace("sizes = []", "C = [2]"))
    assert run.settings("01_x", "mine", "demo") == {"preset": "mine", "corpus": "demo", "seed": 3, "C": [2, 4]}
    write(home, "grid: {seed: 3, units: [16], C: [2, 4]}\n01_x: {C: [2]}")
    assert run.settings("01_x", "mine", "demo")["C"] == [2]
    assert run.settings("01_x", "mine", "demo", {"C": [4]})["C"] == [4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GRID + "\n01_x: {rat: 1.0}", r"mine\.yaml: 01_x: no parameter 'rat'; there are preset, rate, sizes"),
        (GRID + "\n02_y: {rate: 1.0}", r"mine\.yaml: no notebook '02_y'"),
        (GRID + "\n01_x: {rate: fast}", r"mine\.yaml: 01_x: rate must be float, got 'fast'"),
        (GRID + "\n01_x: {sizes: 3}", r"sizes must be list, got 3"),
        ("grid: {seed: 1, units: [16]}", r"mine\.yaml: grid: C is missing"),
        ("grid: {seed: 1, units: [16], C: [1]}", r"C must list multiples of 1 from 2 up, got 1"),
        ("grid: {seed: 1, units: [40], C: [2]}", r"units must list multiples of 16 from 16 up, got 40"),
        ("grid: {seed: 1, units: [16], C: [2], study: 32}", r"study must be 0 or one of \[16\], got 32"),
        ("grid: {seed: 1, units: [16], C: [2], framewise: [huge]}", r"framewise must list sizes of large.*got 'huge'"),
        ("grid: {seed: 1, units: [16], C: [2], semantic: [tiny, small]}", r"semantic must list one size, or none, got"),
        ("grid: {seed: 1, units: [16], C: [2], framewise_C: [4]}", r"framewise_C must be among C, got \[4\]"),
        ("grid: {seed: 1, units: [16], C: [2], soundstream: [huge]}", r"sizes of large, small, tiny, got 'huge'"),
        ("grid: {seed: 1, units: [16], C: [2], capacity: [16]}", r"capacity lists a value twice: \[16, 16\]"),
        ("grid: {seed: 1, units: [16], C: [2], framewise_study: huge}", r"framewise_study must be one of .*got .huge."),
        ("grid: {seed: 1, units: [16], C: [2], repeats: -1}", r"repeats must be 0 or more, got -1"),
        (
            "grid: {seed: 1, units: [16], C: [2], personal: [fargan-tiny]}",
            r"mine\.yaml: grid: personal must list decoders with 2 groups, got 'fargan-tiny': no fargan-tiny-C2-g0",
        ),
        (
            GRID + "\nresources: {default: {mem_gb: 4}}",
            r"mine\.yaml: resources: default: no parameter 'mem_gb'; there are",
        ),
        (GRID + "\nresources: {02_y: {gpu: 1}}", r"mine\.yaml: resources: no notebook '02_y'"),
        (GRID + "\nresources: {01_x: {runtime: 0}}", r"resources: 01_x: runtime must be positive, got 0"),
        ("grid: {unit: [1]}", r"mine\.yaml: grid: no parameter 'unit'"),
        (GRID + "\n01_x: 7", r"mine\.yaml: 01_x: expected names and values, found 7"),
        ("01_x: {rate: 1.0}", r"mine\.yaml: no section 'grid'"),
        ("a: [", r"mine\.yaml: not YAML"),
        ("- 1", r"mine\.yaml: expected a section for each notebook"),
    ],
)
def test_mistakes_are_named(home, text, message):
    write(home, text)
    with pytest.raises(PcodecError, match=message):
        presets.load("mine")


def test_unknown_preset_lists_what_there_is(home):
    write(home, GRID)
    with pytest.raises(PcodecError, match=r"no preset 'theirs' in .*; there are mine"):
        presets.load("theirs")


def test_two_parameters_cells_are_one_too_many(home):
    path = paths.notebook("01_x")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"cells": content["cells"] * 2}))
    with pytest.raises(PcodecError, match="2 cells are tagged"):
        presets.parameters(path)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("preset", "2024", "2024"), ("rate", "2", 2), ("rate", "1e-3", 0.001), ("sizes", "[1, 2]", [1, 2])],
)
def test_text_is_read_as_the_parameters_type(home, name, text, value):
    found = presets.read(paths.notebook("01_x"), {name: text})
    assert found == {name: value} and type(found[name]) is type(value)
    presets.check(paths.notebook("01_x"), found)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rate", "fast", "rate must be float, got 'fast'"),
        ("sizes", "3", "sizes must be list, got 3"),
        ("rat", "1", "no parameter 'rat'"),
    ],
)
def test_text_of_another_type_is_refused(home, name, text, message):
    with pytest.raises(PcodecError, match=message):
        presets.check(paths.notebook("01_x"), presets.read(paths.notebook("01_x"), {name: text}))


def test_a_notebook_may_be_given_as_its_path(home, monkeypatch):
    monkeypatch.chdir(home)
    for given in ("01_x", "notebooks/01_x.ipynb", str(home / "notebooks" / "01_x.ipynb")):
        assert presets.word(given) == "01_x"
    with pytest.raises(PcodecError, match=r"results/01_x\.ipynb: not one of the notebooks in .*/notebooks"):
        presets.word("results/01_x.ipynb")
