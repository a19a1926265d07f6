"""torch, torchaudio and speechbrain, importable on every machine.

Task: torchaudio's wheel links CUDA libraries. Beside a CPU build of torch its import raises OSError
(libc10_cuda.so) although nothing used here needs its compiled part, and speechbrain imports torchaudio. Importing
from this module first tries the plain import, then replaces torchaudio's extension loader by one that says "absent".

Contents: `torch`, `torchaudio`, `device`, `precision`, `bfloat16_pays`, `keep_memory`.
"""

import ctypes
import functools
import importlib
import os
import sys
import time
import types

import torch

from pcodec import PcodecError

SIDE = 256  # of the matrices whose product is timed
CLEARLY = 1.2  # times as fast: less would be the noise of a busy machine


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
    """The torch device `name`; "auto" is that of the environment's PCODEC_DEVICE, else the GPU if there is one, else
    the CPU. Raises `PcodecError` if it is not there."""
    name = os.environ.get("PCODEC_DEVICE") or "auto" if name == "auto" else name
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise PcodecError.of(name, "no such device", error) from None
    return torch.device(name)


def precision(device: torch.device, name: str = "auto") -> torch.dtype:
    """Of matrix products in training: "auto" is bfloat16 where such products are faster here, else float32."""
    if name == "auto":
        name = "bfloat16" if bfloat16_pays(device.type) else "float32"
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]


@functools.cache
def bfloat16_pays(device_type: str) -> bool:
    """Whether a product of two matrices is clearly faster in bfloat16 than in float32; measured once per process.

    A processor without instructions for it emulates them and takes ten to thirty times as long.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    matrix = torch.full((SIDE, SIDE), 1.0 / SIDE, device=device_type)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, times = matrix.to(dtype), []
        for _ in range(3):
            started = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - started)
        seconds[dtype] = min(times)
    return CLEARLY * seconds[torch.bfloat16] < seconds[torch.float32]


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
