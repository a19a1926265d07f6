"""Speech -> tokens -> features, of signals of any length.

Task: the semantic codec's networks at work. A sender listens to the first minute for the talker's level, pitch and
voice; then the signal goes through piece by piece, each with some speech around it. A receiver decodes tokens in
windows that overlap; noise belongs to a frame, not to a window, so that neighbours draw the same and are cross-faded
unheard.

Conventions: signals (samples,) at 16 kHz in [-1, 1]; tokens (pairs, 2) int64, semantic and acoustic; features as the
codec's decoders read them. The recognizer is used where the extra is installed, the student elsewhere: tokens mean the
same.

Contents: `SemanticCoder`, `pack`, `unpack`, `PAIRS`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.features import hearing
from pcodec.features.analysis import COLUMNS
from pcodec.features.vocoder import SILENCE
from pcodec.learning import recognizer, weights
from pcodec.semantic import diffusion, tokens
from pcodec.semantic.config import EVERY, STEP, Rate, SemanticConfig
from pcodec.semantic.model import Semantic
from pcodec.semantic.tokens import Voice
from pcodec.speakers import voiceprint

PAIRS = 8  # in a packet: as many bytes as a pair has bits
WINDOW, OVERLAP, FADE = 1280, 128, 32  # frames decoded at a time, of them together with the next, and cross-faded
SPEAKER = "speaker."  # what the names of the speaker encoder's arrays begin with in a file
BLOCK = 256  # frames whose noise is drawn together


class SemanticCoder:
    """The networks, and the encoder that hears whose voice it is."""

    def __init__(self, model: Semantic, speaker: dict[str, np.ndarray], hear: recognizer.Recognizer | None = None):
        """`speaker` are the weights of a `pcodec.speakers` encoder; without `hear` the student finds what is said."""
        self.model, self.speaker, self.hear = model.eval(), speaker, hear

    def save(self, path: str | Path, dtype=np.float16) -> None:
        """The networks as `dtype`, the speaker encoder as float32; the recognizer is not part of the file."""
        arrays = {name: value.astype(dtype) for name, value in self.model.arrays().items()}
        arrays |= {SPEAKER + name: value for name, value in self.speaker.items()}
        weights.write(path, self.model.config, arrays, self.model.provenance, None)

    @classmethod
    def load(cls, path: str | Path, recognized: bool | None = None) -> "SemanticCoder":
        """With the recognizer if it is `recognized`, by default where it is installed.

        Raises `PcodecError` naming the file if it holds no such codec.
        """
        config, arrays, provenance = weights.read(path, SemanticConfig)
        speaker = {name.removeprefix(SPEAKER): arrays.pop(name) for name in [*arrays] if name.startswith(SPEAKER)}
        model = Semantic(config)
        try:
            model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        except RuntimeError as error:
            raise PcodecError.of(path, "no semantic codec", error) from None
        model.provenance = provenance
        recognized = recognizer.available() if recognized is None else recognized
        return cls(model, speaker, recognizer.Recognizer.load() if recognized else None)

    @property
    def identity(self) -> str:
        """16 hex digits, of the networks."""
        return self.model.identity

    def voice_of(self, start: np.ndarray, z: np.ndarray | None = None) -> Voice:
        """What is said once of a talker, by the first minute of a signal (samples,); `z` in place of his embedding."""
        found = hearing.describe(start).analysis.features
        if z is None:
            enough = len(start) >= voiceprint.WINDOW
            own = voiceprint.embed(self.speaker, [voiceprint.log_mel(start)])[0] if enough else None
            z = np.zeros(voiceprint.UNITS, np.float32) if own is None else own
        return tokens.voice_of(found, z)

    def content(self, mel: np.ndarray, level: float) -> torch.Tensor:
        """Mel spectra (T, 80) log10 of a signal with a level, T even -> what is said (T / 2, D), at most 30 s."""
        with torch.no_grad():
            if self.hear is None:
                levelled = hearing.levelled(mel, level).astype(np.float32)
                return self.model.student(torch.from_numpy(levelled)[None])[0]
            return self.model.projection(torch.from_numpy(recognizer.activations(self.hear, mel)))

    @torch.no_grad()
    def tokens(self, blocks: Iterable[np.ndarray], voice: Voice, rate: Rate) -> Iterator[np.ndarray]:
        """A signal that comes in pieces, of a talker -> tokens (pairs, 2), piece by piece. A silent one has zeros."""
        model, each = self.model, STEP * rate.steps
        start, blocks = voiceprint.beginning(blocks)
        at = hearing.level(recognizer.log_mel(start))
        for analysis, mel, inner in hearing.pieces(blocks):
            count = -(-(inner.stop - inner.start) // each)
            if voice.level is None or at is None:
                yield np.zeros((count, 2), np.int64)
                continue
            more = -len(mel) % EVERY
            x = tokens.relative(np.pad(analysis.features, ((0, more), (0, 0)), "edge"), voice)
            x = (torch.from_numpy(x)[None] - model.mean) / model.spread
            content = self.content(np.pad(mel, ((0, more), (0, 0)), "edge"), at)[None]
            said = model.semantic_tokens(content, rate)
            sounding = model.acoustic_tokens(x, content, model.content_of(said, rate), rate)
            begin = inner.start // each
            yield torch.stack([said[0], sounding[0]], dim=1)[begin : begin + count].numpy()

    def features(
        self, found: np.ndarray, voice: Voice, rate: Rate, seed: int = 1, steps: int = diffusion.STEPS,
        guidance: float = diffusion.GUIDANCE, begin: float = diffusion.BEGIN,
    ) -> Iterator[np.ndarray]:  # fmt: skip
        """Tokens (pairs, 2) of a talker -> features (T, 20), about 12 s at a time; in no `steps` by the regressor.

        The others are `diffusion.sample`'s.
        """
        each, done = STEP * rate.steps, 0
        total, before = each * len(found), None
        while done < total:
            first, end = max(0, done - OVERLAP), min(total, max(0, done - OVERLAP) + WINDOW)
            if voice.level is None:
                now = np.tile(_SILENT, (end - first, 1))
            else:
                part = found[first // each : -(-end // each)]
                now = self._window(part, voice, rate, seed, first, (steps, guidance, begin))[: end - first]
            if before is not None:
                rise = np.clip((np.arange(OVERLAP) - (OVERLAP - FADE) / 2 + 0.5) / FADE, 0, 1)[:, None]
                now[:OVERLAP] = before + (now[:OVERLAP] - before) * rise.astype(np.float32)
            kept = len(now) if end == total else len(now) - OVERLAP
            before, done = now[kept:], end
            yield now[:kept]

    @torch.no_grad()
    def _window(self, found, voice, rate, seed, first, how):
        """Features of consecutive tokens, the first of which is at frame `first`."""
        model, (said, sounding) = self.model, torch.from_numpy(found.T.copy())[:, None]
        z = torch.from_numpy(voice.z)[None]
        more = -len(found) % (EVERY // (STEP * rate.steps))
        said, sounding = (torch.nn.functional.pad(each, (0, more), "replicate") if more else each
                          for each in (said, sounding))  # fmt: skip
        regressed = model.regress(model.content_of(said, rate), model.words_of(sounding, rate), z, rate.steps)
        x = regressed.features
        if how[0]:
            noise = torch.from_numpy(_noise(seed, first, x.shape[1]))[None]
            x = diffusion.sample(model.diffusion, regressed, z, noise, *how)
        return tokens.absolute((x * model.spread + model.mean)[0].numpy(), voice)


_SILENT = np.zeros(len(COLUMNS), np.float32)
_SILENT[0] = SILENCE - 0.1


def _noise(seed, begin, count):
    """(count, 20) of the frames from `begin` on, whatever the window."""
    blocks = [np.random.default_rng([seed, number]).standard_normal((BLOCK, len(COLUMNS)), dtype=np.float32)
              for number in range(begin // BLOCK, (begin + count - 1) // BLOCK + 1)]  # fmt: skip
    return np.concatenate(blocks)[begin % BLOCK :][:count]


def pack(found: np.ndarray, rate: Rate, packets: int) -> np.ndarray:
    """Tokens (pairs, 2) -> so many packets (P, bits of a pair) uint8; the last pair is repeated where there are more.

    A pair is its semantic and its acoustic token, highest bit first.
    """
    if not len(found) <= packets * PAIRS or not len(found):
        raise PcodecError(f"{len(found)} pairs of tokens are no {packets} packets")
    found = np.pad(found, ((0, packets * PAIRS - len(found)), (0, 0)), "edge")
    pairs = found[:, 0] * rate.acoustic + found[:, 1]
    bits = pairs[:, None] >> np.arange(rate.bits - 1, -1, -1) & 1
    return np.packbits(bits.astype(np.uint8).reshape(packets, -1), axis=1)


def unpack(packets: np.ndarray, rate: Rate) -> np.ndarray:
    """Packets (P, bits of a pair) -> tokens (8 P, 2)."""
    bits = np.unpackbits(packets, axis=1).reshape(-1, rate.bits).astype(np.int64)
    return np.stack(np.divmod(bits @ (1 << np.arange(rate.bits - 1, -1, -1)), rate.acoustic), axis=1)
