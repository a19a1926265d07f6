"""An adapter learns one speaker, is small, belongs to one decoder, and costs nothing in synthesis."""

import numpy as np
import pytest

from pcodec import PcodecError, cli
from pcodec.compute.backend import torch
from pcodec.lpcnet import adapter
from pcodec.lpcnet.examples import SampleDataset
from pcodec.lpcnet.model import LPCNet, LPCNetConfig
from pcodec.speech import audio

CONFIG = LPCNetConfig(units=32)


@pytest.fixture(scope="module")
def decoder(codebooks):
    model = LPCNet(CONFIG, seed=1)
    model.provenance = {"codebooks": codebooks.identity, "updates": 0}
    return model


@pytest.fixture(scope="module")
def recordings(demo, tmp_path_factory):
    """Recordings of one generated voice."""
    folder = tmp_path_factory.mktemp("anna")
    for path in demo[demo.speaker == demo.speaker[0]].path:
        samples = audio.read(path)
        audio.write(folder / f"{path.split('/')[-1].rsplit('.', 1)[0]}.wav", samples)
    return folder


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_an_adapter_starts_as_the_decoder_and_is_the_same_network_when_merged(decoder):
    model = adapter.Adapted(decoder, rank=4)
    assert same(model.merged(), decoder)
    for part in model.parts.values():
        part.data.add_(0.05 * torch.randn_like(part))
    inputs = (torch.randn(2, 6, 20) * 0.3, torch.randint(0, 256, (2, 320, 3)))
    with torch.no_grad():
        assert torch.allclose(model(*inputs)[0], model.merged()(*inputs)[0], atol=1e-5)
    assert not same(model.merged(), decoder)


def test_updates_of_matrices_have_their_rank(decoder):
    model = adapter.Adapted(decoder, rank=3)
    for part in model.parts.values():
        part.data.normal_()
    after, before = model.merged().sample.gru_a.weight_hh_l0, decoder.sample.gru_a.weight_hh_l0
    assert torch.linalg.matrix_rank(after - before, atol=1e-3).item() == 3


def test_ranks_that_save_nothing_are_refused(decoder):
    for rank in (0, 128, 100_000):
        with pytest.raises(PcodecError, match=f"rank of an adapter is 1 to 127, .* got {rank}"):
            adapter.Adapted(decoder, rank)


def test_files(decoder, tmp_path):
    model = adapter.Adapted(decoder)
    for part in model.parts.values():
        part.data.normal_(0, 0.1)
    model.save(tmp_path / "a.safetensors", seconds=60)
    loaded = adapter.load(tmp_path / "a.safetensors", decoder)
    for name, value in model.merged().state_dict().items():
        assert torch.allclose(loaded.state_dict()[name], value, atol=2e-3), name
    decoder.save(tmp_path / "d.safetensors")
    with pytest.raises(PcodecError, match=r"d\.safetensors: no adapter"):
        adapter.load(tmp_path / "d.safetensors", decoder)
    with pytest.raises(PcodecError, match=r"none\.safetensors: no adapter"):
        adapter.load(tmp_path / "none.safetensors", decoder)
    other = LPCNet(CONFIG, seed=2)
    with pytest.raises(PcodecError, match=f"an adapter of decoder {decoder.identity}, not of {other.identity}"):
        adapter.load(tmp_path / "a.safetensors", other)


def test_the_largest_adapter_is_small(tmp_path):
    adapter.Adapted(LPCNet(LPCNetConfig(units=384))).save(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_size < 200_000


def test_only_the_adapter_learns_and_it_learns_the_speaker(decoder, recordings, codebooks):
    learnt, held_back = adapter.hold_back(adapter.pieces(recordings))
    assert len(held_back) >= 1 and not {name for name, _, _ in learnt} & {name for name, _, _ in held_back}
    model = adapter.Adapted(decoder)
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    test = SampleDataset.of(held_back, codebooks, augment=False)
    options = {"updates": 40, "batch": 8, "learning_rate": 0.01, "evaluations": 1}
    nats = adapter.adapt(model, learnt, test, codebooks, **options).groupby("update").nats.mean()
    assert nats[40] < nats[0] - 0.2
    assert all(torch.equal(before[name], value) for name, value in decoder.state_dict().items())


def test_command(decoder, recordings, codebooks, tmp_path, capsys):
    decoder.save(tmp_path / "d.safetensors")
    codebooks.save(tmp_path / "codebooks.npz")
    files = [str(tmp_path / name) for name in ("a.safetensors", "d.safetensors")]
    arguments = [str(recordings), files[0], "--decoder", files[1], "--updates", "3"]
    assert cli.main(["personalize", *arguments]) == 0
    assert "held back" in capsys.readouterr().out
    assert not same(adapter.load(tmp_path / "a.safetensors", decoder), decoder)
    assert {path.name for path in tmp_path.iterdir()} == {"a.safetensors", "codebooks.npz", "d.safetensors"}

    (tmp_path / "short").mkdir()
    audio.write(tmp_path / "short" / "a.wav", np.zeros(16000))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "b.wav").write_bytes(b"nothing")
    for folder, message in (("short", "1.0 s of recordings, at least 10 s"), ("bad", "b.wav"), ("no", "no: no folder")):
        assert cli.main(["personalize", str(tmp_path / folder), *arguments[1:]]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1].startswith("pcodec: error: ") and message in lines[-1]
    decoder.provenance["codebooks"] = "other"
    decoder.save(tmp_path / "d.safetensors")
    assert cli.main(["personalize", *arguments]) == 1
    assert "trained with codebooks other" in capsys.readouterr().err
