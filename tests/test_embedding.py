import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError, audio, embedding
from pcodec.backend import torch


@pytest.fixture(scope="module")
def mels(demo):
    def of(split):
        rows = demo[demo.split == split].groupby("speaker").head(4)
        return [embedding.log_mel(audio.read(path)) for path in rows.path], rows.speaker.tolist()

    return {split: of(split) for split in ("train", "validation", "test")}


def trained(mels, updates=30):
    torch.manual_seed(1)
    encoder = embedding.SpeakerEncoder()
    losses = embedding.fit(encoder, mels["train"], mels["validation"], updates)
    return encoder, losses


def test_log_mel_is_blind_to_level(speech):
    loud, soft = embedding.log_mel(speech), embedding.log_mel(speech / 4)
    assert loud.shape == (1 + len(speech) // 160, 40)
    assert loud.mean() == pytest.approx(0, abs=1e-4)
    strong = loud > 0
    assert np.abs(loud - soft)[strong].mean() < 0.3


def test_pair_loss_is_equation_1():
    z = torch.tensor([[2.0, 0.0], [1.0, 0.0], [-1.0, 1.0]])
    who = torch.tensor([0, 0, 1])

    def sigma(x):
        return 1 / (1 + np.exp(-x))

    same = -np.log(sigma(2.0))
    different = -np.mean([np.log(1 - sigma(-2.0)), np.log(1 - sigma(-1.0))])
    assert embedding.pair_loss(z, who).item() == pytest.approx((same + different) / 2, abs=1e-6)


def test_equal_error_rate_of_planted_scores():
    rng = np.random.default_rng(1)
    same = np.repeat([True, False], 5000)
    apart = pd.DataFrame({"score": np.where(same, 5.0, -5.0) + rng.uniform(-1, 1, 10000), "same": same})
    assert embedding.equal_error_rate(apart)[0] == 0.0
    two_sigma = pd.DataFrame({"score": rng.normal(np.where(same, 1.0, -1.0), 1.0), "same": same})
    rate, threshold = embedding.equal_error_rate(two_sigma)
    assert rate == pytest.approx(0.1587, abs=0.012) and threshold == pytest.approx(0.0, abs=0.1)
    with pytest.raises(PcodecError, match="same speaker and of different"):
        embedding.equal_error_rate(apart[apart.same])


def test_trials_are_all_pairs():
    table = embedding.trials(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), np.array(["a", "a", "b"]))
    assert table.score.tolist() == [2.0, 0.0, 0.0] and table.same.tolist() == [True, False, False]


def test_training_separates_unseen_speakers_and_repeats(mels):
    encoder, losses = trained(mels)
    unseen, speakers = (mels["validation"][i] + mels["test"][i] for i in (0, 1))
    rate, _ = embedding.equal_error_rate(embedding.trials(embedding.embed(encoder, unseen), speakers))
    assert rate < 0.35, "chance is 0.5"
    again, _ = trained(mels)
    assert np.array_equal(embedding.embed(again, unseen[:3]), embedding.embed(encoder, unseen[:3]))
    assert losses[losses.split == "validation"].loss.iloc[0] == pytest.approx(np.log(2), abs=0.15)


def test_weights_survive_a_file(mels, tmp_path):
    encoder, _ = trained(mels, updates=1)
    encoder.save(tmp_path / "e.safetensors", seed=1)
    z = embedding.embed(embedding.SpeakerEncoder.load(tmp_path / "e.safetensors"), mels["test"][0][:2])
    assert np.array_equal(z, embedding.embed(encoder, mels["test"][0][:2]))


def test_segments_cover_and_keep_short_utterances():
    pieces, which = embedding.segments([np.zeros((250, 40)), np.zeros((30, 40))], 1.0)
    assert [len(piece) for piece in pieces] == [100, 100, 30] and which.tolist() == [0, 0, 1]


def test_refusals(mels):
    with pytest.raises(PcodecError, match="at least two validation speakers"):
        embedding.fit(embedding.SpeakerEncoder(), mels["train"], (mels["test"][0][:1], ["a"]), 1)
    with pytest.raises(PcodecError, match="399 samples are too short"):
        embedding.log_mel(np.zeros(399))
