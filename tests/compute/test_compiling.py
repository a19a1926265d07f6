"""Whoever waits for Numba is told so, once for each module, on standard error; a quick compilation says nothing."""

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
