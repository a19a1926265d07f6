"""Speech to streams and back, through files, folders and pipes.

Task: what `pcodec encode`, `decode` and `roundtrip` do. Signals go through piece by piece, so that the memory does not
grow with their length; what is written appears when it is whole; nothing replaces its own input.

Conventions: files are named by path; "-" is standard input, copied to a temporary file first, or standard output,
written at the end. Audio has any format and rate; a stream is a .plpc file. A folder is done file by file, into a
folder with the same folders in it.

Contents: `encode`, `decode`, `roundtrip`, `folder`, `lost_packets`.
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


class Done(NamedTuple):
    """What became of one file of a folder."""

    file: str  # relative to the folder
    seconds: float
    bytes: int  # of what was written
    state: str  # done, there (from an earlier call), or failed
    error: str = ""


def folder(
    action: str, source: Path, target: Path, make_codec: Callable[[], Codec | None], jobs: int = 1, **options
) -> list[Done]:
    """`encode` or `decode` of all files in a folder and below, in `jobs` processes, each with a codec of its own.

    A file whose result is there and not older is left as it is, so that a call that was ended goes on; one that fails
    does not keep the others. `options` as those of `encode` and `decode`. Raises `PcodecError` if there is no file.
    """
    source, target = Path(source), Path(target)
    suffix, found = (".plpc", names.audio_files(source)) if action == "encode" else (
        ".wav", sorted(source.rglob("*.plpc")))  # fmt: skip
    if not found:
        raise PcodecError(f"{source}: no {'audio file' if action == 'encode' else '.plpc file'} in it")
    stems = Counter(path.with_suffix("") for path in found)
    work = []
    for path in found:
        inside = path.relative_to(source)
        name = inside.with_suffix(suffix) if stems[path.with_suffix("")] == 1 else Path(f"{inside}{suffix}")
        work.append((inside, path, target / name))
    for parent in {result.parent for _, _, result in work}:
        paths.remove_leftovers(parent)
    waiting = [item for item in work if not _is_there(*item[1:])]
    done = [Done(str(inside), 0.0, result.stat().st_size, "there") for inside, path, result in work
            if (inside, path, result) not in waiting]  # fmt: skip
    with (
        ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (make_codec,)) as pool,
        tqdm(total=len(waiting), desc=f"{action[:-1]}ing", unit="file", disable=None, mininterval=0.5) as bar,
    ):
        tasks = [pool.submit(_one, action, str(inside), path, result, options) for inside, path, result in waiting]
        for task in as_completed(tasks):
            done.append(task.result())
            bar.update()
    return sorted(done)


def _is_there(path, result):
    return result.exists() and result.stat().st_mtime >= path.stat().st_mtime


def _begin(make_codec):
    """A process that is to do files gets its codec."""
    global _codec
    _codec = make_codec()


def _one(action, name, path, result, options):
    try:
        if action == "encode":
            encode(_codec, str(path), str(result), **options)
            seconds = Stream.read(result).seconds
        else:
            decode(str(path), str(result), _codec, **options)
            seconds = Stream.read(path).seconds
    except (PcodecError, OSError) as error:
        return Done(name, 0.0, 0, "failed", " ".join(str(error).split()))
    return Done(name, seconds, result.stat().st_size, "done")


def lost_packets(packets: int, share: float, burst: float = 1.0, seed: int = 1) -> np.ndarray:
    """Which of so many packets are lost, (packets,) bool: a `share` of them, in bursts of `burst` packets on average.

    Gilbert's model of two states: each packet is lost or not, and the state changes with probabilities that give share
    and mean length of a burst. A burst of 1 / (1 - share) is independent loss; the default is the nearest to it.
    """
    if not 0 <= share < 1 or burst < 1:
        raise PcodecError(f"a share of lost packets is from 0 to under 1 and a burst 1 or more, got {share}, {burst}")
    leave = 1 / max(burst, 1 / (1 - share))  # the probability that a burst ends
    enter = leave * share / (1 - share)
    draws = np.random.default_rng(seed).random(packets)
    lost, state = np.zeros(packets, bool), False
    for number, draw in enumerate(draws):
        state = draw >= leave if state else draw < enter
        lost[number] = state
    return lost
