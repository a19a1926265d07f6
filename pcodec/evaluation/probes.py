"""What codes mean: how well a linear classifier reads speaker, gender, sound and word from them.

Task: the tests of SemantiCodec (Liu et al. 2024) and of HEAR in small: logistic regression on frozen codes. Of speakers
and genders it reads the mean and spread of an utterance's codes, of phones and words the code at their middle. Whoever
keeps what is said and not who says it is good at phones and poor at speakers.

Conventions: codes are (T, D) per utterance, evenly spread over it, at `pace` vectors per second. Phones and words are
those of a forced alignment of the true text (pocketsphinx, extra `phones`): tables of utterance, label, begin, end (s).
Accuracies are of utterances or segments that the classifier has not seen; its intervals draw utterances.

Contents: `available`, `align`, `pooled`, `at`, `accuracy`.
"""

import importlib.util

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.evaluation import intervals

PACKAGE = "pocketsphinx"
SILENCES = ("SIL", "+NSN+", "+SPN+", "<s>", "</s>", "<sil>", "(NULL)")
STRENGTH = 0.1  # C of the regression: the smaller, the smaller its weights


def available() -> bool:
    """Whether the extra `phones` is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def align(samples: np.ndarray, text: str) -> tuple[list, list] | None:
    """Signal (samples,) at 16 kHz and its words -> phones and words, each (label, begin, end) in s.

    None where a word is not in the dictionary or nothing fits.
    """
    if not available():
        raise PcodecError("phones need the extra `phones`: make phones")
    decoder = _decoder()
    if any(decoder.lookup_word(word) is None for word in text.lower().split()):
        return None
    data = np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes()
    try:
        decoder.set_align_text(text.lower())
        _heard(decoder, data)
        decoder.set_alignment()
        _heard(decoder, data)
        found = decoder.get_alignment()
    except RuntimeError:
        return None
    phones, words = [], []
    for word in found.words():
        if word.name not in SILENCES:
            words.append((word.name.partition("(")[0], word.start / 100, (word.start + word.duration) / 100))
        for phone in word:
            if phone.name not in SILENCES:
                phones.append((phone.name, phone.start / 100, (phone.start + phone.duration) / 100))
    return phones, words


def _decoder():
    import pocketsphinx

    return pocketsphinx.Decoder(lm=None, loglevel="FATAL")


def _heard(decoder, data):
    decoder.start_utt()
    decoder.process_raw(data, full_utt=True)
    decoder.end_utt()


def pooled(codes: list[np.ndarray]) -> np.ndarray:
    """Codes (T, D) of N utterances -> (N, 2 D), their means and spreads."""
    return np.stack([np.concatenate([each.mean(axis=0), each.std(axis=0)]) for each in codes])


def at(codes: np.ndarray, segments: pd.DataFrame, pace: float) -> np.ndarray:
    """The codes (N, D) at the middles of an utterance's segments (columns begin, end)."""
    places = ((segments.begin + segments.end) / 2 * pace).astype(int).clip(0, len(codes) - 1)
    return codes[places]


def accuracy(
    rows: np.ndarray, labels, learnt: np.ndarray, utterances, seed: int = 1
) -> tuple[float, float, float, float]:
    """Share of right answers, its interval, and chance, of what is not `learnt` (N,) bool.

    `rows` are (N, D); chance is the share of the most frequent label. Raises `PcodecError` if there is one label alone.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels, utterances = np.asarray(labels), np.asarray(utterances)
    if len(np.unique(labels[learnt])) < 2 or learnt.all():
        raise PcodecError("a probe needs two labels to learn, and something to be asked about")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=300, random_state=seed))
    model.fit(rows[learnt], labels[learnt])
    right = (model.predict(rows[~learnt]) == labels[~learnt]).astype(float)
    asked = labels[~learnt]
    chance = float((asked == pd.Series(labels[learnt]).mode()[0]).mean())
    return (*intervals.interval(pd.Series(right), pd.Series(utterances[~learnt]), seed=seed), chance)
