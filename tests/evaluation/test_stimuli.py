"""A listening test is exported, taken by a scripted listener in a browser, and read back."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyloudnorm
import pytest
import scipy.signal
import yaml

from pcodec import PcodecError
from pcodec.evaluation import mushra, stimuli
from pcodec.speech import audio

HARNESS = """<!DOCTYPE html><meta charset="utf-8"><iframe src="index.html" width="1000" height="900"></iframe>
<pre id="log"></pre>
<script>
const errors = [];
document.querySelector("iframe").onload = async event => {
  const page = event.target.contentDocument, view = event.target.contentWindow;
  view.onerror = message => errors.push(message);
  const wait = ms => new Promise(done => setTimeout(done, ms));
  const log = [];
  if (!page.querySelector("#begin").disabled) errors.push("begins without consent");
  page.querySelector("#consent").click();
  page.querySelector("#begin").click();
  for (let pages = 0; pages < 20 && page.querySelector("#next"); pages++) {
    const next = page.querySelector("#next"), sliders = [...page.querySelectorAll("input[type=range]")];
    log.push(sliders.map(slider => slider.dataset.file));
    page.dispatchEvent(new view.KeyboardEvent("keydown", {key: "2", bubbles: true}));
    await wait(50);
    const playing = page.querySelector("button.playing")?.dataset.file;
    if (playing !== sliders[1].dataset.file) errors.push("key 2 plays " + playing);
    if (page.activeElement !== sliders[1]) errors.push("key 2 does not focus its slider");
    for (const slider of sliders) {
      if (!next.disabled) errors.push("goes on before all are rated");
      slider.value = SCORES[slider.dataset.file];
      slider.dispatchEvent(new view.Event("input"));
    }
    next.click();
    await wait(50);
  }
  const found = {errors, log, csv: page.querySelector("textarea")?.value,
    link: page.querySelector("a")?.download, shown: page.body.innerText};
  document.querySelector("#log").textContent = JSON.stringify(found);
};
</script>"""


@pytest.fixture
def table(demo, tmp_path):
    """Three items: a reference and two systems of different loudness."""
    rng, rows = np.random.default_rng(1), []
    for number, path in enumerate(demo[demo.split == "test"].path.iloc[:3]):
        reference = audio.read(path)
        for condition, samples in {
            "reference": reference,
            "large": 0.3 * reference + 0.003 * rng.normal(size=len(reference)),
            "small": 2.0 * reference + 0.05 * rng.normal(size=len(reference)),
        }.items():
            file = tmp_path / f"{condition} {number}.wav"
            audio.write(file, samples.astype(np.float32))
            rows.append((f"item {number}", condition, file))
    return pd.DataFrame(rows, columns=["item", "condition", "file"])


@pytest.fixture
def exported(table, tmp_path):
    folder = tmp_path / "the test"
    stimuli.export_webmushra(folder, table, "Codecs <& speech>")
    return folder


def listened(folder, scores):
    """What the scripted listener saw and saved."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not browser:
        pytest.skip("no Chromium (apt-get install chromium)")
    harness = folder / "harness.html"
    harness.write_text(HARNESS.replace("SCORES[", f"({json.dumps(scores)})["))
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    arguments += ["--allow-file-access-from-files", "--autoplay-policy=no-user-gesture-required"]
    arguments += ["--virtual-time-budget=20000", f"--user-data-dir={folder.parent / 'profile'}", "--dump-dom"]
    done = subprocess.run([browser, *arguments, harness.as_uri()], capture_output=True, text=True, timeout=120)
    found = html.unescape(re.search(r'<pre id="log">(.*?)</pre>', done.stdout, re.S)[1])
    assert found, done.stderr[-2000:]
    return json.loads(found), re.findall(r":CONSOLE[^\n]*", done.stderr)


def test_anchors_meet_the_recommendations_mask():
    impulse = np.zeros(4001, np.float32)
    impulse[2000] = 1.0
    for cutoff in stimuli.ANCHORS.values():
        f, response = scipy.signal.freqz(audio.lowpass_anchor(impulse, cutoff), worN=16384, fs=audio.RATE)
        decibels = 20 * np.log10(np.abs(response) + 1e-9)
        assert np.abs(decibels[f <= cutoff]).max() < 0.1
        assert decibels[f >= cutoff + 500].max() < -50  # BS.1534-3 for 3.5 kHz: 25 dB at 4 kHz, 50 dB at 4.5 kHz
    assert np.argmax(audio.lowpass_anchor(impulse, 3500)) == 2000


def test_stimuli_are_blind_and_as_loud_as_the_reference(exported, table):
    key = pd.read_csv(exported / "key.csv")
    assert sorted(set(key.condition)) == ["anchor35", "anchor70", "large", "open", "reference", "small"]
    meter = pyloudnorm.Meter(audio.RATE)
    for _, files in key.groupby("item"):
        signals = {row.condition: audio.read(exported / row.file) for row in files.itertuples()}
        loudness = {condition: meter.integrated_loudness(samples) for condition, samples in signals.items()}
        assert max(loudness.values()) - min(loudness.values()) < 0.05
        assert np.array_equal(signals["open"], signals["reference"])
        assert max(np.abs(samples).max() for samples in signals.values()) <= 1
    page = (exported / "index.html").read_text()
    test = next(line for line in page.splitlines() if line.startswith("const TEST"))
    assert "stimuli/" in test and not re.search("anchor|small|large|hidden", test)
    assert "<title>Codecs &lt;&amp; speech></title>" in page


def test_scripted_listener_takes_the_test_in_a_browser(exported):
    key = pd.read_csv(exported / "key.csv")
    right = {"reference": 100, "anchor35": 10, "anchor70": 40, "large": 71, "small": 62}
    scores = {row.file: right.get(row.condition, -1) for row in key.itertuples()}
    found, console = listened(exported, scores)
    assert found["errors"] == [] and console == []
    assert "Thank you" in found["shown"] and re.fullmatch(r"codecs-speech-[0-9a-f-]{35}\.csv", found["link"])
    assert len(found["log"]) == 4  # one page of training, three of the test
    (exported / found["link"]).write_text(found["csv"], newline="")
    ratings = mushra.read_webmushra(exported / found["link"])
    mushra.validate(ratings)
    assert ratings.attrs["training"] == ["training item 0"] and len(ratings) == 15
    assert sorted(set(ratings["item"])) == ["item 0", "item 1", "item 2"]
    assert (ratings.score == ratings.condition.map(right)).all()
    orders = {tuple(key.set_index("file").condition[one] for one in page) for page in found["log"]}
    assert len(orders) > 1  # P(four equal orders of five) = 6e-7


def test_webmushra_configuration(exported, table):
    config = yaml.safe_load((exported / "webmushra.yaml").read_text())
    consent, training, (random, *pages), finish = config["pages"]
    assert [consent["type"], finish["type"], random] == ["consent", "finish", "random"] and finish["writeResults"]
    assert training["id"] == "training item 0" and [page["id"] for page in pages] == ["item 0", "item 1", "item 2"]
    for page in pages:
        assert sorted(page["stimuli"]) == ["anchor35", "anchor70", "large", "small"]
        for file in [page["reference"], *page["stimuli"].values()]:
            assert (exported / Path(file).relative_to(f"configs/{config['testId']}")).is_file()


def test_items_may_be_numbers_and_names_of_files_follow_their_sound(table, tmp_path, exported):
    stimuli.export_webmushra(tmp_path / "numbers", table.assign(item=table["item"].str[-1].astype(int)), "T")
    config = yaml.safe_load((tmp_path / "numbers" / "webmushra.yaml").read_text())
    assert [page["id"] for page in config["pages"][2][1:]] == ["0", "1", "2"]
    audio.write(table.file[1], audio.read(table.file[1])[::-1])
    stimuli.export_webmushra(tmp_path / "changed", table, "Codecs <& speech>")
    before, after = (pd.read_csv(folder / "key.csv") for folder in (exported, tmp_path / "changed"))
    assert (before.file != after.file).sum() == 1


def test_refusals_leave_nothing_behind(table, tmp_path):
    folder = tmp_path / "new"
    with pytest.raises(PcodecError, match="item item 1: has reference, small, not reference, large, small"):
        stimuli.export_webmushra(folder, table.drop(index=4), "T")
    samples = audio.read(table.file[5])
    audio.write(table.file[5], samples[:-7])
    with pytest.raises(
        PcodecError, match=r"item item 1, small, .*small 1\.wav: reference and decoded differ in length"
    ):
        stimuli.export_webmushra(folder, table, "T")
    audio.write(table.file[5], 0 * samples)
    with pytest.raises(PcodecError, match=r"small 1\.wav: the decoded signal is silent"):
        stimuli.export_webmushra(folder, table, "T")
    for made_here in ("anchor35", "open"):
        with pytest.raises(PcodecError, match=f"condition {made_here}: is made here"):
            stimuli.export_webmushra(folder, table.replace("small", made_here), "T")
    with pytest.raises(PcodecError, match="item Training room: names that begin with training"):
        stimuli.export_webmushra(folder, table.replace("item 1", "Training room"), "T")
    with pytest.raises(PcodecError, match="title '  ': has no letter"):
        stimuli.export_webmushra(folder, table, "  ")
    for options in ({"seconds": -1.0}, {"seconds": 13.0}, {"training": -1}, {"training": 4}):
        with pytest.raises(PcodecError, match="no test can have"):
            stimuli.export_webmushra(folder, table, "T", **options)
    with pytest.raises(PcodecError, match="no column file"):
        stimuli.export_webmushra(folder, table.drop(columns="file"), "T")
    many = [table] + [table[table.condition == "small"].assign(condition=f"codec {i}") for i in range(8)]
    with pytest.raises(PcodecError, match="13 stimuli on a page"):
        stimuli.export_webmushra(folder, pd.concat(many), "T")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".wav"] * 9
    folder.mkdir()
    with pytest.raises(PcodecError, match="exists already"):
        stimuli.export_webmushra(folder, table, "T")
