"""Where results, figures, models and caches go.

Task: one place that knows the project's folders, and the way files get into them: written under a temporary name
in the same folder, then renamed, so that a killed run leaves no half-written file.

Conventions: a run is "preset-corpus", for example smoke-demo. All folders lie under `root()`.

Contents: `SHIPPED`, `root`, `results`, `figures`, `models`, `cache`, `cached`, `notebook`, `split_list`, `replacing`,
`check_target`.
"""

import contextlib
import hashlib
import os
import re
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

from pcodec import PcodecError

SHIPPED = Path(__file__).parent / "data"  # codebooks, groups and decoders that come with the package
LEFTOVER_SECONDS = 86_400  # age from which a temporary file is nobody's
TEMPORARY = re.compile(r"\.[0-9a-f]{8}-.")  # begins the names of `replacing`
UMASK = os.umask(0)
os.umask(UMASK)


def root() -> Path:
    """Folder that holds results/, figures/, models/ and cache/.

    $PCODEC_HOME if set; else the project this file belongs to; else (the package was installed alone) the working
    directory.
    """
    if home := os.environ.get("PCODEC_HOME"):
        return Path(home).resolve()
    project = Path(__file__).resolve().parents[1]
    return project if (project / "workflow" / "Snakefile").exists() else Path.cwd()


def results(run: str) -> Path:
    """Tidy tables and executed notebooks of a run; created when missing."""
    return _made(root() / "results" / run)


def figures(run: str) -> Path:
    """PNG and PDF figures of a run; created when missing."""
    return _made(root() / "figures" / run)


def models(run: str) -> Path:
    """Trained weights of a run; created when missing. In git only where they are published."""
    return _made(root() / "models" / run)


def cache(name: str) -> Path:
    """What can be computed again (generated voices, features); created when missing. Not in git."""
    return _made(root() / "cache" / name)


def cached(name: str, *parts: bytes) -> Path:
    """The file in the cache for what was made of `parts`, of which the first is usually the content of a file."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    key = digest.hexdigest()[:32]
    return cache(name) / key[:2] / f"{key}.npz"


def notebook(word: str) -> Path:
    """The source of a notebook, for example "04_embedding"."""
    return root() / "notebooks" / f"{word}.ipynb"


def split_list(run: str) -> Path:
    """The list of utterances and their splits that a run may have (`corpus.frozen`)."""
    return root() / "workflow" / "splits" / f"{run}.csv"


@contextmanager
def replacing(path: Path):
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, delete it otherwise.

    A link is followed. What killed calls have left in the folder goes, once it is a day old. Raises `PcodecError` where
    something else than a file is in the way.
    """
    path = Path(path).resolve()
    check_target(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise PcodecError(f"{path}: its folder is a file") from None
    _remove_leftovers(path.parent)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")  # keeps the suffix, which writers look at
    try:
        yield temporary
        temporary.chmod(0o666 & ~UMASK)  # some writers make files for their owner only
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(folder):
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if TEMPORARY.match(entry.name) and time.time() - entry.stat().st_mtime > LEFTOVER_SECONDS:
                os.unlink(entry.path)


def check_target(target: str | Path, source: Path | None = None) -> None:
    """Raises `PcodecError` if no file `target` can be written, or if that would replace the file it is made from.

    To be asked before long work, whose result would be lost.
    """
    target = Path(target)
    if str(target) == "-":
        raise PcodecError("-: this is not written to standard output; name a file")
    if target.exists() and not target.is_file():
        raise PcodecError(f"{target}: is not a file that can be replaced")
    if source and target.exists() and source.exists() and target.samefile(source):
        raise PcodecError(f"{target}: would replace the input")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
