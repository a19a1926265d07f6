"""The page plays every file in a browser and says what is what."""

import re
import shutil
import subprocess

import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.evaluation import players
from pcodec.speech import audio

SYSTEMS = ("input", "general 384", 'personalized "small" <256>')


@pytest.fixture
def table(tmp_path, speech):
    rows = []
    for u in range(4):
        for s, system in enumerate(SYSTEMS):
            file = f"audio/utterance {u}-{s}.wav"
            audio.write(tmp_path / file, speech[: 8000 + 1000 * u] * 0.5**s)
            rows.append((f"speaker {u}", system, file))
    return pd.DataFrame(rows, columns=["utterance", "system", "file"])


def opened(page):
    """The page's own counts after loading, and what the browser complained about."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not browser:
        pytest.skip("no Chromium (apt-get install chromium)")
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    arguments += ["--virtual-time-budget=20000", f"--user-data-dir={page.parent / 'profile'}", "--dump-dom"]
    done = subprocess.run([browser, *arguments, page.as_uri()], capture_output=True, text=True, timeout=120)
    body = re.search(r"<body[^>]*>", done.stdout)[0]
    counts = {name: int(value) for name, value in re.findall(r'data-(\w+)="(\d+)"', body)}
    return counts, re.findall(r":CONSOLE[^\n]*", done.stderr)


def test_every_player_loads_in_a_browser(table, tmp_path):
    page = tmp_path / "listen here.html"
    players.write_page(page, "Four speakers", ["A note & more."], table)
    assert opened(page) == ({"players": 12, "loaded": 12, "failed": 0}, [])
    (tmp_path / "audio" / "utterance 2-1.wav").unlink()
    (tmp_path / "audio" / "utterance 2-2.wav").write_bytes(b"no audio")
    counts, _ = opened(page)
    assert counts == {"players": 12, "loaded": 10, "failed": 2}


def test_page_says_what_is_what(table, tmp_path):
    players.write_page(tmp_path / "listen.html", "A < B", ["note"], table)
    text = (tmp_path / "listen.html").read_text()
    heads = re.findall(r"<th>(.*?)</th>", text)
    assert heads[:4] == ["utterance", "input", "general 384", "personalized &quot;small&quot; &lt;256&gt;"]
    assert heads[4:] == [f"speaker {u}" for u in range(4)]
    files = re.findall(r'data-src="(.*?)"', text)
    assert files == [file.replace(" ", "%20") for file in table.file] and "A &lt; B" in text
    assert not re.search(r"(src|href)=\"(http|/|file:)", text)


def test_refusals(table, tmp_path):
    with pytest.raises(PcodecError, match="speaker 1: has input, general 384, not input"):
        players.write_page(tmp_path / "listen.html", "", [], table.drop(index=5))
    (tmp_path / table.file[7]).unlink()
    with pytest.raises(PcodecError, match=r"utterance 2-1\.wav: no such file"):
        players.write_page(tmp_path / "listen.html", "", [], table)
    assert not (tmp_path / "listen.html").exists()
