"""torch, torchaudio and speechbrain, importable on every machine.

Task: torchaudio's wheel links CUDA libraries. Beside a CPU build of torch its import raises OSError
(libc10_cuda.so) although nothing used here needs its compiled part, and speechbrain imports torchaudio. Importing
from this module first tries the plain import, then replaces torchaudio's extension loader by one that says "absent".

Contents: `torch`, `torchaudio`, `device`.
"""

import importlib
import sys
import types

import torch


def _import_torchaudio():
    try:
        return importlib.import_module("torchaudio")
    except (OSError, RuntimeError):
        for name in [name for name in sys.modules if name == "torchaudio" or name.startswith("torchaudio.")]:
            del sys.modules[name]
        absent = types.ModuleType("torchaudio._extension")
        absent._IS_TORCHAUDIO_EXT_AVAILABLE = False
        absent._IS_ALIGN_AVAILABLE = False
        absent.fail_if_no_align = lambda function: function
        absent._check_cuda_version = lambda: None
        sys.modules["torchaudio._extension"] = absent
        return importlib.import_module("torchaudio")


torchaudio = _import_torchaudio()


def device(name: str = "auto") -> torch.device:
    """The torch device `name`; "auto" is the GPU if there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
