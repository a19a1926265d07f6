"""A file appears when it is whole, and a failure keeps the old one."""

import os

import pytest

from pcodec import paths


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "table.csv"
    with pytest.raises(RuntimeError), paths.replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with paths.replacing(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists() and temporary.suffix == ".csv"
    assert [path.name for path in target.parent.iterdir()] == ["table.csv"] and target.read_text() == "whole"


def test_a_failure_keeps_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError), paths.replacing(tmp_path / "a") as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert (tmp_path / "a").read_text() == "old"


def test_leftovers_of_killed_calls_go_after_a_day(tmp_path):
    """A SIGKILL leaves a hidden file; it is removed once nobody can be writing it, and nothing else is."""
    names = [".0123abcd-x.wav", ".4567abcd-x.wav", ".hidden", "0123abcd-x.wav"]
    for name in names:
        (tmp_path / name).write_text("half")
        if name != names[1]:
            os.utime(tmp_path / name, (1e9, 1e9))
    with paths.replacing(tmp_path / "x.wav") as temporary:
        temporary.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {*names[1:], "x.wav"}
