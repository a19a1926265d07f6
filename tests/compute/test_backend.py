"""Precision follows what is measured on the machine; freed memory is kept."""

import subprocess
import sys

import pytest

from pcodec import PcodecError
from pcodec.compute import backend
from pcodec.compute.backend import torch


def test_the_device_is_what_the_environment_asks_for(monkeypatch):
    monkeypatch.setenv("PCODEC_DEVICE", "cpu")
    assert backend.device() == torch.device("cpu")
    monkeypatch.setenv("PCODEC_DEVICE", "abacus")
    with pytest.raises(PcodecError, match="abacus: no such device"):
        backend.device()
    assert backend.device("cpu") == torch.device("cpu"), "what is named goes before it"
    if not torch.cuda.is_available():
        with pytest.raises(PcodecError, match="cuda: no such device"):
            backend.device("cuda")


def test_precision_follows_the_faster_product(monkeypatch):
    cpu = torch.device("cpu")
    for pays, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(backend, "bfloat16_pays", lambda device, pays=pays: pays)
        assert backend.precision(cpu) == expected
    assert backend.precision(cpu, "float32") == torch.float32


def test_whether_bfloat16_pays_is_measured(monkeypatch):
    """A clock that runs slower in one of the two precisions decides."""
    for slow in (torch.float32, torch.bfloat16):
        now, product = [0.0], torch.Tensor.__matmul__

        def timed(a, b, now=now, slow=slow, product=product):
            now[0] += 2.0 if a.dtype == slow else 1.0
            return product(a, b)

        monkeypatch.setattr(torch.Tensor, "__matmul__", timed)
        monkeypatch.setattr(backend.time, "perf_counter", lambda now=now: now[0])
        assert backend.bfloat16_pays.__wrapped__("cpu") == (slow == torch.float32)
        monkeypatch.undo()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's page counts are Linux's")
def test_kept_memory_is_not_asked_for_again():
    """Page faults of the same work, in a process of its own: an order of magnitude fewer, once the heap has settled."""
    code = (
        "import resource\nfrom pcodec.compute import backend\nfrom pcodec.compute.backend import torch\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def work(): [torch.ones(64, 1024, 1024) for _ in range(3)]\n"
        "work(); a = faults(); work(); b = faults()\n"
        "backend.keep_memory(); work(); work(); work(); c = faults(); work(); d = faults()\n"
        "print(b - a, d - c)"
    )
    before, after = map(int, subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert after * 10 < before or before < 1000, (before, after)
