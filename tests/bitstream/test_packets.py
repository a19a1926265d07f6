import dataclasses

import numpy as np
import pytest

from pcodec import PcodecError, features
from pcodec.bitstream import quantizer
from pcodec.bitstream.container import HEADER_BYTES, Stream
from pcodec.bitstream.packets import pack, unpack
from pcodec.speakers import UNKNOWN

PACKETS = ["7a201d4acf174b9c"] + 5 * ["7b54dd4acf175d61"]  # specification section 13


@pytest.fixture(scope="module")
def stream(speech, codebooks):
    """Two seconds, four groups, an update every second."""
    coded = Stream.encode(speech[:32000], codebooks)
    return dataclasses.replace(coded, groups=4, group=(2, 0, 3), interval=25)


def test_reference_packets(test_vector, original_codebooks):
    coded = Stream.encode(test_vector, original_codebooks)
    assert [packet.tobytes().hex() for packet in coded.packets[:6]] == PACKETS
    assert unpack(coded.packets)[4].tolist() == [61, 42, 4, 3, 468, 691, 791, 2988, 1]


def test_any_eight_bytes_are_a_packet(codebooks):
    packets = np.random.default_rng(1).integers(0, 256, (5000, 8)).astype(np.uint8)
    fields = unpack(packets)
    assert np.array_equal(pack(fields), packets)
    decoded = quantizer.dequantize(fields, codebooks)
    assert np.isfinite(decoded).all()
    assert np.isfinite(features.lpc_from_cepstrum(decoded[:, :18])).all()


def test_fields_lie_in_the_specified_order():
    fields = np.array([[64 + 32 + 1, 33, 5, 2, 513, 2, 1023, 4097, 6]])
    bits = f"{97:07b}{33:06b}{5:03b}{2:02b}{513:010b}{2:010b}{1023:010b}{4097:013b}{6:03b}"
    assert pack(fields).tobytes().hex() == f"{int(bits, 2):016x}"
    with pytest.raises(PcodecError, match="c0 must fit 7 bits, got 128"):
        pack(np.array([[128, 0, 0, 0, 0, 0, 0, 0, 0]]))


def test_invariants_on_librispeech(librispeech, original_codebooks):
    """Two minutes: packets survive, level and pitch are decoded within half a step of what was measured."""
    paths = sorted((librispeech / "test-other").rglob("*.flac"))
    seconds, voiced_packets = 0.0, 0
    for path in paths[::5]:
        analysis = features.cached(path)
        fields = quantizer.quantize(analysis, original_codebooks)
        packets = pack(fields)
        assert np.array_equal(unpack(packets), fields)
        decoded = quantizer.dequantize(fields, original_codebooks)
        assert np.abs(decoded[3::4, 0] - analysis.features[3::4, 0]).max() <= 0.125 + 1e-5
        flat = (np.ptp(analysis.lags, axis=1) == 0) & (analysis.lags[:, 0] > 33) & (analysis.lags[:, 0] < 253)
        steps = 21 * np.log2((50 * decoded[1::4, 18] + 100) / analysis.lags[:, 0])
        assert (np.abs(steps[flat]) <= 0.5 + 1e-4).all()
        voiced = fields[:, 2] > 0
        assert np.abs(decoded[::4, 19] + 0.5 - analysis.correlation)[voiced].max() <= 0.0875 + 1e-5
        seconds += len(analysis.features) / 100
        voiced_packets += voiced.sum()
    assert seconds > 120 and voiced_packets > 500


@pytest.mark.parametrize("samples", [0, 1, 79, 560, 561, 16000])
def test_length_comes_back(samples, codebooks, tmp_path):
    signal = np.random.default_rng(1).normal(0, 0.1, samples)
    Stream.encode(signal, codebooks, 2, 1).write(tmp_path / "a.plpc")
    back = Stream.read(tmp_path / "a.plpc")
    assert back.samples == samples and back.group == (1,) and back.groups == 2
    decoded = back.features(codebooks)
    assert len(decoded) == len(features.analyze(signal).features) and 160 * len(decoded) - 80 >= samples


def test_file_holds_everything(stream, codebooks):
    data = stream.to_bytes()
    assert len(data) == HEADER_BYTES + 8 * len(stream.packets) + 2 == 24 + 8 * 51 + 2
    back = Stream.from_bytes(data)
    for field in dataclasses.fields(Stream):
        assert np.array_equal(getattr(back, field.name), getattr(stream, field.name)), field.name
    assert stream.group_of_packets[[0, 24, 25, 49, 50]].tolist() == [2, 2, 0, 0, 3]
    unknown = dataclasses.replace(stream, group=(UNKNOWN, UNKNOWN, 1))
    assert Stream.from_bytes(unknown.to_bytes()).group == unknown.group
    assert unknown.info()["group"] == "unknown from 0.00 s, 1 from 2.00 s; of 4"
    plain = dataclasses.replace(stream, groups=1, group=(0,), interval=0)
    assert len(plain.to_bytes()) == 24 + 8 * 51 and (plain.group_of_packets == 0).all()


def test_other_codebooks_are_refused(stream, codebooks):
    other = dataclasses.replace(codebooks, delta=-codebooks.delta)
    with pytest.raises(PcodecError, match=f"{codebooks.identity}.*{other.identity}"):
        stream.features(other)


def test_a_thousand_corruptions(stream, codebooks, tmp_path):
    """Truncated, lengthened or with flipped bits: refused with the file named, or decodable to the right length."""
    good, rng = stream.to_bytes(), np.random.default_rng(7)
    path = tmp_path / "bad.plpc"
    refused = decoded = 0
    for _ in range(1000):
        data = bytearray(good)
        kind = rng.integers(4)
        if kind == 0:
            data = data[: rng.integers(len(data))]
        elif kind == 1:
            data += rng.bytes(rng.integers(1, 40))
        else:
            last = HEADER_BYTES if kind == 2 else len(data)
            for at in rng.integers(0, 8 * last, rng.integers(1, 4)):
                data[at // 8] ^= 1 << at % 8
        if bytes(data) == good:
            continue
        path.write_bytes(data)
        try:
            back = Stream.read(path)
            assert len(back.features(codebooks)) == 4 * len(stream.packets) and back.samples == stream.samples
            assert back.group == stream.group, "a flipped bit picked another group"
            assert kind == 3
            decoded += 1
        except PcodecError as error:
            assert str(error).startswith(str(path))
            refused += 1
    assert refused > 700 and decoded > 150


def test_damage_is_named(stream, tmp_path):
    good = stream.to_bytes()
    cases = {
        "not a .plpc file": b"RIFF" + good[4:],
        "empty file": b"",
        "truncated: 10 bytes, the header has 24": good[:10],
        "version 2; this program reads version 1": good[:4] + b"\2" + good[5:],
        "damaged header": good[:9] + b"\x7f" + good[10:],
        f"truncated: {len(good) - 1} of {len(good)} bytes": good[:-1],
        "too long": good + b"x",
        "0x10 is no group index": good[: 24 + 200] + b"\x10" + good[24 + 201 :],
    }
    for message, data in cases.items():
        (tmp_path / "bad.plpc").write_bytes(data)
        with pytest.raises(PcodecError, match=r"bad\.plpc: ") as caught:
            Stream.read(tmp_path / "bad.plpc")
        assert message in str(caught.value)
    with pytest.raises(PcodecError, match=r"missing\.plpc: No such file"):
        Stream.read(tmp_path / "missing.plpc")


def test_contradictions_are_refused(stream):
    cases = {
        "no group 4": {"group": (4, 0, 0)},
        "1 to 15 groups, got 16": {"groups": 16},
        "3 group indices, got 1": {"group": (0,)},
        "0 to 255 packets, got 256": {"interval": 256},
        "got -1": {"samples": -1},
        "640 samples are 2 packets": {"samples": 640},
        "16 hexadecimal digits, got 'ab'": {"codebooks": "ab"},
        "packets are bytes, got int64": {"packets": stream.packets.astype(int)},
        "no group 1.5": {"group": (1.5, 0, 0)},
    }
    for message, change in cases.items():
        with pytest.raises(PcodecError, match=message):
            dataclasses.replace(stream, **change)
