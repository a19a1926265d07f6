import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError, training
from pcodec.backend import torch
from pcodec.lpcnet import LPCNet, LPCNetConfig

SMALL = LPCNetConfig(units=16, conditioning=16, signal_embedding=8, pitch_embedding=4)


def test_loss_of_a_model_that_knows_nothing_is_ln_256(dataset):
    model = LPCNet(SMALL, seed=1)
    model.sample.dual_fc.factors.data.zero_()
    losses = training.evaluate(model, dataset)
    assert losses.nats.to_numpy() == pytest.approx(np.full(len(losses), np.log(256)), abs=1e-5)
    assert list(losses.utterance) == list(dataset.utterances.utterance)


def test_training_learns_resumes_and_repeats(dataset, tmp_path, monkeypatch):
    options = {"updates": 24, "batch": 16, "sequence": 480, "learning_rate": 0.01, "evaluations": 3}

    def fresh():
        return LPCNet(SMALL, seed=1)

    whole = fresh()
    history = training.fit(whole, dataset, dataset, **options)
    means = history.groupby("update").nats.mean()
    assert list(means.index) == [0, 8, 16, 24] and means[24] < means[0] - 0.3

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    calls = iter(range(100))

    def killed(*arguments, **keywords):
        if next(calls) == 11:
            raise KeyboardInterrupt
        return original(*arguments, **keywords)

    original = training.sample_loss
    monkeypatch.setattr(training, "evaluate", lambda *a, **k: history[history["update"] == 0][["utterance", "nats"]])
    monkeypatch.setattr(training, "sample_loss", killed)
    checkpoint = tmp_path / "c.pt"
    with pytest.raises(KeyboardInterrupt):
        training.fit(fresh(), dataset, dataset, **options, checkpoint=checkpoint)
    monkeypatch.undo()
    resumed = fresh()
    rest = training.fit(resumed, dataset, dataset, **options, checkpoint=checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    other = fresh()
    training.fit(other, dataset, dataset, **options | {"updates": 2}, checkpoint=checkpoint)
    assert not torch.equal(other.frame.dense1.weight, resumed.frame.dense1.weight), "another task starts anew"
    plain = fresh()
    training.fit(plain, dataset, dataset, **options | {"updates": 2})
    assert torch.equal(other.frame.dense1.weight, plain.frame.dense1.weight)
    tail = [8, 16, 24]
    pd.testing.assert_series_equal(rest[rest["update"].isin([16, 24])].nats.reset_index(drop=True),
                                   history[history["update"].isin(tail[1:])].nats.reset_index(drop=True))  # fmt: skip


def test_pruning_leaves_blocks_and_the_diagonal():
    model = LPCNet(LPCNetConfig(units=64), seed=1)
    gru = model.sample.gru_a
    sparsifier = training.Sparsifier([0.05, 0.05, 0.2], start=0, stop=0)
    before = gru.weight_hh_l0.detach().clone()
    sparsifier(gru, 0)
    for gate, density in zip(gru.weight_hh_l0.detach().chunk(3), (0.05, 0.05, 0.2), strict=True):
        assert (gate.diagonal() != 0).all()
        off = gate.masked_fill(torch.eye(64, dtype=torch.bool), 0.0)
        blocks = (off.reshape(4, 16, 64) != 0).float()
        on_diagonal = torch.eye(64).reshape(4, 16, 64).sum(dim=1) > 0
        filled = blocks.mean(dim=1)
        assert ((filled == 0) | (filled == 1) | (on_diagonal & (filled == 15 / 16))).all()
        assert (filled > 0).float().mean().item() == pytest.approx(density, abs=0.01)
    kept = gru.weight_hh_l0.detach() != 0
    assert torch.equal(gru.weight_hh_l0.detach()[kept], before[kept])
    lazy = training.Sparsifier([0.05, 0.05, 0.2])
    lazy(gru := LPCNet(LPCNetConfig(units=64), seed=1).sample.gru_a, 1999)
    assert torch.equal(gru.weight_hh_l0.detach(), before)


def test_refusals(dataset):
    with pytest.raises(PcodecError, match="multiple of 160 samples, got 500"):
        training.fit(LPCNet(SMALL), dataset, dataset, 1, sequence=500)
    with pytest.raises(PcodecError, match="cannot train with batch 0"):
        training.fit(LPCNet(SMALL), dataset, dataset, 1, batch=0)
    with pytest.raises(PcodecError, match="hold no sequence of 1600000"):
        training.fit(LPCNet(SMALL), dataset, dataset, 1, sequence=1600000)
