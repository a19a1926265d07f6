"""LPCNet's 64-bit packets.

Task: the nine fields of 40 ms to eight bytes and back (specification section 6).

Conventions: a packet is eight bytes, its fields in the order of `pcodec.bitstream.quantizer.FIELDS`, most significant
bit first. Any eight bytes are a packet. Notebook 03_bitstream.

Contents: `pack`, `unpack`, `packets_of`.
"""

import numpy as np

from pcodec import PcodecError
from pcodec.bitstream import quantizer
from pcodec.bitstream.quantizer import FIELDS
from pcodec.features import OFFSET, PACKET_SAMPLES

PACKET_BYTES = 8
SHIFTS = np.uint64(64) - np.cumsum(list(FIELDS.values())).astype(np.uint64)  # of each field in the 64-bit word
MASKS = np.array([(1 << bits) - 1 for bits in FIELDS.values()], dtype=np.uint64)


def pack(fields: np.ndarray) -> np.ndarray:
    """Fields (P, 9) -> packets (P, 8) uint8. Raises `PcodecError` for a field that does not fit its bits."""
    fields = quantizer.check(fields)
    words = (fields.astype(np.uint64) << SHIFTS).sum(axis=1, dtype=np.uint64)
    return words.astype(">u8").view(np.uint8).reshape(-1, PACKET_BYTES)


def unpack(packets: np.ndarray) -> np.ndarray:
    """Packets (P, 8) uint8 -> fields (P, 9) int64. Any eight bytes are a packet."""
    packets = np.asarray(packets)
    if packets.ndim != 2 or packets.shape[1] != PACKET_BYTES or packets.dtype != np.uint8:
        raise PcodecError(f"packets must be bytes (packets, {PACKET_BYTES}), got {packets.dtype} {packets.shape}")
    words = np.ascontiguousarray(packets).view(">u8").astype(np.uint64)
    return (words >> SHIFTS & MASKS).astype(np.int64)


def packets_of(samples: int) -> int:
    """Packets of a signal: enough that every sample belongs to a frame (a frame's audio starts 80 samples early)."""
    return -(-(samples + OFFSET) // PACKET_SAMPLES)
