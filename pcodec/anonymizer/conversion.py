"""Speech in, the features of another voice out: what the codec packs.

Task: an anonymizer at work. The talker's level and pitch are those of his first minute; then the signal goes through
piece by piece, each with some speech around it that is thrown away, so that memory does not grow with its length.
Spectra become cepstra, the pitch gets the voice's mean and spread; correlation stays. Digital silence stays silence.

Conventions: signals (samples,) at 16 kHz in [-1, 1]; what comes out is a `features.Analysis` as of a signal of the same
length, so that the quantizer takes it in place of the talker's own.

Contents: `Converter`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pcodec import PcodecError
from pcodec.anonymizer import spectra, voices
from pcodec.anonymizer.config import AnonymizerConfig
from pcodec.anonymizer.model import FRAMES, Anonymizer
from pcodec.compute.backend import torch
from pcodec.features import hearing
from pcodec.features.analysis import FEATURES, Analysis
from pcodec.features.vocoder import SILENCE
from pcodec.learning import recognizer, weights
from pcodec.speakers import voiceprint

SHORTEST = 64  # frames that a network is given: instance norm needs something to normalize
POOL, ENCODER = "pool.", "encoder."  # what names of arrays begin with that are not the network's


class Converter:
    """A network, the pool that voices are made of, and the encoder that hears the talker's."""

    def __init__(self, model: Anonymizer, pool: voices.Pool, encoder: dict[str, np.ndarray], hear=None):
        """`hear` is a `recognizer.Recognizer`, needed where content is recognized."""
        if model.config.content == "recognized" and hear is None:
            raise PcodecError("recognized content needs the extra `recognizer`: make recognizer")
        self.model, self.pool, self.encoder, self.hear = model.eval(), pool, encoder, hear
        self.to_bands = model.to_bands.numpy()

    def save(self, path: str | Path, dtype=np.float16) -> None:
        """The network as `dtype`, the rest as float32; the recognizer is not part of the file."""
        arrays = {name: value.astype(dtype) for name, value in self.model.arrays().items() if name != "to_bands"}
        arrays |= {"to_bands": self.to_bands} | {POOL + name: value for name, value in vars(self.pool).items()}
        arrays |= {ENCODER + name: value for name, value in self.encoder.items()}
        weights.write(path, self.model.config, arrays, self.model.provenance, None)

    @classmethod
    def load(cls, path: str | Path) -> "Converter":
        """Raises `PcodecError` naming the file if it holds no anonymizer, or the extra that it needs is missing."""
        config, arrays, provenance = weights.read(path, AnonymizerConfig)
        parts = {POOL: {}, ENCODER: {}, "": {}}
        for name, value in arrays.items():
            prefix = next(key for key in parts if name.startswith(key))
            parts[prefix][name.removeprefix(prefix)] = value
        model = Anonymizer(config)
        try:
            model.load_state_dict({name: torch.from_numpy(value) for name, value in parts[""].items()})
            pool = voices.Pool(**parts[POOL])
        except (RuntimeError, TypeError) as error:
            raise PcodecError.of(path, "no anonymizer", error) from None
        model.provenance = provenance
        hear = recognizer.Recognizer.load() if config.content == "recognized" else None
        return cls(model, pool, parts[ENCODER], hear)

    def talker_of(self, samples: np.ndarray) -> voices.Voice | None:
        """The voice of a signal; None where there is hardly any."""
        speech = hearing.describe(samples[: voiceprint.LISTEN])
        pitch = voices.prosody_of(speech.lags, speech.correlation)
        if pitch is None or len(samples) < voiceprint.WINDOW:
            return None
        z = voiceprint.embed(self.encoder, [voiceprint.log_mel(samples[: voiceprint.LISTEN])])[0]
        return voices.Voice(z, *pitch)

    def convert(self, samples: np.ndarray, voice: voices.Voice) -> Analysis:
        """A whole signal; as `convert_blocks`."""
        parts = list(self.convert_blocks([samples], voice))
        return Analysis(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def convert_blocks(self, blocks: Iterable[np.ndarray], voice: voices.Voice) -> Iterator[Analysis]:
        """A signal that comes in pieces -> its features in `voice`, piece by piece, whole packets each.

        A signal without sound comes out as it went in.
        """
        start, blocks = voiceprint.beginning(blocks)
        speech = hearing.describe(start)
        pitch = voices.prosody_of(speech.lags, speech.correlation)
        for analysis, mel, inner in hearing.pieces(blocks):
            if speech.level is None:
                yield hearing.part(analysis, inner)
            else:
                yield self._in_voice(analysis, mel, inner, speech.level, pitch, voice)

    @torch.no_grad()
    def _in_voice(self, analysis, mel, inner, level, pitch, voice):
        """The frames `inner` of an analysis with its spectra, converted."""
        speech = hearing.Speech(analysis, mel, level)
        lags, correlation = speech.lags, speech.correlation
        moved = voices.moved(lags, correlation, pitch, voice)
        prosody = spectra.prosody(moved, correlation, mel, level)
        own = hearing.levelled(mel, level).astype(np.float32)
        count = len(mel)
        more = max(SHORTEST - count, -count % FRAMES)
        own, prosody, mel = (np.pad(each, ((0, more), (0, 0)), "edge") for each in (own, prosody, mel))
        if self.model.config.content == "recognized":
            scaled = recognizer.scaled(torch.from_numpy(mel)[None])
            codes = self.model.codes(None, self.hear(scaled, layers=recognizer.CONTENT)[-1])
        else:
            codes = self.model.codes(torch.from_numpy(own)[None])
        made = self.model.decode(codes, torch.from_numpy(prosody)[None], torch.from_numpy(voice.z)[None])
        made = made[0, :count].numpy() * hearing.SCALE + level
        kept = voices.with_pitch(hearing.part(analysis, inner), pitch, voice)
        cepstra, silent = spectra.cepstrum(made[inner], self.to_bands), kept.features[:, :1] <= SILENCE
        rows = kept.features.copy()
        rows[:, FEATURES["cepstrum"]] = np.where(silent, rows[:, FEATURES["cepstrum"]], cepstra)
        return kept._replace(features=rows)
