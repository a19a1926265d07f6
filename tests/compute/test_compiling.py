"""Compiled code is kept until something that it holds changes; whoever waits for Numba is told so, once a module."""

import subprocess
import sys
import time

import numba
import pytest
from numba.core import event

from pcodec.compute import compiling


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No listener of an earlier test."""
    monkeypatch.setitem(event._registered, "numba:compile", [])


def compiled(seconds):
    """A function that takes so long to compile."""

    def late():
        pass

    @numba.extending.overload(late)
    def of_late():
        time.sleep(seconds)
        return lambda: None

    @numba.njit
    def function():
        late()
        return 1

    return function


def test_a_long_compilation_is_announced_once(capsys, monkeypatch):
    monkeypatch.setattr(compiling, "PATIENCE", 0.3)
    with compiling.announced():
        assert compiled(0.7)() == compiled(0.7)() == 1
        function = compiled(0)
        function()
        function()
    out, err = capsys.readouterr()
    assert err == f"compiling {__name__}, once on this machine: up to half a minute\n" and not out
    compiled(0.7)()
    assert capsys.readouterr() == ("", ""), "not after the block"


def test_a_quick_compilation_is_not(capsys):
    with compiling.announced():
        assert compiled(0)() == 1
    assert capsys.readouterr() == ("", "")


CALLED = """
from pcodec.compute.compiling import compiled

FACTOR = {factor}


@compiled()
def scaled(x):
    return {scaled}
"""
CALLER = """
import numpy as np
from called import FACTOR, scaled

from pcodec.compute.compiling import compiled


@compiled()
def function(x):
    return FACTOR * scaled(x)


print(function(1.0), sum(function.stats.cache_hits.values()))
"""


def test_compiled_code_is_as_fresh_as_what_it_calls(tmp_path):
    """Numba itself looks at the calling function's own file: after an update, it would run the old code on."""

    def run(factor, scaled):
        (tmp_path / "called.py").write_text(CALLED.format(factor=factor, scaled=scaled))
        (tmp_path / "caller.py").write_text(CALLER)
        found = subprocess.run(
            [sys.executable, "-B", "caller.py"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return found.stdout.split()

    assert run(2.0, "x + 1.0") == ["4.0", "0"]
    assert run(2.0, "x + 1.0") == ["4.0", "1"], "from the cache"
    assert run(2.0, "x + 2.0") == ["6.0", "0"], "another function is called"
    assert run(3.0, "x + 2.0") == ["9.0", "0"], "a constant has another value"
    assert run(3.0, "x + 2.0") == ["9.0", "1"]
