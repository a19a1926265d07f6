"""Sphinx: README, docs/ and the executed notebooks as a static site, for the file system and without a network.

    make site                               # build/site/index.html

The source folder is the project's root, so that a link in README or docs/ means the same file in the repository and on
the site. Notebooks are shown as they were executed; nothing runs. Formulas become SVG while the site is built: no page
asks another host for anything.
"""

import shutil
from pathlib import Path
from xml.etree import ElementTree

import ziamath
from docutils import nodes

import pcodec
from pcodec.experiment import inventory

ROOT = Path(__file__).resolve().parents[1]
LISTEN = ROOT / "figures" / inventory.RUN / "listen.html"  # with its folder of audio files, where a run has made it
SIZE = 16  # of a formula, in px for 1em

project = "pcodec"
author = "the pcodec authors"
version = release = pcodec.__version__
extensions = ["myst_nb"]
root_doc = "docs/index"
highlight_language = "text"  # of blocks that name none: commands
smartquotes = False
notebooks = [str(path.relative_to(ROOT)) for path, _ in inventory.shown()]
cards = [f"results/{inventory.RUN}/README.md", f"models/{inventory.RUN}/README.md", "pcodec/data/README.md"]
include_patterns = ["docs/*.md", *cards, *notebooks]
exclude_patterns = [".*", "build", "cache", "workflow", "tests", "**/__pycache__"]  # not searched for pages

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
html_math_renderer = "svg"

html_theme = "furo"
html_title = "pcodec"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
html_show_search_summary = False  # would be fetched, which browsers refuse from the file system
html_theme_options = {"navigation_with_keys": True}


def formula(node, inline: bool) -> str:
    """A formula as SVG: in the text's colour, on its baseline, labelled with its source."""
    text = node.astext()
    svg = ziamath.Latex(text, size=SIZE, inline=inline, color="currentColor").svgxml()
    _, top, width, height = (float(number) / SIZE for number in svg.get("viewBox").split())
    svg.set("style", f"width: {width:.3f}em; height: {height:.3f}em; vertical-align: {-top - height:.3f}em")
    svg.set("role", "img")
    svg.set("aria-label", text)
    return ElementTree.tostring(svg, encoding="unicode")


def visit_inline(translator, node) -> None:
    translator.body.append(formula(node, inline=True))
    raise nodes.SkipNode


def visit_block(translator, node) -> None:
    translator.body.append(f'<div class="formula">{formula(node, inline=False)}</div>')
    raise nodes.SkipNode


def finish(app, error) -> None:
    """The page to open, and the run's page with players where it is."""
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    (out / "index.html").write_text('<!DOCTYPE html><meta charset="utf-8"><title>pcodec</title>'
                                    f'<meta http-equiv="refresh" content="0; url={root_doc}.html">')  # fmt: skip
    if LISTEN.exists():
        shutil.copy(LISTEN, out / "docs")
        shutil.copytree(LISTEN.with_suffix(""), out / "docs" / "listen", dirs_exist_ok=True)


def setup(app) -> None:
    ziamath.config.svg2 = False  # outlines in place: no names that two formulas of a page could share
    app.add_html_math_renderer("svg", (visit_inline, None), (visit_block, None))
    app.connect("build-finished", finish)
    if LISTEN.exists():
        app.tags.add("listen")
