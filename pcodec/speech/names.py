"""What a corpus is called and where it is, found without reading it.

Task: the workflow names its folders and knows whether a corpus has changed before anything heavy is imported.

Conventions: a corpus is "demo", or a folder; a relative one counts from the project's root.

Contents: `name`, `label`, `folder_of`, `fingerprint`, `audio_files`.
"""

import hashlib
from pathlib import Path

from pcodec import PcodecError, paths
from pcodec.speech import READ, voices


def name(corpus: str) -> str:
    """Short name of a corpus for folders: "demo", "librispeech", or the folder's own name (never one of these two)."""
    if corpus == "demo":
        return "demo"
    root = folder_of(corpus)
    if (root / "SPEAKERS.TXT").exists():
        return "librispeech"
    word = "".join(c if c.isalnum() else "_" for c in root.name.lower())
    return f"folder_{word}" if word in ("demo", "librispeech") else word


def label(corpus: str) -> str:
    """What a reader must know of where the numbers come from; stands in every table and figure."""
    known = {"demo": "generated voices", "librispeech": "LibriSpeech"}
    return known.get(name(corpus), f"corpus {name(corpus)}")


def folder_of(corpus: str) -> Path:
    """Folder that the table's paths are relative to; raises `PcodecError` if it does not exist."""
    if corpus == "demo":
        return paths.cache(f"demo-v{voices.VERSION}")
    root = (paths.root() / Path(corpus).expanduser()).resolve()
    if not root.is_dir():
        raise PcodecError(f"no corpus folder {corpus} ({root})")
    return root


def fingerprint(corpus: str) -> str:
    """Short hash of the names and sizes of a corpus's files: changes when files come, go or change their length."""
    if corpus == "demo":
        return f"demo-v{voices.VERSION}"
    root = folder_of(corpus)
    listing = "\n".join(f"{path.relative_to(root)} {path.stat().st_size}" for path in audio_files(root))
    return hashlib.sha256(listing.encode()).hexdigest()[:16]


def audio_files(root: Path) -> list[Path]:
    """Files under `root` with the suffix of an audio format, sorted."""
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in READ and path.is_file())
