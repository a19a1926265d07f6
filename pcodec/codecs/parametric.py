"""The codec a user holds: speech in, 1600 bits per second, speech out.

Task: features, quantizer, bitstream, speaker groups and decoders put together as the paper does: the sender finds the
speaker's group and sends its index; the receiver decodes with that group's network (Jang et al. 2024, section 2).

Conventions: a codec is a folder as a run leaves it in models/: codebooks.npz, groups-C<C>.safetensors, a decoder for
each group, <decoder>-C<C>-g<group>.safetensors, and one for everybody, <decoder>-control or, where there is none,
<decoder>-general, which also decodes while the group is not known. <decoder> is a family and a size: fargan-large,
lpcnet-384. Files named as by version 0.1 are found too. A packet is 40 ms, 640 samples at 16 kHz. Notebook
08_synthesis.

Contents: `Codec`, `Encoder`, `Decoder`, `Voiced`, `first`, `FAMILIES`.
"""

import functools
import itertools
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pcodec import PcodecError, features, paths
from pcodec.bitstream import quantizer
from pcodec.bitstream.codebooks import Codebooks
from pcodec.bitstream.container import PARAMETRIC, Kind, Stream
from pcodec.bitstream.packets import pack, unpack
from pcodec.codecs import DEFAULT, LEARNED, NAMES, SEMANTIC, SHIPPED
from pcodec.codecs.base import WholeCodec, check_seed
from pcodec.codecs.signals import without_offset
from pcodec.fargan import synthesis as fargan
from pcodec.features.analysis import COLUMNS, FEATURES, OFFSET, PACKET, PACKET_SAMPLES
from pcodec.features.cepstrum import FRAME
from pcodec.features.vocoder import CONTEXT, DELAY, SILENCE, Vocoder
from pcodec.learning import weights
from pcodec.lpcnet import synthesis as lpcnet
from pcodec.speakers import UNKNOWN, groups, voiceprint

FAMILIES = {"fargan": fargan.Synthesizer, "lpcnet": lpcnet.Synthesizer}
AT_ONCE = 25  # packets decoded at a time: bounds the memory
FADE = 20  # lost frames, 200 ms, until nothing is left


class Codec(WholeCodec):
    """Codebooks, speaker groups and decoders that belong together."""

    form = PARAMETRIC

    def __init__(self, folder: str | Path, decoder: str, C: int):
        """The codec of `decoder` and `C` in a folder. Raises `PcodecError` naming the file that is missing or wrong."""
        folder, self.decoder, self.C = Path(folder), decoder, C
        family, _, self.size = decoder.partition("-")
        if family not in FAMILIES:
            raise PcodecError(f"{decoder}: decoders are called FAMILY-SIZE, of the families {', '.join(FAMILIES)}")
        self.family = FAMILIES[family]
        self.CONFIG = self.family.CONFIG
        everybody = first(folder, *(f"{self.decoder}-{name}" for name in ("control", "general", "1-0")))
        self.files = {UNKNOWN: everybody}
        for group in range(C):
            own = (f"{self.decoder}-C{C}-g{group}", f"{self.decoder}-{C}-{group}")
            self.files[group] = first(folder, *own) if C > 1 else everybody
        self.codebooks = Codebooks.load(folder / "codebooks.npz")
        self.groups = groups.SpeakerGroups.load(folder / f"groups-C{C}.safetensors") if C > 1 else None
        self.identity = self.codebooks.identity
        self.synthesizer = functools.cache(self._synthesizer)

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path = DEFAULT,
        decoder: str | None = None,
        C: int | None = None,
        units: int | None = None,
        kbps: float | None = None,
        denoise: bool = False,
        compact: bool = False,
    ) -> "Codec":
        """One of `codecs.NAMES`, or the codec of `decoder` and `C` in a folder of trained decoders.

        `units` = 384 is short for decoder = "lpcnet-384". A decoder soundstream-SIZE is a `learned.LearnedCodec`, which
        has several rates, in `kbps`; it can `denoise` what it encodes, and make `compact` files. semantic-SIZE is a
        `semantic.SemanticCodec`, of several rates, too. All others have 1.6.
        """
        decoder = f"lpcnet-{units}" if decoder is None and units is not None else decoder
        decoder = decoder or (LEARNED | SEMANTIC).get(name_or_folder)
        family, folder = (decoder or "").partition("-")[0], name_or_folder
        if name_or_folder in LEARNED | SEMANTIC:
            folder = paths.SHIPPED
        if family == "soundstream":
            from pcodec.codecs import learned

            stages = learned.stages_of(1.6 if kbps is None else kbps)
            return learned.LearnedCodec(folder, decoder, C or 1, stages, denoise, compact)
        if denoise or compact:
            what = "removes no noise" if denoise else "makes no compact files"
            raise PcodecError(f"{decoder or name_or_folder}: {what}; soundstream does")
        if family == "semantic":
            from pcodec.codecs import semantic

            return semantic.SemanticCodec(folder, decoder, C or 1, kbps)
        if kbps not in (None, 1.6):
            raise PcodecError(f"{decoder or name_or_folder}: has a rate of 1.6 kb/s, not {kbps:g}")
        if name_or_folder in SHIPPED:
            own = SHIPPED[name_or_folder]
            if C not in (None, own[1]):
                raise PcodecError(f"the codec {name_or_folder} has C = {own[1]}, not {C}")
            return cls(paths.SHIPPED, own[0] if decoder is None else decoder, own[1])
        if not Path(name_or_folder).is_dir():
            raise PcodecError(f"{name_or_folder}: neither a folder nor one of {', '.join(NAMES)}")
        if decoder is None or C is None:
            raise PcodecError(f"{name_or_folder}: the decoder and the number of groups must be given")
        return cls(name_or_folder, decoder, C)

    @classmethod
    def of(cls, stream: Stream | Kind) -> "Codec":
        """The shipped codec of a stream's family; of LPCNet's packets the default one, which takes those of any groups.

        Raises `PcodecError` if it cannot decode the stream.
        """
        family = stream.form.family
        known = [name for name, decoder in (LEARNED | SEMANTIC).items() if decoder.startswith(f"{family}-")]
        codecs = [cls.load(name, C=stream.groups if name in SEMANTIC else None) for name in known or [DEFAULT]]
        codec = next((each for each in codecs if each.identity == stream.codebooks), codecs[0])
        codec.check(stream)
        return codec

    @classmethod
    def of_adapter(cls, path: str | Path) -> "Codec":
        """The shipped codec whose decoder for everybody an adapter belongs to, adapted.

        Raises `PcodecError` if there is none.
        """
        from pcodec.learning import adapter

        wanted = adapter.decoder_of(path)
        for name in SHIPPED | LEARNED:
            codec = cls.load(name)
            config, arrays, _ = weights.read(codec.files[UNKNOWN], codec.CONFIG)
            if weights.identity(config, arrays) == wanted:
                codec.adapt(path)
                return codec
        raise PcodecError(f"{path}: an adapter of decoder {wanted}, which no shipped codec has; give its --codec")

    def adapt(self, path: str | Path) -> None:
        """From now on decode every stream, whatever its group, with the decoder for everybody and a person's adapter.

        Raises `PcodecError` if the adapter (of `pcodec.learning.adapter`) belongs to another decoder.
        """
        from pcodec.codecs import personalization
        from pcodec.learning import adapter

        self.synthesizer(UNKNOWN)  # that the decoder belongs to the codebooks
        network, _ = personalization.FAMILIES[self.CONFIG.FAMILY]
        model = adapter.load(path, network.load(self.files[UNKNOWN]))
        adapted = self.family.of(model.config, model.arrays())
        self.synthesizer, self.C, self.groups = lambda group: adapted, 1, None

    def save(self, folder: str | Path) -> None:
        """Write the codec into a folder of its own, the decoders' weights as float16, which is what synthesis uses."""
        for file in self.files.values():
            config, arrays, provenance = weights.read(file, self.family.CONFIG)
            weights.write(Path(folder) / file.name, config, arrays, provenance, np.float16)
        others = ["codebooks.npz"] + ([f"groups-C{self.C}.safetensors"] if self.groups else [])
        for name in others:
            with paths.replacing(Path(folder) / name) as temporary:
                shutil.copyfile(self.files[UNKNOWN].parent / name, temporary)

    def encode_blocks(self, blocks: Iterable[np.ndarray], group: int | None = None) -> Stream:
        """As `encode`, of a signal at 16 kHz that comes in pieces; only the packets are kept."""
        self.check_group(group)
        blocks = without_offset(blocks)
        if group is None:
            start, blocks = voiceprint.beginning(blocks)
            group = self.group_of(start)
        encoder, packets, samples = Encoder(self, follow=False), [], 0
        for block in blocks:
            packets.append(encoder.push(block))
            samples += len(block)
        packets.append(encoder.finish())
        return Stream(np.concatenate(packets), samples, self.codebooks.identity, self.C, (group,))

    def spoken(self, analysis: features.Analysis, seed: int = 1) -> np.ndarray:
        """Features, wherever they are from, through packets -> what the decoder for everybody says, (640 P - 80,)."""
        packets = Encoder(self, follow=False).pack(analysis)
        count = PACKET_SAMPLES * len(packets) - OFFSET
        stream = Stream(packets, count, self.identity, self.C, (UNKNOWN,))
        return np.concatenate([np.zeros(0, np.float32), *self.decode_blocks(stream, seed)])

    def decode_blocks(self, stream: Stream, seed: int = 1, lost: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """As `decode`, about a second at a time; packets that are `lost` (P,) bool are concealed."""
        self.check(stream)
        check_seed(seed)
        lost = np.zeros(len(stream.packets), bool) if lost is None else lost
        decoder = Decoder(self, seed, stream.features(self.codebooks))
        group = stream.group_of_packets * (self.C > 1)
        changes = np.flatnonzero(np.diff(group) | np.diff(lost)) + 1
        cuts = sorted({*range(AT_ONCE, len(group), AT_ONCE), *changes})
        made = -DELAY
        for begin, end in itertools.pairwise([0, *cuts, len(group), None]):
            if end is None:
                block = decoder.finish()
            elif lost[begin]:
                block = decoder.conceal(end - begin)
            else:
                block = decoder.push(stream.packets[begin:end], int(group[begin]))
            yield block[max(0, -made) : max(0, stream.samples - made)]
            made += len(block)

    def sender(self) -> "Encoder":
        """For live speech."""
        return Encoder(self)

    def receiver(self, seed: int = 1) -> "Decoder":
        """For live packets."""
        return Decoder(self, seed)

    def check(self, stream: Stream | Kind) -> None:
        """Raises `PcodecError` if a stream's codebooks or groups are not this codec's. One decoder for all has none."""
        if stream.form != PARAMETRIC:
            raise PcodecError(f"of the family {stream.form.family}, give the codec that it was coded with")
        if stream.codebooks != self.codebooks.identity:
            raise PcodecError(f"coded with codebooks {stream.codebooks}, this codec has {self.codebooks.identity}")
        if self.C > 1 and stream.groups != self.C:
            raise PcodecError(f"coded for {stream.groups} speaker groups, this codec has {self.C}")

    def _synthesizer(self, group):
        self.check_group(group)
        file = self.files[group]
        config, arrays, provenance = weights.read(file, self.family.CONFIG)
        if config.size != self.size:
            raise PcodecError(f"{file}: has the size {config.size}, not {self.size}")
        if provenance.get("codebooks") != self.codebooks.identity:
            raise PcodecError(
                f"{file}: trained with codebooks {provenance.get('codebooks')}, not {self.codebooks.identity}"
            )
        return self.family.of(config, arrays)


def first(folder: Path, *names: str) -> Path:
    """The first of these decoders that is in a folder; the last name is that of version 0.1."""
    files = [folder / f"{name}.safetensors" for name in names]
    for file in files:
        if file.exists():
            return file
    raise PcodecError(f"{files[-2]}: no such decoder")


class Encoder:
    """A live sender: samples in, packets out as soon as they are complete."""

    def __init__(self, codec: Codec, follow: bool = True):
        """With `follow`, and where the codec has groups, `group` follows the talk; otherwise it is 0."""
        self.codebooks = codec.codebooks
        self._running = groups.RunningAssignment(codec.groups) if follow and codec.groups else None
        self._state = self._before = None

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Some more signal (samples,) at 16 kHz -> the packets (P, 8) that it completes."""
        if self._running:
            self._running.push(samples)
        return self._packets(samples, last=False)

    def finish(self) -> np.ndarray:
        """The packets (P, 8) without which the last samples would be missing."""
        return self._packets(np.zeros(0, np.float32), last=True)

    @property
    def group(self) -> int:
        """What to send with the next packet; UNKNOWN until the speaker has been heard for a while."""
        return self._running.current.group if self._running else 0

    def _packets(self, samples, last):
        analysis, self._state = features.stream(samples, self._state, last)
        return self.pack(analysis)

    def pack(self, analysis: features.Analysis) -> np.ndarray:
        """The next packets (P, 8) of features, wherever these are from."""
        fields = quantizer.quantize(analysis, self.codebooks, self._before)
        if len(fields):
            self._before = quantizer.dequantize(fields[-1:], self.codebooks)[-1, FEATURES["cepstrum"]]
        return pack(fields)


class Voiced:
    """Features in, 160 samples each out, `vocoder.DELAY` samples late, by any vocoder; each frame has a gain.

    Digital silence comes out as digital silence.
    """

    delay = DELAY

    def __init__(self, synthesizer: Vocoder | None = None, seed: int = 1, whole: np.ndarray | None = None):
        """`whole` are all features (F, 20) of the signal, where they are known before: some decoders need its level."""
        self.synthesizer, self._seed, self._whole, self._state = synthesizer, seed, whole, None
        self._gains = np.zeros(1 + CONTEXT)  # of the frame that came out last, and of those on their way

    def advance(self, frames: np.ndarray, gains: np.ndarray, last: bool = False) -> np.ndarray:
        """Features (F, 20) and gains (F,) -> the next samples (160 F,) in [-1, 1]; with `last` 320 more."""
        gains = np.concatenate([self._gains, gains * (frames[:, 0] > SILENCE)])
        self._gains = gains[-1 - CONTEXT :]
        self._state = self._state or self.synthesizer.start(self._seed, self._whole)
        out = self.synthesizer.advance(self._state, frames, last).reshape(-1, FRAME)
        before, after = gains[: len(out), None], gains[1 : 1 + len(out), None]
        return (out * (before + (after - before) * np.arange(1, FRAME + 1) / FRAME)).astype(np.float32).ravel()

    def finish(self) -> np.ndarray:
        """The last 320 samples."""
        return self.advance(np.zeros((0, len(COLUMNS)), np.float32), np.zeros(0), last=True)


class Decoder(Voiced):
    """A live receiver: packets in, 640 samples each out.

    In place of lost packets the last sound goes on, fading away within 200 ms.
    """

    def __init__(self, codec: Codec, seed: int = 1, whole: np.ndarray | None = None):
        """`whole` as in `Voiced`; whose synthesizer it is the first packet says."""
        super().__init__(None, seed, whole)
        self.codec = codec
        self._before = None  # decoded cepstrum of the newest frame that arrived
        self._last = np.zeros((1, len(COLUMNS)), np.float32)  # its features; now those of silence
        self._last[0, 0] = 2 * SILENCE
        self._lost = 0  # frames since then

    def push(self, packets: np.ndarray, group: int = UNKNOWN) -> np.ndarray:
        """Packets (P, 8) of one group -> the next samples (640 P,) in [-1, 1]. Any packet can be decoded.

        The decoder for everybody takes those of an UNKNOWN group.
        """
        self.synthesizer = self.codec.synthesizer(group)
        decoded = quantizer.dequantize(unpack(packets), self.codec.codebooks, self._before)
        if len(decoded):
            self._before, self._last, self._lost = decoded[-1, FEATURES["cepstrum"]], decoded[-1:], 0
        return self.advance(decoded, np.ones(len(decoded)))

    def conceal(self, packets: int = 1) -> np.ndarray:
        """In place of so many lost packets -> the next samples (640 P,)."""
        lost = self._lost + 1 + np.arange(PACKET * packets)
        self._lost += len(lost)
        return self.advance(np.repeat(self._last, len(lost), axis=0), np.maximum(0.0, 1.0 - lost / FADE))

    def advance(self, frames: np.ndarray, gains: np.ndarray, last: bool = False) -> np.ndarray:
        """As `Voiced.advance`; before any packet by the decoder for everybody."""
        self.synthesizer = self.synthesizer or self.codec.synthesizer(UNKNOWN)
        return super().advance(frames, gains, last)
