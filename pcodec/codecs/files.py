"""Speech to streams and back, through files.

Task: what `pcodec encode`, `decode`, `roundtrip` and `anonymize` do. Signals go through piece by piece, so that the
memory does not grow with their length; what is written appears when it is whole; nothing replaces its own input.

Conventions: files are named by path; "-" is standard input, copied to a temporary file first, or standard output,
written at the end. Audio has any format and rate; a stream is a .plpc file.

Contents: `encode`, `decode`, `roundtrip`, `anonymize`, `taken`.
"""

import functools
import itertools
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from pcodec import PcodecError, note, paths
from pcodec.bitstream.container import Stream
from pcodec.bitstream.packet_loss import lost_packets
from pcodec.codecs.parametric import Codec
from pcodec.speakers import UNKNOWN
from pcodec.speech import audio
from pcodec.speech.decoders import Raw, check_rate


def encode(
    coder: Codec, source: str, target: str, group: int | None = None, raw: Raw | None = None, voice: str = "",
    voice_seed: int = 1,
) -> None:  # fmt: skip
    """Audio file to stream; `group` as in `Codec.encode`, `raw` of samples without a header.

    With `voice`, one of `anonymizer.config.VOICES`, in another voice, by `voice_seed`.
    """
    with taken(source, ".wav") as path:
        if target != "-":
            paths.check_target(target, path)
            if Path(target).suffix.lower() != ".plpc":
                raise PcodecError(f"{target}: a stream is written as .plpc")
        stream = _encoded(coder, path, group, raw, _anonymizer(voice, voice_seed) if voice else None)
    if target == "-":
        sys.stdout.buffer.write(stream.to_bytes())
    else:
        stream.write(target)


def decode(
    source: str, target: str, coder: Codec | None = None, adapter: str | Path | None = None, seed: int = 1,
    rate: int = audio.RATE, raw: str = "", loss: float = 0.0, burst: float = 1.0,
) -> None:  # fmt: skip
    """Stream to audio file, with the shipped codec that fits unless another is given; `adapter` as in `Codec.adapt`.

    The file has `rate` Hz; with `raw` no header. Of the packets a share `loss` is lost, in bursts of `burst`, and
    concealed (`bitstream.packet_loss`).
    """
    check_rate(rate)
    with taken(source, ".plpc") as path:
        _check_audio(target, path, raw)
        stream = Stream.read(path)
    lost = lost_packets(stream.count, loss, burst, seed) if loss else None
    if adapter:
        coder = _adapted(coder, adapter)
    try:
        coder = coder or Codec.of(stream)
        coder.check(stream)
    except PcodecError as error:
        raise PcodecError(f"{source}: {error}") from None
    _write(coder, stream, target, seed, rate, raw, lost)
    if loss:
        note(f"{lost.sum()} of {len(lost)} packets were lost and concealed")


def roundtrip(
    source: str, target: str, coder: Codec | None = None, adapter: str | Path | None = None, group: int | None = None,
    seed: int = 1,
) -> str:  # fmt: skip
    """Audio file to stream to audio file; returns a line with length, rate, group and speeds. Else as `decode`."""
    coder = _adapted(coder, adapter) if adapter else coder or Codec.load()
    times = [time.perf_counter()]
    with taken(source, ".wav") as path:
        _check_audio(target, path)
        stream = _encoded(coder, path, group)
    times.append(time.perf_counter())
    _write(coder, stream, target, seed)
    times.append(time.perf_counter())
    encoded, decoded = (stream.seconds / (end - start) for start, end in itertools.pairwise(times))
    sent = "unknown" if stream.group[0] == UNKNOWN else stream.group[0]
    return (
        f"{stream.seconds:.2f} s, {stream.samples} samples; {stream.payload_rate:.0f} b/s; group {sent} of "
        f"{stream.groups}; encoded at {encoded:.1f} x real time, decoded at {decoded:.1f} x real time"
    )


def anonymize(source: str, target: str, voice: str, voice_seed: int = 1, content: str | None = None) -> str:
    """Audio file to audio file, the same words in another voice; returns a line with length and speed.

    `content` is one of `anonymizer.config.CONTENTS`, or the best that can be had.
    """
    anonymizer, coder = _anonymizer(voice, voice_seed, content), Codec.load()
    start = time.perf_counter()
    with taken(source, ".wav") as path:
        _check_audio(target, path)
        stream = _encoded(coder, path, None, None, anonymizer)
    _write(coder, stream, target, seed=1)
    speed = stream.seconds / (time.perf_counter() - start)
    return f"{stream.seconds:.2f} s in another voice ({voice}), at {speed:.1f} x real time"


@functools.cache
def _anonymizer(voice, seed, content=None):
    """Says which one it is: what is said is found by a recognizer, or by what was learned here."""
    from pcodec.codecs.anonymization import Anonymizer

    found = Anonymizer.load(content, voice, seed)
    how = {
        "recognized": "what is said is found by a recognizer's encoder",
        "own": "what is said is found by its own encoders; with make recognizer more words are understood",
    }
    note(how[found.name])
    return found


def _adapted(coder, adapter):
    """The codec that is given with a person's adapter, or the shipped one that the adapter belongs to."""
    if coder is None:
        return Codec.of_adapter(adapter)
    coder.adapt(adapter)
    return coder


def _check_audio(target, source, raw=""):
    if target != "-":
        if not raw:
            audio.check_suffix(target)
        paths.check_target(target, source)


def _encoded(coder, path, group, raw=None, anonymizer=None):
    def pieces():
        with _progress("encoding", audio.probe(path, raw)) as bar:
            for block in audio.blocks(path, raw=raw):
                yield block
                bar.update(len(block) / audio.RATE)

    return anonymizer.encode_blocks(pieces(), coder) if anonymizer else coder.encode_blocks(pieces(), group)


def _write(coder, stream, target, seed, rate=audio.RATE, raw="", lost=None):
    def pieces():
        with _progress("decoding", stream.seconds) as bar:
            for block in coder.decode_blocks(stream, seed, lost):
                yield block
                bar.update(len(block) / audio.RATE)

    with _output(target) as path, audio.writing(path, rate, raw) as append:
        for block in pieces() if rate == audio.RATE else audio.resampled(pieces(), audio.RATE, rate):
            append(block)


def _progress(what, seconds):
    form = "{desc}: {percentage:3.0f}% of {total:.1f} s |{bar}| {elapsed} < {remaining}"
    return tqdm(desc=what, total=seconds, bar_format=form, disable=None, mininterval=0.5)


@contextmanager
def taken(name: str, suffix: str):
    """The file of that name; standard input is copied to a temporary one. What is wrong with it is told by its name."""
    if name != "-":
        yield Path(name)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"standard input{suffix}"
        with open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield path
        except PcodecError as error:
            raise PcodecError(str(error).replace(str(path), "standard input")) from None


@contextmanager
def _output(name):
    if name != "-":
        yield Path(name)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard output.wav"
        yield path
        with open(path, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
