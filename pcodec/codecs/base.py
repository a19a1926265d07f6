"""What codecs have in common, whatever their packets are: a signal in, a file's bytes out, and back.

Task: a family says how a signal that comes in pieces becomes a stream, and a stream pieces of a signal; everything else
is here.

Contents: `WholeCodec`, `check_seed`.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from pcodec import PcodecError
from pcodec.bitstream.container import Kind, Stream
from pcodec.codecs.signals import signal_of
from pcodec.speakers import voiceprint
from pcodec.speech import audio


class WholeCodec:
    """A codec with C groups of speakers: `files` by group, `groups` that finds a talker's, None where C = 1, and the
    `identity` of what streams are coded with."""

    def encode(self, samples: np.ndarray, rate: int = audio.RATE, group: int | None = None) -> bytes:
        """Signal (samples,) or (samples, channels) in [-1, 1] at `rate` Hz -> a .plpc file's bytes.

        Channels are averaged; where they cancel, the first one counts. `group` forces one; `UNKNOWN` is that of
        everybody. Raises `PcodecError` if it is no signal or there is no such group.
        """
        return self.encode_blocks([signal_of(samples, rate)], group).to_bytes()

    def encode_blocks(self, blocks: Iterable[np.ndarray], group: int | None = None) -> Stream:
        """As `encode`, of a signal at 16 kHz that comes in pieces; only the packets are kept."""
        raise NotImplementedError

    def decode(self, data: bytes, seed: int = 1) -> tuple[np.ndarray, int]:
        """A .plpc file's bytes -> samples in [-1, 1], as many as were encoded, and their rate, 16000.

        `seed`, from 0, is that of what is drawn. Raises `PcodecError` if the file is damaged or of another codec.
        """
        blocks = self.decode_blocks(Stream.from_bytes(data), seed)
        return np.concatenate([np.zeros(0, np.float32), *blocks]), audio.RATE

    def decode_blocks(self, stream: Stream, seed: int = 1, lost: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """As `decode`, in pieces; packets that are `lost` (P,) bool are concealed."""
        raise NotImplementedError

    def group_of(self, samples: np.ndarray) -> int:
        """The group of a signal (samples,) at 16 kHz, by its first minute; 0 where one codec serves everybody."""
        return self.groups.assign(samples[: voiceprint.LISTEN]).group if self.groups else 0

    def check_group(self, group: int | None) -> None:
        """Raises `PcodecError` for a group that is not there."""
        if group is not None and group not in self.files:
            raise PcodecError(f"no group {group}: this codec has {self.C}, from 0")

    def check_network(self, stream: Stream | Kind) -> None:
        """Raises `PcodecError` if a stream is of another network than `identity`, or of other groups."""
        if stream.codebooks != self.identity:
            raise PcodecError(f"coded with network {stream.codebooks}, this codec is {self.identity}")
        if stream.groups != self.C:
            raise PcodecError(f"coded for {stream.groups} speaker groups, this codec has {self.C}")


def check_seed(seed: int) -> None:
    """Raises `PcodecError` unless it is a whole number from 0."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise PcodecError(f"a seed is a whole number from 0, got {seed}")
