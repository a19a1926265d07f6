"""The .plpc form for live pipes: packets as they come, for a length that nobody knows yet.

Task: what `pcodec encode --stream` writes and `pcodec decode --stream` reads, packet by packet.

Conventions: the header is that of a .plpc file (`pcodec.bitstream.container`), with version 2, or 4 for a codec that is
learned end to end, and 0 samples. Then for every 40 ms a group byte and its packets: one of 40 ms, or two of 20 ms.
Byte 0xFF in place of a group byte is the end; the number of samples follows in four bytes, and its CRC-32 in four. That
is 1800 b/s at 1.6 kb/s, in place of 1608 for a file whose group may change once a second. A live stream that was saved
is read like any other .plpc file.

Contents: `Writer`, `Reader`, `packets_of`, `group_byte`, `group_of`, `VERSION`, `LEARNED`.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from pcodec import PcodecError

VERSION, LEARNED = 2, 4
END = 0xFF  # no group byte: their halves differ
COUNT = struct.Struct(">II")
MORE_BYTES = 2 + COUNT.size  # than a file whose group changes with every group byte: its first one, and the end


def group_byte(index: int) -> int:
    """A group's index in the upper four bits, its complement in the lower four."""
    return index << 4 | 15 - index


def group_of(byte: int) -> int:
    """The index in a group byte; raises `PcodecError` if it is none."""
    if byte != group_byte(byte >> 4):
        raise PcodecError(f"damaged: {byte:#04x} is no group index")
    return byte >> 4


def packets_of(form, samples: int) -> int:
    """Packets that are sent for a signal in a `container.Form`: whole groups of `form.together`."""
    return -(-form.packets(samples) // form.together) * form.together


class Writer:
    """A live stream after its header."""

    def __init__(self, target, form):
        """Into a file, packets of a `container.Form`."""
        self.target, self.form, self.packets = target, form, 0

    def put(self, packets: np.ndarray, group: int) -> None:
        """Send packets (P, bytes); `group` is that of those that begin 40 ms."""
        for packet in packets:
            if self.packets % self.form.together == 0:
                self.target.write(bytes([group_byte(group)]))
            self.target.write(packet.tobytes())
            self.packets += 1
        self.target.flush()

    def end(self, samples: int) -> None:
        """Send the end of a signal of so many samples; empty packets fill the last 40 ms."""
        self.put(np.zeros((-self.packets % self.form.together, self.form.bytes), np.uint8), 0)
        self.target.write(bytes([END]) + COUNT.pack(samples, _checksum(samples)))
        self.target.flush()


def _checksum(samples):
    return zlib.crc32(samples.to_bytes(4, "big"))


class Reader:
    """A live stream after its header: iterate over (packet (1, bytes), group); at its end `samples` is known."""

    def __init__(self, read: Callable[[int], bytes], form):
        """`read(n)` gives the next n bytes, or fewer at the end; packets are of a `container.Form`."""
        self.read, self.form, self.samples, self.packets = read, form, None, 0

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        """Raises `PcodecError` where the stream is damaged or ends before its end."""
        while (first := self.read(1)) and first[0] != END:
            group = group_of(first[0])
            for _ in range(self.form.together):
                packet = self.read(self.form.bytes)
                if len(packet) < self.form.bytes:
                    raise self._truncated()
                self.packets += 1
                yield np.frombuffer(packet, np.uint8)[None], group
        count = self.read(COUNT.size) if first else b""
        if len(count) < COUNT.size:
            raise self._truncated()
        self.samples, checksum = COUNT.unpack(count)
        if checksum != _checksum(self.samples) or packets_of(self.form, self.samples) != self.packets:
            raise PcodecError(f"damaged: {self.packets} packets for {self.samples} samples")

    def _truncated(self):
        return PcodecError(f"truncated: it ends after {self.packets} packets, without an end")
