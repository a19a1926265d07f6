"""The .plpc file around the packets.

Task: what the receiver must know besides the packets: whose codebooks, which speaker group's decoder, how many samples
(Jang et al. 2024, section 2: the encoder sends the group's index).

Conventions: a packet is eight bytes for 40 ms, or what the codec's `Form` says. A .plpc file is big-endian:

| bytes | what |
| --- | --- |
| 4 | "PLPC" |
| 1 | version, 1; 3 has two bytes more; 2 and 4 are their forms for live pipes, `pcodec.bitstream.live` |
| 1 | number of groups, 1 to 15; 1 means one decoder for everybody |
| 1 | index of the first group, from 0; 15: not known, the decoder for everybody |
| 1 | update interval in packets; 0: the group never changes |
| 4 | number of samples at 16 kHz |
| 8 | identity of the codebooks, or of a codec that is learned end to end |
| 2 | versions 3 and 4 alone: family (1: soundstream), and bytes of a packet |
| 4 | CRC-32 of the bytes before |
| 8 each | packets; when there is an update interval, a group byte goes before every interval-th packet but the first |

A group byte is the index in the upper four bits and its complement in the lower four, so that no single flipped bit
picks another group. Its cost is 8 bits per interval: 8 b/s, half a percent, at 25 packets (1 s). The header's 192 bits
are sent once. Notebook 03_bitstream.

Contents: `Stream`, `Kind`, `Form`, `PARAMETRIC`, `SOUNDSTREAM`.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pcodec import PcodecError, features, paths
from pcodec.bitstream import live, quantizer
from pcodec.bitstream.codebooks import Codebooks
from pcodec.bitstream.packets import PACKET_BYTES, pack, unpack
from pcodec.features.analysis import OFFSET, PACKET_SAMPLES
from pcodec.speakers import UNKNOWN
from pcodec.speech import audio

MAGIC, VERSION, LEARNED = b"PLPC", 1, 3
VERSIONS = (VERSION, live.VERSION), (LEARNED, live.LEARNED)  # files and live streams: of features, learned end to end
HEADER = struct.Struct(">4sBBBBI8s")
MORE = struct.Struct(">BB")  # of version 3
CHECKSUM = struct.Struct(">I")
HEADER_BYTES = HEADER.size + CHECKSUM.size
MOST_GROUPS = 15
MOST_SAMPLES = 2**32 - 1  # 74 hours
MOST_INTERVAL = 255  # packets


class Form(NamedTuple):
    """The packets of a family of codecs."""

    family: str
    samples: int  # that a packet stands for
    bytes: int
    late: int  # samples by which what comes out of the decoder is behind what went in: the last ones take packets, too
    together: int  # packets of 40 ms, which share a group byte in a live stream

    def packets(self, samples: int) -> int:
        """Packets of a signal: enough that every sample comes out."""
        return -(-(samples + self.late) // self.samples)


PARAMETRIC = Form("parametric", PACKET_SAMPLES, PACKET_BYTES, OFFSET, 1)  # for any decoder of LPCNet's features
SOUNDSTREAM = Form("soundstream", 320, 8, 480, 2)  # with all its stages
CODES = {1: SOUNDSTREAM}  # in headers


class Kind(NamedTuple):
    """What a decoder must fit; a `Stream` has the same three."""

    codebooks: str  # identity, 16 hexadecimal digits
    groups: int  # C
    form: Form = PARAMETRIC


@dataclass(frozen=True, eq=False)
class Stream:
    """One coded signal. Raises `PcodecError` when its parts contradict each other."""

    packets: np.ndarray  # (P, 8) uint8
    samples: int  # at 16 kHz
    codebooks: str  # identity, 16 hexadecimal digits
    groups: int = 1  # C; 1 means one decoder for everybody
    group: tuple[int, ...] = (0,)  # index of the first group, then of every update; UNKNOWN: the decoder for everybody
    interval: int = 0  # packets from update to update; 0: the group never changes
    live: bool = False  # read from a live stream, which is some bytes longer
    form: Form = PARAMETRIC

    def __post_init__(self):
        if not 0 <= self.samples <= MOST_SAMPLES:
            raise PcodecError(f"a stream holds 0 to {MOST_SAMPLES} samples, got {self.samples}")
        if not re.fullmatch("[0-9a-f]{16}", self.codebooks):
            raise PcodecError(f"codebooks have an identity of 16 hexadecimal digits, got {self.codebooks!r}")
        if self.packets.dtype != np.uint8:
            raise PcodecError(f"packets are bytes, got {self.packets.dtype}")
        wanted = self.form.packets(self.samples)
        if self.packets.shape != (wanted, self.form.bytes):
            raise PcodecError(
                f"{self.samples} samples are {wanted} packets of {self.form.bytes} bytes, got {self.packets.shape}"
            )
        if not 1 <= self.groups <= MOST_GROUPS:
            raise PcodecError(f"a stream knows 1 to {MOST_GROUPS} groups, got {self.groups}")
        if not 0 <= self.interval <= MOST_INTERVAL:
            raise PcodecError(f"the update interval is 0 to {MOST_INTERVAL} packets, got {self.interval}")
        if len(self.group) != 1 + self.updates(len(self.packets), self.interval):
            raise PcodecError(
                f"{len(self.packets)} packets with an update interval of {self.interval} have "
                f"{1 + self.updates(len(self.packets), self.interval)} group indices, got {len(self.group)}"
            )
        for index in self.group:
            if index not in range(self.groups) and index != UNKNOWN:
                raise PcodecError(f"no group {index}: the stream knows {self.groups}, from 0")

    @staticmethod
    def updates(packets: int, interval: int) -> int:
        """Group bytes among so many packets."""
        return (packets - 1) // interval if interval else 0

    @classmethod
    def encode(cls, samples: np.ndarray, codebooks: Codebooks, groups: int = 1, group: int = 0) -> "Stream":
        """Code a signal (samples,) in [-1, 1] at 16 kHz for the decoder of one group."""
        fields = quantizer.quantize(features.analyze(samples), codebooks)
        return cls(pack(fields), len(samples), codebooks.identity, groups, (group,))

    def features(self, codebooks: Codebooks) -> np.ndarray:
        """Decoded features (4 P, 20) float32. Raises `PcodecError` unless `codebooks` are those of the encoder."""
        if codebooks.identity != self.codebooks:
            raise PcodecError(f"coded with codebooks {self.codebooks}, to be decoded with {codebooks.identity}")
        return quantizer.dequantize(unpack(self.packets), codebooks)

    @property
    def group_of_packets(self) -> np.ndarray:
        """(P,) group of each packet."""
        return np.repeat(self.group, self.interval or len(self.packets))[: len(self.packets)]

    @property
    def seconds(self) -> float:
        """Duration of the signal, in s."""
        return self.samples / audio.RATE

    @property
    def payload_rate(self) -> float:
        """Bits per second of the packets, over the time that they last."""
        return 8 * self.packets.size / self.sent

    @property
    def sent(self) -> float:
        """Duration of the packets, in s: the signal's, up to a packet and the decoder's delay more."""
        return len(self.packets) * self.form.samples / audio.RATE

    @property
    def frame_bits(self) -> tuple[int, int]:
        """Bits beside the packets, in the file that this was read from or will be: of header and end; of updates."""
        more = MORE.size if self.form != PARAMETRIC else 0
        if self.live:
            empty = live.packets_of(self.form, self.samples) - len(self.packets)
            more += live.MORE_BYTES + self.form.bytes * empty
        return 8 * (HEADER_BYTES + more), 8 * (len(self.group) - 1)

    def info(self) -> dict[str, str]:
        """What `pcodec info` prints: names and texts. Rates are bits per second of the time that the packets last."""
        header, updates = self.frame_bits
        total = header + updates + 8 * self.packets.size
        share = 100 * (header + updates) / total
        step = self.interval * self.form.samples / audio.RATE
        changes = [
            f"{'unknown' if index == UNKNOWN else index} from {update * step:.2f} s"
            for update, index in enumerate(self.group)
            if update == 0 or index != self.group[update - 1]
        ]
        return {
            "duration": f"{self.seconds:.3f} s, {self.samples} samples at {audio.RATE} Hz",
            "family": self.form.family,
            "packets": f"{len(self.packets)} of {8 * self.form.bytes} bits for {self.form.samples / 16:g} ms",
            "codebooks" if self.form == PARAMETRIC else "network": self.codebooks,
            "group": f"{', '.join(changes)}; of {self.groups}",
            "rate": f"{self.payload_rate:.0f} b/s in packets, {updates / self.sent:.1f} b/s in group updates",
            "overhead": f"{header} bits of header, {updates} bits of group updates, {share:.2f} %",
            "file": f"{total // 8} bytes, {total / self.sent:.0f} b/s in all",
        }

    def numbers(self) -> dict:
        """What `pcodec info --json` prints: s, samples, b/s, bytes."""
        header, updates = self.frame_bits
        return {
            "family": self.form.family, "seconds": self.seconds, "samples": self.samples, "rate_hz": audio.RATE,
            "packets": len(self.packets),
            "codebooks": self.codebooks, "groups": self.groups, "update_interval_packets": self.interval,
            "group": [None if index == UNKNOWN else index for index in self.group],
            "packets_bps": self.payload_rate, "updates_bps": updates / self.sent,
            "bytes": (header + updates) // 8 + self.packets.size,
        }  # fmt: skip

    def to_bytes(self) -> bytes:
        """The .plpc file."""
        kind = Kind(self.codebooks, self.groups, self.form)
        parts = [_header(kind, self.group[0], self.interval, self.samples, live=False)]
        step = self.interval or len(self.packets)
        for update, start in enumerate(range(0, len(self.packets), step)):
            if update:
                parts.append(bytes([live.group_byte(self.group[update])]))
            parts.append(self.packets[start : start + step].tobytes())
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Stream":
        """Read a .plpc file; raises `PcodecError` for damage that can be seen: all of the header, any wrong length."""
        expected, version, form = _length(data)
        if version in (live.VERSION, live.LEARNED):
            return cls._from_live(data, _header_bytes(version), form)
        if len(data) != expected:
            kind = "truncated" if len(data) < expected else "too long"
            raise PcodecError(f"{kind}: {len(data)} of {expected} bytes")
        _, _, groups, group, interval, samples, identity = HEADER.unpack_from(data)
        body = np.frombuffer(data, np.uint8, offset=_header_bytes(version))
        count = form.packets(samples)
        updates = cls.updates(count, interval)
        step = form.bytes * interval
        at = step * np.arange(1, updates + 1) + np.arange(updates)  # where the group bytes are
        indices = [live.group_of(int(byte)) for byte in body[at]]
        packets = np.delete(body, at).reshape(-1, form.bytes)
        return cls(packets, samples, identity.hex(), groups, (group, *indices), interval, form=form)

    @classmethod
    def _from_live(cls, data, begin, form):
        """A live stream that was saved."""
        file = io.BytesIO(data[begin:])
        reader = live.Reader(file.read, form)
        units = list(reader)
        if rest := file.read():
            raise PcodecError(f"too long: {len(rest)} bytes after its end")
        _, _, groups, _, _, _, identity = HEADER.unpack_from(data)
        packets = np.concatenate([packet for packet, _ in units])[: form.packets(reader.samples)]
        group = tuple(group for _, group in units[:: form.together])
        return cls(packets, reader.samples, identity.hex(), groups, group, form.together, True, form)

    @staticmethod
    def begin_live(kind: "Kind") -> bytes:
        """The header of a live stream."""
        return _header(kind, UNKNOWN, kind.form.together, 0, live=True)

    @staticmethod
    def read_live_header(read: Callable[[int], bytes]) -> Kind:
        """What the decoder of a live stream must fit; raises `PcodecError` if it does not begin with the header of one.

        `read(n)` gives the next n bytes, or fewer at the end.
        """
        header = read(HEADER_BYTES)
        version = header[len(MAGIC)] if header[: len(MAGIC)] == MAGIC and len(header) > len(MAGIC) else None
        if version in (VERSION, LEARNED):
            raise PcodecError("a file of known length, not a live stream: decode it without --stream")
        header += read(MORE.size) if version == live.LEARNED else b""
        form = _length(header)[2]
        _, _, groups, _, _, _, identity = HEADER.unpack_from(header)
        return Kind(identity.hex(), groups, form)

    def write(self, path: str | Path) -> None:
        """Write the .plpc file; it appears when it is whole."""
        with paths.replacing(Path(path)) as temporary:
            temporary.write_bytes(self.to_bytes())

    @classmethod
    def read(cls, path: str | Path) -> "Stream":
        """As `from_bytes`; never reads more than the header announces. Errors name the file."""
        try:
            with open(path, "rb") as file:
                header = file.read(HEADER_BYTES + MORE.size)
                length, version, _ = _length(header)
                unknown = version in (live.VERSION, live.LEARNED)
                rest = file.read() if unknown else file.read(length - len(header) + 1)
                return cls.from_bytes(header + rest)
        except OSError as error:
            raise PcodecError(f"{path}: {error.strerror}") from None
        except PcodecError as error:
            raise PcodecError(f"{path}: {error}") from None


def _header(kind, group, interval, samples, live):
    code = next((code for code, form in CODES.items() if form.family == kind.form.family), None)
    version = VERSIONS[code is not None][live]
    header = HEADER.pack(MAGIC, version, kind.groups, group, interval, samples, bytes.fromhex(kind.codebooks))
    header += b"" if code is None else MORE.pack(code, kind.form.bytes)
    return header + CHECKSUM.pack(zlib.crc32(header))


def _header_bytes(version: int) -> int:
    return HEADER_BYTES + (MORE.size if version in VERSIONS[1] else 0)


def _length(data: bytes) -> tuple[int, int, Form]:
    """Bytes of the file that its beginning announces, once it is sure to be one; its version and its packets."""
    if not data:
        raise PcodecError("empty file")
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise PcodecError(f"not a .plpc file: it starts with {data[: len(MAGIC)]!r}")
    size = _header_bytes(data[len(MAGIC)]) if len(data) > len(MAGIC) else HEADER_BYTES
    if len(data) < size:
        raise PcodecError(f"truncated: {len(data)} bytes, the header has {size}")
    _, version, _, _, interval, samples, _ = HEADER.unpack_from(data)
    if version not in VERSIONS[0] + VERSIONS[1]:
        raise PcodecError(f"version {version}; this program reads versions 1 to {max(VERSIONS[1])}")
    end = size - CHECKSUM.size
    if CHECKSUM.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        raise PcodecError("damaged header: its checksum does not fit")
    form = PARAMETRIC
    if version in VERSIONS[1]:
        code, count = MORE.unpack_from(data, HEADER.size)
        if code not in CODES or not 1 <= count <= CODES[code].bytes:
            raise PcodecError(f"no packets of {count} bytes of family {code}")
        form = CODES[code]._replace(bytes=count)
    packets = form.packets(samples)
    return size + form.bytes * packets + Stream.updates(packets, interval), version, form
