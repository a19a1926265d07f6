"""A line on the screen at least every ten seconds.

Task: whoever waits sees that something happens, and what: notebooks have minutes without a word, and so has the search
for what is to be done.

Contents: `Heartbeat`.
"""

import sys
import threading
import time

SECONDS = 8.0  # of silence, at most; starting a process takes the rest of the ten


class Heartbeat:
    """While its block runs, prints "label: what `say` returns" on standard error after `patience` without a line."""

    def __init__(self, label: str, say, patience: float | None = None):
        self.label, self.say, self.patience = label, say, patience or SECONDS
        self.started = self.last = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def heard(self) -> None:
        """Somebody else has printed a line."""
        self.last = time.monotonic()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _beat(self):
        while not self._ended.wait(max(0.0, self.last + self.patience - time.monotonic())):
            if time.monotonic() - self.last >= self.patience:
                self.heard()
                print(f"{self.label}: {self.say()}", file=sys.stderr, flush=True)
