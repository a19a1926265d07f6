"""log-mels and embeddings without PyTorch are those of PyTorch, at any level and length."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch, torchaudio
from pcodec.speakers import embedding, voiceprint


def test_log_mel_is_torchaudio_s(speech):
    mel = torchaudio.transforms.MelSpectrogram(16000, n_fft=512, win_length=400, hop_length=160, n_mels=40)
    noisy = np.tile(speech, 8) + np.random.default_rng(1).normal(0, 1e-3, 8 * len(speech)).astype(np.float32)
    found = voiceprint.log_mel(noisy)  # more than one block
    assert len(found) > voiceprint.BLOCK and found.dtype == np.float32
    assert found == pytest.approx(torch.log(mel(torch.tensor(noisy)) + 1e-6).numpy().T, abs=1e-3)


def test_log_mel_follows_level_and_the_encoder_does_not(speech):
    speech = speech + np.random.default_rng(1).normal(0, 0.003, len(speech))  # no digital silence: its log is a floor
    loud, soft = voiceprint.log_mel(speech), voiceprint.log_mel(speech / 4)
    assert loud.shape == (1 + len(speech) // 160, 40)
    assert np.median(loud - soft) == pytest.approx(2 * np.log(4), rel=0.02)
    torch.manual_seed(1)
    first, second = voiceprint.embed(embedding.SpeakerEncoder().arrays(), [loud, soft])
    assert np.abs(first - second).max() < 0.05 * np.abs(first).max()


def test_silence_is_what_lpcnet_calls_silence():
    quiet = np.full(480, np.sqrt(4999 / 160) / 32768)
    loud = np.full(480, np.sqrt(5001 / 160) / 32768)
    assert voiceprint.is_silent(np.concatenate([quiet, loud, quiet[:100]])).tolist() == [True] * 3 + [False] * 3


def test_compiled_encoder_is_pytorch_s(speech):
    torch.manual_seed(1)
    encoder, mels = embedding.SpeakerEncoder(), [voiceprint.log_mel(speech[:n]) for n in (16000, 24000)]
    with torch.no_grad():
        encoder.mean.copy_(torch.tensor(mels[0].mean(axis=0)))
        expected = [encoder(torch.tensor(mel)[None])[0].numpy() for mel in mels]
    assert voiceprint.embed(encoder.arrays(), mels) == pytest.approx(np.stack(expected), abs=2e-5)


def test_too_short():
    with pytest.raises(PcodecError, match="399 samples are too short"):
        voiceprint.log_mel(np.zeros(399))
