"""What a user gives to a codec, as the codecs take it: one channel at 16 kHz, without a constant offset.

Contents: `signal_of`, `without_offset`.
"""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import scipy.signal

from pcodec import PcodecError, note
from pcodec.speech import audio

OFFSET, OFFSET_OVER = 0.02, 5 * audio.RATE  # mean of so many samples at a signal's start, from which on it is removed


def signal_of(samples: np.ndarray, rate: int) -> np.ndarray:
    """What a user gives to `Codec.encode` -> (samples,) at 16 kHz; raises `PcodecError` if it is no signal."""
    samples = np.asarray(samples)
    if samples.ndim == 2 and samples.shape[1] <= samples.shape[0] and np.issubdtype(samples.dtype, np.floating):
        samples, _ = audio.mono(samples)
    samples = audio.checked(samples)
    if not isinstance(rate, int | float | np.number) or not float(rate).is_integer() or rate <= 0:
        raise PcodecError(f"a rate is a positive whole number of Hz, got {rate}")
    return audio.resample(samples, int(rate)) if rate != audio.RATE and len(samples) else samples


def without_offset(blocks: Iterable[np.ndarray], least: float = OFFSET) -> Iterator[np.ndarray]:
    """The pieces of a signal (samples,) at 16 kHz, high-passed if the mean of its first seconds is `least` or more.

    They are seconds of the first piece: those of a live talk are short, and always filtered (`least` = 0).

    A constant offset, of a cheap sound card, is energy in the lowest band, from which a decoder bursts. Other signals
    are left as they are, bit by bit.
    """
    blocks = iter(blocks)
    first = next(blocks, None)
    if first is None:
        return
    offset = first[:OFFSET_OVER].mean(dtype=np.float64) if len(first) else 0.0
    if abs(offset) < least:
        yield from itertools.chain([first], blocks)
        return
    if abs(offset) >= OFFSET:
        note(f"a constant offset of {offset:.2f} is removed")
    state = scipy.signal.lfilter_zi(*audio.HIGH_PASS) * offset
    for block in itertools.chain([first], blocks):
        filtered, state = scipy.signal.lfilter(*audio.HIGH_PASS, block, zi=state)
        yield filtered.astype(np.float32)
