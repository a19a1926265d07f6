"""LPCNet's analysis: cepstrum, pitch and correlation per 10 ms.

Task: one analysis for encoder, training data and notebooks, of a whole signal or of a stream (LPCNet specification
sections 1 to 5; Valin & Skoglund, Interspeech 2019). The cepstrum and its predictor are in `pcodec.features.cepstrum`,
the pitch search is in `pcodec.features.pitch`.

Conventions: T frames of 160 samples (10 ms), always a multiple of the four of a packet (40 ms). The analysis window of
frame k is 320 samples centred on sample 160 k; the audio that belongs to frame k is samples 160 k - 80 .. 160 k + 79.
A feature row is `COLUMNS`: 18 cepstral coefficients, pitch = 0.02 (lag - 100), correlation - 0.5. Notebook 02_features.

Contents: `analyze`, `stream`, `State`, `analyze_emphasized`, `cached`, `export`, `predictor_spectra`, `lag`,
`lpc_from_cepstrum`, `FEATURES`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pcodec import paths
from pcodec.features import cepstrum, pitch
from pcodec.features.cepstrum import BANDS, FRAME, WINDOW, lpc_from_cepstrum
from pcodec.features.pitch import LAG_MAX, LAG_MIN, OFFSET, SUBFRAMES
from pcodec.speech import audio

VERSION = 2  # raise it when the analysis changes: cached features are kept by content and version

PACKET = 4  # frames
PACKET_SAMPLES = PACKET * FRAME
BLOCK = 64  # packets analysed at a time: bounds the memory for signals of hours

FEATURES = {"cepstrum": slice(0, BANDS), "pitch": BANDS, "correlation": BANDS + 1}
COLUMNS = [f"c{j}" for j in range(BANDS)] + ["pitch", "correlation"]


class Analysis(NamedTuple):
    """What the analysis of a signal found; T frames, P = T / 4 packets."""

    features: np.ndarray  # (T, 20) float32, unquantized
    lags: np.ndarray  # (P, 8) int32, pitch lag of each 5 ms in samples
    weights: np.ndarray  # (P, 8) float32, relative energy of each 5 ms, mean 1
    correlation: np.ndarray  # (P,) float32, mean pitch correlation


class State(NamedTuple):
    """What the analysis of a stream remembers from one call to the next; never changed in place."""

    clean: bool = False  # pitch search: False as the 2019 reference has it, True as it was meant
    last: float = 0.0  # the last sample, for the pre-emphasis
    signal: np.ndarray = np.zeros(FRAME, np.float32)  # one analysed frame, then what waits for its packet to be full
    residual: np.ndarray = np.zeros(LAG_MAX, np.float32)  # of the last 256 samples
    d: np.float32 = np.float32(0.0)  # the last residual sample, unsmoothed
    score: np.ndarray = np.zeros(pitch.STATES, np.float32)  # the pitch search: path scores,
    best: int = 0  # the best state
    gain: np.float32 = np.float32(0.0)  # and by how much its path grew last


def analyze(samples: np.ndarray, clean: bool = False) -> Analysis:
    """Features of a signal (samples,) in [-1, 1] at 16 kHz; enough frames that every sample belongs to one.

    `clean` searches the pitch as the paper describes instead of bit for bit as the 2019 reference does.
    """
    return stream(samples, State(clean=clean), last=True)[0]


def stream(samples: np.ndarray, state: State | None = None, last: bool = False) -> tuple[Analysis, State]:
    """Features of the packets that `samples` complete, and the state to go on with.

    Start with no state. `last` ends the stream: zeros are appended until every sample belongs to a frame. Any cutting
    of a signal gives the same features as `analyze`, bit for bit.
    """
    samples = audio.checked(samples)
    state = state or State()
    scaled = samples.astype(np.float32) * np.float32(audio.SCALE)
    emphasized = audio.preemphasis(scaled, state.last)
    return _advance(state._replace(last=scaled[-1] if len(scaled) else state.last), emphasized, last)


def analyze_emphasized(y: np.ndarray) -> Analysis:
    """As `analyze`, for a pre-emphasized signal (samples,) at int16 scale."""
    return _advance(State(), y, last=True)[0]


def cached(path: str | Path) -> Analysis:
    """`analyze` of an audio file, kept in the cache by the file's content and `VERSION`."""
    file = paths.cached(f"features-v{VERSION}", audio.content(path))
    if not file.exists():
        with paths.replacing(file) as temporary:
            np.savez(temporary, **analyze(audio.read(path))._asdict())
    with np.load(file) as stored:
        return Analysis(*(stored[field] for field in Analysis._fields))


def predictor_spectra(samples: np.ndarray, features: np.ndarray, frames: dict[str, int]) -> pd.DataFrame:
    """Spectra of some frames of a signal (samples,) beside the envelopes 1 / |A(f)| that their cepstra imply.

    `frames` are indices of feature rows (T, 20) by name. Table: frame (its name), hertz, spectrum, envelope (dB, both
    of the same energy).
    """
    emphasized = np.concatenate([np.zeros(FRAME), audio.preemphasis(samples * audio.SCALE), np.zeros(6 * FRAME)])
    tables = []
    for name, frame in frames.items():
        window = emphasized[frame * FRAME :][:WINDOW] * cepstrum.VORBIS_WINDOW
        spectrum = 20 * np.log10(np.abs(np.fft.rfft(window)) + 1e-3)
        lpc = lpc_from_cepstrum(features[frame : frame + 1, FEATURES["cepstrum"]])[0]
        envelope = cepstrum.spectrum_from_lpc(lpc)
        envelope += 10 * np.log10(np.mean(10 ** (spectrum / 10)) / np.mean(10 ** (envelope / 10)))
        hertz = np.arange(len(spectrum)) * audio.RATE / WINDOW
        tables.append(pd.DataFrame({"frame": name, "hertz": hertz, "spectrum": spectrum, "envelope": envelope}))
    return pd.concat(tables, ignore_index=True)


def lag(pitch_feature: np.ndarray) -> np.ndarray:
    """Pitch feature -> pitch lag in samples, limited to 33..255 as the network's embedding needs (section 8)."""
    return np.clip((0.1 + 50.0 * np.asarray(pitch_feature) + 100.0).astype(np.int64), LAG_MIN + 1, LAG_MAX - 1)


def _advance(state: State, emphasized: np.ndarray, last: bool) -> tuple[Analysis, State]:
    signal = np.concatenate([state.signal, emphasized.astype(np.float32)])
    packets = (len(signal) - FRAME) // PACKET_SAMPLES
    if last:
        packets = -(-(len(signal) - FRAME + OFFSET) // PACKET_SAMPLES)
        signal = np.concatenate([signal, np.zeros(FRAME + packets * PACKET_SAMPLES - len(signal), np.float32)])
    blocks = [_NOTHING]
    for p in range(0, packets, BLOCK):
        end = min(p + BLOCK, packets)
        block, state = _analyze_block(signal[p * PACKET_SAMPLES : end * PACKET_SAMPLES + FRAME], state)
        blocks.append(block)
    analysis = Analysis(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))
    return analysis, state._replace(signal=signal[packets * PACKET_SAMPLES :].copy())


def _analyze_block(signal: np.ndarray, state: State) -> tuple[Analysis, State]:
    """Analysis of (160 + 640 P,) pre-emphasized samples, the first 160 of which have been analysed before."""
    windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::FRAME]
    cepstra = cepstrum.from_windows(windows)
    residual, d = pitch.residual(signal, lpc_from_cepstrum(cepstra), state.d)
    residual = np.concatenate([state.residual, residual])
    xc, energies = pitch.correlations(residual)
    lags, weights, correlation, score, best, gain = pitch.track(
        xc, energies, state.score.copy(), state.best, state.gain, state.clean
    )
    mean_lags = lags.reshape(-1, SUBFRAMES // PACKET).mean(axis=1)
    features = np.column_stack([cepstra, 0.02 * (mean_lags - 100.0), np.repeat(correlation, PACKET) - np.float32(0.5)])
    kept = residual[-LAG_MAX:].copy()
    state = state._replace(residual=kept, d=np.float32(d), score=score, best=best, gain=np.float32(gain))
    return Analysis(features.astype(np.float32), lags, weights, correlation), state


_NOTHING = Analysis(
    np.zeros((0, BANDS + 2), np.float32),
    np.zeros((0, SUBFRAMES), np.int32),
    np.zeros((0, SUBFRAMES), np.float32),
    np.zeros(0, np.float32),
)


def export(source: str | Path, target: str | Path, clean: bool = False) -> tuple[int, float]:
    """Audio file -> npz file with features (T, 20), their columns, lpc (T, 16), lags, weights, correlation, samples.

    Returns T and the seconds of the audio. `clean` as in `analyze`. Raises `PcodecError` as `audio.read` does.
    """
    samples = audio.read(source)
    paths.check_target(target, Path(source))
    analysis = analyze(samples, clean)
    lpc = lpc_from_cepstrum(analysis.features[:, FEATURES["cepstrum"]])
    with paths.replacing(Path(target)) as temporary, open(temporary, "wb") as file:
        np.savez(file, **analysis._asdict(), columns=np.array(COLUMNS), lpc=lpc, samples=len(samples))
    return len(analysis.features), len(samples) / audio.RATE
