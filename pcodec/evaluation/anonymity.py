"""Systems that hide a voice, and those that do not, before the attackers of the VoicePrivacy challenge.

Task: every system says the same utterances; what it says is what an attacker hears (`evaluation.privacy` has the
measures). Attackers differ in what they have: natural speech of the enrolled speakers (ignorant), their speech through
the same system with another draw of its voices (lazy-informed), or also a recognizer that has learned from such speech
(semi-informed). With a system that hides nothing he is unprotected.

Conventions: tables of files have the columns utterance, speaker, gender, part (enrolled, tested, trained or validated),
system, reference and decoded (files). A system is a callable: (samples, seed) -> samples, 16 kHz. Notebook
19_anonymization.

Contents: `baselines`, `codecs`, `anonymized`; `spoken`; `recognizers`, `retrained`, `embeddings`; `attack`,
`distinctiveness`, `prosody`.
"""

import functools
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from pcodec import PcodecError
from pcodec.anonymizer import mcadams, spectra, voices
from pcodec.anonymizer.conversion import Converter
from pcodec.codecs import LEARNED, SEMANTIC, peers
from pcodec.codecs.anonymization import Anonymizer
from pcodec.codecs.parametric import Codec
from pcodec.evaluation import privacy
from pcodec.features import hearing
from pcodec.speakers import embedding, voiceprint
from pcodec.speech import audio

NATURAL = "natural"
ENROLLED, TESTED, TRAINED, VALIDATED = "enrolled", "tested", "trained", "validated"


def baselines(converter: Converter, codec: Codec) -> dict[str, Callable]:
    """Systems that do not learn a voice: nothing, the codec, the converter's way through spectra, pitch, McAdams."""
    voice = converter.pool.voice("fixed")

    def coded(samples, seed):
        return codec.decode(codec.encode(samples))[0]

    def copied(samples, seed):
        speech = hearing.describe(samples)
        return codec.spoken(spectra.with_spectra(speech, speech.mel, converter.to_bands))[: len(samples)]

    def higher(samples, seed):
        speech = hearing.describe(samples)
        pitch = voices.prosody_of(speech.lags, speech.correlation)
        return codec.spoken(voices.with_pitch(speech.analysis, pitch, voice))[: len(samples)]

    def moved(samples, seed):
        return mcadams.convert(samples, mcadams.draw_alpha(np.random.default_rng(seed)))

    return {
        NATURAL: lambda samples, seed: samples, "1.6 kb/s": coded, "copy synthesis": copied, "pitch alone": higher,
        "McAdams": moved,
    }  # fmt: skip


def codecs(names: list[str]) -> dict[str, Callable]:
    """Codecs that carry a voice: some of `codecs.LEARNED`, `SEMANTIC` and, with their tools, of `peers.PEERS`."""

    def learned(codec):
        return lambda samples, seed: codec.decode(codec.encode(samples))[0]

    def other(name):
        return lambda samples, seed: peers.roundtrip(name, samples)[0]

    own = {name: learned(Codec.load(name)) for name in names if name in LEARNED | SEMANTIC}
    return own | {name: other(name) for name in names if name in peers.PEERS and not peers.missing(name)}


def anonymized(name: str, converter: Converter, kinds: list[str], codec: Codec) -> dict[str, Callable]:
    """A converter with each kind of voice: systems "NAME, KIND"."""

    def system(kind):
        return lambda samples, seed: Anonymizer(converter, kind, seed).convert(samples, codec=codec)

    return {f"{name}, {kind}": system(kind) for kind in kinds}


def spoken(table: pd.DataFrame, systems: dict[str, Callable], folder: Path, corpus: Path) -> pd.DataFrame:
    """Utterances (utterance, speaker, gender, part, path in `corpus`) through systems: files in `folder`, their table.

    A voice that is drawn is drawn for each utterance, and another one where it is enrolled than where it is tested.
    Files that are there are not made again: `folder` is that of these very systems.
    """
    rows = []
    with tqdm(total=len(table) * len(systems), desc="voices", mininterval=2) as bar:
        for name, system in systems.items():
            for row in table.itertuples():
                file = folder / f"{row.utterance}_{name.replace('/', '_').replace(', ', '_').replace(' ', '_')}.wav"
                if not file.exists():
                    samples = audio.read(corpus / row.path).astype(np.float32)
                    seed = zlib.crc32(f"{row.utterance} {row.part}".encode())
                    audio.write(file, np.clip(system(samples, seed), -1, 1))
                rows.append((row.utterance, row.speaker, row.gender, row.part, name, corpus / row.path, file))
                bar.update()
    names = ["utterance", "speaker", "gender", "part", "system", "reference", "decoded"]
    return pd.DataFrame(rows, columns=names)


def recognizers(encoder: dict[str, np.ndarray]) -> dict[str, Callable]:
    """What tells speakers apart, (file) -> embedding, each file once: own encoder, and resemblyzer if installed."""
    found = {"Siamese": _siamese(encoder)}
    try:
        from resemblyzer import VoiceEncoder
    except ImportError:
        return found
    other = VoiceEncoder("cpu", verbose=False)

    @functools.cache
    def embed(file):
        return other.embed_utterance(audio.read(file).astype(np.float32))

    return found | {"resemblyzer": embed}


def _siamese(encoder):
    return functools.cache(lambda file: voiceprint.embed(encoder, [voiceprint.log_mel(audio.read(file))])[0])


def retrained(files: pd.DataFrame, updates: int, seed: int = 1, checkpoint: Path | None = None) -> Callable:
    """The recognizer of a semi-informed attacker: the project's encoder, trained on one system's files."""
    sides = []
    for part in (TRAINED, VALIDATED):
        own = files[files.part == part]
        if own.speaker.nunique() < 2:
            raise PcodecError(f"a recognizer needs {part} files of two speakers, there are {own.speaker.nunique()}")
        sides.append(([voiceprint.log_mel(audio.read(file)) for file in own.decoded], own.speaker.tolist()))
    encoder = embedding.SpeakerEncoder()
    embedding.fit(encoder, *sides, updates=updates, seed=seed, checkpoint=checkpoint)
    return _siamese(encoder.arrays())


def embeddings(files: pd.DataFrame, recognizer: Callable) -> np.ndarray:
    """Embeddings (N, D) of the rows of a table of files."""
    shown = tqdm(files.decoded, desc="embeddings", mininterval=2)
    return np.stack([recognizer(file) for file in shown])


def attack(
    files: pd.DataFrame, recognizer: Callable, system: str, attacker: str, seed: int = 1
) -> tuple[dict, pd.DataFrame]:
    """An attacker (unprotected, ignorant, lazy-informed or semi-informed) before a system: what he learns, and trials.

    Only speakers of one gender are compared. What he learns: eer with low and high (95 %, over speakers), linkability
    and what it would be by chance, numbers of speakers and of trials of the same speaker.
    """
    enrolled = NATURAL if attacker in ("unprotected", "ignorant") else system
    sides = []
    for part, name in ((ENROLLED, enrolled), (TESTED, system)):
        own = files[(files.part == part) & (files.system == name)]
        sides += [embeddings(own, recognizer), own.speaker.tolist()]
    kinds = dict(zip(files.speaker, files.gender, strict=True))
    trials = privacy.trials(*sides, kinds)
    rate, low, high = privacy.interval(trials, seed=seed)
    found = {
        "eer": rate, "low": low, "high": high, "linkability": privacy.linkability(trials),
        "by_chance": privacy.by_chance(trials, seed=seed), "speakers": len({*sides[3]}),
        "mated": int(trials.same.sum()),
    }  # fmt: skip
    return found, trials


def distinctiveness(files: pd.DataFrame, recognizer: Callable, system: str) -> tuple[float, float]:
    """How far a system's voices are apart, in dB of natural ones', and how far from their own (de-identification).

    Of speakers with two tested utterances or more; NaN where there are fewer than two of them.
    """
    tested = files[files.part == TESTED]
    tested = tested[tested.groupby(["system", "speaker"]).speaker.transform("size") >= 2]
    if tested.speaker.nunique() < 2:
        return float("nan"), float("nan")
    natural, other = (tested[tested.system == name] for name in (NATURAL, system))
    z, converted = embeddings(natural, recognizer), embeddings(other, recognizer)
    whose, changed = natural.speaker.tolist(), other.speaker.tolist()
    original = privacy.similarity(z, whose, z, whose)
    gain = privacy.distinctiveness_gain(original, privacy.similarity(converted, changed, converted, changed))
    return gain, privacy.deidentification(original, privacy.similarity(z, whose, converted, changed))


def prosody(files: pd.DataFrame) -> pd.DataFrame:
    """Correlation of pitch of each file with its reference's: utterance, speaker, system, measure, value.

    Measures: "pitch correlation" (of all frames, as in the challenge) and "of voiced frames". What is not voiced is
    left out.
    """
    rows = []
    for row in tqdm(files.itertuples(), total=len(files), desc="pitch", mininterval=2):
        try:
            found = privacy.pitch_correlation(audio.read(row.reference), audio.read(row.decoded))
        except PcodecError:
            continue
        for measure, value in zip(("pitch correlation", "of voiced frames"), found, strict=True):
            rows.append((row.utterance, row.speaker, row.system, measure, value))
    return pd.DataFrame(rows, columns=["utterance", "speaker", "system", "measure", "value"])
