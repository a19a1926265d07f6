"""Promises that the recognizer's encoder is CTranslate2's, number by number, and says what it lacks."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.learning import recognizer

needed = pytest.mark.skipif(not recognizer.available(), reason="the extra recognizer is not installed")


def test_bands_are_slaney_s():
    bands = recognizer.bands()
    assert bands.shape == (201, 80)
    librosa = pytest.importorskip("librosa")
    np.testing.assert_allclose(bands.T, librosa.filters.mel(sr=16000, n_fft=400, n_mels=80), atol=1e-6)


@pytest.mark.parametrize("length", [0, 1, 100, 161, 16000])
def test_a_frame_every_ten_milliseconds(length):
    mel = recognizer.log_mel(np.random.default_rng(1).normal(size=length) * 0.1)
    assert mel.shape == (length // 160, 80) and np.isfinite(mel).all()


def test_a_tone_is_in_its_band():
    mel = recognizer.log_mel(0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000))
    peak = recognizer.bands()[25].argmax()  # 1000 Hz is bin 25
    assert (mel.argmax(axis=1)[5:-5] == peak).all()


@needed
def test_the_encoder_is_ctranslate2_s(speech):
    ctranslate2 = pytest.importorskip("ctranslate2")
    folder = Path(importlib.util.find_spec(recognizer.PACKAGE).origin).parent / "model"
    mel = recognizer.scaled(torch.from_numpy(recognizer.log_mel(np.resize(speech, 30 * 16000)))[None])
    with torch.no_grad():
        found = recognizer.Recognizer.load()(mel)
    model = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32")
    heard = np.ascontiguousarray(mel[0].numpy().T[None])
    np.testing.assert_allclose(
        found[-1].numpy(), np.array(model.encode(ctranslate2.StorageView.from_array(heard))), atol=1e-3, rtol=1e-3
    )
    assert [each.shape for each in found] == [(1, 1500, 384)] * 4


@needed
def test_too_long_is_refused():
    with pytest.raises(PcodecError, match="at most 30 s"):
        recognizer.Recognizer.load()(torch.zeros(1, 3008, 80))


def test_without_the_extra_it_says_so(monkeypatch):
    monkeypatch.setattr(recognizer, "available", lambda: False)
    with pytest.raises(PcodecError, match="make recognizer"):
        recognizer.Recognizer.load()


@needed
def test_other_weights_are_refused(monkeypatch):
    monkeypatch.setattr(recognizer, "WEIGHTS", "0" * 64)
    with pytest.raises(PcodecError, match="not the weights"):
        recognizer.Recognizer.load()
