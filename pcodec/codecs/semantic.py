"""A codec below 700 b/s, as a user holds it: what is said and how it sounds, in two streams of tokens.

Task: the tokens of `pcodec.semantic` in the container, and a vocoder for the features that its decoders draw: the
shipped framewise one (SemantiCodec, Liu et al. 2024, for speech).

Conventions: a codec is a folder with a file semantic-SIZE-general; with C > 1 groups also groups-C<C>, and the centre
of the talker's group stands for his voice: 2 bytes once in place of 34. Rates are those of `semantic.config.RATES`. It
works on whole files: the talker is described before he is coded.

Contents: `SemanticCodec`.
"""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pcodec import PcodecError, note, paths
from pcodec.bitstream.container import SEMANTIC, SEMANTIC_SLOW, Kind, Stream
from pcodec.codecs.base import WholeCodec, check_seed
from pcodec.codecs.parametric import FADE, Voiced, first
from pcodec.codecs.signals import without_offset
from pcodec.fargan import synthesis as fargan
from pcodec.features.cepstrum import FRAME
from pcodec.features.vocoder import DELAY
from pcodec.semantic import coding, diffusion
from pcodec.semantic.coding import PAIRS, SemanticCoder
from pcodec.semantic.config import RATES, STEP, SemanticConfig
from pcodec.semantic.tokens import Voice
from pcodec.speakers import UNKNOWN, groups, voiceprint

VOCODER = "fargan-large-general.safetensors"
DEFAULT_RATE = "0.525"


class SemanticCodec(WholeCodec):
    """Both encoders, codebooks, decoders, and a vocoder."""

    CONFIG = SemanticConfig

    def __init__(
        self,
        folder: str | Path,
        decoder: str = "semantic-small",
        C: int = 1,
        kbps: float | None = None,
        recognized: bool | None = None,
    ):
        """The codec of `decoder` and `C` in a folder, at a rate of `RATES`.

        What is said is found by the recognizer if it is `recognized`, by default where it is installed.
        Raises `PcodecError` naming the file that is missing or wrong, or the rates that there are.
        """
        folder, self.decoder, self.C = Path(folder), decoder, C
        file = first(folder, f"{decoder}-general", f"{decoder}-general")
        self.files = dict.fromkeys([UNKNOWN, *range(C)], file)
        self.groups = groups.SpeakerGroups.load(folder / f"groups-C{C}.safetensors") if C > 1 else None
        name = DEFAULT_RATE if kbps is None else f"{kbps:g}"
        if name not in RATES:
            raise PcodecError(f"{decoder}: has rates of {', '.join(RATES)} kb/s, not {name}")
        self.rate, self.steps = RATES[name], diffusion.STEPS
        self.guidance, self.begin = diffusion.GUIDANCE, diffusion.BEGIN
        slow = self.rate.steps == 4
        self.form = (SEMANTIC_SLOW if slow else SEMANTIC)._replace(bytes=self.rate.bits)
        self.coder = SemanticCoder.load(file, recognized)
        if f"semantic-{self.coder.model.config.size}" != decoder:
            raise PcodecError(f"{file}: has the size {self.coder.model.config.size}, not that of {decoder}")
        self.identity = self.coder.identity
        self.vocoder = functools.cache(lambda: fargan.Synthesizer.load(paths.SHIPPED / VOCODER))

    def encode_blocks(self, blocks: Iterable[np.ndarray], group: int | None = None) -> Stream:
        """As `encode`, of a signal at 16 kHz that comes in pieces; only the tokens are kept."""
        self.check_group(group)
        if self.coder.hear is None:
            _say_who_listens()
        start, blocks = voiceprint.beginning(without_offset(blocks))
        group = self.group_of(start) if group is None else group
        once = self.coder.voice_of(start, self._centre(group)).to_bytes(whole=self.C == 1)
        voice, samples = self._voice(once, group), 0

        def counted():
            nonlocal samples
            for block in blocks:
                samples += len(block)
                yield block

        found = [np.zeros((0, 2), np.int64), *self.coder.tokens(counted(), voice, self.rate)]
        found, count = np.concatenate(found), self.form.packets(samples)
        if not len(found):
            found = np.zeros((1, 2), np.int64)
        packets = coding.pack(found[: PAIRS * count], self.rate, count)
        return Stream(packets, samples, self.identity, self.C, (group,), form=self.form, once=once)

    def decode_blocks(self, stream: Stream, seed: int = 1, lost: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """As `decode`, some seconds at a time.

        Features are drawn by diffusion: `steps`, `guidance` and `begin` are the codec's; without steps they are what
        the regressor says.

        In place of packets that are `lost` (P,) bool the last pair of tokens goes on, fading away within 200 ms.
        """
        self.check(stream)
        check_seed(seed)
        rate = next(rate for rate in RATES.values() if self._fits(rate, stream.form))
        found, lost = coding.unpack(stream.packets, rate), np.zeros(stream.count, bool) if lost is None else lost
        gone = np.repeat(lost, PAIRS)
        arrived = np.maximum.accumulate(np.where(gone, 0, np.arange(len(found))))
        each = STEP * rate.steps
        since = np.repeat(each * (np.arange(len(found)) - arrived), each)
        gains = np.where(np.repeat(gone, each), np.maximum(0.0, 1.0 - since / FADE), 1.0)
        voice = self._voice(stream.once, stream.group[0])
        how = (self.steps, self.guidance, self.begin)
        player, made, at = Voiced(self.vocoder(), seed), -DELAY, 0
        for frames in self.coder.features(found[arrived], voice, rate, seed, *how):
            yield self._cut(player.advance(frames, gains[at : at + len(frames)]), made, stream.samples)
            made, at = made + FRAME * len(frames), at + len(frames)
        yield self._cut(player.finish(), made, stream.samples)

    @staticmethod
    def _cut(block, made, samples):
        """Of the next samples those that belong to the signal, of which there are `samples`; `made` are done."""
        return block[max(0, -made) : max(0, samples - made)]

    @staticmethod
    def _fits(rate, form):
        return (form.bytes, form.samples) == (rate.bits, FRAME * STEP * rate.steps * PAIRS)

    def _voice(self, once, group):
        return Voice.from_bytes(once, self._centre(group))

    def _centre(self, group):
        """The embedding that stands for a group; None where the talker's own is sent."""
        if self.groups is None:
            return None
        return np.zeros(voiceprint.UNITS, np.float32) if group == UNKNOWN else self.groups.centroids[group]

    def check(self, stream: Stream | Kind) -> None:
        """Raises `PcodecError` if a stream is of another network or other groups, or live."""
        if not any(self._fits(rate, stream.form) for rate in RATES.values()):
            raise PcodecError(f"of the family {stream.form.family}, give the codec that it was coded with")
        self.check_network(stream)

    def adapt(self, path: str | Path) -> None:
        """There are no adapters; raises `PcodecError`."""
        raise PcodecError(f"{path}: {self.decoder} takes no adapters; it is told the talker's voice")

    def sender(self):
        """It is not live; raises `PcodecError`."""
        raise PcodecError(f"{self.decoder} codes whole files, it is not live")

    def receiver(self, seed: int = 1):
        """As `sender`."""
        self.sender()


@functools.cache
def _say_who_listens():
    note("what is said is found by a small student; with make recognizer far more words are understood")
