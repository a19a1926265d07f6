"""Decoders learn, from the speech that they should hear, in the order and at the rate that the notebook says."""

import copy

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.learning import checkpoint
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


OPTIONS = {"updates": 24, "batch": 16, "sequence": 160, "learning_rate": 0.04, "evaluations": 3}
OPTIONS |= {"evaluation_seconds": 0.3}


def test_a_killed_training_continues_with_its_states(dataset, tmp_path, monkeypatch):
    """Streams, recurrent states, optimizers and averages: the weights are those of a training in one piece."""

    def fit(model, **more):
        return training.fit(model, draws(dataset), dataset, average=0.5, **OPTIONS | more)

    whole = LPCNet(SMALL, seed=1)
    history = fit(whole)
    means = history.groupby("update").nats.mean()
    assert list(means.index) == [0, 8, 16, 24] and means[24] < means[0] - 0.3

    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    item = training._Streams.__getitem__

    def killed(self, update):
        if update == 13:
            raise KeyboardInterrupt
        return item(self, update)

    monkeypatch.setattr(training._Streams, "__getitem__", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(LPCNet(SMALL, seed=1), checkpoint=tmp_path / "c.pt")
    monkeypatch.undo()
    resumed = LPCNet(SMALL, seed=1)
    rest = fit(resumed, checkpoint=tmp_path / "c.pt")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    pd.testing.assert_frame_equal(rest, history)


def test_the_reference_s_optimizer_learns_too(dataset):
    history = training.fit(LPCNet(SMALL, seed=1), draws(dataset), dataset, optimizer="adam", **OPTIONS)
    means = history.groupby("update").nats.mean()
    assert means[24] < means[0] - 0.3


def test_another_training_s_checkpoint_is_not_continued(dataset, tmp_path, monkeypatch):
    """Other speech, or another batch, is another training."""
    monkeypatch.setattr(training, "evaluate", lambda *_: dataset.utterances.assign(nats=0.0))
    options = OPTIONS | {"updates": 1, "evaluations": 1, "checkpoint": tmp_path / "c.pt"}
    other = dataset.of_speakers(dataset.utterances.speaker[:3])
    for data, more in ((dataset, {}), (other, {}), (dataset, {"batch": 8})):
        models = [LPCNet(SMALL, seed=1) for _ in range(2)]
        training.fit(models[0], draws(data), dataset, **options | more)
        training.fit(models[1], draws(data), dataset, **options | more | {"checkpoint": None})
        assert torch.equal(models[0].frame.dense1.weight, models[1].frame.dense1.weight)


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


def test_stages_of_a_decoder():
    rates = {"learning_rate": 0.004, "extra_learning_rate": 0.001, "decay": 0.1}

    def stages(role, scratch=False, before=0, unquantized=0):
        return training.stages(role, scratch, before, 100, 20, unquantized, **rates)

    assert stages("general") == [(True, 100, 0.004, 0.1)]
    assert stages("general", before=100) == []
    assert stages("control") == stages("group") == [(True, 20, 0.001, 0.0)]
    assert stages("group", scratch=True, unquantized=7) == [(True, 127, 0.004, 0.1)]
    assert stages("general", unquantized=7) == [(False, 7, 0.004, 0.1), (True, 100, 0.001, 0.0)]


def test_the_second_stage_adapts_the_frame_network_alone(dataset, tmp_path):
    """First from unquantized features, everything; then from quantized ones, the frame network; updates count on."""
    asked, model = [], LPCNet(SMALL, seed=1)
    weights = []

    def examples(number, quantized):
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        asked.append(quantized)
        return dataset

    parts = [training.Stage(False, 3, 0.01), training.Stage(True, 2, 0.01)]
    options = {"batch": 4, "sequence": 160, "evaluations": 1, "evaluation_seconds": 0.3}
    history = training.fit_stages(model, parts, examples, dataset, tmp_path / "c.pt", [], **options)
    assert asked == [False, True] and sorted(set(history["update"])) == [0, 3, 5]
    first, middle, last = *weights, model.state_dict()
    moved = [
        {name for name in first if not torch.equal(a[name], b[name])} for a, b in ((first, middle), (middle, last))
    ]
    assert {name.split(".")[0] for name in moved[0]} == {"frame", "sample"}
    assert moved[1] and all(name.startswith("frame.") for name in moved[1])
    assert {path.name for path in tmp_path.iterdir()} == {"c-0.pt", "c-1.pt"}
    assert all(weight.requires_grad for weight in model.parameters())
    model.provenance["updates"] = 5
    none = training.fit_stages(model, [], examples, dataset, tmp_path / "c.pt", [], **options)
    assert list(none["update"].unique()) == [5]


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
    moved = copy.deepcopy(model)
    gru = moved.sample.gru_a
    gru.weight_hh_l0.data += 0.001
    training.Sparsifier.of(model)(gru, 0)
    assert torch.equal(gru.weight_hh_l0.detach() != 0, kept), "a decoder that learns more stays as sparse as it was"
    assert training.Sparsifier.of(LPCNet(LPCNetConfig(units=64), seed=1)) is None
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_learns_the_same(dataset):
    options = {"updates": 3, "batch": 4, "sequence": 160, "evaluations": 1, "precision": "float32"}
    losses = {}
    for device in ("cpu", "cuda"):
        history = training.fit(LPCNet(SMALL, seed=1).to(device), draws(dataset), dataset, **options)
        losses[device] = history.groupby("update").nats.mean().to_numpy()
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=0.01)
