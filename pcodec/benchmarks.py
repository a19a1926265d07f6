"""How fast the codec is, on this machine.

Task: the numbers of the README's section "Benchmarks", measured in one run on one core, each as a ratio to real time,
beside the machine's float32 matrix product: ratios on two machines compare when both are divided by that.

Conventions: one thread, best of three passes over the same speech; compilation by Numba happens before. Not for tests:
a loaded machine is slow.

Contents: `report`, `gemm`, `encoder`.
"""

import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from pcodec import audio, bitstream, corpus, features, quantizer
from pcodec.codebooks import Codebooks

SECONDS = 120.0  # of speech
PASSES = 3
SIDE = 1024  # of the matrices


def report(corpus_: str) -> list[str]:
    """Lines to print, for speech of `corpus_`."""
    table = corpus.load(corpus_).sort_values("utterance")
    table = table.iloc[:: max(1, int(table.seconds.sum() / SECONDS))]
    files = [corpus.folder_of(corpus_) / path for path in table.path]
    with threadpool_limits(1):
        lines = [f"{gemm():8.1f} GFLOP/s  float32 matrix product ({SIDE}), one thread"]
        lines += [f"{ratio:8.0f} x real time  {name}" for name, ratio in encoder(files).items()]
    lines.append(f"over {table.seconds.sum():.0f} s of {corpus.label(corpus_)} in {len(files)} files")
    return lines


def gemm() -> float:
    """10^9 operations per second of a (1024, 1024) float32 product."""
    a = np.random.default_rng(1).normal(size=(SIDE, SIDE)).astype(np.float32)
    return 2e-9 * SIDE**3 / _best(lambda: a @ a, 10)


def encoder(files: list[Path]) -> dict[str, float]:
    """x real time of the encoder's steps and of the whole way from audio files to packets and back to features."""
    books = Codebooks.shipped()
    signals = [audio.read(file) for file in files]
    seconds = sum(map(len, signals)) / audio.RATE
    analyses = [features.analyze(signal) for signal in signals]
    streams = [bitstream.Stream.encode(signal, books) for signal in signals]
    steps = {
        "reading": lambda: [audio.read(file) for file in files],
        "features": lambda: [features.analyze(signal) for signal in signals],
        "quantization": lambda: [bitstream.pack(quantizer.quantize(analysis, books)) for analysis in analyses],
        "encoder, audio file to packets": lambda: [
            bitstream.Stream.encode(audio.read(file), books).to_bytes() for file in files
        ],
        "packets to decoded features and LPC": lambda: [
            features.lpc_from_cepstrum(stream.features(books)[:, features.FEATURES["cepstrum"]]) for stream in streams
        ],
    }
    return {name: seconds / _best(step) for name, step in steps.items()}


def _best(step, passes: int = PASSES) -> float:
    """Seconds of the fastest of some passes."""
    times = []
    for _ in range(passes):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return min(times)
