"""A stream of the semantic codec: exact length at all rates, groups, refusals, damage, lost packets, bad input."""

import dataclasses

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.bitstream.container import SEMANTIC, SEMANTIC_SLOW, Stream
from pcodec.bitstream.packet_loss import lost_packets
from pcodec.cli import main
from pcodec.codecs import pipes
from pcodec.codecs.parametric import Codec
from pcodec.compute.backend import torch
from pcodec.features.analysis import OFFSET
from pcodec.semantic.coding import SemanticCoder
from pcodec.semantic.config import RATES, SIZES
from pcodec.semantic.model import Semantic
from pcodec.speakers import UNKNOWN, embedding, groups
from pcodec.speech import audio


@pytest.fixture(scope="module")
def folder(codec_folder):
    """A codec of random weights beside groups."""
    model = Semantic(SIZES["tiny"], seed=1)
    for block in model.regressor.blocks:
        torch.nn.init.normal_(block.second.weight, std=0.1)  # else a voice makes no difference
    coder = SemanticCoder(model, embedding.SpeakerEncoder().arrays())
    coder.save(codec_folder / "semantic-tiny-general.safetensors")
    return codec_folder


@pytest.fixture(scope="module")
def codec(folder):
    return Codec.load(folder, "semantic-tiny")


@pytest.mark.parametrize("samples", [0, 1, 1600, 5039, 5041, 40001])
@pytest.mark.parametrize("name", RATES)
def test_length_comes_back(folder, speech, samples, name):
    codec = Codec.load(folder, "semantic-tiny", kbps=float(name))
    data = codec.encode(speech[:samples])
    found, rate = codec.decode(data)
    assert len(found) == samples and rate == audio.RATE and np.isfinite(found).all()
    stream = Stream.from_bytes(data)
    count = -(-(samples + OFFSET) // stream.form.samples)
    assert len(data) == 26 + 34 + RATES[name].bits * count
    assert stream.payload_rate == pytest.approx(1000 * RATES[name].kbps)
    assert stream.to_bytes() == data and stream.info()["family"] == "semantic"


def test_the_container_knows_its_packets():
    assert [form.samples for form in (SEMANTIC, SEMANTIC_SLOW)] == [8 * 640, 8 * 1280]
    assert SEMANTIC.bytes == max(rate.bits for rate in RATES.values())


def test_a_group_stands_for_the_voice(folder, speech):
    codec = Codec.load(folder, "semantic-tiny", C=2)
    codec.steps = 0
    data = codec.encode(speech[:32000])
    stream = Stream.from_bytes(data)
    assert len(stream.once) == 2 and stream.groups == 2 and stream.group[0] in (0, 1)
    centres = groups.SpeakerGroups.load(folder / "groups-C2.safetensors").centroids
    assert np.array_equal(codec._voice(stream.once, 1).z, centres[1])
    assert not codec._voice(stream.once, UNKNOWN).z.any()
    others = [codec.decode(codec.encode(speech[:32000], group=group))[0] for group in (0, 1, UNKNOWN)]
    assert np.abs(others[0] - others[1]).max() > 0 and len(others[2]) == 32000
    with pytest.raises(PcodecError, match="no group 2"):
        codec.encode(speech, group=2)
    with pytest.raises(PcodecError, match="coded for 2 speaker groups, this codec has 1"):
        Codec.load(folder, "semantic-tiny").decode(data)


def test_what_is_refused(codec, folder, speech):
    data = codec.encode(speech[:16000])
    with pytest.raises(PcodecError, match=r"rates of 0\.2125, 0\.425, 0\.525 kb/s, not 1\.6"):
        Codec.load(folder, "semantic-tiny", kbps=1.6)
    with pytest.raises(PcodecError, match=r"semantic-small-general\.safetensors: no such decoder"):
        Codec.load(folder, "semantic-small")
    with pytest.raises(PcodecError, match="removes no noise"):
        Codec.load(folder, "semantic-tiny", denoise=True)
    with pytest.raises(PcodecError, match="of the family semantic, give the codec that it was coded with"):
        Codec.load("framewise").decode(data)
    with pytest.raises(PcodecError, match="of the family parametric"):
        codec.decode(Codec.load("framewise").encode(speech[:1000]))
    with pytest.raises(PcodecError, match="takes no adapters"):
        codec.adapt("a.safetensors")
    with pytest.raises(PcodecError, match="codes whole files, it is not live"):
        pipes.send(codec, None, None)


def test_a_thousand_damaged_streams_are_refused_or_decoded(codec, speech):
    good = codec.encode(speech[:16000])
    rng = np.random.default_rng(1)
    codec.steps = 1
    decoded = 0
    for trial in range(1000):
        data = bytearray(good[: rng.integers(len(good) + 1)] if rng.random() < 0.3 else good)
        for _ in range(rng.integers(4)):
            if data:
                data[rng.integers(len(data))] = rng.integers(256)
        try:
            stream = Stream.from_bytes(bytes(data))
        except PcodecError as error:
            assert "\n" not in str(error)
            continue
        assert stream.form.family == "semantic" and stream.samples == 16000
        if trial % 20 == 0:
            found = np.concatenate(list(codec.decode_blocks(stream)))
            assert len(found) == 16000 and np.isfinite(found).all()
            decoded += 1
    assert decoded > 10


def test_lost_packets_fade(codec, speech):
    stream = codec.encode_blocks([np.resize(speech, 64000).astype(np.float32)])
    codec.steps = 1
    whole = np.concatenate(list(codec.decode_blocks(stream)))
    lost = np.zeros(stream.count, bool)
    lost[8:] = True
    faded = np.concatenate(list(codec.decode_blocks(stream, lost=lost)))
    far = 8 * 5120 - 1.5 * audio.RATE  # decoders look ahead, by less than that
    assert len(faded) == len(whole) and np.allclose(faded[: int(far)], whole[: int(far)], atol=1e-5)
    assert not faded[8 * 5120 + 3200 + 400 :].any()
    assert len(np.concatenate(list(codec.decode_blocks(stream, lost=lost_packets(stream.count, 0.5, 2, 1))))) == 64000


def test_bad_input_is_coded(codec):
    """Silence comes back as silence; noise, a tone, clipped and tiny signals are coded like anything else."""
    rng = np.random.default_rng(1)
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    codec.steps = 2
    assert not codec.decode(codec.encode(np.zeros(16000)))[0].any()
    for signal in (rng.normal(0, 0.1, 16000), tone, np.sign(tone), 1e-6 * tone, np.append(np.zeros(8000), tone)):
        found, _ = codec.decode(codec.encode(signal))
        assert len(found) == len(signal) and np.isfinite(found).all()


def test_the_shipped_one_speaks_on_the_command_line(speech, tmp_path, capsys):
    audio.write(tmp_path / "a.wav", speech[:48000])
    assert main(["encode", str(tmp_path / "a.wav"), str(tmp_path / "a.plpc"), "--codec", "semantic"]) == 0
    assert main(["decode", str(tmp_path / "a.plpc"), str(tmp_path / "b.wav")]) == 0
    assert len(audio.read(tmp_path / "b.wav")) == 48000
    decode = ["decode", str(tmp_path / "a.plpc"), str(tmp_path / "c.wav"), "--steps", "0"]
    assert main([*decode, "--codec", "semantic"]) == 0
    assert np.abs(audio.read(tmp_path / "b.wav") - audio.read(tmp_path / "c.wav")).max() > 0.01
    for codec in ([], ["--codec", "soundstream"]):
        assert main([*decode, *codec]) == 1
        assert "--steps are those of the semantic codec's diffusion" in capsys.readouterr().err
    assert (
        main(["encode", str(tmp_path / "a.wav"), str(tmp_path / "c.plpc"), "--codec", "semantic", "--kbps", "1"]) == 1
    )
    assert "has rates of 0.2125, 0.425, 0.525 kb/s, not 1" in capsys.readouterr().err


def test_the_shipped_one_is_found_for_a_stream_of_groups(speech):
    data = Codec.load("semantic", C=2).encode(speech[:16000])
    stream = Stream.from_bytes(data)
    found = Codec.of(stream)
    assert (found.decoder, found.C) == ("semantic-small", 2)
    assert len(found.decode(data)[0]) == 16000
    with pytest.raises(PcodecError, match=r"groups-C3\.safetensors"):
        Codec.of(dataclasses.replace(stream, groups=3))
