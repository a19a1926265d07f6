"""README and docs/: generated tables are current, links and images exist, the lists match what there is."""

import ast
import re

import pytest

from pcodec import PcodecError
from pcodec.experiment import inventory, tables

ROOT = tables.ROOT
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in tables.pages()}
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\]|!\[[^\]]*\]\([^)]*\))*\]\(([^)\s]+)\)")
CARDS = ("models/desktop-librispeech/README.md", "pcodec/data/README.md")


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_of_the_published_run(page):
    assert tables.written(PAGES[page], page) == PAGES[page], "run python -m pcodec.experiment.tables"


def test_every_table_is_used_once():
    used = re.findall(r"<!-- table: ([\w-]+) -->", "".join(PAGES.values()))
    assert sorted(used) == sorted(tables.TABLES)


def test_a_number_that_is_changed_shows():
    text = PAGES["docs/results.md"]
    table = re.search(r"<!-- table: losses -->(.*?)<!-- end -->", text, re.S)[1]
    number = re.search(r"[+-]0\.\d{4}", table)[0]
    changed = text.replace(table, table.replace(number, f"{float(number) + 0.0001:+.4f}", 1))
    assert changed != text and tables.written(changed) == text


def test_an_empty_table_is_filled():
    assert tables.written("<!-- table: saving -->\n<!-- end -->\n").count("|") > 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table: nonsense -->\n<!-- end -->", "page.md: no table 'nonsense'; there are claims, "),
        ("<!-- table: speech -->\n| a |\n", "page.md: a line <!-- table: NAME --> without its <!-- end -->"),
        ("<!-- table: speech -->\n<!-- table: groups -->\n<!-- end -->", "page.md: a line <!-- table: NAME -->"),
    ],
)
def test_a_wrong_marker_is_refused(text, message):
    with pytest.raises(PcodecError) as error:
        tables.written(text, "page.md")
    assert str(error.value).startswith(message)


def test_readme_is_one_page():
    text = PAGES["README.md"]
    assert len(text.splitlines()) <= 150 and len(text.encode()) <= 9000
    assert len(re.findall(r"^!\[", text, re.M)) == 1, "one figure"


def anchors(text):
    """Ids of a page's headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, *CARDS])
def test_relative_links_and_images_exist(page):
    text, folder = (ROOT / page).read_text(), (ROOT / page).parent
    links = [link for link in LINK.findall(re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)) if ":" not in link]
    if page in ("README.md", "docs/results.md"):
        assert len(links) >= 8, "the pattern finds links"
    for link in links:
        path, _, anchor = link.partition("#")
        target = folder / path if path else ROOT / page
        assert target.is_file(), f"{page}: {link}"
        assert not anchor or anchor in anchors(target.read_text()), f"{page}: {link}"


def test_readmes_links_are_those_that_the_site_can_move():
    links = re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)", PAGES["README.md"])
    assert not [link for link in links if ":" not in link and not link.startswith("./")], (
        "docs/index.md includes README"
    )


def test_every_page_is_linked_from_readme_and_on_the_site():
    names = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")} - {"index.md"}
    assert names == set(re.findall(r"\]\(\./docs/(\w+\.md)\)", PAGES["README.md"]))
    toctree = PAGES["docs/index.md"].split(":caption: Documentation")[1].split("```")[0]
    assert names == {f"{name}.md" for name in re.findall(r"^\w+$", toctree, re.M)}


def test_readme_lists_the_notebooks_in_order():
    listed = re.findall(r"^- \[(\w+)\]\(\./(\S+)\.ipynb\): \S", PAGES["README.md"], re.M)
    words = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert [word for word, _ in listed] == words
    shown = {str(path.relative_to(ROOT).with_suffix("")) for path, _ in inventory.shown()}
    assert {path for _, path in listed} <= shown, "each is on the site"


def test_figures_are_those_that_the_workflow_makes():
    workflow = "".join(path.read_text() for path in sorted((ROOT / "workflow").glob("*")) if path.is_file())
    made = set()
    for call in re.findall(r"\bfigure\(((?:[^()]|\([^()]*\))*)\)", workflow):
        made |= {name.replace("{PANEL}", "SIMULATED_") for name in re.findall(r'"([\w{}-]+)"', call)}
    made |= set(re.findall(r'STUDY = \["(\w+)"\]', workflow))
    rows = re.findall(r"^\| \[?`([\w-]+)`[^|]*\| \[(\w+)\]", PAGES["docs/figures.md"], re.M)
    assert len(rows) >= 25
    kinds = {r"-C\d$": "-C{C}", r"-(own|recognized)$": "-{content}", r"-fargan-large$": "-{decoder}"}
    listed = {figure: re.sub(*one, figure) for figure, _ in rows for one in kinds.items() if re.search(one[0], figure)}
    assert {listed.get(figure, figure) for figure, _ in rows} == made
    for figure, word in rows:
        assert (ROOT / "notebooks" / f"{word}.ipynb").exists(), word
        code = (ROOT / "notebooks" / f"{word}.ipynb").read_text()
        assert re.sub(r"-[^-]*}$", "", listed.get(figure, figure)).replace("SIMULATED_", "") in code, (
            f"{word} makes no {figure}"
        )
    shown = {path.stem for path in (ROOT / "figures" / inventory.RUN).glob("*.png")}
    linked = set(re.findall(r"figures/[\w-]+/([\w-]+)\.png", PAGES["docs/figures.md"]))
    assert linked == shown, "every published figure is linked"


@pytest.mark.parametrize("page", PAGES)
def test_code_in_the_pages_imports_what_there_is(page):
    for block in re.findall(r"^```python\n(.*?)^```", PAGES[page], re.S | re.M):
        for line in ast.parse(block).body:
            if isinstance(line, ast.Import | ast.ImportFrom):
                exec(compile(ast.Module([line], []), page, "exec"), {})


def test_rooms_and_modules_are_described():
    library = PAGES["docs/library.md"]
    for path in (ROOT / "pcodec").rglob("*.py"):
        if path.stem in ("__init__", "__main__"):
            continue
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert f"| `{name}` |" in library, name


def test_a_module_without_docstring_is_refused(tmp_path):
    (tmp_path / "bare.py").write_text("x = 1\n")
    with pytest.raises(PcodecError, match=r"bare\.py: has no docstring"):
        inventory.summary(tmp_path / "bare.py")
