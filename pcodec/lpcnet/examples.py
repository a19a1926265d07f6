"""Teacher-forced training data: what the sample network is shown, and what it should have said.

Task: LPCNet specification section 9. Silence removal, random level and spectral response, dither, and the noisy
prediction loop, in which the past is the decoder's kind of past: with errors in it.

Conventions: N utterances; a frame is 160 samples; codes are mu-law codes in the columns signal, prediction, excitation
(inputs), target (the excitation to predict). Each utterance is prepared by itself with its own random numbers, seeded
by its name, so that it is the same in every decoder's training; the reference draws them every 28 s of one long file.
Notebook 06_training.

Contents: `prepare`, `clean_codes`, `draw_conditions`, `excitation_noise`, `drop_silence`, `noisy_prediction_loop`,
`some_minutes`, `SampleDataset`.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.signal
from tqdm import tqdm

from pcodec import PcodecError, paths
from pcodec.bitstream.codebooks import Codebooks
from pcodec.bitstream.quantizer import quantized_features
from pcodec.compute.backend import torch
from pcodec.compute.compiling import compiled
from pcodec.features.analysis import OFFSET, PACKET, analyze_emphasized
from pcodec.features.cepstrum import FRAME, ORDER, lpc_from_cepstrum
from pcodec.features.vocoder import CONTEXT
from pcodec.lpcnet.mulaw import MULAW_TABLE, MULAW_ZERO, mulaw_encode
from pcodec.speech import audio

VERSION = 1  # raise it when `prepare` changes: prepared examples are kept by content and version
KEPT_DRAWS, KEPT_HOURS = 4, 2.0  # of which preparations are kept one by one: 0.25 GB an hour and draw
NOISE_LAW = 10.0  # standard deviation of the excitation noise is 10 u^2 mu-law steps, u uniform
SILENCE, SILENCE_AFTER_SILENCE = 5000.0, 20000.0  # frame energies at int16 scale under which a frame is dropped


def prepare(samples: np.ndarray, codebooks: Codebooks | None, rng: np.random.Generator, augment: bool) -> tuple:
    """Signal (samples,) in [-1, 1] -> (codes (160 F, 4) uint8, quantized features (F, 20) float32) (section 9).

    Silence is dropped; `augment` adds the random gain and spectral response; dither and excitation noise are always
    there. Without codebooks the features stay unquantized. F may be 0 when all is silence.
    """
    x = drop_silence(samples.astype(np.float64) * audio.SCALE)
    x = scipy.signal.lfilter(*audio.HIGH_PASS, x)
    gain, response, sigma = draw_conditions(rng)
    if augment:
        x = gain * scipy.signal.lfilter(*response, x)
    y = audio.preemphasis(x) + rng.uniform(-0.5, 0.5, len(x))
    analysis = analyze_emphasized(y)
    features = quantized_features(analysis, codebooks) if codebooks else analysis.features
    features = features[: len(y) // FRAME]
    # A frame's audio is centred in its analysis window: delayed by half a frame.
    pcm = np.concatenate([np.zeros(OFFSET), np.clip(np.rint(y), -32767, 32767)])[: FRAME * len(features)]
    noise = excitation_noise(rng, len(pcm), sigma)
    return noisy_prediction_loop(pcm, lpc_from_cepstrum(features[:, :18]), noise), features


def clean_codes(samples: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Signal (samples,) in [-1, 1] and features (F, 20) -> codes (160 F, 4) without dither and noise.

    What a decoder is shown that listens to the signal itself.
    """
    emphasized = np.concatenate([np.zeros(OFFSET), audio.preemphasis(samples * audio.SCALE)])
    emphasized = np.pad(emphasized, (0, FRAME * len(features) - len(emphasized)))
    noise = np.zeros(len(emphasized), np.int32)
    return noisy_prediction_loop(np.rint(emphasized), lpc_from_cepstrum(features[:, :18]), noise)


def _rng(utterance, draw, seed):
    """Random numbers that an utterance gets in every training."""
    return np.random.default_rng([seed, draw, zlib.crc32(utterance.encode())])


def _kept(path, utterance, codebooks, augment, draw, seed, keep):
    """`prepare` of an audio file, from the cache where it is there."""
    settings = (utterance, codebooks and codebooks.identity, augment, draw, seed)
    file = paths.cached(f"examples-v{VERSION}", audio.content(path), repr(settings).encode())
    if file.exists():
        with np.load(file) as stored:
            return stored["codes"], stored["features"]
    codes, features = prepare(audio.read(path), codebooks, _rng(utterance, draw, seed), augment)
    if keep:
        with paths.replacing(file) as temporary:
            np.savez(temporary, codes=codes, features=features)
    return codes, features


def draw_conditions(rng: np.random.Generator) -> tuple:
    """Gain, (b, a) of the spectral response, and standard deviation of the noise of one utterance (steps 2, 4, 6)."""
    gain = 10.0 ** ((-20 + rng.integers(40)) / 20)
    gain *= 0.01 if rng.random() < 1 / 20 else 1.0
    gain *= 0.0 if rng.random() < 1 / 100 else 1.0
    b1, b2, a1, a2 = rng.uniform(-0.375, 0.375, 4)
    return gain, ([1.0, b1, b2], [1.0, a1, a2]), NOISE_LAW * rng.random() ** 2


def excitation_noise(rng: np.random.Generator, samples: int, sigma: float) -> np.ndarray:
    """Laplacian noise of standard deviation `sigma` in mu-law steps, rounded, (samples,) int32 (step 6)."""
    return np.rint(rng.laplace(0.0, sigma / np.sqrt(2.0), samples)).astype(np.int32)


@compiled()
def drop_silence(x):
    """Drop silent frames of a signal at int16 scale; cross-fade over the first frame after a gap (step 1)."""
    out = np.empty_like(x)
    kept = 0
    silent = True
    for k in range(len(x) // FRAME):
        frame = x[k * FRAME : (k + 1) * FRAME]
        energy = (frame * frame).sum()
        if energy < SILENCE or (silent and energy < SILENCE_AFTER_SILENCE):
            silent = True
            continue
        for n in range(FRAME):
            fade = n / FRAME if silent and kept else 1.0
            past = out[kept - FRAME + n] if silent and kept else 0.0
            out[kept + n] = fade * frame[n] + (1.0 - fade) * past
        kept += FRAME
        silent = False
    return out[:kept].copy()


@compiled()
def noisy_prediction_loop(pcm, lpc, noise):
    """Target (160 F,), LPC (F, 16), noise in mu-law steps -> codes (160 F, 4) (section 9, step 5).

    The prediction sees its own noisy past, as the decoder will; the target excitation is what would repair it.
    """
    codes = np.empty((len(pcm), 4), dtype=np.uint8)
    past = np.zeros(ORDER)
    excitation = MULAW_ZERO
    for t in range(len(pcm)):
        prediction = 0.0
        for i in range(ORDER):
            prediction -= lpc[t // FRAME, i] * past[i]
        target = int(mulaw_encode(pcm[t] - prediction))
        codes[t, 0] = mulaw_encode(past[0])
        codes[t, 1] = mulaw_encode(prediction)
        codes[t, 2] = excitation
        codes[t, 3] = target
        excitation = min(255, max(0, target + noise[t]))
        for i in range(ORDER - 1, 0, -1):
            past[i] = past[i - 1]
        past[0] = prediction + MULAW_TABLE[excitation]
    return codes


def some_minutes(table: pd.DataFrame, minutes: float, seed: int = 1) -> pd.DataFrame:
    """Utterances of a corpus table, in random order, until they are `minutes` long; at least one."""
    mixed = table.sample(frac=1.0, random_state=seed)
    return mixed[mixed.seconds.cumsum().shift(fill_value=0.0) < 60.0 * minutes]


@dataclass
class SampleDataset:
    """Prepared utterances, end to end in two tensors."""

    codes: torch.Tensor  # (160 F, 4) uint8
    features: torch.Tensor  # (F, 20) float32
    frames: np.ndarray  # (N,) frames of each utterance
    utterances: pd.DataFrame  # (N rows) utterance, speaker
    batches_to: torch.device | None = None  # where batches go, of data that stay on the disk

    @classmethod
    def build(
        cls, table: pd.DataFrame, folder: Path, codebooks: Codebooks | None, augment: bool, draw: int = 0, seed: int = 1
    ) -> "SampleDataset":
        """Prepare the utterances of a corpus table; another `draw` has other gains, responses and noise.

        What was prepared is kept in the cache, by content, for the other trainings of a run: the first `KEPT_DRAWS`.
        Over `KEPT_HOURS` of speech, each draw is kept by the names and sizes of the files, and stays on the disk: the
        trainings of a machine share what of it is in memory.
        """
        large = table.seconds.sum() >= 3600 * KEPT_HOURS
        settings, keep = (codebooks, augment, draw, seed), draw < KEPT_DRAWS and not large

        def examples():
            for row in tqdm(table.itertuples(), total=len(table), desc="training data", mininterval=2):
                utterance = str(row.utterance)
                yield utterance, row.speaker, *_kept(folder / row.path, utterance, *settings, keep)

        if not large:
            return cls._joined(examples())
        sizes = [(str(path), (folder / path).stat().st_size) for path in table.path]
        prepared = (list(table.utterance), codebooks and codebooks.identity, augment, draw, seed)
        index = paths.cached(f"examples-v{VERSION}", repr(sizes).encode(), repr(prepared).encode())
        return cls._on_disk(index, examples())

    @classmethod
    def of(
        cls, signals: Iterable[tuple], codebooks: Codebooks | None, augment: bool, draw: int = 0, seed: int = 1
    ) -> "SampleDataset":
        """The same from (utterance, speaker, samples in [-1, 1]).

        Utterances of which silence removal leaves almost nothing are not in the data set: compare `utterances`.
        """
        return cls._joined(
            (utterance, speaker, *prepare(samples, codebooks, _rng(utterance, draw, seed), augment))
            for utterance, speaker, samples in signals
        )

    @classmethod
    def _joined(cls, examples):
        prepared, kept, given = [], [], 0
        for utterance, speaker, codes, features in examples:
            given += 1
            if len(features) >= 2 * CONTEXT + PACKET:
                prepared.append((codes, features))
                kept.append((utterance, speaker))
        if not kept:
            raise PcodecError(f"no speech to train on in {given} utterances: too short or silent")
        return cls(
            torch.from_numpy(np.concatenate([codes for codes, _ in prepared])),
            torch.from_numpy(np.concatenate([features for _, features in prepared])),
            np.array([len(features) for _, features in prepared]),
            pd.DataFrame(kept, columns=["utterance", "speaker"]),
        )

    @classmethod
    def _on_disk(cls, index, examples):
        """The same in files beside `index`, which is written last."""
        files = [index.with_suffix(f".{name}") for name in ("codes", "features")]
        if not index.exists():
            kept, frames = [], []
            with paths.replacing(files[0]) as first, paths.replacing(files[1]) as second:
                with open(first, "wb") as of_codes, open(second, "wb") as of_features:
                    for utterance, speaker, codes, features in examples:
                        if len(features) >= 2 * CONTEXT + PACKET:
                            codes.tofile(of_codes)
                            features.astype(np.float32).tofile(of_features)
                            kept.append((utterance, str(speaker)))
                            frames.append(len(features))
            with paths.replacing(index) as temporary:
                np.savez(temporary, frames=np.array(frames), kept=np.array(kept))
        with np.load(index) as found:
            frames, kept = found["frames"], pd.DataFrame(found["kept"], columns=["utterance", "speaker"])
        maps = zip(files, (np.uint8, np.float32), (4, 20), strict=True)
        codes, features = (torch.from_numpy(np.memmap(file, dtype, "c").reshape(-1, n)) for file, dtype, n in maps)
        return cls(codes, features, frames, kept, torch.device("cpu"))

    def of_speakers(self, speakers: Iterable[str]) -> "SampleDataset":
        """The utterances of some of the speakers."""
        own = self.utterances.speaker.isin(set(speakers)).to_numpy()
        frames = torch.from_numpy(np.repeat(own, self.frames))
        codes = self.codes[frames.repeat_interleave(FRAME)]
        return SampleDataset(
            codes, self.features[frames], self.frames[own], self.utterances[own].reset_index(drop=True)
        )

    @property
    def seconds(self) -> float:
        return len(self.codes) / audio.RATE

    def to(self, device) -> "SampleDataset":
        """The same data on `device`; what is on the disk stays there, and batches go to `device`."""
        if self.batches_to:
            return replace(self, batches_to=device)
        return SampleDataset(self.codes.to(device), self.features.to(device), self.frames, self.utterances)

    def starts(self, frames: int, shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Back-to-back sequences of `frames` with their context: first frame (M,) and utterance (M,) of each."""
        ends = np.cumsum(self.frames)
        firsts = [
            np.arange(end - length + CONTEXT + shift, end - CONTEXT - frames + 1, frames)
            for end, length in zip(ends, self.frames, strict=True)
        ]
        which = np.repeat(np.arange(len(firsts)), [len(starts) for starts in firsts])
        return np.concatenate(firsts), which

    def batch(self, starts: np.ndarray, frames: int):
        """Sequences at `starts` -> features (B, frames + 4, 20), codes (B, 160 frames, 4) int64."""
        device = self.codes.device
        at = torch.as_tensor(starts, device=device)[:, None]
        features = self.features[at + torch.arange(-CONTEXT, frames + CONTEXT, device=device)]
        codes = self.codes[at * FRAME + torch.arange(frames * FRAME, device=device)]
        if self.batches_to:
            features, codes = features.to(self.batches_to), codes.to(self.batches_to)
        return features, codes.long()
