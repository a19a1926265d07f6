"""SoundStream on samples has the paper's size, sees no future, is not late, and learns."""

import pytest
import torch

from pcodec.soundstream import training
from pcodec.soundstream.wave import WAVES, WaveConfig, WaveStream
from pcodec.speech import audio


def test_sizes():
    """Counted by hand from the paper's layers: 2.46 and 0.66 million weights at 64 latent dimensions."""
    for size, millions in (("wave-16", 2.46), ("wave-8", 0.66)):
        model = WaveStream(WAVES[size])
        count = sum(weight.numel() for part in (model.encoder, model.decoder) for weight in part.parameters())
        assert count / 1e6 == pytest.approx(millions, abs=0.02)
        assert WAVES[size].size == size


def test_nothing_of_the_future_and_nothing_late():
    model = WaveStream(WaveConfig(channels=4, latent=16), seed=1).eval().double()  # no small change is rounded away
    signals = 0.1 * torch.randn(1, 320 * 12, generator=torch.Generator().manual_seed(1)).double()
    other = signals.clone()
    other[:, 320 * 7 :] += 0.1
    with torch.no_grad():
        latents, changed = model.encoder(signals), model.encoder(other)
        assert latents.shape == (1, 12, 16)
        assert torch.equal(latents[:, :7], changed[:, :7]) and not torch.equal(latents[:, 7], changed[:, 7])
        written, others = model.write(latents), model.write(changed)
    assert written.shape == signals.shape
    differs = (written != others)[0].nonzero()[0].item()
    assert differs == 320 * 7, "a frame is heard at once"


def test_it_learns(demo):
    rows = demo[demo.split == "train"].groupby("speaker").head(2).iloc[:6]
    speech = training.Speech.of((row.utterance, row.speaker, audio.read(row.path)) for row in rows.itertuples())
    model = WaveStream(WaveConfig(channels=4, latent=16), seed=1)
    before = training.evaluate(model, speech, 0).loss.mean()
    options = {"updates": 12, "unquantized": 12, "batch": 3, "frames": 8, "evaluations": 1, "learning_rate": 5e-3}
    training.fit(model, speech, speech, **options)
    assert training.evaluate(model, speech, 0).loss.mean() < 0.9 * before
