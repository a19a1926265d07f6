"""make site: every link leads somewhere, nothing is asked of another host, no script fails, the search finds.

A copy of the documents is built, with a word planted on one page and a page with planted faults, so that what finds
nothing is seen to find what is there. The pages are opened in Chromium (Debian: apt-get install chromium).
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import wave
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
MISSING = [name for name in ("sphinx", "myst_nb", "furo", "ziamath") if importlib.util.find_spec(name) is None]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr", "--v=0",
]  # fmt: skip
LEFT_OUT = (
    ".*",
    "__pycache__",
    "audio",
    "*.pdf",
    "*.safetensors",
    "smoke-*",
    "listen",
    "listen.html",
    "listening_test",
)
WORD = "quincunxial"
FAULTS = """<!DOCTYPE html><title>faults</title><img src="http://planted.invalid/pixel.png">
<script>console.error("planted error"); planted.failure();</script>"""
PLAYERS = '<!DOCTYPE html><title>Listen</title><audio controls src="listen/one.wav"></audio>'

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed (make site): {', '.join(MISSING)}")
in_a_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of a copy of the project's documents."""
    home = tmp_path_factory.mktemp("project")
    for folder in ("docs", "notebooks", "results", "figures", "pcodec", "workflow"):
        shutil.copytree(ROOT / folder, home / folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for card in (ROOT / "models").glob("*/README.md"):
        (home / card.parent.relative_to(ROOT)).mkdir(parents=True)
        shutil.copy(card, home / card.relative_to(ROOT))
    shutil.copy(ROOT / "README.md", home)
    with open(home / "docs" / "questions.md", "a") as page:
        page.write(f"\nA {WORD} arrangement.\n")
    run = home / "figures" / "desktop-librispeech"
    (run / "listen").mkdir()
    (run / "listen.html").write_text(PLAYERS)
    with wave.open(str(run / "listen" / "one.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(3200))
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", ".", "site"]
    done = subprocess.run(command, cwd=home, env=os.environ | {"PYTHONPATH": str(home)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return home / "site"


class Page(HTMLParser):
    """What a page defines, and what it points to."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.parts = set(), [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        for name in ("href", "src", "data", "poster"):
            if values.get(name):
                (self.links if tag == "a" else self.parts).append(values[name])
        self.parts += [part.split()[0] for part in values.get("srcset", "").split(",") if part]


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_link_and_anchor_leads_somewhere(site, pages):
    assert len(pages) >= 25
    broken, checked = [], 0
    for path, page in pages.items():
        for link in page.links + page.parts:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            known = pages[target].ids if target in pages else None
            checked += 1
            if not target.is_file() or (url.fragment and known is not None and unquote(url.fragment) not in known):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert checked > 1000
    assert not broken


def test_no_part_of_a_page_is_on_another_host(site, pages):
    for path, page in pages.items():
        assert not [part for part in page.parts if urlsplit(part).scheme in ("http", "https") or part[:2] == "//"], path
    for path in site.rglob("*.css"):
        assert not re.search(r"""(@import|url\()\s*['"]?(https?:)?//""", path.read_text()), path


def test_notebooks_are_there_as_they_were_executed(site, pages):
    results = site / "results" / "desktop-librispeech"
    for word in ("05_groups-C2", "06_training-lpcnet-384-general", "06_training-lpcnet-384-control", "09_objective"):
        page = (results / f"{word}.html").read_text()
        assert "cell_output" in page and re.search(r"<img [^>]*_images/", page), word
    assert sum("06_training" in path.stem for path in pages) == 3
    formulas = re.findall(r'<svg [^>]*aria-label="([^"]+)', (results / "04_embedding.html").read_text())
    assert any("sigma" in formula for formula in formulas)
    assert not [path for path in pages if re.search(r"\$\$|MathJax", path.read_text())]


def test_players_are_there_where_a_run_made_them(site, pages):
    assert pages[site / "docs" / "listen.html"].parts == ["listen/one.wav"]
    assert "listen.html" in pages[site / "docs" / "index.html"].links


def browse(url, profile, *options):
    """The page's document after its scripts, and what the browser logged."""
    done = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={profile}", *options, "--dump-dom", url],
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    return done.stdout, re.findall(r":CONSOLE[:(]\d+\)?\] (.*)", done.stderr)


@in_a_browser
def test_pages_open_without_an_error_or_an_outside_request(site, pages, tmp_path):
    faults, log = tmp_path / "faults.html", tmp_path / "net.json"
    faults.write_text(FAULTS)
    frames = "".join(
        f'<iframe src="{path.as_uri()}" onload="this.dataset.loaded = 1"></iframe>' for path in [*pages, faults]
    )
    all_pages = tmp_path / "all.html"
    all_pages.write_text(f"<!DOCTYPE html><title>all</title>{frames}")
    dom, console = browse(all_pages.as_uri(), tmp_path / "profile", f"--log-net-log={log}")
    assert dom.count('data-loaded="1"') == len(pages) + 1
    planted = [line for line in console if faults.name in line]
    assert any("planted error" in line for line in planted) and any("ReferenceError" in line for line in planted)
    assert [line for line in console if line not in planted] == []
    assert requests(log) == {"planted.invalid"}


def requests(log):
    """Hosts that pages asked. What the browser asks for itself has no origin."""
    events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    of_pages = [event for event in events if event.get("initiator", "not an origin") != "not an origin"]
    return {urlsplit(event["url"]).netloc for event in of_pages if "url" in event}


@in_a_browser
@pytest.mark.parametrize(("word", "found"), [(WORD, {"docs/questions.html"}), ("quincunxially0", set())])
def test_search_finds_a_word_where_it_is(site, tmp_path, word, found):
    url = f"{(site / 'search.html').as_uri()}?q={word}"
    dom, console = browse(url, tmp_path / "profile", "--virtual-time-budget=10000")
    results = re.search(r'<div id="search-results">(.*)', dom, re.S)[1].split("</article>")[0]
    assert {link.split("#")[0].split("?")[0] for link in re.findall(r'<li[^>]*><a href="([^"]+)"', results)} == found
    assert "Search Results" in results and console == []
