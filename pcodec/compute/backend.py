"""torch, torchaudio and speechbrain, importable on every machine.

Task: torchaudio's wheel links CUDA libraries. Beside a CPU build of torch its import raises OSError
(libc10_cuda.so) although nothing used here needs its compiled part, and speechbrain imports torchaudio. Importing
from this module first tries the plain import, then replaces torchaudio's extension loader by one that says "absent".

Contents: `torch`, `torchaudio`, `device`, `precision`, `keep_memory`.
"""

import ctypes
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


def precision(device: torch.device, name: str = "auto") -> torch.dtype:
    """Of matrix products in training: "auto" is bfloat16 where the hardware multiplies it, else float32."""
    if name == "auto":
        cpu = torch.cpu.get_capabilities()
        fast = device.type == "cuda" or cpu.get("avx512_bf16") or cpu.get("amx_bf16")
        name = "bfloat16" if fast else "float32"
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]


def keep_memory() -> None:
    """Tell glibc to keep freed memory for the next allocation of this process.

    A training step frees and allocates more than a gigabyte; to get it from the kernel anew, page by page, takes as
    long as the arithmetic. Elsewhere than on glibc this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_MMAP_MAX, 0)
