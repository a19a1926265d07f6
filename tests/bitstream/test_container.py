"""A .plpc file holds everything the receiver needs, and damage to it is named."""

import dataclasses

import numpy as np
import pytest

from pcodec import PcodecError, features
from pcodec.bitstream.container import HEADER_BYTES, Stream
from pcodec.speakers import UNKNOWN


@pytest.fixture(scope="module")
def stream(speech, codebooks):
    """Two seconds, four groups, an update every second."""
    coded = Stream.encode(speech[:32000], codebooks)
    return dataclasses.replace(coded, groups=4, group=(2, 0, 3), interval=25)


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
        "version 9; this program reads versions 1 to 5": good[:4] + b"\x09" + good[5:],
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
