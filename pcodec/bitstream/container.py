"""The .plpc file around the packets.

Task: what the receiver must know besides the packets: whose codebooks, which speaker group's decoder, how many samples
(Jang et al. 2024, section 2: the encoder sends the group's index).

Conventions: a packet is eight bytes for 40 ms, or what the codec's `Form` says. A .plpc file is big-endian:

| bytes | what |
| --- | --- |
| 4 | "PLPC" |
| 1 | version, 1; 3 has two bytes more; 2 and 4 are their forms for live pipes, `pcodec.bitstream.live`; 5 is compact |
| 1 | number of groups, 1 to 15; 1 means one decoder for everybody |
| 1 | index of the first group, from 0; 15: not known, the decoder for everybody |
| 1 | update interval in packets; 0: the group never changes |
| 4 | number of samples at 16 kHz |
| 8 | identity of the codebooks, or of a codec that is learned end to end |
| 2 | versions 3, 4, 5 alone: family (1: soundstream; 2, 3: semantic), and bytes of a packet |
| 4 | CRC-32 of the bytes before |
| 34, 2 | semantic alone: what is said of the talker once; less where a group's index says the rest |
| 8 each | packets; when there is an update interval, a group byte goes before every interval-th packet but the first |

A group byte is the index in the upper four bits and its complement in the lower four, so that no single flipped bit
picks another group. Its cost is 8 bits per interval: 8 b/s, half a percent, at 25 packets (1 s). The header's 192 bits
are sent once. In version 5 there is one group, and in place of the packets what an entropy coder made of them, and its
CRC-32. Notebooks 03_bitstream and 16_soundstream.

A semantic packet is eight pairs of tokens, 320 ms, or 640 at the slowest rate.

Contents: `Stream`, `Kind`, `Form`, `PARAMETRIC`, `SOUNDSTREAM`, `SEMANTIC`, `SEMANTIC_SLOW`.
"""

import dataclasses
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
COMPACT = 5
VERSIONS = (VERSION, live.VERSION), (LEARNED, live.LEARNED, COMPACT)  # files, live: of features, learned end to end
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
    together: int  # packets of 40 ms, which share a group byte in a live stream; 0: it is none
    voice: int = 0  # bytes before the packets that say whose voice it is
    of_group: int = 0  # of them, where a group's index says the rest

    def packets(self, samples: int) -> int:
        """Packets of a signal: enough that every sample comes out."""
        return -(-(samples + self.late) // self.samples)


PARAMETRIC = Form("parametric", PACKET_SAMPLES, PACKET_BYTES, OFFSET, 1)  # for any decoder of LPCNet's features
SOUNDSTREAM = Form("soundstream", 320, 8, 480, 2)  # with all its stages
SEMANTIC = Form("semantic", 5120, 21, OFFSET, 0, 34, 2)
SEMANTIC_SLOW = Form("semantic", 10240, 17, OFFSET, 0, 34, 2)
CODES = {1: SOUNDSTREAM, 2: SEMANTIC, 3: SEMANTIC_SLOW}  # in headers


class Kind(NamedTuple):
    """What a decoder must fit; a `Stream` has the same three."""

    codebooks: str  # identity, 16 hexadecimal digits
    groups: int  # C
    form: Form = PARAMETRIC


@dataclass(frozen=True, eq=False)
class Stream:
    """One coded signal. Raises `PcodecError` when its parts contradict each other."""

    packets: np.ndarray | None  # (P, 8) uint8; None: only its codec can make them of what is `packed`
    samples: int  # at 16 kHz
    codebooks: str  # identity, 16 hexadecimal digits
    groups: int = 1  # C; 1 means one decoder for everybody
    group: tuple[int, ...] = (0,)  # index of the first group, then of every update; UNKNOWN: the decoder for everybody
    interval: int = 0  # packets from update to update; 0: the group never changes
    live: bool = False  # read from a live stream, which is some bytes longer
    form: Form = PARAMETRIC
    packed: bytes = b""  # the packets in fewer bytes, as the file has them
    once: bytes = b""  # what is said of the talker, where the form has that

    def __post_init__(self):
        if not 0 <= self.samples <= MOST_SAMPLES:
            raise PcodecError(f"a stream holds 0 to {MOST_SAMPLES} samples, got {self.samples}")
        if not re.fullmatch("[0-9a-f]{16}", self.codebooks):
            raise PcodecError(f"codebooks have an identity of 16 hexadecimal digits, got {self.codebooks!r}")
        if self.packets is not None and self.packets.dtype != np.uint8:
            raise PcodecError(f"packets are bytes, got {self.packets.dtype}")
        if self.packets is not None and self.packets.shape != (self.count, self.form.bytes):
            raise PcodecError(
                f"{self.samples} samples are {self.count} packets of {self.form.bytes} bytes, got {self.packets.shape}"
            )
        if self.packed and (self.form.family != SOUNDSTREAM.family or self.interval):
            raise PcodecError("only packets of one group, of a codec that is learned end to end, can be compact")
        if self.form.voice and (self.live or self.interval):
            raise PcodecError(f"packets of the family {self.form.family} are of one group, and not live")
        if len(self.once) != once_of(self.form, self.groups):
            raise PcodecError(
                f"of a talker {once_of(self.form, self.groups)} bytes are said once, got {len(self.once)}"
            )
        if not 1 <= self.groups <= MOST_GROUPS:
            raise PcodecError(f"a stream knows 1 to {MOST_GROUPS} groups, got {self.groups}")
        if not 0 <= self.interval <= MOST_INTERVAL:
            raise PcodecError(f"the update interval is 0 to {MOST_INTERVAL} packets, got {self.interval}")
        if len(self.group) != 1 + self.updates(self.count, self.interval):
            raise PcodecError(
                f"{self.count} packets with an update interval of {self.interval} have "
                f"{1 + self.updates(self.count, self.interval)} group indices, got {len(self.group)}"
            )
        for index in self.group:
            if index not in range(self.groups) and index != UNKNOWN:
                raise PcodecError(f"no group {index}: the stream knows {self.groups}, from 0")

    @property
    def count(self) -> int:
        """Packets."""
        return self.form.packets(self.samples)

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

    def compact(self, coded: bytes) -> "Stream":
        """The same stream, with the packets as an entropy coder has `coded` them; their checksum is added."""
        return dataclasses.replace(self, packed=coded + CHECKSUM.pack(zlib.crc32(coded)))

    @property
    def coded(self) -> bytes:
        """What `compact` was given."""
        return self.packed[: -CHECKSUM.size]

    @property
    def group_of_packets(self) -> np.ndarray:
        """(P,) group of each packet."""
        return np.repeat(self.group, self.interval or self.count)[: self.count]

    @property
    def seconds(self) -> float:
        """Duration of the signal, in s."""
        return self.samples / audio.RATE

    @property
    def payload_rate(self) -> float:
        """Bits per second of the packets, over the time that they last."""
        return 8 * self.payload / self.sent

    @property
    def payload(self) -> int:
        """Bytes of the packets in the file."""
        return len(self.packed) or self.count * self.form.bytes

    @property
    def sent(self) -> float:
        """Duration of the packets, in s: the signal's, up to a packet and the decoder's delay more."""
        return self.count * self.form.samples / audio.RATE

    @property
    def frame_bits(self) -> tuple[int, int]:
        """Bits beside the packets, in the file that this was read from or will be: of header and end; of updates."""
        more = MORE.size + len(self.once) if self.form != PARAMETRIC else 0
        if self.live:
            empty = live.packets_of(self.form, self.samples) - self.count
            more += live.MORE_BYTES + self.form.bytes * empty
        return 8 * (HEADER_BYTES + more), 8 * (len(self.group) - 1)

    def info(self) -> dict[str, str]:
        """What `pcodec info` prints: names and texts. Rates are bits per second of the time that the packets last."""
        header, updates = self.frame_bits
        total = header + updates + 8 * self.payload
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
            "packets": f"{self.count} of {8 * self.form.bytes} bits for {self.form.samples / 16:g} ms"
            + (
                f", compact: {100 * (1 - self.payload / (self.count * self.form.bytes)):.1f} % less"
                if self.packed
                else ""
            ),
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
            "packets": self.count,
            "codebooks": self.codebooks, "groups": self.groups, "update_interval_packets": self.interval,
            "group": [None if index == UNKNOWN else index for index in self.group],
            "packets_bps": self.payload_rate, "updates_bps": updates / self.sent,
            "bytes": (header + updates) // 8 + self.payload,
        }  # fmt: skip

    def to_bytes(self) -> bytes:
        """The .plpc file."""
        kind = Kind(self.codebooks, self.groups, self.form)
        version = VERSIONS[self.form != PARAMETRIC][0]
        parts = [_header(COMPACT if self.packed else version, kind, self.group[0], self.interval, self.samples)]
        if self.packed:
            return b"".join([*parts, self.packed])
        parts.append(self.once)
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
        if version == COMPACT:
            _, _, groups, group, _, samples, identity = HEADER.unpack_from(data)
            packed = data[_header_bytes(version) :]
            if len(packed) < CHECKSUM.size or zlib.crc32(packed[: -CHECKSUM.size]) != CHECKSUM.unpack(packed[-4:])[0]:
                raise PcodecError("damaged or truncated: the checksum of its packets does not fit")
            return cls(None, samples, identity.hex(), groups, (group,), form=form, packed=packed)
        if len(data) != expected:
            kind = "truncated" if len(data) < expected else "too long"
            raise PcodecError(f"{kind}: {len(data)} of {expected} bytes")
        _, _, groups, group, interval, samples, identity = HEADER.unpack_from(data)
        begin = _header_bytes(version)
        once = data[begin : begin + once_of(form, groups)]
        body = np.frombuffer(data, np.uint8, offset=begin + len(once))
        count = form.packets(samples)
        updates = cls.updates(count, interval)
        step = form.bytes * interval
        at = step * np.arange(1, updates + 1) + np.arange(updates)  # where the group bytes are
        indices = [live.group_of(int(byte)) for byte in body[at]]
        packets = np.delete(body, at).reshape(-1, form.bytes)
        return cls(packets, samples, identity.hex(), groups, (group, *indices), interval, form=form, once=once)

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
    def begin_live(kind: Kind) -> bytes:
        """The header of a live stream."""
        return _header(VERSIONS[kind.form != PARAMETRIC][1], kind, UNKNOWN, kind.form.together, 0)

    @staticmethod
    def read_live_header(read: Callable[[int], bytes]) -> Kind:
        """What the decoder of a live stream must fit; raises `PcodecError` if it does not begin with the header of one.

        `read(n)` gives the next n bytes, or fewer at the end.
        """
        header = read(HEADER_BYTES)
        version = header[len(MAGIC)] if header[: len(MAGIC)] == MAGIC and len(header) > len(MAGIC) else None
        if version in (VERSION, LEARNED, COMPACT):
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
                unknown = version in (live.VERSION, live.LEARNED, COMPACT)
                rest = file.read() if unknown else file.read(length - len(header) + 1)
                return cls.from_bytes(header + rest)
        except OSError as error:
            raise PcodecError(f"{path}: {error.strerror}") from None
        except PcodecError as error:
            raise PcodecError(f"{path}: {error}") from None


def once_of(form: Form, groups: int) -> int:
    """Bytes that are said of a talker once, in a stream that knows so many groups."""
    return form.of_group if groups > 1 else form.voice


def _header(version, kind, group, interval, samples):
    code = next((code for code, form in CODES.items() if form._replace(bytes=kind.form.bytes) == kind.form), None)
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
        if version != LEARNED and not CODES[code].together:
            raise PcodecError(f"version {version} holds no packets of the family {CODES[code].family}")
        form = CODES[code]._replace(bytes=count)
    packets = form.packets(samples)
    once = once_of(form, HEADER.unpack_from(data)[2])
    return size + once + form.bytes * packets + Stream.updates(packets, interval), version, form
