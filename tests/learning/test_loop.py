"""A training that is killed ends as if it had not been; budget, schedule, averages and patience mean what they say."""

import itertools

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.learning import checkpoint, loop, optimizers


class Line(loop.Task):
    """Fits y = 2 x - 1 with noise; a critic, if there is one, learns the sign of the error."""

    def __init__(self, rate=0.05, critic=False, seed=1):
        torch.manual_seed(seed)
        self.model = torch.nn.Linear(1, 1)
        self.learners = {"model": self.learner(self.model, rate)}
        if critic:
            self.learners["critic"] = self.learner(torch.nn.Linear(1, 1), rate)
        self.seen, self.memory = [], 0.0

    @staticmethod
    def learner(network, rate):
        return loop.Learner(network, [torch.optim.Adam(network.parameters())], optimizers.Annealed(rate))

    def identity(self):
        return "line"

    def losses(self, update):
        x = torch.linspace(-1, 1, 32)[:, None]
        y = 2 * x - 1 + 0.1 * torch.randn(32, 1)  # the loop seeds this for every update
        error = self.model(x) - y
        self.seen.append(update)
        self.memory = 0.9 * self.memory + update
        yield "model", (error**2).mean() + 1e-6 * self.memory
        if "critic" in self.learners:
            moved = self.model(x).detach() - y
            assert not torch.equal(moved, error.detach()), "the model has moved before the critic looks"
            yield "critic", torch.nn.functional.softplus(-self.learners["critic"].network(x) * moved.sign()).mean()

    def evaluate(self):
        return pd.DataFrame({"slope": [self.model.weight.item()], "error": [abs(self.model.bias.item() + 1)]})

    def score(self, evaluation):
        return evaluation.error[0]

    def state(self):
        return self.memory

    def restore(self, state):
        self.memory = state


def weights(task):
    return [weight.detach() for learner in task.learners.values() for weight in learner.network.parameters()]


@pytest.mark.parametrize("critic", [False, True])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_killed_training_ends_as_if_it_had_not_been(critic, average, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    options = {"updates": 40, "evaluations": 4, "average": average}
    whole = Line(critic=critic)
    history = loop.fit(whole, **options)

    class Killed(Line):
        def after(self, update):
            if update == 21:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.fit(Killed(critic=critic), checkpoint=tmp_path / "c.pt", **options)
    resumed = Line(critic=critic)
    again = loop.fit(resumed, checkpoint=tmp_path / "c.pt", **options)
    assert resumed.seen == list(range(21, 40))
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
    pd.testing.assert_frame_equal(again.evaluations, history.evaluations)
    pd.testing.assert_frame_equal(again.training, history.training)
    finished = Line(critic=critic)
    loop.fit(finished, checkpoint=tmp_path / "c.pt", **options)
    assert 0 < checkpoint.hours(tmp_path / "c.pt") < 0.01 and checkpoint.hours() == 0
    assert finished.seen == [] and all(
        torch.equal(a, b) for a, b in zip(weights(whole), weights(finished), strict=True)
    )


def test_a_checkpoint_of_another_training_is_not_continued(tmp_path, capsys):
    loop.fit(Line(), updates=5, checkpoint=tmp_path / "c.pt")
    for task, options in ((Line(seed=2), {}), (Line(rate=0.01), {}), (Line(), {"seed": 2}), (Line(), {"average": 0.5})):
        loop.fit(task, updates=5, checkpoint=tmp_path / "c.pt", **options)
        assert len(task.seen) == 5
        assert "c.pt: of another training, not continued" in capsys.readouterr().err
    (tmp_path / "c.pt").write_bytes(b"PK half")
    with pytest.raises(PcodecError, match=r"c\.pt: damaged checkpoint, delete it"):
        loop.fit(Line(), updates=5, checkpoint=tmp_path / "c.pt")


def test_history_and_evaluations():
    history = loop.fit(Line(critic=True), updates=30, evaluations=3)
    assert list(history.evaluations["update"]) == [0, 10, 20, 30]
    assert np.isnan(history.evaluations.training_loss[0])
    assert history.evaluations.training_loss[1] == pytest.approx(history.training.model[9])
    assert list(history.training.columns) == ["update", "model", "critic"] and len(history.training) == 30
    assert history.evaluations.slope.iloc[-1] > history.evaluations.slope[0] + 0.3
    blind = Line(critic=True)
    blind.evaluate = None
    none = loop.fit(blind, updates=30, evaluations=0)
    assert none.evaluations.empty and none.training.equals(history.training)


@pytest.mark.parametrize("since", [0, 5])
def test_averaged_weights_are_those_evaluated_and_left(since):
    """Weights that mean nothing yet, before update `since`, are left out."""
    plain, averaged = Line(), Line()
    averaged.averaged_from = since
    loop.fit(plain, updates=12)
    found = loop.fit(averaged, updates=12, average=0.8)
    last = weights(plain)[0].item()
    assert averaged.model.weight.item() == found.evaluations.slope.iloc[-1] != last
    # by hand: the same updates, each averaged with its decay
    again, kept = Line(), None
    again.after = lambda update: steps.append(again.model.weight.item())
    steps = [again.model.weight.item()]
    loop.fit(again, updates=12)
    for update, value in enumerate(steps):
        count = max(0, update - since)
        decay = min(0.8, count / (1 + count))
        kept = decay * (kept or 0.0) + (1 - decay) * value
    assert averaged.model.weight.item() == pytest.approx(kept, abs=1e-6)


def test_patience_stops_and_leaves_the_best():
    task = Line(rate=1.0)  # overshoots, and comes back
    history = loop.fit(task, updates=400, evaluations=200, patience=10)
    assert history.evaluations["update"].max() < 400
    assert abs(task.model.bias.item() + 1) == pytest.approx(history.evaluations.error.min(), abs=1e-7)


def test_budget_in_seconds_counts_training_alone(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(loop.time, "monotonic", lambda: 0.02 * next(clock))  # a machine that is never busy
    history = loop.fit(Line(), seconds=1.0, evaluations=2)
    assert history.evaluations["update"].nunique() == 3 and history.evaluations["update"].max() > 3
    assert next(clock) * 0.02 >= 1.0


def test_rates_fall_as_the_schedule_says():
    task, rates = Line(), []
    optimizer = task.learners["model"].optimizers[0]
    step = optimizer.step
    optimizer.step = lambda: (rates.append(optimizer.param_groups[0]["lr"]), step())
    task.learners["model"] = task.learners["model"]._replace(schedule=optimizers.Annealed(0.01, 0.1, 0.5))
    loop.fit(task, updates=8)
    decayed = [0.01 / (1 + 0.1 * b) for b in range(8)]
    assert rates == pytest.approx([rate * min(1, (1 - b / 8) / 0.5) for b, rate in enumerate(decayed)])
    cosine = optimizers.Cosine(2.0)
    assert [cosine(0, done) for done in (0.0, 0.5, 1.0)] == pytest.approx([2.0, 1.0, 0.0])


def test_one_burst_is_clipped():
    moved = []
    for factor in (1.0, 1e6):
        task = Line()
        task.learners["model"] = task.learners["model"]._replace(
            optimizers=[torch.optim.SGD(task.model.parameters())], clip=0.01
        )
        original = task.losses
        task.losses = lambda update, original=original, factor=factor: (
            (who, loss * factor) for who, loss in original(update)
        )
        before = task.model.weight.item()
        loop.fit(task, updates=1)
        moved.append(abs(task.model.weight.item() - before))
    assert moved[1] <= 0.01 * 0.05 * 1.001 and moved[1] == pytest.approx(moved[0], rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs a budget, of updates or of seconds; got 0 and 0"),
        ({"updates": 1, "seconds": 3.0}, "got 1 and 3.0"),
        ({"updates": 1, "evaluations": -1}, "evaluations -1"),
        ({"updates": 1, "evaluations": 0, "patience": 3}, "evaluations 0, average 0.0, patience 3"),
        ({"updates": 1, "average": 1.0}, "average 1.0"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(PcodecError, match=message):
        loop.fit(Line(), **options)


def test_a_loss_that_is_not_finite_is_an_error():
    task = Line()
    task.losses = lambda update: [("model", task.model.weight.sum() * float("nan"))]
    with pytest.raises(PcodecError, match=r"the training loss is nan after 3 updates \(model\); lower learning_rate"):
        loop.fit(task, updates=3)
