"""A decoder of any family learns one speaker from some recordings, and loses nothing where it cannot."""

import numpy as np
import pytest
import torch

from pcodec import PcodecError, cli
from pcodec.codecs import LEARNED, parametric, personalization
from pcodec.fargan.config import SIZES
from pcodec.fargan.model import Fargan
from pcodec.learning import adapter
from pcodec.lpcnet.model import LPCNet, LPCNetConfig
from pcodec.soundstream import config as soundstream
from pcodec.soundstream.model import SoundStream
from pcodec.speakers import UNKNOWN
from pcodec.speech import audio

DECODERS = {
    "lpcnet": (LPCNet, LPCNetConfig(units=32)),
    "fargan": (Fargan, SIZES["tiny"]),
    "soundstream": (SoundStream, soundstream.SIZES["tiny"]),
}
LEARNS = {
    "lpcnet": {"batch": 8, "learning_rate": 0.01},
    "fargan": {"batch": 8, "frames": 5, "learning_rate": 0.01},
    "soundstream": {"batch": 4, "frames": 16, "learning_rate": 0.01},
}


@pytest.fixture(params=DECODERS)
def family(request):
    return request.param


@pytest.fixture
def decoder(family, codebooks):
    network, config = DECODERS[family]
    model = network(config, seed=1)
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


@pytest.mark.parametrize("kind", personalization.KINDS)
def test_a_copy_learns_and_the_decoder_stays(family, decoder, recordings, codebooks, kind):
    cut = personalization.pieces(recordings)[:2]
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    model = personalization.adapted(decoder, kind, cut, codebooks, 2, updates=2, **LEARNS[family])
    assert isinstance(model, adapter.Adapted if kind == "low-rank" else DECODERS[family][0])
    assert all(torch.equal(before[name], value) for name, value in decoder.state_dict().items())
    learned = (model.merged() if kind == "low-rank" else model).state_dict()
    assert any(not torch.equal(before[name], value) for name, value in learned.items())
    with pytest.raises(PcodecError, match="a decoder is adapted low-rank or whole, got half"):
        personalization.adapted(decoder, "half", cut, codebooks)


@pytest.mark.parametrize("family", ["fargan", "soundstream"], indirect=True)
def test_half_of_what_was_learned_is_left(family, decoder, recordings, codebooks, monkeypatch):
    cut = personalization.pieces(recordings)[:2]
    half = personalization.adapted(decoder, "whole", cut, codebooks, updates=2, **LEARNS[family])
    monkeypatch.setattr(personalization.FAMILIES[family][1], "WAY", 1.0)
    whole = personalization.adapted(decoder, "whole", cut, codebooks, updates=2, **LEARNS[family])
    for was, found, learned in zip(*(dict(m.named_parameters()).values() for m in (decoder, half, whole)), strict=True):
        torch.testing.assert_close(found, (was + learned) / 2)


def test_an_adaptation_to_other_speech_is_not_continued(family, decoder, recordings, codebooks, tmp_path, capsys):
    first, second = personalization.pieces(recordings)[:2]
    options = {"updates": 1, "checkpoint": tmp_path / "c.pt"} | LEARNS[family]
    for cut, warned in ([first], False), ([first], False), ([second], True):
        personalization.adapted(decoder, "low-rank", cut, codebooks, 2, **options)
        assert ("c.pt: of another training, not continued" in capsys.readouterr().err) == warned


def test_only_the_adapter_learns_and_it_learns_the_speaker(family, decoder, recordings, codebooks):
    _, module = personalization.FAMILIES[family]
    learnt, held_back = personalization.hold_back(personalization.pieces(recordings))
    assert len(held_back) >= 1 and not {name for name, _, _ in learnt} & {name for name, _, _ in held_back}
    model = module.Adapted(decoder)
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    measured = module.heard(held_back, codebooks)
    first = module.evaluate(model, measured)[module.LOSS].mean()
    module.adapt(model, learnt, codebooks, updates=40, **LEARNS[family])
    assert module.evaluate(model, measured)[module.LOSS].mean() < 0.95 * first
    assert all(torch.equal(before[name], value) for name, value in decoder.state_dict().items())


def test_command(family, decoder, recordings, codebooks, tmp_path, capsys):
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
    if family == "soundstream":
        return  # it has no codebooks
    decoder.provenance["codebooks"] = "other"
    decoder.save(tmp_path / "d.safetensors")
    assert cli.main(["personalize", *arguments]) == 1
    assert "trained with codebooks other" in capsys.readouterr().err


def test_networks_that_are_no_decoder_are_refused(codebooks, recordings, tmp_path):
    file = parametric.paths.SHIPPED / "groups-C2.safetensors"
    with pytest.raises(PcodecError, match=r"groups-C2\.safetensors: "):
        personalization.personalize(file, file.parent / "codebooks.npz", recordings, tmp_path / "a.safetensors", 1)


@pytest.mark.parametrize("name", ["framewise", "personalized", *LEARNED])
def test_an_adapter_finds_its_shipped_codec(name, speech, tmp_path):
    codec = parametric.Codec.load(name)
    network, _ = personalization.FAMILIES[codec.CONFIG.FAMILY]
    adapted = adapter.Adapted(network.load(codec.files[UNKNOWN]), rank=2)
    adapted.save(tmp_path / "mine.safetensors")
    found = parametric.Codec.of_adapter(tmp_path / "mine.safetensors")
    assert found.decoder == codec.decoder and found.C == 1
    adapter.Adapted(Fargan(SIZES["tiny"], seed=1)).save(tmp_path / "other.safetensors")
    with pytest.raises(PcodecError, match="which no shipped codec has; give its --codec"):
        parametric.Codec.of_adapter(tmp_path / "other.safetensors")
