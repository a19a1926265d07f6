"""Compiles, once on a machine, and says so.

Task: a function's first call on a machine compiles it, which can take half a minute; later processes find it in
Numba's cache. Numba looks for changes in the function's own file alone; what it holds of other files, called functions
and constants, must be as fresh. Who waits is told that it happens, and that it happens once.

Contents: `compiled`; `announced`, `announce`.
"""

import functools
import hashlib
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numba
import numpy as np
from numba.core import event

PATIENCE = 1.0  # s that a compilation may take without a word


def compiled(**options):
    """`numba.njit`, cached until its own source, a compiled function that it can call, or a constant changes."""

    def build(function):
        dispatcher = numba.njit(cache=True, **options)(function)
        if dispatcher is not function:  # as it is with NUMBA_DISABLE_JIT
            file = dispatcher._cache._cache_file
            file._source_stamp = file._source_stamp, _stamp(function.__module__)
        return dispatcher

    return build


@functools.cache
def _stamp(name: str) -> str:
    """Digest of a module's source and of what it has imported: numbers, and whatever is compiled.

    Taken at its first compiled function, when all is imported.
    """
    module = sys.modules[name]
    digest = hashlib.sha256(Path(module.__file__).read_bytes())
    for key, value in sorted(vars(module).items()):
        if isinstance(value, np.ndarray | int | float | np.number):
            digest.update(f"{key}: {np.asarray(value).tobytes()}".encode())
        elif type(value).__module__.startswith("numba.") and value.__module__ in sys.modules.keys() - {name}:
            digest.update(_stamp(value.__module__).encode())
    return digest.hexdigest()


@contextmanager
def announced():
    """While the block runs, a module that compiles for longer than `PATIENCE` is named on standard error, once."""
    with event.install_listener("numba:compile", _Listener()):
        yield


@functools.cache
def announce() -> None:
    """The same from now on, in this process."""
    event.register("numba:compile", _Listener())


class _Listener(event.Listener):
    def __init__(self):
        self.depth, self.named, self.timer = 0, set(), None

    def on_start(self, event):  # of a function, or of one that it calls
        self.depth += 1
        if self.depth == 1:
            self.timer = threading.Timer(PATIENCE, self._say, [event.data["dispatcher"].py_func.__module__])
            self.timer.daemon = True
            self.timer.start()

    def on_end(self, event):
        self.depth -= 1
        if self.depth == 0:
            self.timer.cancel()

    def _say(self, module):
        if module not in self.named:
            self.named.add(module)
            print(f"compiling {module}, once on this machine: up to half a minute", file=sys.stderr, flush=True)
