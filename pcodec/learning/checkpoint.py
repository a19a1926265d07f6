"""A training's progress in a file, so that it survives being killed.

Task: whatever ends a training, the next call of the same training goes on from the last checkpoint, to the result that
it would have had; a checkpoint of another training is not continued.

Conventions: a training is known by a digest of its settings, its data and its first weights (`digest`).

Contents: `Checkpoint`, `digest`, `hours`.
"""

import pickle
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from pcodec import PcodecError, paths
from pcodec.compute.backend import torch

SECONDS = 60.0  # from one checkpoint to the next


def digest(settings, *arrays) -> str:
    """8 hex digits of anything with a repr, and of arrays or tensors."""
    value = zlib.crc32(repr(settings).encode())
    for array in arrays:
        if isinstance(array, torch.Tensor):
            array = array.detach().cpu().numpy()
        value = zlib.crc32(np.ascontiguousarray(array), value)
    return f"{value:08x}"


def hours(*files: Path) -> float:
    """Hours that trainings have taken so far, evaluations not counted, however often they were stopped; of the files of
    `loop.fit`'s checkpoints."""
    return sum(torch.load(file, weights_only=False)["progress"]["elapsed"] for file in files) / 3600


class Checkpoint:
    """Keeps the state of a training in a file, now and then; without a path it keeps nothing."""

    def __init__(self, path: Path | None, task: str):
        self.path, self.task, self.saved = path, task, time.monotonic()

    def load(self, device) -> dict | None:
        """The state that was saved last, its tensors on `device`; None if there is none of this training.

        Raises `PcodecError` naming the file if it is damaged.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location=device, weights_only=False)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise PcodecError(f"{self.path}: damaged checkpoint, delete it: {type(error).__name__}") from None
        if state.get("task") != self.task:
            print(f"{self.path.name}: of another training, not continued", file=sys.stderr)
            return None
        return state

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self.path is not None and time.monotonic() - self.saved > SECONDS

    def save(self, state: dict) -> None:
        """Replace the file, if there is one."""
        if self.path is not None:
            with paths.replacing(self.path) as temporary:
                torch.save(state | {"task": self.task}, temporary)
            self.saved = time.monotonic()
