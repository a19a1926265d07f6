"""Speech through live pipes: from a microphone to a stream, and from a stream to a loudspeaker.

Task: what `pcodec encode --stream` and `decode --stream` do: what has come in goes out as soon as it can. From a sample
to its sound a codec itself waits for a packet of 40 or 20 ms, its look-ahead and its decoder's `delay`.

Conventions: the stream has the form of `pcodec.bitstream.live`; its group follows the talk. Sound comes as WAV or as
raw samples and goes as WAV of unknown length or raw.

Contents: `send`, `receive`.
"""

import struct

import numpy as np

from pcodec import PcodecError
from pcodec.bitstream import live
from pcodec.bitstream.container import Kind, Stream
from pcodec.codecs.learned import LearnedCodec
from pcodec.codecs.parametric import Codec
from pcodec.codecs.signals import without_offset
from pcodec.speech import audio
from pcodec.speech.decoders import Raw

AFTER_END = 640  # samples, by which packets and delay may together be longer than the signal
UNKNOWN_LENGTH = 0xFFFFFFFF
WAV = struct.Struct("<4sI4s4sIHHIIHH4sI")


def send(coder: Codec | LearnedCodec, source, target, raw: Raw | None = None) -> int:
    """From an unbuffered file of sound to one of packets; returns how many samples went through."""
    encoder, writer, samples = coder.sender(), live.Writer(target, coder.form), 0
    target.write(Stream.begin_live(Kind(coder.identity, coder.C, coder.form)))
    target.flush()
    for block in without_offset(audio.live(source, raw), least=0.0):
        packets = encoder.push(block)
        writer.put(packets, encoder.group)
        samples += len(block)
    packets = encoder.finish()
    writer.put(packets, encoder.group)
    writer.end(samples)
    return samples


def receive(source, target, make_codec, raw: Raw | None = None, seed: int = 1) -> int:
    """From an unbuffered file of packets to one of sound, at 16 kHz; returns the number of samples.

    `make_codec` gives the codec, for a `container.Kind`. Raises `PcodecError`, after what came has been decoded,
    if the stream is damaged or has no end.
    """
    read = _exactly(source)
    kind = Stream.read_live_header(read)
    coder = make_codec(kind)
    coder.check(kind)
    decoder, reader, error = coder.receiver(seed), live.Reader(read, kind.form), None
    form, written, waiting = raw or Raw("s16le", audio.RATE), -decoder.delay, np.zeros(0, np.float32)

    def put(block, kept, most=np.inf):
        """Writes all but the last samples, which may be after the end of the signal."""
        nonlocal written, waiting
        waiting = np.concatenate([waiting, block])
        ready = waiting[: len(waiting) - kept]
        target.write(form.bytes(ready[max(0, -written) : int(min(len(ready), max(0, most - written)))]))
        target.flush()
        waiting, written = waiting[len(ready) :], written + len(ready)

    if not raw:
        target.write(_wav_header())
    try:
        for packet, group in reader:
            put(decoder.push(packet, group if coder.C > 1 else 0), AFTER_END)
    except PcodecError as damage:
        error = damage
    put(decoder.finish(), 0, np.inf if reader.samples is None else reader.samples)
    if error:
        raise PcodecError(f"{error}; {max(0, written) / audio.RATE:.2f} s were decoded")
    return reader.samples


def _exactly(file):
    """A function that reads as many bytes as are asked for, however they come."""

    def read(count):
        data = b""
        while len(data) < count and (more := file.read(count - len(data))):
            data += more
        return data

    return read


def _wav_header():
    """Of 16-bit samples until the end."""
    return WAV.pack(
        b"RIFF", UNKNOWN_LENGTH, b"WAVE", b"fmt ", 16, 1, 1, audio.RATE, 2 * audio.RATE, 2, 16, b"data", UNKNOWN_LENGTH
    )
