import subprocess
import sys

import pytest

from pcodec.compute import backend
from pcodec.compute.backend import torch


def test_precision_follows_the_hardware(monkeypatch):
    cpu = torch.device("cpu")
    for capable, expected in (({"avx512_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda capable=capable: capable)
        assert backend.precision(cpu) == expected
    assert backend.precision(torch.device("cuda")) == torch.bfloat16
    assert backend.precision(cpu, "float32") == torch.float32


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's page counts are Linux's")
def test_kept_memory_is_not_asked_for_again():
    """Page faults of the same work, in a process of its own: an order of magnitude fewer, once the heap has settled."""
    code = (
        "import resource\nfrom pcodec import backend\nfrom pcodec.compute.backend import torch\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def work(): [torch.ones(64, 1024, 1024) for _ in range(3)]\n"
        "work(); a = faults(); work(); b = faults()\n"
        "backend.keep_memory(); work(); work(); c = faults(); work(); d = faults()\n"
        "print(b - a, d - c)"
    )
    before, after = map(int, subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert after * 10 < before or before < 1000, (before, after)
