"""Features -> speech: what the decoders of all families have in common.

Task: a family brings its state and `_advance`; whole signals, streams and many signals side by side are the same for
all of them.

Conventions: a frame's audio is centred in its analysis window, and its conditioning looks `CONTEXT` = 2 frames ahead: a
stream is `DELAY` = 400 samples, 25 ms, late. The same features and seed give the same samples, in one piece or in many,
alone or beside others. A vocoder's methods may run in several threads at once.

Contents: `Vocoder`, `decode_all`, `CONTEXT`, `DELAY`.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from pcodec import PcodecError, threads
from pcodec.compute.vector import TOGETHER
from pcodec.features.analysis import COLUMNS, OFFSET
from pcodec.features.cepstrum import FRAME

CONTEXT = 2  # frames on either side of a frame that its conditioning depends on: two convolutions of width 3
DELAY = CONTEXT * FRAME + OFFSET  # samples by which a stream is late
SILENCE = -12.4  # c0 under which a frame is digital silence, sent as -12.5; a bit that flips now and then has -12.25


class Vocoder:
    """A decoder network, compiled."""

    CONFIG: type  # the family's dataclass of sizes

    @classmethod
    def of(cls, config, arrays: dict[str, np.ndarray]) -> "Vocoder":
        """From a network's sizes and weights by name."""
        return cls(config, arrays)

    def start(self, seed: int = 1, whole: np.ndarray | None = None):
        """The state before a signal, of which `whole` are all features (F, 20), where they are known before."""
        return self._start(seed, [whole])

    def advance(self, state, features: np.ndarray, last: bool = False) -> np.ndarray:
        """The next frames' features (F, 20) -> the next 160 F samples in [-1, 1], float32, `DELAY` samples late.

        With `last` the features end the signal, and 320 more samples come out. Raises `PcodecError` for another shape.
        """
        return self._advance(state, [_checked(features)], last)[0]

    def decode(self, features: np.ndarray, samples: int | None = None, seed: int = 1) -> np.ndarray:
        """Features (F, 20) of a whole signal -> samples in [-1, 1] at 16 kHz, aligned with the analysed signal.

        `samples` cuts to the length of the original; at most 160 F - 80 can be had.
        """
        return self.decode_together([features], [samples], seed)[0]

    def decode_together(self, features: list[np.ndarray], samples: list[int | None], seed: int = 1) -> list[np.ndarray]:
        """`decode` of several signals (F, 20) side by side: the same samples, faster: weights are read once for all.

        Raises `PcodecError` where more samples are asked for than there are.
        """
        features, lengths = [_checked(of_signal) for of_signal in features], []
        for of_signal, wanted in zip(features, samples, strict=True):
            available = max(0, FRAME * len(of_signal) - OFFSET)
            lengths.append(available if wanted is None else wanted)
            if lengths[-1] > available:
                raise PcodecError(f"{len(of_signal)} frames give {available} samples, {wanted} were asked for")
        out = self._advance(self._start(seed, features), features, last=True)
        return [signal[DELAY : DELAY + length] for signal, length in zip(out, lengths, strict=True)]

    def _start(self, seed, wholes):
        """The state before signals side by side, for each of which there is a `whole` as in `start`."""
        raise NotImplementedError

    def _advance(self, state, features, last):
        """`advance` for all signals of a state, (S, samples); they may differ in length where they end."""
        raise NotImplementedError


def decode_all(jobs: list[tuple[Vocoder, np.ndarray, int]], seed: int = 1) -> list[np.ndarray]:
    """`Vocoder.decode` of many (vocoder, features, samples), on all threads, with a progress bar.

    Signals of one decoder and of similar lengths go side by side.
    """
    alike = sorted(range(len(jobs)), key=lambda job: (id(jobs[job][0]), len(jobs[job][1])))
    batches = []
    for _, of_decoder in itertools.groupby(alike, key=lambda job: id(jobs[job][0])):
        of_decoder = list(of_decoder)
        batches += [of_decoder[i : i + TOGETHER] for i in range(0, len(of_decoder), TOGETHER)]

    def decode(batch):
        _, features, samples = zip(*(jobs[job] for job in batch), strict=True)
        return jobs[batch[0]][0].decode_together(features, samples, seed)

    decoded = [None] * len(jobs)
    with ThreadPoolExecutor(threads()) as pool, tqdm(total=len(jobs), desc="decoding", mininterval=2) as bar:
        for batch, signals in zip(batches, pool.map(decode, batches), strict=True):
            for job, signal in zip(batch, signals, strict=True):
                decoded[job] = signal
            bar.update(len(batch))
    return decoded


def _checked(features):
    features = np.asarray(features, dtype=np.float32)
    if features.ndim != 2 or features.shape[1] != len(COLUMNS):
        raise PcodecError(f"features must be (frames, {len(COLUMNS)}), got {features.shape}")
    return features
