"""Waiting in tests for what other processes do."""

import time


def wait(seconds, condition):
    """Until the condition holds, at most `seconds`; what it is then."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.1)
    return condition()
