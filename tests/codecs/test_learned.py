"""A stream of the codec that is learned end to end: exact length at all rates, damage named, loss concealed, groups."""

import io

import numpy as np
import pytest
import torch

from pcodec import PcodecError, paths
from pcodec.bitstream.container import PARAMETRIC, SOUNDSTREAM, Stream
from pcodec.bitstream.packet_loss import lost_packets
from pcodec.cli import main
from pcodec.codecs import LEARNED
from pcodec.codecs.learned import LearnedCodec, stages_of
from pcodec.codecs.parametric import Codec
from pcodec.evaluation import metrics, packages
from pcodec.soundstream import entropy
from pcodec.soundstream.config import DELAY, FRAME, SIZES
from pcodec.soundstream.model import SoundStream
from pcodec.speech import audio, noise


def network(seed):
    model = SoundStream(SIZES["tiny"], seed=seed)
    latents = torch.randn(1, 600, model.config.latent, generator=torch.Generator().manual_seed(seed))
    model.quantizer.start(latents)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A general codec of random weights."""
    folder = tmp_path_factory.mktemp("soundstream")
    network(1).save(folder / "soundstream-tiny-general.safetensors", np.float16)
    return folder


@pytest.fixture(scope="module")
def coder(folder):
    return Codec.load(folder, "soundstream-tiny")


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 16000, 40001])
@pytest.mark.parametrize("kbps", [0.4, 1.6, 3.2])
def test_length_comes_back(folder, speech, samples, kbps):
    coder = Codec.load(folder, "soundstream-tiny", kbps=kbps)
    data = coder.encode(speech[:samples])
    found, rate = coder.decode(data)
    assert len(found) == samples and rate == audio.RATE
    stream = Stream.from_bytes(data)
    assert len(data) == 26 + len(stream.packets) * stages_of(kbps)
    assert len(stream.packets) == -(-(samples + 480) // 320)
    assert stream.payload_rate == pytest.approx(1000 * kbps)


def test_the_container_knows_its_frames():
    assert (SOUNDSTREAM.samples, SOUNDSTREAM.late) == (FRAME, DELAY)


@pytest.mark.parametrize("kbps", [0, -0.4, 0.2, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(folder, kbps):
    with pytest.raises(PcodecError, match="a rate is a multiple of"):
        Codec.load(folder, "soundstream-tiny", kbps=kbps)


def test_pieces_are_the_whole(coder, speech):
    signal = speech[:33333].astype(np.float32)
    whole = coder.encode_blocks([signal])
    pieces = coder.encode_blocks(np.split(signal, [5, 2000, 2001, 30000]))
    assert np.array_equal(whole.packets, pieces.packets)
    blocks = list(coder.decode_blocks(whole))
    assert len(blocks) > 1
    assert np.array_equal(np.concatenate(blocks), coder.decode(whole.to_bytes())[0])


def test_what_comes_out_is_aligned(coder):
    """A change is heard from where the first spectrum that sees it begins: the codec's own delay is taken away."""
    signal = np.zeros(16000, np.float32)
    silent, _ = coder.decode(coder.encode(signal))
    for place in (6000, 9000):
        changed = signal.copy()
        changed[place : place + 320] = 0.5
        difference = np.abs(coder.decode(coder.encode(changed))[0] - silent)
        first = np.flatnonzero(difference > 1e-6)[0]
        assert 0 <= first - (place // 320 * 320 - 480) < 80


def test_a_thousand_damaged_streams_are_refused_or_decoded(coder, speech):
    good = coder.encode(speech[:16000])
    rng = np.random.default_rng(1)
    for _ in range(1000):
        data = bytearray(good[: rng.integers(len(good) + 1)] if rng.random() < 0.3 else good)
        for _ in range(rng.integers(4)):
            if data:
                data[rng.integers(len(data))] = rng.integers(256)
        try:
            stream = Stream.from_bytes(bytes(data))
        except PcodecError as error:
            assert "\n" not in str(error)
            continue
        assert stream.form.family == "soundstream" and stream.samples == 16000


def test_damage_is_named(coder, folder, speech):
    good = coder.encode(speech[:16000])
    for data, what in ((good[:25], "truncated: 25 bytes, the header has 26"), (good[:-1], "truncated: "),
                       (good + b"a", "too long"), (good[:20] + b"\2" + good[21:], "damaged header")):  # fmt: skip
        with pytest.raises(PcodecError, match=what):
            coder.decode(data)
    other = Codec.load("framewise")
    with pytest.raises(PcodecError, match="of the family soundstream, give the codec that it was coded with"):
        other.decode(good)
    with pytest.raises(PcodecError, match="of the family parametric"):
        coder.decode(other.encode(speech[:1000]))
    with pytest.raises(PcodecError, match=r"multiple of 0\.4 kb/s, got 1\.5"):
        Codec.load(folder, "soundstream-tiny", kbps=1.5)
    with pytest.raises(PcodecError, match="has 1 to 8 stages, got 9"):
        Codec.load(folder, "soundstream-tiny", kbps=3.6)
    with pytest.raises(PcodecError, match=r"soundstream-large-.*: no such decoder"):
        Codec.load(folder, "soundstream-large")
    with pytest.raises(PcodecError, match=r"framewise: has a rate of 1\.6 kb/s, not 3\.2"):
        Codec.load("framewise", kbps=3.2)


def test_loss_is_concealed(coder, speech):
    stream = coder.encode_blocks([speech[:32000]])
    lost = lost_packets(len(stream.packets), 0.2, 3, seed=1)
    heard, whole = (np.concatenate(list(coder.decode_blocks(stream, 1, gone))) for gone in (lost, None))
    assert len(heard) == 32000 and not np.array_equal(heard, whole)
    everything = np.concatenate(list(coder.decode_blocks(stream, 1, np.ones(len(lost), bool))))
    assert np.abs(everything).max() == 0.0, "nothing came, nothing is heard"
    late = np.zeros(len(lost), bool)
    late[40:] = True
    faded = np.concatenate(list(coder.decode_blocks(stream, 1, late)))
    assert np.array_equal(faded[: 320 * 37], whole[: 320 * 37])
    assert np.abs(faded[320 * 51 :]).max() == 0.0


def test_groups_choose_their_networks(tmp_path, speech):
    for name, seed in (("control", 1), ("C2-g0", 2), ("C2-g1", 3)):
        network(seed).save(tmp_path / f"soundstream-tiny-{name}.safetensors", np.float16)
    (tmp_path / "groups-C2.safetensors").write_bytes((paths.SHIPPED / "groups-C2.safetensors").read_bytes())
    coder = LearnedCodec(tmp_path, "soundstream-tiny", 2)
    streams = [coder.encode_blocks([speech[:16000]], group) for group in (0, 1, None)]
    assert streams[2].group == (coder.group_of(speech[:16000]),)
    assert not np.array_equal(streams[0].packets, streams[1].packets)
    assert np.array_equal(streams[2].packets, streams[streams[2].group[0]].packets)
    found = [coder.decode(stream.to_bytes())[0] for stream in streams]
    assert not np.array_equal(found[0], found[1])
    with pytest.raises(PcodecError, match="no group 2: this codec has 2, from 0"):
        coder.encode(speech[:16000], group=2)


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize(("kbps", "least"), [(0.8, 0.75), (1.6, 0.8), (3.2, 0.83)])
def test_the_shipped_ones_speak(name, kbps, least, librispeech):
    """Unseen speakers: intelligible, at the right level, and a stream finds its codec, compact or not."""
    shipped, found = Codec.load(name, kbps=kbps, compact=True), []
    for path in sorted((librispeech / "test-other").rglob("*.flac"))[::16]:
        original = audio.read(path)[: 4 * audio.RATE]
        stream = Stream.from_bytes(shipped.encode(original))
        assert stream.payload < 0.95 * stream.count * stream.form.bytes
        decoded = np.concatenate(list(Codec.of(stream).decode_blocks(stream)))
        assert abs(10 * np.log10(np.mean(decoded**2) / np.mean(original**2))) < 8.0, path  # one has a rumble
        found.append(packages.stoi(original, decoded))
    assert np.mean(found) > least


@pytest.mark.parametrize("name", LEARNED)
def test_the_shipped_ones_remove_noise(name, librispeech, noise_folder):
    """Of kinds and beside speakers that they have not learned from: what comes out is nearer to the speech."""
    _, unseen = noise.load(noise_folder, ["kitchen", "coffee-shop", "waves", "rain"])
    plain, quiet = (Codec.load(name, denoise=denoise) for denoise in (False, True))
    rng, gains = np.random.default_rng(1), []
    for path in sorted((librispeech / "test-other").rglob("*.flac"))[::12]:
        original = audio.read(path)[: 4 * audio.RATE]
        heard = np.clip(noise.mixed(original, unseen.draw(1, len(original), rng)[0], 5.0), -1, 1)
        coded, alone = (each.decode(each.encode(heard))[0] for each in (plain, quiet))
        gains.append(metrics.log_spectral_distance(original, coded) - metrics.log_spectral_distance(original, alone))
    assert np.mean(gains) > 1.0, "dB"


def test_noise_is_removed_on_demand(tmp_path, speech):
    """The packets are those of the encoder whose switch is on; they are decoded like any others."""
    model = network(1)
    with torch.no_grad():
        model.encoder.last.offsets.fill_(0.5)
    model.save(tmp_path / "soundstream-tiny-general.safetensors", np.float16)
    coder, quiet = (Codec.load(tmp_path, "soundstream-tiny", denoise=denoise) for denoise in (False, True))
    signal = speech[:16000].astype(np.float32)
    streams = [each.encode_blocks([signal]) for each in (coder, quiet)]
    assert (streams[0].packets != streams[1].packets).any()
    assert np.array_equal(*(each.decode(streams[1].to_bytes())[0] for each in (coder, quiet)))
    with pytest.raises(PcodecError, match="framewise: removes no noise; soundstream does"):
        Codec.load("framewise", denoise=True)


def test_commands(folder, speech, tmp_path, capsys):
    audio.write(tmp_path / "a.wav", speech[:16000])
    own = ["--codec", str(folder), "--decoder", "soundstream-tiny"]
    assert main(["encode", str(tmp_path / "a.wav"), str(tmp_path / "a.plpc"), *own, "--kbps", "0.8"]) == 0
    assert main(["info", str(tmp_path / "a.plpc")]) == 0
    told = capsys.readouterr().out
    assert "soundstream" in told and "52 of 16 bits for 20 ms" in told and "800 b/s in packets" in told
    assert main(["decode", str(tmp_path / "a.plpc"), str(tmp_path / "b.wav"), *own]) == 0
    assert audio.probe(tmp_path / "b.wav") == 1.0
    assert Stream.read(tmp_path / "a.plpc").form != PARAMETRIC
    capsys.readouterr()
    assert main(["decode", str(tmp_path / "a.plpc"), str(tmp_path / "c.wav")]) == 1
    assert "coded with network" in capsys.readouterr().err and not (tmp_path / "c.wav").exists()


def test_compact_files(tmp_path, speech, capsys):
    """Fewer bytes, the same sound; what cannot be read is named."""
    signal = speech[:32000].astype(np.float32)
    model = network(1)
    model.save(tmp_path / "soundstream-tiny-general.safetensors", np.float16)
    with pytest.raises(PcodecError, match=r"general\.codes\.npz: no model of codes"):
        Codec.load(tmp_path, "soundstream-tiny", compact=True)
    plain = Codec.load(tmp_path, "soundstream-tiny")
    stream = plain.encode_blocks([signal])
    identity = SoundStream.load(tmp_path / "soundstream-tiny-general.safetensors").identity
    entropy.Model.of([stream.packets] * 5, identity).save(tmp_path / "soundstream-tiny-general.codes.npz")
    coder = Codec.load(tmp_path, "soundstream-tiny", compact=True)
    data = coder.encode(signal)
    assert len(data) < 0.7 * len(stream.to_bytes()), "the very speech that was counted"
    read = Stream.from_bytes(data)
    assert read.packets is None and (read.samples, read.count, read.group) == (32000, len(stream.packets), (0,))
    assert np.array_equal(plain.packets(read), stream.packets)
    assert np.array_equal(plain.decode(data)[0], plain.decode(stream.to_bytes())[0])
    assert read.to_bytes() == data and read.numbers()["bytes"] == len(data)
    assert read.payload_rate < 0.7 * stream.payload_rate
    for at in range(0, len(data), 7):
        for bad in (data[:at], data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :]):
            with pytest.raises(PcodecError):
                Stream.from_bytes(bad)
    entropy.Model.of([stream.packets] * 5, "0" * 16).save(tmp_path / "soundstream-tiny-general.codes.npz")
    with pytest.raises(PcodecError, match=r"general\.codes\.npz: of another network than the one beside it"):
        Codec.load(tmp_path, "soundstream-tiny", compact=True)
    with pytest.raises(PcodecError, match="a file of known length, not a live stream"):
        Stream.read_live_header(io.BytesIO(data).read)
    assert main(["encode", "-", "-", "--stream", "--codec", "soundstream", "--compact"]) == 1
    assert "--stream goes without --compact" in capsys.readouterr().err
    with pytest.raises(PcodecError, match="framewise: makes no compact files; soundstream does"):
        Codec.load("framewise", compact=True)
