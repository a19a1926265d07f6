"""A network goes on from a file only if it is what was asked for, and remembers whom it has heard."""

import pytest
import torch

from pcodec import PcodecError
from pcodec.fargan.config import SIZES
from pcodec.fargan.model import Fargan
from pcodec.learning import network
from pcodec.lpcnet.config import LPCNetConfig
from pcodec.lpcnet.model import LPCNet


@pytest.mark.parametrize(
    ("kind", "config", "other"), [(LPCNet, LPCNetConfig(units=16), LPCNetConfig(units=32)),
                                  (Fargan, SIZES["tiny"], SIZES["small"])],
)  # fmt: skip
def test_where_a_training_begins(kind, config, other, tmp_path):
    model = network.begin(kind, config, None, seed=1)
    assert model.identity == kind(config, seed=1).identity != kind(config, seed=2).identity
    model.save(tmp_path / "d.safetensors")
    again = network.begin(kind, config, tmp_path / "d.safetensors", seed=2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    with pytest.raises(PcodecError, match=r"d\.safetensors: .* of size .*, expected "):
        network.begin(kind, other, tmp_path / "d.safetensors", seed=1)


def test_whom_a_decoder_has_heard():
    model = LPCNet(LPCNetConfig(units=16), seed=1)
    model.provenance["speakers"] = ["b", "a"]
    assert network.heard("d", model, ["c", "a"], ["d"]) == ["a", "b", "c"]
    with pytest.raises(PcodecError, match="d: has heard speaker b, who is to be unseen"):
        network.heard("d", model, ["c"], ["b"])
