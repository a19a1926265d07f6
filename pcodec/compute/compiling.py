"""Says that Numba compiles.

Task: a function's first call on a machine compiles it, which can take half a minute; later processes find it in
Numba's cache. Who waits is told that it happens, and that it happens once.

Contents: `announced`, `announce`.
"""

import functools
import sys
import threading
from contextlib import contextmanager

from numba.core import event

PATIENCE = 1.0  # s that a compilation may take without a word


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
