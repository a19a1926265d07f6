"""The .plpc form for live pipes: packets as they come, for a length that nobody knows yet.

Task: what `pcodec encode --stream` writes and `pcodec decode --stream` reads, packet by packet.

Conventions: the header is that of a .plpc file (`pcodec.bitstream.container`), with version 2 and 0 samples. Then nine
bytes for 40 ms: a group byte and a packet. Byte 0xFF in place of a group byte is the end; the number of samples follows
in four bytes, and its CRC-32 in four. That is 1800 b/s, in place of 1608 for a file whose group may change once a
second. A live stream that was saved is read like any other .plpc file.

Contents: `unit`, `end`, `Reader`, `group_byte`, `group_of`, `VERSION`.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from pcodec import PcodecError
from pcodec.bitstream.packets import PACKET_BYTES, packets_of

VERSION = 2
END = 0xFF  # no group byte: their halves differ
COUNT = struct.Struct(">II")
MORE_BYTES = 2 + COUNT.size  # than a file whose group changes with every packet: its first group byte, and the end


def group_byte(index: int) -> int:
    """A group's index in the upper four bits, its complement in the lower four."""
    return index << 4 | 15 - index


def group_of(byte: int) -> int:
    """The index in a group byte; raises `PcodecError` if it is none."""
    if byte != group_byte(byte >> 4):
        raise PcodecError(f"damaged: {byte:#04x} is no group index")
    return byte >> 4


def unit(packet: np.ndarray, group: int) -> bytes:
    """What is sent for a packet (8,)."""
    return bytes([group_byte(group)]) + packet.tobytes()


def end(samples: int) -> bytes:
    """What is sent last, after a signal of so many samples."""
    return bytes([END]) + COUNT.pack(samples, _checksum(samples))


def _checksum(samples):
    return zlib.crc32(samples.to_bytes(4, "big"))


class Reader:
    """A live stream after its header: iterate over (packet (1, 8), group); then `samples` is how many were coded."""

    def __init__(self, read: Callable[[int], bytes]):
        """`read(n)` gives the next n bytes, or fewer at the end."""
        self.read, self.samples, self.packets = read, None, 0

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        """Raises `PcodecError` where the stream is damaged or ends before its end."""
        while (first := self.read(1)) and first[0] != END:
            group = group_of(first[0])
            packet = self.read(PACKET_BYTES)
            if len(packet) < PACKET_BYTES:
                break
            self.packets += 1
            yield np.frombuffer(packet, np.uint8)[None], group
        else:
            count = self.read(COUNT.size) if first else b""
            if len(count) == COUNT.size:
                self.samples, checksum = COUNT.unpack(count)
                if checksum != _checksum(self.samples) or packets_of(self.samples) != self.packets:
                    raise PcodecError(f"damaged: {self.packets} packets for {self.samples} samples")
                return
        raise PcodecError(f"truncated: it ends after {self.packets} packets, without an end")
