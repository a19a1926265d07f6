"""The count of operations: against the published one, and against the decoder that is counted."""

import pytest

from pcodec.fargan import complexity
from pcodec.fargan.config import SIZES
from pcodec.fargan.model import Fargan

PARTS = {
    "gain and look back": ["step.gain.weight"],
    "convolution": ["step.conv.weight"],
    "GRUs": [f"step.grus.{number}.weight_{kind}" for number in range(3) for kind in ("ih", "hh")],
    "GLUs": [f"step.{name}.gate.weight" for name in ("conv_glu", "glus.0", "glus.1", "glus.2", "skip_glu")],
    "pitch gates": ["step.gates.weight"],
    "skip": ["step.skip.weight"],
    "output": ["step.out.weight"],
    "frame rate": [f"frame.{name}.weight" for name in ("dense", "conv1", "conv2", "up")],
}


@pytest.mark.parametrize("size", SIZES)
def test_weights_are_those_of_the_network(size):
    arrays = Fargan(SIZES[size], seed=1).arrays()
    table = complexity.parts(SIZES[size]).set_index("part")
    assert dict(table.weights) == {part: sum(arrays[name].size for name in names) for part, names in PARTS.items()}
    left = set(arrays) - {name for names in PARTS.values() for name in names}
    assert all("bias" in name or name == "frame.pitch.weight" for name in left)


def test_operations_are_the_published_count():
    """0.61 GFLOPS, and what this network has beyond the paper's, a second convolution at frame rate."""
    c = SIZES["large"]
    found = complexity.count(c)["gflops"]
    assert found - 2e-9 * 100 * 3 * c.conditioning**2 == pytest.approx(0.61, abs=0.005)
    open_count = complexity.parts(c).gflops.sum()
    assert 1.01 < open_count / found < 1.2  # activations cost little, 400 times per second


def test_sizes_cost_what_they_promise():
    """Small saves the paper's 36 % of the operations; tiny has about a fifth of them."""
    cost = {size: complexity.parts(config).gflops.sum() for size, config in SIZES.items()}
    assert cost["small"] / cost["large"] == pytest.approx(0.64, abs=0.02)
    assert cost["tiny"] / cost["large"] == pytest.approx(0.2, abs=0.03)
