"""As many samples come out as went in, live or whole, by the right group's decoder; misfits are named."""

import shutil
import weakref

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.bitstream.container import HEADER_BYTES, Stream
from pcodec.bitstream.packets import packets_of
from pcodec.codecs import parametric, signals
from pcodec.evaluation import packages
from pcodec.features.vocoder import DELAY
from pcodec.learning import adapter, weights
from pcodec.lpcnet.model import LPCNet, LPCNetConfig
from pcodec.speakers import UNKNOWN
from pcodec.speech import audio


@pytest.fixture(scope="module", params=["lpcnet-32", "fargan-tiny"])
def coder(request, codec_folder):
    return parametric.Codec.load(codec_folder, request.param, C=2)


@pytest.fixture(scope="module")
def one_for_all(coder, codec_folder):
    return parametric.Codec.load(codec_folder, coder.decoder, C=1)


@pytest.mark.parametrize("samples", [0, 1, 400, 560, 561, 16000])
def test_as_many_samples_as_went_in(coder, speech, samples):
    data = coder.encode(speech[:samples])
    decoded, rate = coder.decode(data)
    assert rate == 16000 and decoded.shape == (samples,) and decoded.dtype == np.float32
    assert len(data) == HEADER_BYTES + 8 * packets_of(samples)


def test_the_stream_is_the_bitstream_s_and_names_the_group(coder, one_for_all, speech):
    stream = Stream.from_bytes(coder.encode(speech))
    assert stream.groups == 2 and stream.group == (coder.groups.assign(speech).group,)
    assert stream.to_bytes() == Stream.encode(speech, coder.codebooks, 2, stream.group[0]).to_bytes()
    for group in (0, 1, UNKNOWN):
        assert Stream.from_bytes(coder.encode(speech, group=group)).group == (group,)
    assert Stream.from_bytes(coder.encode(np.zeros(8000))).group == (UNKNOWN,)
    assert Stream.from_bytes(one_for_all.encode(speech)).group == (0,)


def test_rates_and_channels(coder):
    tone = 0.3 * np.sin(2 * np.pi * 200 * np.arange(44100) / 44100)
    data = coder.encode(np.stack([tone, tone], axis=1), 44100)
    assert Stream.from_bytes(data).samples == 16000
    assert data == coder.encode(audio.resample(tone, 44100), group=Stream.from_bytes(data).group[0])


def test_each_group_has_its_decoder(coder, one_for_all, speech):
    """The receiver picks the decoder by the index; where the group is not known, the one for everybody."""
    heard = {group: coder.decode(coder.encode(speech[:3200], group=group))[0] for group in (0, 1, UNKNOWN)}
    assert not np.array_equal(heard[0], heard[1])
    assert np.array_equal(heard[UNKNOWN], one_for_all.decode(one_for_all.encode(speech[:3200]))[0])


@pytest.mark.parametrize("size", [100, 640, 3333])
def test_live_sender_makes_the_same_packets(coder, speech, size):
    sender = parametric.Encoder(coder, follow=False)
    packets = [sender.push(speech[at : at + size]) for at in range(0, len(speech), size)]
    packets = np.concatenate([*packets, sender.finish()])
    assert np.array_equal(packets, Stream.encode(speech, coder.codebooks).packets)


def test_live_sender_finds_the_group_in_time(coder, speech):
    sender = parametric.Encoder(coder)
    talk = np.tile(speech, -(-80000 // len(speech)))[:80000]
    found = []
    for at in range(0, len(talk), 640):
        sender.push(talk[at : at + 640])
        found.append(sender.group)
    assert found[0] == UNKNOWN and found[-1] in (0, 1)


def test_live_receiver_makes_the_same_samples(coder, speech):
    """Packet by packet, with a group that changes on the way."""
    packets = Stream.encode(speech[:20000], coder.codebooks).packets
    group = [0, 1, UNKNOWN, 1][: -(-len(packets) // 10)]
    stream = Stream(packets, 20000, coder.codebooks.identity, 2, tuple(group), 10)
    receiver = parametric.Decoder(coder, seed=1)
    parts = [receiver.push(packets[i : i + 1], int(stream.group_of_packets[i])) for i in range(len(packets))]
    assert {len(part) for part in parts} == {640}
    live = np.concatenate([*parts, receiver.finish()])[DELAY:][:20000]
    whole = coder.decode(stream.to_bytes())[0]
    assert np.array_equal(live, whole) and np.abs(whole).max() > 0.01


def test_silence_stays_silent(coder, speech):
    signal = np.concatenate([np.zeros(8000), speech[:8000], np.zeros(8000)])
    decoded = coder.decode(coder.encode(signal, group=0))[0]
    assert not decoded[:7000].any() and not decoded[17600:].any() and decoded[8800:15200].any()
    assert not coder.decode(coder.encode(np.zeros(16000)))[0].any()


def test_lost_packets_fade_and_come_back(coder, speech):
    packets = Stream.encode(speech[:32000], coder.codebooks).packets
    receiver = parametric.Decoder(coder)
    before = receiver.push(packets[:20])
    gap = np.concatenate([receiver.conceal(), receiver.conceal(9)])
    after = receiver.push(packets[30:40])
    assert len(gap) == 10 * 640 and len(after) == 10 * 640
    level = [np.abs(x).mean() for x in (before[-640:], gap[320:1280], gap[1280:2560])]
    assert level[0] > 0 and level[2] < level[1]
    assert not gap[320 + 3200 :].any() and after[1280:].any()
    assert not parametric.Decoder(coder).conceal(3).any()


def test_any_packets_can_be_decoded(coder):
    rng = np.random.default_rng(1)
    for group in (0, 1):
        receiver = parametric.Decoder(coder, seed=group)
        noise = receiver.push(rng.integers(0, 256, (100, 8), dtype=np.uint8), group)
        assert np.isfinite(noise).all() and np.abs(noise).max() <= 1.0
    for value in (0, 255):
        assert np.isfinite(parametric.Decoder(coder).push(np.full((10, 8), value, np.uint8))).all()


def test_damaged_files_are_refused_or_decoded(coder, speech):
    rng = np.random.default_rng(2)
    data = np.frombuffer(coder.encode(speech[:8000], group=1), np.uint8)
    for _ in range(40):
        damaged = data.copy()
        damaged[rng.integers(len(data), size=3)] ^= rng.integers(1, 256, 3, dtype=np.uint8)
        try:
            assert len(coder.decode(damaged.tobytes())[0]) == 8000
        except PcodecError as error:
            assert str(error)


def test_memory_is_not_that_of_the_signal(coder, speech):
    """Pieces are let go as soon as they are coded, and come out as they are made."""
    pieces, most = [], 0

    def given():
        nonlocal most
        for _ in range(200):
            piece = speech[:6400].copy()
            pieces.append(weakref.ref(piece))
            yield piece
            del piece
            most = max(most, sum(one() is not None for one in pieces))

    stream = coder.encode_blocks(given(), group=0)
    assert stream.samples == 200 * 6400 and len(pieces) == 200 and most <= 3
    first = next(coder.decode_blocks(stream))
    assert len(first) == parametric.AT_ONCE * 640 - DELAY


@pytest.mark.parametrize("name", parametric.SHIPPED)
def test_shipped_codecs_are_whole_and_say_where_they_come_from(name, speech):
    shipped = parametric.Codec.load(name)
    decoded, _ = shipped.decode(shipped.encode(speech[:8000]))
    assert len(decoded) == 8000 and np.abs(decoded).max() > 0.01
    default = parametric.Codec.load()
    assert parametric.Codec.of(Stream.from_bytes(shipped.encode(speech[:640]))).files == default.files
    for file in shipped.files.values():
        config, arrays, provenance = weights.read(file, shipped.family.CONFIG)
        assert f"{config.FAMILY}-{config.size}" == parametric.SHIPPED[name][0] and provenance["preset"] == "desktop"
        assert provenance["updates"] > 1000 and provenance["codebooks"] == shipped.codebooks.identity
        assert file.stat().st_size < 2 * sum(array.size for array in arrays.values()) + 10_000  # float16


@pytest.mark.parametrize("name", parametric.SHIPPED)
def test_shipped_codecs_speak(name, librispeech):
    """Unseen speakers: intelligible, at the right level, without bursts."""
    shipped = parametric.Codec.load(name)
    for path in sorted((librispeech / "test-other").rglob("*.flac"))[::24]:
        original = audio.read(path)[: 3 * audio.RATE]
        decoded, _ = shipped.decode(shipped.encode(original))
        level = 10 * np.log10(np.mean(decoded**2) / np.mean(original**2))
        assert packages.stoi(original, decoded) > 0.6 and abs(level) < 8.0, path
        assert np.mean(np.abs(decoded) > 0.99) < 0.01, path
        loud = original / np.abs(original).max()
        assert np.mean(np.abs(shipped.decode(shipped.encode(loud))[0]) > 0.99) < 0.01, path


def test_a_person_s_adapter(codec_folder, speech, tmp_path):
    mine = parametric.Codec.load(codec_folder, "lpcnet-32", 2)
    data = [mine.encode(speech[:6400], group=group) for group in (0, UNKNOWN)]
    general = mine.decode(data[1])[0]
    adapted = adapter.Adapted(LPCNet.load(codec_folder / "lpcnet-32-general.safetensors"))
    adapted.save(tmp_path / "none.safetensors")
    adapted.parts["sample/dual_fc/factors:offset"].data += 1.0
    adapted.save(tmp_path / "some.safetensors")
    mine.adapt(tmp_path / "none.safetensors")
    assert np.array_equal(mine.decode(data[0])[0], general) and np.array_equal(mine.decode(data[1])[0], general)
    mine.adapt(tmp_path / "some.safetensors")
    adapted = mine.decode(data[0])[0]
    assert not np.array_equal(adapted, general)
    assert np.array_equal(mine.decode(mine.encode(speech[:6400]))[0], adapted)  # one decoder: no groups
    adapter.Adapted(LPCNet(LPCNetConfig(units=32))).save(tmp_path / "other.safetensors")
    with pytest.raises(PcodecError, match=r"other.safetensors: an adapter of decoder"):
        mine.adapt(tmp_path / "other.safetensors")


def test_a_codec_can_be_carried_away(coder, codec_folder, speech, tmp_path):
    coder.save(tmp_path / "mine")
    mine = parametric.Codec.load(tmp_path / "mine", coder.decoder, 2)
    data = coder.encode(speech[:6400])
    assert mine.encode(speech[:6400]) == data and np.array_equal(mine.decode(data)[0], coder.decode(data)[0])
    name = f"{coder.decoder}-C2-g1.safetensors"
    assert (tmp_path / "mine" / name).stat().st_size < 0.6 * (codec_folder / name).stat().st_size
    assert len(list((tmp_path / "mine").iterdir())) == 5


def test_one_decoder_for_all_takes_every_stream(coder, one_for_all, speech):
    """The packets are the same; only the group is not used."""
    stream = coder.encode(speech[:6400], group=1)
    assert np.array_equal(one_for_all.decode(stream)[0], one_for_all.decode(one_for_all.encode(speech[:6400]))[0])


def test_a_constant_offset_is_removed_and_nothing_else_is_changed(coder, speech, capsys):
    part = speech[:32000]
    plain = [np.float32(block) for block in (part[:9000], part[9000:])]
    assert np.array_equal(np.concatenate(list(signals.without_offset(plain))), part)
    assert "offset" not in capsys.readouterr().err
    shifted = list(signals.without_offset([block + np.float32(0.4) for block in plain]))
    assert "a constant offset of 0.40 is removed" in capsys.readouterr().err
    assert abs(np.concatenate(shifted)[8000:].mean()) < 1e-3
    assert np.corrcoef(np.concatenate(shifted)[8000:], part[8000:])[0, 1] > 0.98
    group = Stream.from_bytes(coder.encode(part)).group
    assert Stream.from_bytes(coder.encode(part * 0.5 + 0.4)).group == group


def test_channels_that_cancel_are_not_silence(coder, speech):
    both = np.stack([speech[:8000], -speech[:8000]], axis=1)
    assert coder.encode(both) == coder.encode(speech[:8000])


def test_lost_packets_of_a_stream_are_concealed(coder, speech):
    """As many samples, the same ones before the first loss, and where all is lost, silence."""
    stream = Stream.from_bytes(coder.encode(speech[:16000]))
    lost = np.zeros(len(stream.packets), bool)
    lost[10:12] = True
    whole, holes, nothing = (
        np.concatenate(list(coder.decode_blocks(stream, lost=mask))) for mask in (None, lost, np.ones_like(lost))
    )
    assert whole.shape == holes.shape == nothing.shape == (16000,)
    assert np.array_equal(whole[: 640 * 10 - DELAY - 160], holes[: 640 * 10 - DELAY - 160])
    assert not np.array_equal(whole, holes) and not nothing.any()


def test_only_signals_are_coded(coder, speech):
    stereo = np.stack([speech, speech], axis=1)
    assert coder.encode(stereo[:6400]) == coder.encode(speech[:6400])
    for samples, rate, message in [
        (stereo.T, 16000, r"one dimension \(samples,\), got shape \(2, "),
        ((100 * stereo).astype(np.int16), 16000, "got shape|got int16"),
        (3000 * speech, 16000, "expected in"),
        (speech, 0, "positive whole number of Hz, got 0"),
        (speech, None, "positive whole number of Hz, got None"),
        (speech, float("nan"), "positive whole number of Hz, got nan"),
        (speech, 44100.5, "positive whole number of Hz, got 44100.5"),
    ]:
        with pytest.raises(PcodecError, match=message):
            coder.encode(samples, rate)
    assert len(coder.encode(speech[:6400], 16000.0)) == len(coder.encode(speech[:6400]))


def test_refusals(coder, one_for_all, codec_folder, speech, tmp_path):
    stream = Stream.encode(speech[:6400], coder.codebooks, 3)
    with pytest.raises(PcodecError, match="coded for 3 speaker groups, this codec has 2"):
        coder.decode(stream.to_bytes())
    with pytest.raises(PcodecError, match="coded for 1 speaker groups, this codec has 2"):
        coder.decode(one_for_all.encode(speech[:6400]))
    other = Stream(stream.packets, 6400, "0" * 16, 2)
    with pytest.raises(PcodecError, match=f"codebooks {'0' * 16}, this codec has {coder.codebooks.identity}"):
        coder.decode(other.to_bytes())
    with pytest.raises(PcodecError, match=f"coded with codebooks {coder.codebooks.identity}, this codec has"):
        parametric.Codec.of(stream)
    for seed in (-1, 0.5, None):
        with pytest.raises(PcodecError, match=f"a seed is a whole number from 0, got {seed}"):
            one_for_all.decode(one_for_all.encode(speech[:6400]), seed=seed)
    with pytest.raises(PcodecError, match="no group 2"):
        coder.encode(speech[:6400], group=2)
    with pytest.raises(PcodecError, match="no group 7: this codec has 2"):
        parametric.Decoder(coder).push(stream.packets, 7)
    for folder, decoder, C, message in [
        (
            "nowhere",
            "lpcnet-32",
            2,
            "nowhere: neither a folder nor one of framewise, framewise-small, framewise-tiny, general",
        ),
        (codec_folder, "lpcnet-32", None, "the decoder and the number of groups"),
        (codec_folder, "lpcnet-48", 2, "lpcnet-48-general.safetensors: no such decoder"),
        (codec_folder, "wavenet-1", 2, "wavenet-1: decoders are called FAMILY-SIZE, of the families fargan, lpcnet"),
        ("general", None, 2, "the codec general has C = 1, not 2"),
        ("general", "lpcnet-48", None, "lpcnet-48-general.safetensors: no such decoder"),
    ]:
        with pytest.raises(PcodecError, match=message):
            parametric.Codec.load(folder, decoder, C)
    for name in ("codebooks.npz", "groups-C2.safetensors"):
        (tmp_path / name).write_bytes((codec_folder / name).read_bytes())
    own = coder.codebooks.identity.encode()
    foreign = (codec_folder / "lpcnet-32-general.safetensors").read_bytes().replace(own, b"f" * 16)
    for name in ("2-0", "2-1", "1-0"):
        (tmp_path / f"lpcnet-32-{name}.safetensors").write_bytes(foreign)
    with pytest.raises(PcodecError, match=f"lpcnet-32-2-[01].safetensors: trained with codebooks {'f' * 16}"):
        parametric.Codec.load(tmp_path, "lpcnet-32", 2).decode(coder.encode(speech[:6400]))


def test_codecs_of_version_0_1_still_load(codec_folder, speech, tmp_path):
    """Their decoders are called lpcnet-<units>-<C>-<group>, and 1-0 is the one for everybody; files know no family."""
    names = {"general": "1-0", "C2-g0": "2-0", "C2-g1": "2-1"}
    for new, old in names.items():
        arrays, metadata = weights.load(codec_folder / f"lpcnet-32-{new}.safetensors", "no decoder")
        metadata.pop("family")
        weights.save(tmp_path / f"lpcnet-32-{old}.safetensors", arrays, **metadata)
    for name in ("codebooks.npz", "groups-C2.safetensors"):
        shutil.copy(codec_folder / name, tmp_path)
    old, new = (parametric.Codec(folder, "lpcnet-32", 2) for folder in (tmp_path, codec_folder))
    for group in (0, 1, UNKNOWN):
        data = new.encode(speech[:3200], group=group)
        assert old.encode(speech[:3200], group=group) == data
        assert np.array_equal(old.decode(data)[0], new.decode(data)[0])


def test_the_control_decodes_for_everybody_where_there_is_one(codec_folder, tmp_path):
    shutil.copytree(codec_folder, tmp_path / "codec")
    shutil.copy(codec_folder / "lpcnet-32-C2-g0.safetensors", tmp_path / "codec" / "lpcnet-32-control.safetensors")
    files = parametric.Codec(tmp_path / "codec", "lpcnet-32", 2).files
    assert files[UNKNOWN].name == "lpcnet-32-control.safetensors"
    assert parametric.Codec(codec_folder, "lpcnet-32", 2).files[UNKNOWN].name == "lpcnet-32-general.safetensors"
