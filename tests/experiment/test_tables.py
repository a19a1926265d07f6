"""README's tables of the published run are that run's tables."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow"))
import readme  # noqa: E402  (no package: a script of the workflow)


def test_tables_are_those_of_the_results():
    text = (ROOT / "README.md").read_text()
    assert len(re.findall("<!-- table: ", text)) >= 7
    assert readme.write(text) == text, "run workflow/readme.py"


def test_a_number_that_is_changed_shows():
    text = (ROOT / "README.md").read_text()
    table = re.search(r"<!-- table: losses -->(.*?)<!-- end -->", text, re.S)[1]
    number = re.search(r"[+-]0\.\d{4}", table)[0]
    changed = text.replace(table, table.replace(number, f"{float(number) + 0.0001:+.4f}", 1))
    assert changed != text and readme.write(changed) == text


def test_an_unknown_table_is_refused():
    with pytest.raises(KeyError, match="nonsense"):
        readme.write("<!-- table: nonsense -->\n<!-- end -->")


def test_figures_that_are_shown_exist():
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert len(shown) >= 5
    assert not [path for path in shown if not (ROOT / path).exists()]
