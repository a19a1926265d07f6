"""Utterance tables: LibriSpeech's layout, any folder of speakers, generated demo voices.

Task: one table for every corpus, with splits by speaker that are the same on every machine.

Conventions: columns `COLUMNS`; `path` is relative to the corpus's folder; `gender` is F, M or "" (unknown); `split` is
train, validation, test, personal (kept for decoders of one person), or "" while undecided. Files that cannot be read
are not in the table: `table.attrs ["left_out"]` lists them as (path, reason).

Contents: `load`, `librispeech`, `folder`, `demo`, `split`, `cap`, `frozen`, `signals`, all of `pcodec.speech.names`.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from pcodec import PcodecError
from pcodec.speech import SUFFIXES, audio, voices
from pcodec.speech.names import audio_files, folder_of
from pcodec.speech.names import fingerprint as fingerprint
from pcodec.speech.names import label as label
from pcodec.speech.names import name as name

COLUMNS = ["utterance", "speaker", "gender", "split", "seconds", "path"]
LEAST = {"train": 2, "validation": 2, "test": 1}  # speakers of each split; telling speakers apart takes two
LIBRISPEECH_SPLITS = {"train": "train", "dev": "validation", "test": "test"}  # first word of a subset's name
SHORTEST = 0.5  # s; neither an embedding nor an objective measure says anything about less
LONG_SPEAKER = 4  # times the median: who speaks this much stays in training when speakers are held out


def load(corpus: str) -> pd.DataFrame:
    """Table of `corpus`: "demo", a LibriSpeech folder (it holds SPEAKERS.TXT), or a folder of speakers' folders.

    A relative folder counts from the project's root. The table is not split yet.
    """
    if corpus == "demo":
        return demo()
    root = folder_of(corpus)
    return librispeech(root) if (root / "SPEAKERS.TXT").exists() else folder(root)


def librispeech(root: str | Path, download: bool = False, subsets: tuple[str, ...] = ("dev-clean",)) -> pd.DataFrame:
    """Table of a LibriSpeech folder, whole or any part: <subset>/<speaker>/<chapter>/<utterance>.flac, SPEAKERS.TXT.

    dev-* subsets are validation and test-* subsets are test. `download` fetches `subsets` first (0.3 GB for dev-clean,
    6.3 GB for train-clean-100); the folder must then be called LibriSpeech, as the archives call it.
    """
    root = Path(root)
    if download:
        _download(root, subsets)
    if not root.is_dir():
        raise PcodecError(f"no corpus folder {root}")
    genders = _genders(root / "SPEAKERS.TXT")
    rows = []
    for path in audio_files(root):
        parts = path.relative_to(root).parts
        if len(parts) != 4:
            raise PcodecError(f"{path}: not in LibriSpeech's layout <subset>/<speaker>/<chapter>/<utterance>.flac")
        subset, speaker = parts[:2]
        if speaker not in genders:
            raise PcodecError(f"{path}: speaker {speaker} is not in {root / 'SPEAKERS.TXT'}")
        rows.append((path.stem, speaker, genders[speaker], LIBRISPEECH_SPLITS.get(subset.split("-")[0], ""), path))
    return _table(root, rows)


def folder(root: str | Path) -> pd.DataFrame:
    """Table of a folder with one folder per speaker, <speaker>/**/<anything>.wav|flac|ogg. Genders are unknown."""
    root = Path(root)
    if not root.is_dir():
        raise PcodecError(f"no corpus folder {root}")
    rows = []
    for path in audio_files(root):
        inside = path.relative_to(root)
        if len(inside.parts) < 2:
            raise PcodecError(f"{path}: put every file into its speaker's folder")
        rows.append((inside.with_suffix("").as_posix(), inside.parts[0], "", "", path))
    return _table(root, rows)


def demo() -> pd.DataFrame:
    """Table of the generated voices (`pcodec.speech.voices`), made on first use."""
    root = voices.generate(folder_of("demo"))
    files = audio_files(root)
    rows = [(path.stem, path.parent.name, voices.SPEAKERS[path.parent.name][1], "", path) for path in files]
    return _table(root, rows)


def split(table: pd.DataFrame, share: float = 0.1, seed: int = 1, personal: int = 0) -> pd.DataFrame:
    """Fill in `split`, by speaker: what the corpus says stays; a missing validation or test set is drawn from the rest.

    `share` of the speakers of each gender (at least `LEAST`) goes to each missing set. The order of the draw
    is a hash of seed and speaker, so it is the same on every machine and does not change when speakers are added.
    Of the speakers left for training, the `personal` ones with most speech are kept aside, for decoders of their own
    (split "personal"); others with over four times the median stay in training, where their speech is needed.
    """
    if not 0 < share < 0.5:
        raise PcodecError(f"share of held-out speakers must lie between 0 and 0.5, got {share}")
    if table.split.isin(["validation", "test"]).all():
        table = table.assign(split="")  # a dev or test subset alone: a corpus like any other
    speakers = table.groupby("speaker").agg(
        gender=("gender", "first"), split=("split", "first"), seconds=("seconds", "sum")
    )
    free = speakers[~speakers.split.isin(["validation", "test"])]
    aside = free.assign(order=[_order(seed, speaker) for speaker in free.index])
    aside = aside.sort_values(["seconds", "order"], ascending=[False, True]).index[:personal]
    free = free.drop(aside)
    pool = free[free.seconds <= LONG_SPEAKER * free.seconds.median()].copy() if len(free) else free.copy()
    pool["order"] = [_order(seed, speaker) for speaker in pool.index]
    pool = pool.sort_values("order")
    decided = speakers.split.where(speakers.split.isin(["validation", "test"]), "train")
    for part in ("test", "validation"):
        if (speakers.split == part).any():
            continue
        quota = (pool.gender.map(free.gender.value_counts()) * share).round()
        drawn = pool[pool.groupby("gender").cumcount() < quota].index
        drawn = drawn if len(drawn) >= LEAST[part] else pool.index[: LEAST[part]]
        decided[drawn] = part
        pool = pool.drop(drawn)
    decided[aside] = "personal"
    for part in LEAST:
        if (found := (decided == part).sum()) < LEAST[part]:
            raise PcodecError(
                f"{len(speakers)} speakers are too few to split by speaker: {found} would be left for {part}, "
                f"{LEAST[part]} are needed"
            )
    return table.assign(split=table.speaker.map(decided))


def cap(table: pd.DataFrame, speakers: dict[str, int], seconds: dict[str, float], seed: int = 1) -> pd.DataFrame:
    """Keep at most `speakers[split]` speakers of each split and `seconds[split]` of each; 0 or none keeps all.

    Genders alternate in the choice, speakers and utterances are ordered by hash; a speaker keeps at least two
    utterances, or there were no trials of the same voice. Splits are decided before, so a cap never moves a speaker.
    """
    people = table.drop_duplicates("speaker")[["speaker", "gender", "split"]].copy()
    people["order"] = [_order(seed, speaker) for speaker in people.speaker]
    people = people.sort_values("order")
    people["turn"] = people.groupby(["split", "gender"]).cumcount()
    people = people.sort_values(["turn", "gender"])
    people["rank"] = people.groupby("split").cumcount()
    limit = people.split.map(lambda part: speakers.get(part, 0) or len(people))
    kept = table[table.speaker.isin(people.speaker[people["rank"] < limit])].copy()
    kept["order"] = [_order(seed, utterance) for utterance in kept.utterance]
    kept = kept.sort_values("order")
    first = kept.groupby("speaker").cumcount() < 2
    most = kept.split.map(lambda part: seconds.get(part, 0) or np.inf)
    kept = kept[first | (kept.groupby("speaker").seconds.cumsum() <= most)].drop(columns="order")
    return kept.sort_values(["split", "speaker", "utterance"]).reset_index(drop=True)


def frozen(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """The utterances of a list (CSV with utterance and split) with the splits it gives them, and no others.

    So that everyone who has the corpus, whole or in part, trains and tests on the same speech. Raises `PcodecError` if
    the corpus lacks some of them.
    """
    splits = pd.read_csv(path, dtype=str).set_index("utterance").split
    kept = table[table.utterance.isin(splits.index)]
    kept = kept.assign(split=kept.utterance.map(splits))
    if missing := sorted(set(splits.index) - set(kept.utterance)):
        raise PcodecError(
            f"the corpus lacks {len(missing)} of the {len(splits)} utterances in {path}, such as {missing[0]}; "
            "to split what there is anew, delete that list"
        )
    return kept.sort_values(["split", "speaker", "utterance"], ignore_index=True)


def signals(table: pd.DataFrame, folder: Path) -> list[tuple[str, str, np.ndarray]]:
    """(utterance, speaker, samples in [-1, 1]) of each row of a corpus table."""
    return [(row.utterance, row.speaker, audio.read(folder / row.path)) for row in table.itertuples()]


def _order(seed: int, word: str) -> str:
    return hashlib.sha256(f"{seed}:{word}".encode()).hexdigest()


def _genders(path: Path) -> dict[str, str]:
    if not path.exists():
        raise PcodecError(f"{path}: missing; LibriSpeech's list of speakers is needed for their genders")
    fields = [line.split("|") for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(";")]
    return {field[0].strip(): field[1].strip() for field in fields if len(field) >= 2}


def _table(root: Path, rows: list[tuple]) -> pd.DataFrame:
    """Rows (utterance, speaker, gender, split, file) -> table, with durations; unreadable files are left out."""

    def duration(row):
        try:
            seconds = audio.probe(row[-1])
            return (seconds, None) if seconds >= SHORTEST else (None, f"shorter than {SHORTEST} s")
        except PcodecError as error:
            return None, str(error).removeprefix(f"{row[-1]}: ")

    with ThreadPoolExecutor() as pool:
        probed = list(tqdm(pool.map(duration, rows), total=len(rows), desc=f"reading {root.name}", mininterval=1))
    left_out = [(row[-1].relative_to(root).as_posix(), why) for row, (_, why) in zip(rows, probed, strict=True) if why]
    good = [
        (*row[:-1], round(seconds, 4), row[-1].relative_to(root).as_posix())
        for row, (seconds, why) in zip(rows, probed, strict=True)
        if not why
    ]
    if not good:
        reason = f"; {len(left_out)} files left out, the first is {': '.join(left_out[0])}" if left_out else ""
        raise PcodecError(f"{root}: no speech found ({', '.join(SUFFIXES)}){reason}")
    table = pd.DataFrame(good, columns=COLUMNS)
    if table.utterance.duplicated().any():
        twice = table.utterance[table.utterance.duplicated()].iloc[0]
        raise PcodecError(
            f"{root}: utterance {twice} occurs twice, in {', '.join(table.path[table.utterance == twice])}"
        )
    table.attrs["left_out"] = left_out
    return table


def _download(root: Path, subsets: tuple[str, ...]) -> None:
    from pcodec.compute.backend import torchaudio

    if root.name != "LibriSpeech":
        raise PcodecError(f"{root}: the archives unpack into a folder called LibriSpeech; name it so")
    root.parent.mkdir(parents=True, exist_ok=True)
    for subset in subsets:
        try:
            torchaudio.datasets.LIBRISPEECH(root.parent, url=subset, download=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise PcodecError(f"could not fetch LibriSpeech {subset}: {' '.join(str(error).split())}") from None
