"""The count of operations has every weight of the network, at the size that it says."""

import pytest

from pcodec.soundstream import complexity
from pcodec.soundstream.config import SIZES
from pcodec.soundstream.model import SoundStream

DENSE = {"encoder: dense": ("encoder.inside", "encoder.latent"), "encoder: blocks": ("encoder.blocks",),
         "decoder: entrance": ("decoder.inside", "decoder.memory"), "decoder: blocks": ("decoder.blocks",),
         "decoder: doubling": ("decoder.up",), "decoder: late blocks": ("decoder.late",),
         "decoder: head": ("decoder.noise", "decoder.level", "decoder.phase"),
         "quantizer": ("quantizer",)}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_weights_are_those_of_the_network(size):
    arrays = SoundStream(SIZES[size], seed=1).arrays()
    matrices = {name: value.size for name, value in arrays.items() if value.ndim >= 2 and not name.endswith("sums")}
    table = complexity.parts(SIZES[size]).set_index("part")
    for part, names in DENSE.items():
        assert table.weights[part] == sum(count for name, count in matrices.items() if name.startswith(names)), part
    assert table.weights.sum() == sum(matrices.values())


def test_cost_follows_size_and_rate():
    cost = {size: complexity.parts(config).gflops.sum() for size, config in SIZES.items()}
    assert 0.3 < cost["large"] < 0.5 and cost["tiny"] < 0.15 * cost["large"]
    few, all_ = (complexity.parts(SIZES["large"], stages).set_index("part").gflops for stages in (1, 8))
    assert few["quantizer"] == pytest.approx(all_["quantizer"] / 8)
    assert few["decoder: blocks"] == all_["decoder: blocks"]
