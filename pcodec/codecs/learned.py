"""A codec that is learned end to end, as a user holds it: the interface of `parametric.Codec`, other packets.

Task: encoder, quantizer and decoder of `pcodec.soundstream` with the container and, where each group of speakers has
its own of all three, the sender's choice of the group (PDAC, Jang et al. 2026).

Conventions: a codec is a folder, as `parametric.Codec`'s, with files <decoder>-control or <decoder>-general for
everybody, and <decoder>-C<C>-g<group>; <decoder> is soundstream-SIZE. A packet is a frame of 20 ms, a byte for each
stage of the quantizer that is sent: 0.4 kb/s a stage. What is lost is concealed: the last sound goes on and fades.

Contents: `LearnedCodec`, `STAGES`, `stages_of`.
"""

import functools
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pcodec import PcodecError
from pcodec.bitstream.container import SOUNDSTREAM, Kind, Stream
from pcodec.codecs.parametric import LISTEN, first
from pcodec.codecs.signals import signal_of, without_offset
from pcodec.learning import weights
from pcodec.soundstream.coding import AT_ONCE, DecoderState, EncoderState, SoundStreamCoder
from pcodec.soundstream.config import DELAY, FRAME
from pcodec.speakers import UNKNOWN, groups
from pcodec.speech import audio

STAGES = 4  # where no number is given: 1.6 kb/s
FADE = 10  # lost frames, 200 ms, until nothing is left
BITS = 8.0 * audio.RATE / FRAME / 1000.0  # kb/s of a stage


def stages_of(kbps: float) -> int:
    """Stages of a rate in kb/s; raises `PcodecError` unless it is a multiple of 0.4."""
    stages = round(kbps / BITS) if math.isfinite(kbps) else 0
    if stages < 1 or abs(stages * BITS - kbps) > 1e-6:
        raise PcodecError(f"a rate is a multiple of {BITS:g} kb/s, got {kbps:g}")
    return stages


class LearnedCodec:
    """Encoders, quantizers and decoders that belong together."""

    CONFIG = SoundStreamCoder.CONFIG

    def __init__(
        self,
        folder: str | Path,
        decoder: str = "soundstream-large",
        C: int = 1,
        stages: int = STAGES,
        denoise: bool = False,
    ):
        """The codec of `decoder` and `C` in a folder; with `denoise` it encodes speech without the noise beside it.

        Raises `PcodecError` naming the file that is missing or wrong.
        """
        folder, self.decoder, self.C, self.stages, self.denoise = Path(folder), decoder, C, stages, denoise
        everybody = first(folder, *(f"{decoder}-{name}" for name in ("control", "general", "1-0")))
        self.files = {UNKNOWN: everybody}
        for group in range(C):
            own = f"{decoder}-C{C}-g{group}"
            self.files[group] = first(folder, own, own) if C > 1 else everybody
        self.groups = groups.SpeakerGroups.load(folder / f"groups-C{C}.safetensors") if C > 1 else None
        found = [weights.read(file, self.CONFIG) for file in dict.fromkeys(self.files.values())]
        for file, (config, *_) in zip(dict.fromkeys(self.files.values()), found, strict=True):
            if f"soundstream-{config.size}" != decoder:
                raise PcodecError(f"{file}: has the size {config.size}, not that of {decoder}")
            if not 1 <= stages <= config.stages:
                raise PcodecError(f"{file}: has 1 to {config.stages} stages, got {stages}")
        identities = [weights.identity(config, arrays) for config, arrays, _ in found]
        self.identity = hashlib.sha256("".join(identities).encode()).hexdigest()[:16]
        self.form = SOUNDSTREAM._replace(bytes=stages)
        self.coder = functools.cache(lambda group: SoundStreamCoder.load(self.files[group]))

    def encode(self, samples: np.ndarray, rate: int = audio.RATE, group: int | None = None) -> bytes:
        """As `parametric.Codec.encode`."""
        return self.encode_blocks([signal_of(samples, rate)], group).to_bytes()

    def encode_blocks(self, blocks: Iterable[np.ndarray], group: int | None = None) -> Stream:
        """As `encode`, of a signal at 16 kHz that comes in pieces; only the packets are kept."""
        if group is not None and group not in self.files:
            raise PcodecError(f"no group {group}: this codec has {self.C}, from 0")
        blocks, heard = without_offset(blocks), []
        if group is None:
            while self.groups and sum(map(len, heard)) < LISTEN and (block := next(blocks, None)) is not None:
                heard.append(block)
            group = self.group_of(np.concatenate([np.zeros(0, np.float32), *heard]))
        coder, packets, samples = self.coder(group), [], 0
        state, left = EncoderState(coder.config), np.zeros(0, np.float32)
        for block in itertools.chain(heard, blocks, [None]):
            if block is None:
                block = np.zeros(FRAME * self.form.packets(samples) - samples, np.float32)
            else:
                samples += len(block)
            left = np.concatenate([left, block])
            whole = len(left) // FRAME * FRAME
            packets.append(coder.encode(state, left[:whole], self.stages, self.denoise).astype(np.uint8))
            left = left[whole:]
        return Stream(np.concatenate(packets), samples, self.identity, self.C, (group,), form=self.form)

    def group_of(self, samples: np.ndarray) -> int:
        """The group of a signal (samples,) at 16 kHz, by its first minute; 0 where one codec serves everybody."""
        return self.groups.assign(samples[:LISTEN]).group if self.groups else 0

    def decode(self, data: bytes, seed: int = 1) -> tuple[np.ndarray, int]:
        """A .plpc file's bytes -> samples in [-1, 1], as many as were encoded, and their rate, 16000."""
        blocks = self.decode_blocks(Stream.from_bytes(data), seed)
        return np.concatenate([np.zeros(0, np.float32), *blocks]), audio.RATE

    def decode_blocks(self, stream: Stream, seed: int = 1, lost: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """As `decode`, a second at a time; packets that are `lost` (P,) bool are concealed."""
        self.check(stream)
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise PcodecError(f"a seed is a whole number from 0, got {seed}")
        lost = np.zeros(len(stream.packets), bool) if lost is None else lost
        codes, gains = _concealed(stream.packets, lost)
        group = stream.group_of_packets * (self.C > 1)
        cuts = sorted({*range(AT_ONCE, len(codes), AT_ONCE), *(np.flatnonzero(np.diff(group)) + 1)})
        states, made = {}, -DELAY
        for begin, end in itertools.pairwise([0, *cuts, len(codes)]):
            who = int(group[begin])
            if who not in states:  # another group's decoder begins anew
                states = {who: DecoderState(self.coder(who).config, seed)}
            block = self.coder(who).decode(states[who], codes[begin:end])
            at = made + np.arange(len(block))  # samples of the signal
            block = np.clip(block * np.interp(at, FRAME * (np.arange(len(gains)) + 0.5), gains), -1.0, 1.0)
            yield block[max(0, -made) : max(0, stream.samples - made)].astype(np.float32)
            made += len(block)

    def check(self, stream: Stream | Kind) -> None:
        """Raises `PcodecError` if a stream is of another network or other groups."""
        if stream.form.family != self.form.family:
            raise PcodecError(f"of the family {stream.form.family}, give the codec that it was coded with")
        if stream.codebooks != self.identity:
            raise PcodecError(f"coded with network {stream.codebooks}, this codec is {self.identity}")
        if stream.groups != self.C:
            raise PcodecError(f"coded for {stream.groups} speaker groups, this codec has {self.C}")

    def adapt(self, path: str | Path) -> None:
        """From now on decode with a person's adapter; raises `PcodecError` if it belongs to another network.

        Packets are the same with and without. It is for the codec for everybody.
        """
        if self.C > 1:
            raise PcodecError(
                f"{path}: {self.decoder} with C = {self.C} takes no adapters, the codec for everybody does"
            )
        from pcodec.codecs import personalization
        from pcodec.learning import adapter

        network, _ = personalization.FAMILIES[self.CONFIG.FAMILY]
        model = adapter.load(path, network.load(self.files[UNKNOWN]))
        adapted = SoundStreamCoder(model.config, model.arrays())
        self.coder = lambda group: adapted


def _concealed(packets, lost):
    """Packets (P, S) -> codes in which lost ones repeat the last that came, and the gain of each (P,)."""
    arrived = np.maximum.accumulate(np.where(lost, -1, np.arange(len(packets))))
    since = np.arange(len(packets)) - arrived
    gains = np.where(arrived < 0, 0.0, np.maximum(0.0, 1.0 - since / FADE))
    return packets[np.maximum(arrived, 0)], gains
