"""Runs one notebook with papermill; gives a notebook its run.

Task: a notebook run with parameters ends in an executed copy, tidy tables and figures, or in one line that says what
went wrong where. A parameter that the notebook does not have is an error.

Conventions: a run is "preset-corpus". Every table carries preset, speech, seed, notebook and the notebook's other
parameters in its last columns; every figure carries them in its foot.

Contents: `Run`, `run_name`, `settings`, `run`, `index`.
"""

import base64
import io
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

from pcodec import NOTE, PcodecError, paths
from pcodec.experiment import presets
from pcodec.experiment.progress import Heartbeat
from pcodec.speech import names

COMMON = ("preset", "corpus", "seed")
PROVENANCE = ["preset", "speech", "seed", "notebook", "parameters"]
THREADS = [f"{library}_THREADS" for library in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMBA_NUM", "VECLIB_MAXIMUM")]
RASTER = 0.2  # share of pixels unlike their left neighbour: 0.03 to 0.16 in plots, 0.29 and more in spectrograms
PAD = 0.1  # inches around a figure
START = 300  # s in which a kernel must have started; a busy machine takes its time


def run_name(preset: str, corpus_: str) -> str:
    """Folder name of a run, for example smoke-demo."""
    return f"{preset}-{names.name(corpus_)}"


class Run:
    """What a notebook needs to find its inputs and to label and place its outputs.

    `Run("06_training", globals())` after the parameters cell.
    """

    def __init__(self, notebook: str, namespace: dict):
        from pcodec.compute import compiling

        compiling.announce()
        values = {name: namespace[name] for name in presets.parameters(paths.notebook(notebook))}
        presets.check(paths.notebook(notebook), values)
        self.notebook = notebook
        self.preset, self.corpus, self.seed = (values[name] for name in COMMON)
        self.parameters = {name: value for name, value in values.items() if name not in COMMON}
        self.name = run_name(self.preset, self.corpus)
        self.speech = names.label(self.corpus)
        self.corpus_folder = names.folder_of(self.corpus)

    def write(self, table, name: str) -> None:
        """Save a table as results/<run>/<name>.csv; its columns may not be called as those that are added."""
        clash = set(PROVENANCE) & set(table.columns)
        if clash:
            raise PcodecError(f"table {name}: column {min(clash)} would be written over")
        parameters = json.dumps(self.parameters, sort_keys=True)
        provenance = dict(
            zip(PROVENANCE, (self.preset, self.speech, self.seed, self.notebook, parameters), strict=True)
        )
        with paths.replacing(paths.results(self.name) / f"{name}.csv") as temporary:
            table.assign(**provenance).to_csv(temporary, index=False, float_format="%.6g")

    def read(self, name: str):
        """Table results/<run>/<name>.csv that an earlier notebook wrote, without its provenance."""
        import pandas as pd

        path = paths.results(self.name) / f"{name}.csv"
        if not path.exists():
            raise PcodecError(f"{path}: missing; run the notebook that writes it first (docs/figures.md)")
        texts = {"utterance": str, "speaker": str, "gender": str}
        return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=["nan", "NaN"]).drop(columns=PROVENANCE)

    def figure(self, axes, name: str) -> None:
        """Save the figure of `axes` as PNG and PDF in figures/<run>/, with its provenance in the foot."""
        figure = _figure_of(axes)
        foot = f"{self.speech} · preset {self.preset} · seed {self.seed}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            figure.text(0.995, -0.01, foot, ha="right", va="top", fontsize=7, color="dimgrey")
            if layout := figure.get_layout_engine():
                layout.execute(figure)
                figure.set_layout_engine(None)  # each of three drawings would lay it out anew, and draw twice
            box = figure.get_tightbbox().padded(PAD)
            for suffix, options in ((".png", {"dpi": 150}), (".pdf", {"metadata": {"CreationDate": None}})):
                with paths.replacing(paths.figures(self.name) / f"{name}{suffix}") as temporary:
                    figure.savefig(temporary, bbox_inches=box, **options)
                    if suffix == ".png":
                        temporary.write_bytes(_compact(temporary.read_bytes()))

    def trained_again(self, number: int) -> Path:
        """A folder of the weights that were trained again for the `number`th time, under the names of the first; with
        the run's codebooks and groups."""
        folder = paths.cache(f"again/{self.name}-{number}")
        for path in folder.glob("*"):
            path.unlink()
        for path in paths.models(self.name).glob("*"):
            name = path.name.replace(f"-repeat{number}.", ".")
            if name != path.name or path.name.startswith(("codebooks.", "groups-")):
                (folder / name).symlink_to(path)
        return folder

    def model(self, name: str) -> Path:
        """Path of trained weights, models/<run>/<name>."""
        return paths.models(self.name) / name


def settings(word: str, preset: str, corpus_: str, values: dict | None = None) -> dict:
    """All parameters of one notebook run: the preset's seed, its grid, its values for this notebook, and `values`; the
    later go before the earlier."""
    loaded = presets.load(preset)
    known = presets.parameters(paths.notebook(word))
    own = {"preset": preset, "corpus": corpus_, "seed": loaded["grid"]["seed"]} | loaded.get(word, {})
    for name, value in loaded["grid"].items():
        if isinstance(known.get(name), type(value)):  # a notebook over the whole grid, not over one point of it
            own.setdefault(name, value)
    return own | (values or {})


def run(notebook: str | Path, output: str | Path, parameters: dict, threads: int = 1) -> None:
    """Execute `notebook` into `output`; the output appears only when every cell has run.

    torch, BLAS and Numba are held to `threads`. Raises `PcodecError` with notebook, cell and error.
    """
    presets.check(Path(notebook), parameters)
    for variable in THREADS:
        os.environ[variable] = str(threads)
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    notebook, output = Path(notebook), Path(output)
    progress = _Progress(first=0 if parameters else 1)
    with Heartbeat(output.stem, progress.say) as heartbeat, paths.replacing(output) as temporary:
        executed = _executed(notebook, temporary, parameters, progress)
        import nbformat

        executed.metadata.papermill.update(input_path=notebook.name, output_path=output.name)  # no folder's name
        _slim(executed)
        nbformat.write(executed, temporary)
    for text in progress.notes:
        print(f"{output.stem}: note: {text}", file=sys.stderr)
    print(f"{output.stem}: {heartbeat.seconds:.0f} s", file=sys.stderr)


def _executed(notebook, temporary, parameters, progress):
    """The notebook with its outputs."""
    # jsonschema would read a grammar of internationalized addresses, which takes longer than all that is used here.
    sys.modules.setdefault("rfc3987_syntax", None)
    import logging

    import papermill

    from pcodec.experiment import kernels

    logging.getLogger("papermill").setLevel(logging.ERROR)  # it misreads some parameters cells; presets.check does not
    try:
        with tempfile.TemporaryDirectory(prefix="pcodec-", ignore_cleanup_errors=True) as folder:
            return papermill.execute_notebook(
                notebook, temporary, parameters, kernel_name="python3", language="python", cwd=paths.root(),
                progress_bar=False, stderr_file=progress, on_cell_start=progress.cell, start_timeout=START,
                request_save_on_cell_execute=False, extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
                kernel_manager_class=kernels.Kernels, config=kernels.config(folder),
            )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        if error.ename != PcodecError.__name__:
            print("\n".join(error.traceback), file=sys.stderr)
        message = (error.evalue.strip().splitlines() or [""])[-1] if error.ename else str(error)
        number = progress.first + error.cell_index
        raise PcodecError(f"{notebook.name}, cell {number}: {error.ename}: {message}") from None
    except RuntimeError as error:  # the kernel has not started, or has died
        raise PcodecError.of(f"{notebook.name}, {progress.where}", "kernel", error) from None


def _slim(notebook) -> None:
    """Make a copy that can be passed on: no players, so that nobody's speech goes with it, and small images; messages
    name no folder of this machine."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text" in output:
                for folder in (paths.root(), sys.prefix):
                    output["text"] = output["text"].replace(f"{folder}/", "")
            data = output.get("data", {})
            if "<audio" in "".join(data.get("text/html", "")):
                output["data"] = {"text/plain": "(a player, when the notebook itself is run)"}
            elif "image/png" in data:
                png = _compact(base64.b64decode(data["image/png"]))
                data["image/png"] = base64.b64encode(png).decode()


def _compact(png: bytes) -> bytes:
    """The same PNG in little space: a figure in its true colours, a raster (spectrograms) with a palette of 256."""
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    pixels = np.asarray(image)
    if (pixels[:, 1:] != pixels[:, :-1]).any(axis=2).mean() > RASTER:
        image = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)  # exact for what is frequent
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def index(run: str) -> None:
    """Write results/<run>/README.md: which notebook, seed and parameters made each table."""
    import pandas as pd

    lines = [
        f"# {run}",
        "",
        "| table | rows | notebook | speech | seed | parameters |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(paths.results(run).glob("*.csv")):
        table = pd.read_csv(path, usecols=PROVENANCE)
        row = table.iloc[0] if len(table) else dict.fromkeys(PROVENANCE, "")
        cells = (path.name, len(table), row["notebook"], row["speech"], row["seed"], f"`{row['parameters']}`")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", f"Figures of the same names are in figures/{run}; executed notebooks are beside this file.", ""]
    with paths.replacing(paths.results(run) / "README.md") as temporary:
        temporary.write_text("\n".join(lines))


class _Progress:
    """Where a notebook is: the cell that runs, and the latest line that its kernel wrote on standard error. What `note`
    told there is kept."""

    def __init__(self, first: int):
        self.first = first  # what the first cell is numbered: from 1, without the cell that papermill puts in
        self.heading, self.where, self.line = "", "starting", ""
        self.notes = []
        self.since = time.monotonic()

    def cell(self, cell, cell_index) -> None:
        """nbclient begins with a cell."""
        begins = (cell.source.strip().splitlines() or [""])[0]
        title = begins.lstrip("# ") if begins.startswith("#") else ""
        if cell.cell_type == "markdown":
            self.heading = title or self.heading
        self.where = f"cell {self.first + cell_index}, {title or self.heading}"
        self.line, self.since = "", time.monotonic()

    def write(self, text: str) -> None:
        lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
        self.notes += [line.removeprefix(NOTE) for line in lines if line.startswith(NOTE)]
        self.line = lines[-1] if lines else self.line

    def flush(self) -> None:
        pass

    def say(self) -> str:
        """A line that has not been said, else the cell and its seconds."""
        line, self.line = self.line, ""
        return line or f"{self.where}: {time.monotonic() - self.since:.0f} s"


def _figure_of(axes):
    while not hasattr(axes, "figure"):
        axes = axes[0]
    return axes.figure
