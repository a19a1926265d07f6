"""The encoder learns who sounds like whom, repeats, and continues after a kill to the same result."""

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.speakers import embedding, verification, voiceprint
from pcodec.speech import audio


@pytest.fixture(scope="module")
def mels(demo):
    def of(split):
        rows = demo[demo.split == split].groupby("speaker").head(4)
        return [voiceprint.log_mel(audio.read(path)) for path in rows.path], rows.speaker.tolist()

    return {split: of(split) for split in ("train", "validation", "test")}


def trained(mels, updates=30, **options):
    torch.manual_seed(1)
    encoder = embedding.SpeakerEncoder()
    settings = {"speakers_per_batch": 16, "seconds": (1.0, 2.0)} | options
    losses = embedding.fit(encoder, mels["train"], mels["validation"], updates, **settings)
    return encoder, losses


def unseen_error(encoder, mels):
    unseen, speakers = (mels["validation"][i] + mels["test"][i] for i in (0, 1))
    z = embedding.embed(encoder, unseen)
    return verification.equal_error_rate(verification.trials(z @ z.T, speakers))[0]


def test_at_speed_raises_the_pitch():
    tone = np.sin(2 * np.pi * 500 * np.arange(16000) / 16000).astype(np.float32)
    faster = embedding.at_speed(tone, 1.1)
    assert len(faster) == pytest.approx(16000 / 1.1, abs=2)
    assert np.abs(np.fft.rfft(faster[1000:11000])).argmax() * 1.6 == pytest.approx(550, abs=2)


def test_noise_has_the_asked_level(mels):
    mel = torch.tensor(np.stack([one[:100] for one in mels["train"][0][:4]]))
    noisy = embedding.add_noise(mel, np.array([-5.0, 0.0, 10.0, 60.0]), np.random.default_rng(1))
    added = (noisy.exp() - mel.exp()).sum(dim=(1, 2)) / mel.exp().sum(dim=(1, 2))
    assert -10 * torch.log10(added).numpy() == pytest.approx([-5.0, 0.0, 10.0, 60.0], abs=0.2)


def test_pair_loss_is_equation_1():
    z = torch.tensor([[2.0, 0.0], [1.0, 0.0], [-1.0, 1.0]])
    who = torch.tensor([0, 0, 1])

    def sigma(x):
        return 1 / (1 + np.exp(-x))

    same = -np.log(sigma(2.0))
    different = -np.mean([np.log(1 - sigma(-2.0)), np.log(1 - sigma(-1.0))])
    assert embedding.pair_loss(z, who).item() == pytest.approx((same + different) / 2, abs=1e-6)


def test_training_separates_unseen_speakers_and_repeats(mels):
    encoder, losses = trained(mels)
    assert unseen_error(encoder, mels) < 0.35, "chance is 0.5"
    again, _ = trained(mels)
    assert np.array_equal(embedding.embed(again, mels["test"][0][:3]), embedding.embed(encoder, mels["test"][0][:3]))
    assert losses[losses.split == "validation"].loss.iloc[0] == pytest.approx(np.log(2), abs=0.15)


def test_a_killed_training_continues_to_the_same_result(mels, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "CHECK_EVERY", 4)
    whole, losses = trained(mels, updates=10)
    calls = []

    def killed(z, who):
        calls.append(None)
        if len(calls) > 13:  # two validations of four batches each and five updates
            raise KeyboardInterrupt
        return pair_loss(z, who)

    pair_loss = embedding.pair_loss
    monkeypatch.setattr(embedding, "pair_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(mels, updates=10, checkpoint=tmp_path / "c.pt")
    monkeypatch.setattr(embedding, "pair_loss", pair_loss)
    resumed, continued = trained(mels, updates=10, checkpoint=tmp_path / "c.pt")
    pd.testing.assert_frame_equal(continued, losses)
    assert np.array_equal(embedding.embed(resumed, mels["test"][0][:2]), embedding.embed(whole, mels["test"][0][:2]))
    swapped = mels | {"train": (mels["train"][0], mels["train"][1][::-1])}
    _, other = trained(swapped, updates=10, checkpoint=tmp_path / "c.pt")
    assert not np.allclose(other.loss.iloc[:5], losses.loss.iloc[:5])
    (tmp_path / "c.pt").write_bytes(b"PK half")
    with pytest.raises(PcodecError, match=r"c\.pt: damaged"):
        trained(mels, updates=10, checkpoint=tmp_path / "c.pt")
    (tmp_path / "c.pt").unlink()
    _, other = trained(mels, updates=10, checkpoint=tmp_path / "c.pt", seed=2)
    assert not np.allclose(other.loss.iloc[:5], losses.loss.iloc[:5]), "a checkpoint of another task is not resumed"


def test_training_stops_when_it_no_longer_helps(mels, monkeypatch):
    monkeypatch.setattr(embedding, "CHECK_EVERY", 2)
    _, losses = trained(mels, updates=40, learning_rate=1e-9, patience=4)
    assert losses["update"].max() < 40


def test_random_segments_leave_out_who_has_too_little():
    mels = [np.full((n, 40), i, np.float32) for i, n in enumerate((90, 250, 120))]
    pieces, which = embedding.random_segments(mels, ["a", "b", "b"], 1.0, 5, np.random.default_rng(1))
    assert pieces.shape == (5, 100, 40) and set(which) <= {1, 2} and (pieces[:, 0, 0] == which).all()
    pieces, which = embedding.random_segments(mels, ["a", "b", "b"], 9.0, 5, np.random.default_rng(1))
    assert pieces.shape == (0, 900, 40) and len(which) == 0
    assert embedding.embed(embedding.SpeakerEncoder(), pieces).shape == (0, 32)


def test_weights_survive_a_file(mels, tmp_path):
    encoder, _ = trained(mels, updates=1)
    encoder.save(tmp_path / "e.safetensors", seed=1)
    z = embedding.embed(embedding.SpeakerEncoder.load(tmp_path / "e.safetensors"), mels["test"][0][:2])
    assert np.array_equal(z, embedding.embed(encoder, mels["test"][0][:2]))
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for name in ("bad.safetensors", "missing.safetensors"):
        with pytest.raises(PcodecError, match=name):
            embedding.SpeakerEncoder.load(tmp_path / name)


def test_refusals(mels):
    with pytest.raises(PcodecError, match="at least two validation speakers"):
        embedding.fit(embedding.SpeakerEncoder(), mels["train"], (mels["test"][0][:1], ["a"]), 1)
