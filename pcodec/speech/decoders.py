"""Opens audio files of any kind, and reads each to the end of what can be decoded.

Task: libsndfile decodes uncompressed files, FLAC and Ogg exactly and fast, but believes what a header announces. Where
a header cannot be believed (MP3, lengths that a pipe left open, joined files), and for formats that libsndfile does
not know (AAC, WebM, WMA ...), FFmpeg decodes, through PyAV.

Conventions: samples are (samples, channels) float32 in [-1, 1] at the file's own rate.

Contents: `reading`, `live`, `Raw`, `check_rate`, `FORMATS`, `RATES`.
"""

import contextlib
import itertools
import mmap
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from pcodec import PcodecError
from pcodec.speech import PCM

FORMATS = "WAV, FLAC, Ogg, MP3, AAC/m4a, WebM, WMA and what else libsndfile or FFmpeg read"
RATES = 1000, 1_000_000  # Hz, lowest and highest
OGG_PAGE = 65_307  # bytes, the longest
NO_LENGTH = 2**48  # samples, from which on a header announces none
OPEN = (0, 0xFFFFFFFF)  # bytes of samples that a WAV file from a pipe announces
MOST_DAMAGED = 1000  # packets that cannot be decoded, after which a file is given up
LIVE_BYTES = 1024  # that are read at a time from a live pipe: 32 ms of 16-bit samples at 16 kHz


class Raw(NamedTuple):
    """Samples without a header, of one channel."""

    form: str  # a key of `PCM`
    rate: int  # Hz

    def floats(self, data: bytes) -> np.ndarray:
        """Bytes -> (samples,) float32 in [-1, 1]; a last sample that is not whole is left out."""
        dtype = np.dtype(PCM[self.form])
        values = np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)
        return _scaled(values)

    def bytes(self, samples: np.ndarray) -> bytes:
        """(samples,) in [-1, 1] -> bytes, rounded and clipped."""
        dtype = np.dtype(PCM[self.form])
        if dtype.kind == "f":
            return samples.astype(dtype).tobytes()
        steps = 2.0 ** (8 * dtype.itemsize - 1)
        values = np.clip(np.floor(np.asarray(samples, float) * steps + 0.5), -steps, steps - 1)
        return (values + (steps if dtype.kind == "u" else 0)).astype(dtype).tobytes()


def check_rate(rate: int, where: str = "") -> None:
    """Raises `PcodecError`, beginning with `where`, unless `rate` is one of sound."""
    if not RATES[0] <= rate <= RATES[1]:
        raise PcodecError(f"{where}a rate of {rate} Hz; audio has {RATES[0]} to {RATES[1]} Hz")


@contextmanager
def reading(path: str | Path, raw: Raw | None = None):
    """An open audio file (`_Sound`, `_Stream` or `_Samples`), whose every failure is a `PcodecError` that names it."""
    if not Path(path).is_file():
        raise PcodecError(f"{path}: {'is not a file' if Path(path).exists() else 'no such file'}")
    if Path(path).stat().st_size == 0:
        raise PcodecError(f"{path}: zero-length file")
    if raw:
        check_rate(raw.rate, f"{path}: ")
        with open(path, "rb") as opened:
            yield _Samples(opened, raw)
        return
    if Path(path).suffix.lower() == ".raw":  # soundfile would ask for its rate
        raise PcodecError(f"{path}: raw samples, not audio of known rate and format")
    with open(path, "rb") as opened:
        try:
            with contextlib.closing(_open(path, opened)) as file:
                check_rate(file.rate, f"{path}: ")
                yield file
        except RuntimeError as error:  # soundfile's errors are RuntimeErrors, and those of `_Stream`
            raise PcodecError.of(path, f"truncated, damaged or not audio ({FORMATS})", error) from None


def _open(path, opened):
    try:
        sound = soundfile.SoundFile(os.fsencode(path))
    except RuntimeError as error:
        return _Stream(path, opened, _more_in(opened), reason=error)
    if sound.format == "OGG" and not _ends(opened):
        raise PcodecError(f"{path}: truncated: its last page is not the end of the stream")
    if sound.format == "OGG" and not sound.frames and _holds_sound(opened):
        raise PcodecError(f"{path}: damaged: nothing of its sound can be decoded")
    endless = sound.format == "WAV" and _is_open(opened)
    if endless or sound.frames > NO_LENGTH or sound.format == "MP3" or _is_joined(sound.format, opened):
        sound.close()
        return _Stream(path, opened, [], endless)
    return _Sound(path, sound, _more_in(opened))


class _Sound:
    """A file that libsndfile reads."""

    damaged = 0

    def __init__(self, path, file, remarks):
        # For a WAV header with another length, libsndfile says so in its log.
        sizes = re.search(r"^\s*data : (\d+) \(should be (\d+)\)", file.extra_info, re.M)
        if sizes and int(sizes[2]) < int(sizes[1]) < 0x7FFF0000:
            raise PcodecError(f"{path}: truncated: {sizes[2]} of {sizes[1]} bytes of samples are there")
        self.path, self.file, self.remarks = path, file, remarks
        self.rate, self.channels, self.announced = file.samplerate, file.channels, file.frames

    def length(self) -> int:
        """Samples that can be read. The last one is fetched: a truncated FLAC file still announces its full length."""
        if not self.file.seekable():  # GSM, G.721
            return self.announced
        self.file.seek(max(0, self.announced - 1))
        if len(self.file.read(1)) < min(1, self.announced):
            raise PcodecError(f"{self.path}: truncated: announces {self.announced} samples")
        return self.announced

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """All samples, `size` at a time. Raises `PcodecError` if there are fewer than announced."""
        missing = self.announced
        while len(samples := self.file.read(size, dtype="float32", always_2d=True)):
            missing -= len(samples)
            yield samples
        if missing > 0:  # a FLAC file; for WAV files see above
            raise PcodecError(f"{self.path}: truncated: {missing} of {self.announced} samples cannot be read")

    def close(self) -> None:
        self.file.close()


class _Stream:
    """A file that FFmpeg reads; `endless`: a WAV file whose samples go on to the end, whatever it announces."""

    def __init__(self, path, opened, remarks, endless=False, reason=None):
        import av  # slow to import, and seldom needed

        self.path, self.remarks, self.errors, self.damaged = path, remarks, av.FFmpegError, 0
        if opened.seekable():
            opened.seek(0)
        try:
            self.container = av.open(
                opened, options={"ignore_length": "1"} if endless else {}, metadata_errors="ignore",
                buffer_size=32_768 if opened.seekable() else LIVE_BYTES,
            )  # fmt: skip
        except (av.FFmpegError, ValueError) as error:
            raise RuntimeError(reason or error) from None
        if not self.container.streams.audio:
            raise PcodecError(f"{path}: holds no sound")
        if (tracks := len(self.container.streams.audio)) > 1:
            self.remarks.append(f"holds {tracks} sound tracks, of which the first is read")
        self.stream = self.container.streams.audio[0]
        frames = self._frames()
        first = next(frames, None)  # only decoding tells the rate of some AAC files
        self.frames = itertools.chain([first] * (first is not None), frames)
        self.rate = first.sample_rate if first else getattr(self.stream, "sample_rate", 0)  # FFmpeg may not know it
        if not self.rate:
            raise RuntimeError(reason or "no sound that can be decoded")
        self.channels = len(first.layout.channels) if first else 1
        known = not endless and self.stream.duration is not None
        self.announced = round(self.stream.duration * self.stream.time_base * self.rate) if known else None

    def length(self) -> int:
        """Samples by the durations of the packets, or by decoding where they have none or (joined files) wrong ones."""
        if self.container.format.name not in ("ogg", "flac"):
            self.container.seek(0)
            durations = [packet.duration for packet in self.container.demux(self.stream) if packet.size]
            if durations and all(durations):
                return round(sum(durations) * self.stream.time_base * self.rate)
        return sum(frame.samples for frame in self.frames)

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """All samples that can be decoded, about `size` at a time; `damaged` counts packets that cannot."""
        parts, count = [], 0
        for frame in self.frames:
            if (frame.sample_rate, len(frame.layout.channels)) != (self.rate, self.channels):
                raise PcodecError(f"{self.path}: its rate or number of channels changes within it")
            parts.append(_as_float(frame))
            count += frame.samples
            if count >= size:
                yield np.concatenate(parts)
                parts, count = [], 0
        if parts:
            yield np.concatenate(parts)

    def close(self) -> None:
        self.container.close()

    def _frames(self):
        packets = self.container.demux(self.stream)
        while self.damaged <= MOST_DAMAGED:
            try:
                yield from next(packets).decode()
            except StopIteration:
                return
            except self.errors:
                self.damaged += 1
        raise PcodecError(f"{self.path}: damaged: over {MOST_DAMAGED} parts cannot be decoded")


class _Samples:
    """A file of samples without a header."""

    damaged, channels, announced, remarks = 0, 1, None, ()

    def __init__(self, file, raw):
        self.file, self.raw, self.rate = file, raw, raw.rate

    def length(self) -> int:
        """Samples that are there."""
        return os.fstat(self.file.fileno()).st_size // np.dtype(PCM[self.raw.form]).itemsize

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """All of them, `size` at a time."""
        while data := self.file.read(size * np.dtype(PCM[self.raw.form]).itemsize):
            yield self.raw.floats(data)[:, None]


@contextmanager
def live(file, raw: Raw | None = None):
    """An open audio pipe (unbuffered), like `reading`, of which `blocks` yields samples as they come.

    A WAV header's length counts for nothing.
    """
    if raw:
        check_rate(raw.rate)
        yield _Live(file, raw)
        return
    try:
        stream = _Stream("standard input", file, [], endless=True)
        check_rate(stream.rate, "standard input: ")
        yield stream
    except RuntimeError as error:
        raise PcodecError.of("standard input", f"truncated, damaged or not audio ({FORMATS})", error) from None


class _Live(_Samples):
    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Samples as they come, whatever `size`."""
        rest, whole = b"", np.dtype(PCM[self.raw.form]).itemsize
        while data := self.file.read(LIVE_BYTES):
            data = rest + data
            rest = data[len(data) // whole * whole :]
            yield self.raw.floats(data)[:, None]


def _as_float(frame):
    """FFmpeg's frame -> (samples, channels) float32 in [-1, 1]."""
    values, channels = frame.to_ndarray(), len(frame.layout.channels)
    return _scaled(values.T if frame.format.is_planar else values.reshape(-1, channels))


def _scaled(values):
    """Samples of any type -> float32 in [-1, 1]."""
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    return values.astype(np.float32)


def _chunks(file):
    """Chunks of a WAV file: name, bytes that it announces, and where they begin."""
    at, end = 12, os.fstat(file.fileno()).st_size
    while at + 8 <= end:
        file.seek(at)
        name, size = struct.unpack("<4sI", file.read(8))
        yield name, size, at + 8
        at += 8 + size + size % 2


def _is_open(file):
    """Whether a WAV file announces no bytes of samples, or the largest number, though some follow that are no chunk."""
    end = os.fstat(file.fileno()).st_size
    for name, size, at in _chunks(file):
        if name == b"data":
            file.seek(at)
            after, bytes_of = struct.unpack("<4sI", file.read(8)) if at + 8 <= end else (b"", 0)
            chunk = after.strip().isalnum() and at + 8 + bytes_of <= end
            return size in OPEN and at < end and not chunk
    return False


def _is_joined(form, file):
    """Whether a file holds more than one stream of samples, of which libsndfile would read the first.

    Ogg: RFC 3533, sections 4 and 6. FLAC: RFC 9639, section 8, a second marker with its stream information.
    """
    if form not in ("OGG", "FLAC"):
        return False
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if form == "FLAC":
            return len(re.findall(rb"fLaC[\x00\x80]\x00\x00\x22", data)) > 1
        return sum(page[1][0] >> 1 & 1 for page in re.finditer(rb"OggS\0(.)", data, re.S)) > 1


def _more_in(file):
    """What of a WAV file is not read: another file, or more samples, behind the first."""
    file.seek(0)
    if file.read(4) != b"RIFF":
        return []
    names = [name for name, _, _ in _chunks(file)]
    more = names.count(b"RIFF") + max(0, names.count(b"data") - 1)
    return [f"{more} further files or blocks of samples in it are not read"] if more else []


def _holds_sound(file):
    """Whether a page of an Ogg file ends after more than no samples (RFC 3533, section 6: the granule position)."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        pages = re.finditer(rb"OggS\0.(.{8})", data, re.S)
        return max((int.from_bytes(page[1], "little", signed=True) for page in pages), default=0) > 0


def _ends(file):
    """Whether the last page of an Ogg file is marked as the last (RFC 3533, section 6) and whole."""
    file.seek(max(0, os.fstat(file.fileno()).st_size - OGG_PAGE))
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    header = 27 + page[26] if len(page) > 26 else len(page) + 1
    return len(page) >= header and bool(page[5] & 4) and len(page) >= header + sum(page[27:header])
