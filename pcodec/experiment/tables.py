"""The generated tables of README and docs/.

Task: no number is copied by hand. Between the lines `<!-- table: NAME -->` and `<!-- end -->` of README.md and
docs/*.md stands what `TABLES` says: a function of the published run's tables, or of what there is; a test compares
them.

    python -m pcodec.experiment.tables      # after a run, a new module or a new notebook, before a commit

Contents: `TABLES` (name: function), `pages`, `written`, `main`.
"""

import re
import sys
from pathlib import Path

from pcodec import PcodecError
from pcodec.experiment import families, inventory, published
from pcodec.experiment.inventory import ROOT

MARKED = re.compile(r"(<!-- table: ([\w-]+) -->)\n(?:.*?\n)??(<!-- end -->)", re.S)


TABLES = {
    "claims": families.claims,
    "results": families.results,
    "comparison": families.comparison,
    "family-claims": families.family_claims,
    "speech": published.speech,
    "groups": published.groups,
    "curves": published.curves,
    "losses": published.losses,
    "framewise-losses": families.framewise_losses,
    "framewise-parts": families.framewise_parts,
    "personalization": families.personalization,
    "soundstream-losses": families.soundstream_losses,
    "mismatch": published.mismatch,
    "objective": published.objective,
    "objective-validation": published.objective_validation,
    "paired": published.paired,
    "operations": published.operations,
    "saving": published.saving,
    "quantization": published.quantization,
    "measures": published.measures,
    "privacy": families.privacy,
    "semantic": families.semantic,
    "semantic-probes": families.semantic_probes,
    "rooms": inventory.rooms,
    "modules": inventory.modules,
    "contents": inventory.contents,
}


def pages() -> list[Path]:
    """README and the pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def written(text: str, where: str = "") -> str:
    """A page with every table made anew. Raises `PcodecError` for a table that nobody knows or that does not end."""

    def filled(match):
        if match[2] not in TABLES:
            raise PcodecError(f"{where}: no table {match[2]!r}; there are {', '.join(TABLES)}")
        return f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}"

    if text.count("<!-- table:") != len(MARKED.findall(text)):
        raise PcodecError(f"{where}: a line <!-- table: NAME --> without its <!-- end -->")
    return MARKED.sub(filled, text)


def main() -> None:
    """Write the tables of all pages; say which pages changed."""
    for path in pages():
        before = path.read_text()
        after = written(before, path.name)
        if after != before:
            path.write_text(after)
        print(f"{path.relative_to(ROOT)}: {'changed' if after != before else 'unchanged'}", file=sys.stderr)


if __name__ == "__main__":
    main()
