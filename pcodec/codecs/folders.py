"""Folders of speech to folders of streams and back.

Task: what `pcodec encode` and `decode` do with folders: every file below, in several processes, into the same folders;
what is there already stays, and one bad file does not keep the others.

Conventions: a result is named as its file, with the other suffix; where two files of a folder differ in their suffix
only, both keep theirs before it.

Contents: `run`, `told`, `Done`.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from pcodec import PcodecError
from pcodec.bitstream.container import Stream
from pcodec.codecs import files
from pcodec.codecs.parametric import Codec
from pcodec.speech import names

_codec = None  # of this process


class Done(NamedTuple):
    """What became of one file of a folder."""

    file: str  # relative to the folder
    state: str  # done, there (from an earlier call), or failed
    seconds: float
    bytes: int  # of the result
    error: str = ""


def run(
    action: str, source: Path, target: Path, make_codec: Callable[[], Codec | None], jobs: int = 1, **options
) -> list[Done]:
    """`files.encode` or `files.decode` of all files in a folder and below, in `jobs` processes.

    Each process makes its own codec. A result that is there and not older than its file is left as it is: a call
    that was ended goes on so. `options` go to the function. Raises `PcodecError` if there is nothing to do it to.
    """
    if target.exists() and not target.is_dir():
        raise PcodecError(f"{target}: is not a folder")
    encode = action == "encode"
    found = names.audio_files(source) if encode else sorted(source.rglob("*.plpc"))
    if not found:
        raise PcodecError(f"{source}: no {'audio' if encode else '.plpc'} file in it")
    stems = Counter(path.with_suffix("") for path in found)
    work = []
    for path in found:
        inside = path.relative_to(source)
        stem = inside.with_suffix("") if stems[path.with_suffix("")] == 1 else inside
        work.append((action, inside, path, target / f"{stem}{'.plpc' if encode else '.wav'}", options))
    waiting, done = [], []
    for item in work:
        if _is_there(item):
            done.append(_done(item, "there"))
        else:
            waiting.append(item)
    with tqdm(total=len(waiting), desc=f"{action[:-1]}ing", unit="file", disable=None, mininterval=0.5) as bar:
        for each in _outcomes(waiting, make_codec, jobs):
            done.append(each)
            bar.update()
    return sorted(done)


def told(done: list[Done]) -> list[str]:
    """Lines to print: what became of each file, and how many are done, were there already, or failed."""
    width, states = max(len(each.file) for each in done), [each.state for each in done]
    lines = [
        f"{each.file:<{width}}  {each.state:<6}  {each.seconds:8.2f} s  {each.bytes:8d} bytes  {each.error}".rstrip()
        for each in done
    ]
    texts = {"done": "done", "there": "there already", "failed": "failed"}
    return [*lines, ", ".join(f"{states.count(state)} {text}" for state, text in texts.items())]


def _outcomes(work, make_codec, jobs) -> Iterator[Done]:
    if jobs == 1:
        _take(make_codec)
        yield from map(_one, work)
        return
    make_codec()  # so that what is wrong with it is said once
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(work) or 1), context, _begin, (make_codec,)) as pool:
        try:
            for task in as_completed([pool.submit(_one, item) for item in work]):
                yield task.result()
        except BrokenProcessPool:
            raise PcodecError("a process was ended from outside; call again to go on") from None
        except BaseException:
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _begin(make_codec):
    """A process that does files gets its codec. It ends when it is told to, or with the process that started it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _take(make_codec)


def _take(make_codec):
    global _codec
    _codec = make_codec()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _one(item):
    action, inside, path, result, options = item
    try:
        if action == "encode":
            files.encode(_codec, str(path), str(result), **options)
        else:
            files.decode(str(path), str(result), _codec, **options)
        return _done(item, "done")
    except (PcodecError, OSError) as error:
        return Done(str(inside), "failed", 0.0, 0, " ".join(str(error).split()))


def _done(item, state):
    action, inside, path, result, _ = item
    seconds = Stream.read(result if action == "encode" else path).seconds
    return Done(str(inside), state, seconds, result.stat().st_size)


def _is_there(item):
    """Whether the result is newer than its file, and the stream of the two can be read."""
    action, _, path, result, _ = item
    if not result.exists() or result.stat().st_mtime < path.stat().st_mtime:
        return False
    try:
        return bool(Stream.read(result if action == "encode" else path))
    except PcodecError:
        return False
