"""A file of weights comes back as it was stored, says whose it is, and is refused by name when it is something else."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.learning import weights
from pcodec.lpcnet.config import LPCNetConfig


@dataclass(frozen=True)
class ToyConfig:
    FAMILY: ClassVar[str] = "toy"

    width: int = 3


ARRAYS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 7, "b": np.float32([0.1])}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_any_family_s_weights_come_back(dtype, tmp_path):
    weights.write(tmp_path / "w.safetensors", ToyConfig(5), ARRAYS, {"seed": 1, "speakers": ["a"]}, dtype)
    config, arrays, provenance = weights.read(tmp_path / "w.safetensors", ToyConfig)
    assert config == ToyConfig(5) and provenance == {"seed": 1, "speakers": ["a"]}
    for name, value in ARRAYS.items():
        assert arrays[name].dtype == np.float32 and np.array_equal(arrays[name], value.astype(dtype).astype(np.float32))


def test_files_of_version_0_1_are_lpcnet_s(tmp_path):
    weights.save(tmp_path / "old.safetensors", ARRAYS, config={"units": 256}, provenance={"C": 1})
    config, _, provenance = weights.read(tmp_path / "old.safetensors", LPCNetConfig)
    assert config == LPCNetConfig(units=256) and provenance == {"C": 1}
    with pytest.raises(PcodecError, match=r"old\.safetensors: no Toy decoder: of the family lpcnet"):
        weights.read(tmp_path / "old.safetensors", ToyConfig)


def test_what_is_no_network_is_refused_by_name(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    weights.save(tmp_path / "bare.safetensors", ARRAYS)
    weights.save(tmp_path / "odd.safetensors", ARRAYS, family="toy", config={"height": 1})
    for name in ("x", "bare", "odd", "missing"):
        with pytest.raises(PcodecError, match=rf"{name}\.safetensors: no Toy decoder: "):
            weights.read(tmp_path / f"{name}.safetensors", ToyConfig)


def test_identity_sees_sizes_and_weights():
    base = weights.identity(ToyConfig(), ARRAYS)
    assert base == weights.identity(ToyConfig(), dict(reversed(ARRAYS.items())))
    assert base != weights.identity(ToyConfig(4), ARRAYS)
    assert base != weights.identity(ToyConfig(), ARRAYS | {"b": np.float32([0.2])})
