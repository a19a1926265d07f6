"""The file of a decoder: its weights, its sizes, where it comes from.

Task: decoders are trained with PyTorch and used without it; both sides read the same safetensors files.

Conventions: arrays are named as in `pcodec.lpcnet.LPCNet`; config and provenance are JSON in the file's metadata.

Contents: `LPCNetConfig`, `read`, `write`, `identity`.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pcodec import PcodecError, paths

LEVELS = 256  # mu-law codes
CONTEXT = 2  # frames on either side of a frame that its conditioning depends on: two convolutions of width 3


@dataclass(frozen=True)
class LPCNetConfig:
    """Sizes of the decoder; the paper's are the defaults and units = 256."""

    units: int = 384  # GRU_A
    units_b: int = 16  # GRU_B
    features: int = 20  # per frame
    conditioning: int = 128  # width of the frame network and of its output
    signal_embedding: int = 128
    pitch_embedding: int = 64


def read(path: str | Path) -> tuple[LPCNetConfig, dict[str, np.ndarray], dict]:
    """Config, float32 arrays by name, provenance. Raises `PcodecError` naming the file if it is no decoder."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            arrays = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}
        config = LPCNetConfig(**json.loads(metadata["config"]))
        return config, arrays, json.loads(metadata.get("provenance", "{}"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise PcodecError(f"{path}: no LPCNet decoder: {' '.join(str(error).split())}") from None


def write(path: str | Path, config: LPCNetConfig, arrays: dict, provenance: dict, dtype=np.float32) -> None:
    """The file appears when it is whole."""
    metadata = {"config": json.dumps(asdict(config)), "provenance": json.dumps(provenance)}
    with paths.replacing(Path(path)) as temporary:
        save_file({name: np.ascontiguousarray(value, dtype) for name, value in arrays.items()}, temporary, metadata)


def identity(config: LPCNetConfig, arrays: dict) -> str:
    """16 hex digits of the weights' hash: what an adapter belongs to."""
    digest = hashlib.sha256(repr(config).encode())
    for _, value in sorted(arrays.items()):
        digest.update(np.ascontiguousarray(value, np.float32))
    return digest.hexdigest()[:16]
