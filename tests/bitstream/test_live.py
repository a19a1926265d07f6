"""The form for live pipes gives back every packet, group and the length, and says where it is damaged or ends early."""

import io
import zlib

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.bitstream import live
from pcodec.bitstream.container import PARAMETRIC, SOUNDSTREAM, Kind, Stream
from pcodec.bitstream.packets import packets_of
from pcodec.speakers import UNKNOWN

SAMPLES = 6000


@pytest.fixture(scope="module")
def sent():
    """(bytes, packets, groups) of a live stream whose group becomes known and changes."""
    packets = np.random.default_rng(1).integers(0, 256, (packets_of(SAMPLES), 8)).astype(np.uint8)
    groups = [UNKNOWN, UNKNOWN, *[1] * 5, *[0] * (len(packets) - 7)]
    file = io.BytesIO()
    file.write(Stream.begin_live(Kind("0123456789abcdef", 2)))
    writer = live.Writer(file, PARAMETRIC)
    for packet, group in zip(packets, groups, strict=True):
        writer.put(packet[None], group)
    writer.end(SAMPLES)
    return file.getvalue(), packets, groups


def test_a_saved_one_is_a_stream_like_any_other(sent, tmp_path):
    data, packets, groups = sent
    (tmp_path / "a.plpc").write_bytes(data)
    stream = Stream.read(tmp_path / "a.plpc")
    assert (stream.samples, stream.codebooks, stream.groups) == (SAMPLES, "0123456789abcdef", 2)
    assert np.array_equal(stream.packets, packets) and stream.group == tuple(groups)
    assert stream.numbers()["bytes"] == len(data) and stream.info()["file"].startswith(f"{len(data)} bytes")
    again = Stream.from_bytes(stream.to_bytes())
    assert np.array_equal(again.packets, packets) and again.group == tuple(groups)


def test_damage_is_named(sent):
    data, packets, _ = sent
    cases = {
        f"truncated: it ends after {len(packets)} packets": data[:-2],
        "truncated: it ends after 1 packets": data[: 24 + 9 + 4],
        "0x10 is no group index": data[:33] + b"\x10" + data[34:],
        f"damaged: {len(packets)} packets for 9000 samples": data[:-8]
        + live.COUNT.pack(9000, zlib.crc32((9000).to_bytes(4))),
        "too long: 1 bytes after its end": data + b"x",
        "damaged header": data[:5] + b"\x03" + data[6:],
    }
    for message, bad in cases.items():
        with pytest.raises(PcodecError, match=message):
            Stream.from_bytes(bad)


def test_every_prefix_and_every_flipped_byte_is_read_or_refused(sent):
    data = sent[0]
    for length in range(len(data)):
        with pytest.raises(PcodecError):
            Stream.from_bytes(data[:length])
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 0x55
        try:
            assert Stream.from_bytes(bytes(bad)).samples == SAMPLES
        except PcodecError:
            pass


@pytest.mark.parametrize("samples", [0, 160, 161, 5000])
def test_packets_of_20_ms_share_their_group_byte(samples):
    form = SOUNDSTREAM._replace(bytes=3)
    packets = np.random.default_rng(1).integers(0, 256, (form.packets(samples), 3)).astype(np.uint8)
    file = io.BytesIO()
    file.write(Stream.begin_live(Kind("0123456789abcdef", 4, form)))
    writer = live.Writer(file, form)
    for number, packet in enumerate(packets):
        writer.put(packet[None], number // 2 % 4)
    writer.end(samples)
    data = file.getvalue()
    assert len(data) == 26 + 7 * -(-len(packets) // 2) + 9
    stream = Stream.from_bytes(data)
    assert np.array_equal(stream.packets, packets) and (stream.samples, stream.form) == (samples, form)
    assert list(stream.group_of_packets) == [number // 2 % 4 for number in range(len(packets))]
    assert stream.numbers()["bytes"] == len(data)
    again = Stream.from_bytes(stream.to_bytes())
    assert np.array_equal(again.packets, packets) and again.group == stream.group
    for length in range(len(data)):
        with pytest.raises(PcodecError):
            Stream.from_bytes(data[:length])
