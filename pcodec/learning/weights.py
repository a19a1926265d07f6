"""The files of trained networks: arrays, sizes, where they come from.

Task: one safetensors format for every family of decoders and for what is trained beside them (speaker encoders, groups,
adapters). Networks are trained with PyTorch and used without it; both sides read the same files.

Conventions: a family's file holds the arrays of its network by name, and in its metadata, as JSON, `config` (the fields
of the family's config, a dataclass), `family` (the config's `FAMILY`) and `provenance`. Files of version 0.1 have no
`family`: they are LPCNet's.

Contents: `read`, `family`, `write`, `identity`; `load`, `save` for files without a config.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pcodec import PcodecError, paths

FIRST_FAMILY = "lpcnet"  # of files that do not say


def read(path: str | Path, kind: type) -> tuple[object, dict[str, np.ndarray], dict]:
    """Config (of the dataclass `kind`), float32 arrays by name, provenance.

    Raises `PcodecError` naming the file if it holds no network of that family.
    """
    what = f"no {kind.__name__.removesuffix('Config')} decoder"
    arrays, metadata = load(path, what)
    family = metadata.get("family", FIRST_FAMILY)
    if family != kind.FAMILY:
        raise PcodecError(f"{path}: {what}: of the family {family}")
    try:
        config = kind(**metadata["config"])
    except (KeyError, TypeError) as error:
        raise PcodecError.of(path, what, error) from None
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    return config, arrays, metadata.get("provenance", {})


def family(path: str | Path) -> str:
    """The family of the network in a file; raises `PcodecError` as `load` does."""
    _, metadata = load(path, "no decoder")
    return metadata.get("family", FIRST_FAMILY)


def write(path: str | Path, config, arrays: dict, provenance: dict, dtype=np.float32) -> None:
    """Store what `read` returns, the arrays as `dtype`. The file appears when it is whole."""
    arrays = {name: np.asarray(value, dtype) for name, value in arrays.items()}
    save(path, arrays, family=config.FAMILY, config=asdict(config), provenance=provenance)


def load(path: str | Path, what: str) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays by name, as they are stored, and metadata by name.

    Raises `PcodecError`: "path: what: reason", where `what` is for example "no speaker encoder".
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata
    except (OSError, SafetensorError, ValueError) as error:
        raise PcodecError.of(path, what, error) from None


def save(path: str | Path, arrays: dict, **metadata) -> None:
    """Store arrays and metadata (anything that JSON holds). The file appears when it is whole."""
    with paths.replacing(Path(path)) as temporary:
        save_file(
            {name: np.ascontiguousarray(value) for name, value in arrays.items()}, temporary,
            {name: json.dumps(value) for name, value in metadata.items()},
        )  # fmt: skip


def identity(config, arrays: dict) -> str:
    """16 hex digits of a network's hash, sizes and weights: what an adapter belongs to."""
    digest = hashlib.sha256(repr(config).encode())
    for _, value in sorted(arrays.items()):
        digest.update(np.ascontiguousarray(value, np.float32))
    return digest.hexdigest()[:16]
