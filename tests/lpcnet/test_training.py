import itertools

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.lpcnet import training
from pcodec.lpcnet.model import LPCNet, LPCNetConfig

SMALL = LPCNetConfig(units=16, conditioning=16, signal_embedding=8, pitch_embedding=4)


def draws(dataset):
    """A data set that is the same in every draw."""
    return lambda number: dataset


def test_loss_of_a_model_that_knows_nothing_is_ln_256(dataset):
    model = LPCNet(SMALL, seed=1)
    model.sample.dual_fc.factors.data.zero_()
    losses = training.evaluate(model, dataset)
    assert losses.nats.to_numpy() == pytest.approx(np.full(len(losses), np.log(256)), abs=1e-5)
    assert list(losses.utterance) == list(dataset.utterances.utterance)


def test_evaluation_hears_stretches_after_a_warm_up(dataset):
    """The same in one piece: 0.1 s not counted, 0.3 s counted, mean of an utterance's stretches."""
    model = LPCNet(SMALL, seed=1)
    losses = training.evaluate(model, dataset, batch=64)
    starts, which = dataset.starts(40)
    utterance = dataset.utterances.utterance[which[0]]
    with torch.no_grad():
        whole, _ = training.sample_loss(model, *dataset.batch(starts[which == which[0]], 40))
    counted = whole[:, 1600:].mean(dim=1).numpy()
    nats = losses.set_index("utterance").nats
    assert len(counted) > 2 and nats[utterance] == pytest.approx(counted.mean(), abs=1e-5)
    short = training.evaluate(model, dataset, seconds=0.6).set_index("utterance").nats
    n = len(counted)
    assert short[utterance] == pytest.approx(counted[[int(0.25 * n), int(0.75 * n)]].mean(), abs=1e-5)


def test_streams_follow_the_speech(dataset):
    """Every chunk of an epoch once; a chunk is fresh unless it continues the one before in its stream."""
    streams = training._Streams(draws(dataset), 3, 4, True, 1, 1, "cpu")
    streams[0]
    order, fresh = streams.order, streams.fresh
    assert len(np.unique(order)) == order.size > 100
    assert fresh[0].all() and fresh.mean() < 0.5
    continues = order[1:] == order[:-1] + 3
    assert np.array_equal(continues, ~fresh[1:])
    shuffled = training._Streams(draws(dataset), 3, 4, False, 1, 1, "cpu")
    shuffled[0]
    assert shuffled.fresh.all() and (shuffled.order[1:] == shuffled.order[:-1] + 3).mean() < 0.1


def test_data_is_drawn_anew_and_not_kept(dataset):
    asked = []

    def draw(number):
        asked.append(number)
        return dataset

    streams = training._Streams(draw, 3, 4, True, 2, 1, "cpu")
    for update in range(4 * streams.per_epoch + 1):
        if update % streams.per_epoch == 0:
            streams[update]
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_training_learns_resumes_and_repeats(optimizer, dataset, tmp_path, monkeypatch):
    options = {
        "optimizer": optimizer,
        "updates": 48,
        "batch": 16,
        "sequence": 160,
        "learning_rate": 0.02,
        "evaluations": 3,
    }
    options |= {"evaluation_seconds": 0.3}

    def fresh():
        return LPCNet(SMALL, seed=1)

    def fit(model, **more):
        return training.fit(model, draws(dataset), dataset, **options | more)

    whole = fresh()
    history = fit(whole)
    means = history.groupby("update").nats.mean()
    assert list(means.index) == [0, 16, 32, 48] and means[48] < means[0] - 0.3

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    calls = iter(range(1000))
    original = training._Streams.__getitem__

    def killed(self, update):
        if next(calls) == 21:
            raise KeyboardInterrupt
        return original(self, update)

    monkeypatch.setattr(training._Streams, "__getitem__", killed)
    checkpoint = tmp_path / "c.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(), checkpoint=checkpoint)
    monkeypatch.undo()
    resumed = fresh()
    rest = fit(resumed, checkpoint=checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    pd.testing.assert_frame_equal(rest, history)
    other = fresh()
    fit(other, updates=2, checkpoint=checkpoint)
    assert not torch.equal(other.frame.dense1.weight, resumed.frame.dense1.weight), "another task starts anew"
    plain = fresh()
    fit(plain, updates=2)
    assert torch.equal(other.frame.dense1.weight, plain.frame.dense1.weight)


@pytest.mark.parametrize("carry", [True, False])
def test_states_go_on_where_the_speech_does(carry, dataset, monkeypatch):
    """What an update is given: the states that the last one ended with, zeros where a stream goes elsewhere."""
    given, left, fresh = [], [], []
    loss, item = training.sample_loss, training._Streams.__getitem__

    def watched_loss(model, features, codes, states=None, precision=torch.float32):
        losses, after = loss(model, features, codes, states, precision)
        if torch.is_grad_enabled():
            given.append(states)
            left.append([state.detach().clone() for state in after])
        return losses, after

    def watched_item(streams, update):
        chunk = item(streams, update)
        fresh.append(chunk[2])
        return chunk

    monkeypatch.setattr(training, "sample_loss", watched_loss)
    monkeypatch.setattr(training._Streams, "__getitem__", watched_item)
    options = {"batch": 4, "sequence": 160, "carry": carry, "evaluations": 1, "evaluation_seconds": 0.3}
    training.fit(LPCNet(SMALL, seed=1), lambda n: dataset, dataset, updates=12, **options)
    assert given[0] is None and len(given) == 12
    assert carry == any(not one.all() for one in fresh[1:])
    for before, now, new in zip(left[:-1], given[1:], fresh[1:], strict=True):
        for old, state in zip(before, now, strict=True):
            assert torch.equal(state, torch.where(new, 0.0, old))


def test_every_trained_parameter_has_one_optimizer():
    model = LPCNet(SMALL, seed=1)
    model.frame.requires_grad_(False)
    adam, muon = training.build_optimizers(model, "muon")
    sample = model.sample
    gru = [getattr(gru, f"weight_{kind}_l0") for gru in (sample.gru_a, sample.gru_b) for kind in ("ih", "hh")]
    by_muon = {id(weight) for weight in [*gru, sample.dual_fc.first.weight, sample.dual_fc.second.weight]}
    assert {id(weight) for weight in muon.param_groups[0]["params"]} == by_muon
    by_adam = {id(weight) for weight in sample.parameters()} - by_muon
    assert {id(weight) for weight in adam.param_groups[0]["params"]} == by_adam
    (adam,) = training.build_optimizers(model, "adam")
    assert len(adam.param_groups[0]["params"]) == len(by_adam) + len(by_muon)


def test_rate_falls_to_zero_and_frozen_parts_stay(dataset, monkeypatch):
    rates = []
    for kind in (torch.optim.Adam, torch.optim.Muon):

        def watched(self, *arguments, step=kind.step):
            rates.append((type(self).__name__, self.param_groups[0]["lr"]))
            return step(self, *arguments)

        monkeypatch.setattr(kind, "step", watched)
    model = LPCNet(SMALL, seed=1)
    model.sample.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training.fit(model, draws(dataset), dataset, 8, batch=4, sequence=160, learning_rate=0.01, decay=0.1, anneal=0.5,
                 evaluations=1, evaluation_seconds=0.3)  # fmt: skip
    decayed = [0.01 / (1 + 0.1 * b) for b in range(8)]
    expected = [rate * min(1, (1 - b / 8) / 0.5) for b, rate in enumerate(decayed)]
    for kind in ("Adam", "Muon"):
        assert [rate for name, rate in rates if name == kind] == pytest.approx(expected)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith("frame.") for name in moved)


def test_one_burst_does_not_end_the_learning(dataset, monkeypatch):
    """A gradient a million times the usual at one update: what is learned afterwards is as good as without it."""
    original, calls, last = training.sample_loss, [0], []

    def bursting(factor):
        def loss(*arguments, **options):
            losses, states = original(*arguments, **options)
            calls[0] += losses.requires_grad
            return losses * (factor if losses.requires_grad and calls[0] == 5 else 1.0), states

        return loss

    for factor in (1.0, 1e6):
        calls[0] = 0
        monkeypatch.setattr(training, "sample_loss", bursting(factor))
        model = LPCNet(SMALL, seed=1)
        found = training.fit(
            model, draws(dataset), dataset, updates=40, batch=8, sequence=160, evaluations=1,
            evaluation_seconds=0.3, optimizer="adam",
        )  # fmt: skip
        last.append(found[found["update"] == 40].nats.mean())
    assert last[1] == pytest.approx(last[0], abs=0.05)


def test_budget_in_seconds(dataset, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(training.time, "monotonic", lambda: 0.02 * next(clock))  # a machine that is never busy
    history = training.fit(LPCNet(SMALL, seed=1), draws(dataset), dataset, seconds=1.0, batch=4, sequence=160,
                           evaluations=2, evaluation_seconds=0.2)  # fmt: skip
    assert history["update"].nunique() == 3 and history["update"].max() > 3
    assert next(clock) * 0.02 >= 1.0


def test_pruning_leaves_blocks_and_the_diagonal():
    model = LPCNet(LPCNetConfig(units=64), seed=1)
    gru = model.sample.gru_a
    sparsifier = training.Sparsifier([0.05, 0.05, 0.2])
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
    lazy = training.Sparsifier([0.05, 0.05, 0.2], start=2000, stop=40_000)
    lazy(gru := LPCNet(LPCNetConfig(units=64), seed=1).sample.gru_a, 1999)
    assert torch.equal(gru.weight_hh_l0.detach(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequence": 500}, "multiple of 160 samples, got 500"),
        ({"batch": 0}, "cannot train with batch 0"),
        ({"sequence": 1600000}, "hold no sequence of 1600000"),
        ({"anneal": 1.5}, "anneal 1.5"),
        ({"optimizer": "sgd"}, "adam or muon, got sgd"),
        ({"updates": 0}, "needs a budget, of updates or of seconds; got 0 and 0"),
        ({"seconds": 3.0}, "got 1 and 3.0"),
        ({"learning_rate": float("inf"), "updates": 3}, "the training loss is nan"),
    ],
)
def test_refusals(dataset, options, message):
    with pytest.raises(PcodecError, match=message):
        training.fit(LPCNet(SMALL, seed=1), draws(dataset), dataset, **{"updates": 1, "batch": 4} | options)
