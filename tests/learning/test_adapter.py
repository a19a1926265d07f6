"""An adapter is small, belongs to one decoder, of whatever family, and costs nothing in synthesis."""

import copy

import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.fargan.config import SIZES
from pcodec.fargan.model import Fargan
from pcodec.learning import adapter
from pcodec.lpcnet.model import LPCNet, LPCNetConfig
from pcodec.soundstream import config as soundstream
from pcodec.soundstream.model import SoundStream

DECODERS = {  # a network, its sizes, and what it is given
    "lpcnet": (LPCNet, LPCNetConfig(units=32), (torch.randn(2, 6, 20) * 0.3, torch.randint(0, 256, (2, 320, 3)))),
    "fargan": (Fargan, SIZES["tiny"], (torch.randn(2, 8, 20) * 0.3, torch.randn(2, 320) * 0.1)),
    "soundstream": (SoundStream, soundstream.SIZES["tiny"], (torch.randn(2, 8, 32),)),
}


@pytest.fixture(params=DECODERS)
def family(request):
    return DECODERS[request.param]


@pytest.fixture
def decoder(family):
    return family[0](family[1], seed=1)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def heard(model, inputs):
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        made = model(*inputs)
        return made[0] if isinstance(made, tuple) else made


def test_it_starts_as_the_decoder_and_is_the_same_network_when_merged(family, decoder):
    model = adapter.Adapted(decoder, rank=4)
    assert same(model.merged(), decoder)
    for part in model.parts.values():
        part.data.add_(0.05 * torch.randn_like(part))
    inputs = family[2]
    assert torch.allclose(heard(model, inputs), heard(model.merged(), inputs), atol=1e-5)
    assert not same(model.merged(), decoder)
    kept = {
        name for name, value in model.merged().state_dict().items() if torch.equal(value, decoder.state_dict()[name])
    }
    assert kept == {name for name in decoder.state_dict() if not name.startswith(decoder.ADAPTED)}


def test_updates_of_matrices_have_their_rank(decoder):
    model = adapter.Adapted(decoder, rank=3)
    for part in model.parts.values():
        part.data.normal_()
    for name, after in model.merged().named_parameters():
        before = dict(decoder.named_parameters())[name]
        change = (after - before).flatten(1) if after.ndim > 1 else (after - before)[None]
        assert torch.linalg.matrix_rank(change, atol=1e-3).item() <= 3, name


@pytest.mark.parametrize("kind", ["low-rank", "whole"])
def test_it_can_go_a_part_of_the_way(decoder, kind):
    model = adapter.Adapted(decoder, rank=3) if kind == "low-rank" else copy.deepcopy(decoder)
    before = adapter.learnt(model)
    for part in model.parameters():
        if part.requires_grad:
            part.data.normal_()
    merged = (lambda: model.merged().state_dict()) if kind == "low-rank" else model.state_dict
    learned = {name: value.clone() for name, value in merged().items()}
    adapter.go_back(model, before, 0.25)
    for name, value in merged().items():
        start = decoder.state_dict()[name]
        assert torch.allclose(value - start, 0.25 * (learned[name] - start), atol=1e-5), name


def test_ranks_that_save_nothing_are_refused(decoder):
    largest = max(min(len(value), value[0].numel()) for value in decoder.parameters())
    for rank in (0, largest, 100_000):
        with pytest.raises(PcodecError, match=f"rank of an adapter is 1 to {largest - 1}, .* got {rank}"):
            adapter.Adapted(decoder, rank)


def test_files(family, decoder, tmp_path):
    model = adapter.Adapted(decoder)
    for part in model.parts.values():
        part.data.normal_(0, 0.1)
    model.save(tmp_path / "a.safetensors", seconds=60)
    loaded = adapter.load(tmp_path / "a.safetensors", decoder)
    for name, value in model.merged().state_dict().items():
        assert torch.allclose(loaded.state_dict()[name], value, atol=2e-3), name
    assert adapter.decoder_of(tmp_path / "a.safetensors") == decoder.identity
    decoder.save(tmp_path / "d.safetensors")
    for what in (adapter.decoder_of, lambda path: adapter.load(path, decoder)):
        for name in ("d", "none"):
            with pytest.raises(PcodecError, match=rf"{name}\.safetensors: no adapter"):
                what(tmp_path / f"{name}.safetensors")
    other = family[0](family[1], seed=2)
    with pytest.raises(PcodecError, match=f"an adapter of decoder {decoder.identity}, not of {other.identity}"):
        adapter.load(tmp_path / "a.safetensors", other)


LARGEST = {  # and bytes of its adapter, at most: one of many matrices has many parts
    "lpcnet": (LPCNet(LPCNetConfig(units=384)), 200_000),
    "fargan": (Fargan(SIZES["large"]), 200_000),
    "soundstream": (SoundStream(soundstream.SIZES["large"]), 320_000),
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_adapter_is_small(name, tmp_path):
    decoder, most = LARGEST[name]
    adapter.Adapted(decoder).save(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_size < most
