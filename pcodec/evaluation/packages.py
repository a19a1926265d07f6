"""Objective measures that other people's packages define, as functions of two signals.

Task: PESQ, STOI, and networks that predict what listeners would say. Packages of the extras `quality` and `anchors` are
imported when a measure is called.

Conventions: signals (samples,) at 16 kHz in [-1, 1], reference and decoded, aligned and of one length. Networks run on
one thread, because other files are rated beside. What each says is in `pcodec.evaluation.metrics.MEASURES`.

Contents: `pesq_wideband`, `stoi`, `speaker_similarity`, `dnsmos`, `distillmos`, `visqol`.
"""

import contextlib
import functools
import io
import warnings
from pathlib import Path

import numpy as np

from pcodec import PcodecError
from pcodec.features.cepstrum import FRAME
from pcodec.speech import audio


def pesq_wideband(reference: np.ndarray, decoded: np.ndarray) -> float:
    """PESQ MOS-LQO of two signals (samples,) at 16 kHz (ITU-T P.862.2)."""
    from pesq import PesqError, pesq

    try:
        return float(pesq(audio.RATE, reference, decoded, "wb"))
    except PesqError as error:  # no utterance, or too short a signal
        raise PcodecError(f"PESQ cannot rate the signal: {type(error).__name__}") from None


def stoi(reference: np.ndarray, decoded: np.ndarray, extended: bool = False) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), or the extended one (Jensen & Taal 2016)."""
    from pystoi import stoi as pystoi

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi(reference, decoded, audio.RATE, extended))
        except RuntimeWarning:  # it would return 1e-5 as if that were a rating
            raise PcodecError("STOI cannot rate the signal: less than 0.4 s of it are not silent") from None


def speaker_similarity(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Cosine of resemblyzer's speaker embeddings."""
    first, second = (_speaker_encoder().embed_utterance(signal) for signal in (reference, decoded))
    return float(first @ second)


def dnsmos(reference: np.ndarray, decoded: np.ndarray) -> float:
    """DNSMOS P.808 of the decoded signal; the reference is not heard (Reddy et al. 2021).

    As speechmos computes it, mean over windows of 9 s, every second, without the three other ratings that cost most.
    """
    from speechmos.dnsmos import DNSMOS, INPUT_LENGTH

    window = int(INPUT_LENGTH * audio.RATE)
    signal = np.clip(decoded, -1.0, 1.0)
    while len(signal) < window:
        signal = np.append(signal, signal)
    ratings = []
    for second in range(int(len(signal) // audio.RATE - INPUT_LENGTH) + 1):
        start = second * audio.RATE
        mel = DNSMOS.audio_melspec(None, signal[start : start + window - FRAME])
        ratings.append(_dnsmos_session().run(None, {"input_1": mel[None].astype(np.float32)})[0][0][0])
    return float(np.mean(ratings))


def distillmos(reference: np.ndarray, decoded: np.ndarray) -> float:
    """DistillMOS of the decoded signal; the reference is not heard (Stahl & Gamper 2025)."""
    from pcodec.compute.backend import torch

    with torch.no_grad():
        return float(_distillmos()(torch.from_numpy(decoded.astype(np.float32))[None])[0, 0])


def visqol(reference: np.ndarray, decoded: np.ndarray) -> float:
    """ViSQOL in speech mode, MOS-LQO by its polynomial (Chinen et al. 2020)."""
    return float(_visqol().measure_from_arrays(reference, decoded, audio.RATE).moslqo)


@functools.cache
def _speaker_encoder():
    from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False)


@functools.cache
def _dnsmos_session():
    import onnxruntime
    import speechmos

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # other files are rated beside
    return onnxruntime.InferenceSession(
        Path(speechmos.__file__).parent / "dnsmos_models" / "model_v8.onnx", options, ["CPUExecutionProvider"]
    )


@functools.cache
def _distillmos():
    from pcodec.compute import backend
    from pcodec.compute.backend import torchaudio  # noqa: F401, made importable for what comes next
    from distillmos import ConvTransformerSQAModel  # isort: skip

    backend.keep_memory()  # a file takes hundreds of megabytes, and a sixth of its time to get them anew
    with contextlib.redirect_stdout(io.StringIO()):  # it says where its weights are
        return ConvTransformerSQAModel().eval()


@functools.cache
def _visqol():
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api
