"""Another voice, same words, for a user: speech in, a stream or a signal in a voice that nobody has out.

Task: what `pcodec.anonymizer` learned, with the codecs. Packets of 1.6 kb/s are made of the changed features, so that
what is sent does not carry the talker's voice, and any of the project's decoders speaks it; a codec that is learned end
to end codes the changed speech.

Conventions: anonymizers are files anonymizer-CONTENT, CONTENT one of `anonymizer.config.CONTENTS`; "recognized" needs
the extra `recognizer` and is taken where that is installed. Signals are at 16 kHz in [-1, 1].

Contents: `Anonymizer`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pcodec import PcodecError, note, paths
from pcodec.anonymizer.config import CONTENTS, VOICES
from pcodec.anonymizer.conversion import Converter
from pcodec.anonymizer.voices import Voice
from pcodec.bitstream.container import Stream
from pcodec.codecs.parametric import Codec, Encoder
from pcodec.codecs.signals import signal_of, without_offset
from pcodec.learning import recognizer
from pcodec.speakers import voiceprint
from pcodec.speech import audio


class Anonymizer:
    """A converter, and the kind of voice that it gives."""

    def __init__(self, converter: Converter, voice: str = "fixed", seed: int = 1):
        """`voice`: `fixed` is one for everybody, `pool` one unlike the talker's, `random` any; both by `seed`.

        Raises `PcodecError` for another voice.
        """
        if voice not in VOICES:
            raise PcodecError(f"voices are {', '.join(VOICES)}, not {voice}")
        self.converter, self.kind, self.seed = converter, voice, seed

    @classmethod
    def load(cls, name: str | Path | None = None, voice: str = "fixed", seed: int = 1) -> "Anonymizer":
        """One of `CONTENTS`, a file, or the best that this installation can run.

        Raises `PcodecError` naming what is missing.
        """
        if name is None:
            name = CONTENTS[0 if recognizer.available() else 1]
        file = paths.SHIPPED / f"anonymizer-{name}.safetensors" if name in CONTENTS else Path(name)
        return cls(Converter.load(file), voice, seed)

    @property
    def name(self) -> str:
        """Where what is said comes from: `recognized` or `own`."""
        return self.converter.model.config.content

    def voice_for(self, start: np.ndarray) -> Voice:
        """The voice that a talker gets, by the first minute of his speech (samples,)."""
        talker = self.converter.talker_of(start) if self.kind == "pool" else None
        if self.kind == "pool" and talker is None:
            note("hardly any voice to be unlike of: a random one is taken")
            return self.converter.pool.voice("random", seed=self.seed)
        return self.converter.pool.voice(self.kind, talker, self.seed)

    def convert(self, samples: np.ndarray, rate: int = audio.RATE, codec: Codec | None = None) -> np.ndarray:
        """Signal (samples,) or (samples, channels) in [-1, 1] -> the same words in another voice, float32 at 16 kHz.

        It is what `codec`, by default the shipped one, decodes of the stream.
        """
        codec = codec or Codec.load()
        stream = self.encode_blocks([signal_of(samples, rate)], codec)
        return np.concatenate([np.zeros(0, np.float32), *codec.decode_blocks(stream)])

    def encode_blocks(self, blocks: Iterable[np.ndarray], codec: Codec) -> Stream:
        """A signal at 16 kHz that comes in pieces -> the stream of the same words in another voice."""
        if not isinstance(codec, Codec):
            return codec.encode_blocks(self._spoken(blocks))
        start, blocks = voiceprint.beginning(without_offset(blocks))
        voice = self.voice_for(start)
        group = int(codec.groups.probabilities(voice.z[None])[0].argmax()) if codec.groups else 0
        encoder, packets, samples = Encoder(codec, follow=False), [], 0

        def counted():
            nonlocal samples
            for block in blocks:
                samples += len(block)
                yield block

        for analysis in self.converter.convert_blocks(counted(), voice):
            packets.append(encoder.pack(analysis))
        return Stream(np.concatenate(packets), samples, codec.identity, codec.C, (group,))

    def _spoken(self, blocks) -> Iterator[np.ndarray]:
        """The converted signal in pieces."""
        codec = Codec.load()
        return codec.decode_blocks(self.encode_blocks(blocks, codec))
