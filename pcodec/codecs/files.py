"""Speech to streams and back, through files and pipes.

Task: what `pcodec encode`, `decode` and `roundtrip` do. Signals go through piece by piece, so that the memory does not
grow with their length; what is written appears when it is whole; nothing replaces its own input.

Conventions: files are named by path; "-" is standard input, copied to a temporary file first, or standard output,
written at the end. Audio has any format and rate; a stream is a .plpc file.

Contents: `encode`, `decode`, `roundtrip`.
"""

import itertools
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from pcodec import PcodecError, paths
from pcodec.bitstream.container import Stream
from pcodec.codecs.parametric import Codec
from pcodec.speakers import UNKNOWN
from pcodec.speech import audio


def encode(coder: Codec, source: str, target: str, group: int | None = None) -> None:
    """Audio file to stream; `group` as in `Codec.encode`."""
    with _input(source, ".wav") as path:
        if target != "-":
            paths.check_target(target, path)
            if Path(target).suffix.lower() != ".plpc":
                raise PcodecError(f"{target}: a stream is written as .plpc")
        stream = _encoded(coder, path, group)
    if target == "-":
        sys.stdout.buffer.write(stream.to_bytes())
    else:
        stream.write(target)


def decode(
    source: str, target: str, coder: Codec | None = None, adapter: str | Path | None = None, seed: int = 1
) -> None:
    """Stream to audio file, with the shipped codec that fits unless another is given; `adapter` as in `Codec.adapt`."""
    with _input(source, ".plpc") as path:
        _check_audio(target, path)
        stream = Stream.read(path)
    try:
        coder = coder or Codec.of(stream)
        coder.check(stream)
    except PcodecError as error:
        raise PcodecError(f"{source}: {error}") from None
    if adapter:
        coder.adapt(adapter)
    _write(coder, stream, target, seed)


def roundtrip(coder: Codec, source: str, target: str, group: int | None = None, seed: int = 1) -> str:
    """Audio file to stream to audio file; returns a line with length, rate, group and speeds."""
    times = [time.perf_counter()]
    with _input(source, ".wav") as path:
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


def _check_audio(target, source):
    if target != "-":
        audio.check_suffix(target)
        paths.check_target(target, source)


def _encoded(coder, path, group):
    def pieces():
        with _progress("encoding", audio.probe(path)) as bar:
            for block in audio.blocks(path):
                yield block
                bar.update(len(block) / audio.RATE)

    return coder.encode_blocks(pieces(), group)


def _write(coder, stream, target, seed):
    with _output(target) as path, audio.writing(path) as append, _progress("decoding", stream.seconds) as bar:
        for block in coder.decode_blocks(stream, seed):
            append(block)
            bar.update(len(block) / audio.RATE)


def _progress(what, seconds):
    form = "{desc}: {percentage:3.0f}% of {total:.1f} s |{bar}| {elapsed} < {remaining}"
    return tqdm(desc=what, total=seconds, bar_format=form, disable=None, mininterval=0.5)


@contextmanager
def _input(name, suffix):
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
