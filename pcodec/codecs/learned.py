"""A codec that is learned end to end, as a user holds it: the interface of `parametric.Codec`, other packets.

Task: encoder, quantizer and decoder of `pcodec.soundstream` with the container and, where each group of speakers has
its own of all three, the sender's choice of the group (PDAC, Jang et al. 2026).

Conventions: a codec is a folder, as `parametric.Codec`'s, with files <decoder>-control or <decoder>-general for
everybody, and <decoder>-C<C>-g<group>; <decoder> is soundstream-SIZE. A packet is a frame of 20 ms, a byte for each
stage of the quantizer that is sent: 0.4 kb/s a stage. What is lost is concealed: the last sound goes on and fades.

Contents: `LearnedCodec`, `Encoder`, `Decoder`, `STAGES`, `stages_of`.
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
from pcodec.codecs.base import WholeCodec, check_seed
from pcodec.codecs.parametric import first
from pcodec.codecs.signals import without_offset
from pcodec.learning import weights
from pcodec.soundstream import entropy
from pcodec.soundstream.coding import AT_ONCE, DecoderState, EncoderState, SoundStreamCoder
from pcodec.soundstream.config import DELAY, FRAME
from pcodec.speakers import UNKNOWN, groups, voiceprint
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


class LearnedCodec(WholeCodec):
    """Encoders, quantizers and decoders that belong together."""

    CONFIG = SoundStreamCoder.CONFIG

    def __init__(
        self,
        folder: str | Path,
        decoder: str = "soundstream-large",
        C: int = 1,
        stages: int = STAGES,
        denoise: bool = False,
        compact: bool = False,
    ):
        """The codec of `decoder` and `C` in a folder.

        With `denoise` it encodes speech without the noise beside it. With `compact` what it encodes is entropy-coded,
        by the model of codes beside the network: fewer bytes for the same packets, in files alone.

        Raises `PcodecError` naming the file that is missing or wrong.
        """
        folder, self.decoder, self.C, self.stages = Path(folder), decoder, C, stages
        self.denoise, self.compact = denoise, compact
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
        self.model = functools.cache(self._model)
        if compact:
            self.model(UNKNOWN)

    def encode_blocks(self, blocks: Iterable[np.ndarray], group: int | None = None) -> Stream:
        """As `encode`, of a signal at 16 kHz that comes in pieces; only the packets are kept."""
        self.check_group(group)
        blocks = without_offset(blocks)
        if group is None and self.groups:
            start, blocks = voiceprint.beginning(blocks)
            group = self.group_of(start)
        group = group or 0
        encoder, packets = Encoder(self, group), []
        for block in blocks:
            packets.append(encoder.push(block))
        packets.append(encoder.finish())
        stream = Stream(np.concatenate(packets), encoder.samples, self.identity, self.C, (group,), form=self.form)
        return stream.compact(self.model(group).compress(stream.packets)) if self.compact else stream

    def decode_blocks(self, stream: Stream, seed: int = 1, lost: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """As `decode`, a second at a time; packets that are `lost` (P,) bool are concealed."""
        self.check(stream)
        check_seed(seed)
        lost = np.zeros(stream.count, bool) if lost is None else lost
        codes, gains = _concealed(self.packets(stream), lost)
        group = stream.group_of_packets * (self.C > 1)
        cuts = sorted({*range(AT_ONCE, len(codes), AT_ONCE), *(np.flatnonzero(np.diff(group)) + 1)})
        decoder, made = Decoder(self, seed), -DELAY
        for begin, end in itertools.pairwise([0, *cuts, len(codes)]):
            block = decoder.push(codes[begin:end], int(group[begin]))
            at = made + np.arange(len(block))  # samples of the signal
            block = block * np.interp(at, FRAME * (np.arange(len(gains)) + 0.5), gains)
            yield block[max(0, -made) : max(0, stream.samples - made)].astype(np.float32)
            made += len(block)

    def packets(self, stream: Stream) -> np.ndarray:
        """The packets (P, S) of a stream, compact or not."""
        if stream.packets is not None:
            return stream.packets
        return self.model(stream.group[0]).expand(stream.coded, stream.count, stream.form.bytes)

    def _model(self, group):
        file = entropy.beside(self.files[group])
        config, arrays, _ = weights.read(self.files[group], self.CONFIG)
        model = entropy.Model.load(file)
        if model.identity != weights.identity(config, arrays):
            raise PcodecError(f"{file}: of another network than the one beside it")
        return model

    def sender(self) -> "Encoder":
        """For live speech: its group follows the talk."""
        return Encoder(self)

    def receiver(self, seed: int = 1) -> "Decoder":
        """For live packets."""
        return Decoder(self, seed)

    def check(self, stream: Stream | Kind) -> None:
        """Raises `PcodecError` if a stream is of another network or other groups."""
        if stream.form.family != self.form.family:
            raise PcodecError(f"of the family {stream.form.family}, give the codec that it was coded with")
        self.check_network(stream)

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


class Encoder:
    """A sender: samples in, packets out as soon as they are complete."""

    def __init__(self, codec: LearnedCodec, group: int | None = None):
        """Of a group; without one, and where the codec has groups, `group` follows the talk."""
        self.codec, self.samples = codec, 0
        self._running = groups.RunningAssignment(codec.groups) if group is None and codec.groups else None
        self.group = UNKNOWN if self._running else group or 0
        self._state, self._left, self._packets = EncoderState(self._config()), np.zeros(0, np.float32), 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Some more signal (samples,) at 16 kHz -> the packets (P, stages) that it completes.

        Another group's encoder goes on where a new 40 ms begin.
        """
        self.samples += len(samples)
        self._left = np.concatenate([self._left, samples])
        packets = []
        if self._running and self._running.current.group != self.group:
            packets.append(self._encoded(-self._packets % self.codec.form.together))
            if self._packets % self.codec.form.together == 0:
                self.group, before = self._running.current.group, self._state
                self._state = EncoderState(self._config())
                self._state.samples = before.samples
        packets.append(self._encoded(len(self._left)))
        if self._running:
            self._running.push(samples)
        return np.concatenate(packets)

    def finish(self) -> np.ndarray:
        """The packets (P, stages) without which the last samples would be missing."""
        missing = self.codec.form.packets(self.samples) - self._packets
        self._left = np.concatenate([self._left, np.zeros(FRAME * missing - len(self._left), np.float32)])
        return self._encoded(missing)

    def _config(self):
        return self.codec.coder(self.group).config

    def _encoded(self, most):
        """Packets of so many frames, or of those that are there."""
        frames = min(most, len(self._left) // FRAME)
        now, self._left = self._left[: FRAME * frames], self._left[FRAME * frames :]
        self._packets += frames
        codes = self.codec.coder(self.group).encode(self._state, now, self.codec.stages, self.codec.denoise)
        return codes.astype(np.uint8)


class Decoder:
    """A receiver: packets in, 320 samples each out, `delay` samples late."""

    delay = DELAY

    def __init__(self, codec: LearnedCodec, seed: int = 1):
        self.codec, self.seed, self._group, self._state = codec, seed, None, None

    def push(self, packets: np.ndarray, group: int = UNKNOWN) -> np.ndarray:
        """Packets (P, stages) of one group -> the next samples (320 P,) in [-1, 1].

        Another group's decoder begins anew, while the last sound of the one before fades.
        """
        coder = self.codec.coder(group)
        if group != self._group:
            before, self._group, self._state = self._state, group, DecoderState(coder.config, self.seed)
            if before:
                self._state.overlap = before.overlap
        return np.clip(coder.decode(self._state, packets), -1.0, 1.0)

    def finish(self) -> np.ndarray:
        """Nothing: the last packets have brought the last samples."""
        return np.zeros(0, np.float32)


def _concealed(packets, lost):
    """Packets (P, S) -> codes in which lost ones repeat the last that came, and the gain of each (P,)."""
    arrived = np.maximum.accumulate(np.where(lost, -1, np.arange(len(packets))))
    since = np.arange(len(packets)) - arrived
    gains = np.where(arrived < 0, 0.0, np.maximum(0.0, 1.0 - since / FADE))
    return packets[np.maximum(arrived, 0)], gains
