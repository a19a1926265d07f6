"""The count of operations: against the published one, and against the decoder that is counted."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.lpcnet import complexity
from pcodec.lpcnet.model import LPCNet, LPCNetConfig


def test_operations_are_the_published_count():
    """Specification section 8: 71 629 weights and 2.3 GFLOPS at 384 units and 10 %."""
    found = complexity.count(384, 0.1)
    assert found["weights"] == pytest.approx(71_629, abs=1)
    assert found["gflops"] == pytest.approx(2.3, abs=0.01)


def test_weights_are_those_of_the_network():
    """A dense decoder's matrices, counted from its arrays."""
    arrays = LPCNet(LPCNetConfig(units=48), seed=1).arrays()
    size = {name.removesuffix(".weight"): value.size for name, value in arrays.items()}
    found = complexity.parts(48).set_index("part").weights
    assert found["GRU_A, recurrent"] == size["sample.gru_a.weight_hh_l0"]
    inputs_b = arrays["sample.gru_b.weight_ih_l0"]
    assert found["GRU_B"] == size["sample.gru_b.weight_hh_l0"] + inputs_b[:, :48].size
    assert found["dual FC"] == size["sample.dual_fc.first"] + size["sample.dual_fc.second"]
    frame = sum(size[f"frame.{name}"] for name in ("conv1", "conv2", "dense1", "dense2"))
    conditioning = sum(arrays[f"sample.gru_{x}.weight_ih_l0"][:, -128:].size for x in "ab")
    assert found["frame rate"] * 160 == frame + conditioning


def test_small_decoder_saves_the_papers_share():
    """About 36 % for 256 against 384 units: at 10 % density, with all that a sample costs."""
    found = complexity.saving(256, 384, 0.1)
    assert found["everything per sample"] == pytest.approx(0.36, abs=0.015)
    assert found["LPCNet's count"] == pytest.approx(1 - 40_909 / 71_629, abs=1e-4)
    dense = complexity.saving(256, 384)
    assert (dense > found).all() and dense["LPCNet's count"] == pytest.approx(1 - 217_856 / 469_760, abs=1e-4)
    np.testing.assert_array_equal(complexity.saving(384, 384), 0)


@pytest.mark.parametrize("density", [0, -1, 1.1])
def test_impossible_densities_are_refused(density):
    with pytest.raises(PcodecError, match="a density is over 0 and at most 1"):
        complexity.count(384, density)
