"""Stimuli and pages of a MUSHRA listening test.

Task: from decoded files to a folder that can be given to listeners: the test page `index.html`, which runs from the
file system without a server, and `webmushra.yaml`, the same test for webMUSHRA. Both save ratings that
`pcodec.evaluation.mushra.read_webmushra` reads. Hidden reference and both anchors of ITU-R BS.1534-3 are added; all
stimuli are as loud as their reference.

Conventions: 16 kHz mono WAV. Files have names that say nothing. Listeners get `index.html` and `stimuli/`; `key.csv`
and `webmushra.yaml`, which say what the files are, are the experimenter's. Notebook 10_mushra.

Contents: `export_webmushra`, `match_loudness`.
"""

import base64
import hashlib
import json
import re
import shutil
import string
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyloudnorm
import yaml

from pcodec import PcodecError, paths
from pcodec.evaluation import metrics
from pcodec.evaluation.mushra import LOW_ANCHOR, MID_ANCHOR, REFERENCE, TRAINING
from pcodec.speech import audio

LONGEST, MOST = 12.0, 12  # s of a stimulus, stimuli of a page: BS.1534-3, and webMUSHRA takes no more
OPEN = "open"  # the reference that is named as such
PAGE = paths.SHIPPED / "mushra.html"
ANCHORS = {LOW_ANCHOR: 3500, MID_ANCHOR: 7000}  # Hz
CONSENT = (
    "You will hear short recordings of speech, each in several versions. Please use headphones in a quiet room.",
    "How good is each version, from 0 (bad) to 100 (excellent), compared with the reference? Each page hides the "
    "reference among the versions: it should get 100.",
    "Your scores are saved at the end, under a random number and without your name. You may stop at any time by "
    "closing this page.",
)


def export_webmushra(
    folder: str | Path,
    table: pd.DataFrame,
    title: str,
    consent: tuple[str, ...] = CONSENT,
    training: int = 1,
    seconds: float = LONGEST,
) -> None:
    """Write the test into `folder`, which must not exist yet; it appears when it is complete.

    `table`: item, condition, file; every item has the condition "reference" and the same others, without anchors. The
    first `training` items are rated once before the test proper, in ratings whose item begins with "training". Of each
    file the first `seconds` are played (BS.1534-3 recommends about 10, at most 12).
    Raises `PcodecError` naming item and file where a file is silent or as long as no other, or an item is incomplete.
    """
    folder = Path(folder)
    if folder.exists():
        raise PcodecError(f"{folder}: exists already; a test that somebody may have begun is not replaced")
    table = _checked(table, training, seconds)
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    if not name:
        raise PcodecError(f"title {title!r}: has no letter a to z and no digit to name the test by")
    conditions = sorted(set(table.condition) - {REFERENCE})
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        made = Path(temporary) / "test"
        (made / "stimuli").mkdir(parents=True)
        rows = []
        for item, part in table.groupby("item", sort=False):
            files = part.set_index("condition").file
            if sorted(files.index) != sorted([REFERENCE, *conditions]):
                raise PcodecError(
                    f"item {item}: has {', '.join(files.index)}, not {', '.join([REFERENCE, *conditions])}"
                )
            for condition, samples in _stimuli(item, files, int(seconds * audio.RATE)).items():
                code = hashlib.sha256(f"{title}/{item}/{condition}".encode() + samples.tobytes()).hexdigest()[:12]
                audio.write(made / "stimuli" / f"{code}.wav", samples)
                rows.append((item, condition, f"stimuli/{code}.wav"))
        key = pd.DataFrame(rows, columns=["item", "condition", "file"])
        key.to_csv(made / "key.csv", index=False)
        items = list(key.item.unique())
        pages = [(f"{TRAINING} {item}", item, True) for item in items[:training]]
        pages += [(item, item, False) for item in items]
        (made / "webmushra.yaml").write_text(_yaml(name, title, consent, key, pages), encoding="utf-8")
        (made / "index.html").write_text(_html(name, title, consent, key, pages), encoding="utf-8")
        shutil.move(made, folder)


def match_loudness(samples: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`samples` with the loudness of `reference` (ITU-R BS.1770), both at 16 kHz."""
    meter = pyloudnorm.Meter(audio.RATE)
    try:
        gain = meter.integrated_loudness(reference) - meter.integrated_loudness(samples)
    except ValueError as error:  # shorter than a block of 0.4 s
        raise PcodecError(f"no loudness: {error}") from None
    if not np.isfinite(gain):
        raise PcodecError("no loudness: the signal is too soft")
    return samples * 10 ** (gain / 20)


def _checked(table, training, seconds):
    """The table with names as text; raises `PcodecError` if it cannot become a test."""
    missing = [name for name in ("item", "condition", "file") if name not in table]
    if missing:
        raise PcodecError(f"the table of stimuli has no column {', '.join(missing)}")
    if table[["item", "condition", "file"]].isna().any(axis=None):
        raise PcodecError("the table of stimuli has a row without item, condition or file")
    table = table.astype({"item": str, "condition": str})
    if not 0 < seconds <= LONGEST or not 0 <= training <= table["item"].nunique():
        raise PcodecError(f"no test can have seconds = {seconds}, training = {training}")
    named = [item for item in table["item"].unique() if item.lower().startswith(TRAINING)]
    if named:
        raise PcodecError(f"item {named[0]}: names that begin with {TRAINING} are those of pages that do not count")
    clash = sorted(set(table.condition) & {*ANCHORS, OPEN})
    if clash:
        raise PcodecError(f"condition {clash[0]}: is made here, call yours otherwise")
    if set(table.condition) <= {REFERENCE}:
        raise PcodecError("nothing to compare with the reference")
    stimuli = table.condition.nunique() + len(ANCHORS)
    if stimuli > MOST:
        raise PcodecError(f"{stimuli} stimuli on a page, with the anchors, are more than {MOST}")
    return table


def _stimuli(item, files, length):
    """All conditions of an item, loudness-aligned, at one level that clips none; "open" is the named reference."""
    try:
        signals = {condition: audio.read(file) for condition, file in files.items()}
    except PcodecError as error:
        raise PcodecError(f"item {item}: {error}") from None
    reference, stimuli = signals[REFERENCE], {}
    for condition, samples in signals.items():
        try:
            metrics.validate(reference, samples)
            stimuli[condition] = match_loudness(samples[:length], reference[:length])
        except PcodecError as error:
            raise PcodecError(f"item {item}, {condition}, {files[condition]}: {error}") from None
    for anchor, cutoff in ANCHORS.items():
        stimuli[anchor] = match_loudness(audio.lowpass_anchor(reference, cutoff)[:length], reference[:length])
    stimuli[OPEN] = reference[:length]
    loudest = max(np.abs(samples).max() for samples in stimuli.values())
    return {condition: samples / max(1.0, loudest / 0.999) for condition, samples in stimuli.items()}


def _yaml(name, title, consent, key, pages):
    def page(trial, item):
        files = key[key.item == item].set_index("condition").file
        return {
            "type": "mushra",
            "id": trial,
            "name": title,
            "content": "How good is each version, compared with the reference?",
            "showWaveform": False,
            "enableLooping": True,
            "reference": f"configs/{name}/{files[REFERENCE]}",
            "createAnchor35": False,
            "createAnchor70": False,
            "stimuli": {c: f"configs/{name}/{file}" for c, file in files.items() if c not in (REFERENCE, OPEN)},
        }

    text = "".join(f"<p>{paragraph}</p>" for paragraph in consent)
    test = {
        "testname": title,
        "testId": name,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": False,
        "remoteService": "service/write.php",
        "pages": [
            {"type": "consent", "id": "consent", "name": title, "mustConsent": True, "content": text},
            *[page(trial, item) for trial, item, training in pages if training],
            ["random", *[page(trial, item) for trial, item, training in pages if not training]],
            {"type": "finish", "name": "Thank you!", "content": "", "showResults": False, "writeResults": True},
        ],
    }
    where = f"# For webMUSHRA: this folder as configs/{name}, then open index.html?config={name}/webmushra.yaml\n"
    return where + yaml.safe_dump(test, sort_keys=False, allow_unicode=True)


def _html(name, title, consent, key, pages):
    def page(trial, item, training):
        files = key[key.item == item].set_index("condition").file
        hidden = files.drop(OPEN).sort_values()
        return {"item": trial, "training": training, "reference": files[OPEN], "stimuli": hidden.tolist()}

    conditions = key[key.condition != OPEN].set_index("file").condition.to_dict()
    test = {
        "id": name,
        "text": list(consent),
        "key": base64.b64encode(json.dumps(conditions).encode()).decode(),
        "training": [page(*each) for each in pages if each[2]],
        "items": [page(*each) for each in pages if not each[2]],
    }
    as_script = json.dumps(test).replace("<", "\\u003c")
    escaped = title.replace("&", "&amp;").replace("<", "&lt;")
    return string.Template(PAGE.read_text(encoding="utf-8")).substitute(title=escaped, test=as_script)
