"""Training on spectra lowers the loss on speech that is not trained on; an update depends on its number alone."""

import functools
import itertools

import numpy as np
import pytest
import torch

from pcodec import PcodecError
from pcodec.fargan import training
from pcodec.fargan.config import SIZES
from pcodec.fargan.examples import Excerpts, mistaken
from pcodec.fargan.model import Fargan
from pcodec.features.cepstrum import FRAME
from pcodec.learning import adversarial, loop, optimizers
from pcodec.speech import audio


def excerpts(demo, codebooks, split, draw=None):
    rows = demo[demo.split == split].groupby("speaker").head(2).iloc[:6]
    signals = [(row.utterance, row.speaker, audio.read(row.path)) for row in rows.itertuples()]
    return Excerpts.of(signals, codebooks, augment=draw is not None, draw=draw or 0)


@pytest.fixture(scope="module")
def data(demo, codebooks):
    """(what is trained on, in two draws; what is not)."""
    return [excerpts(demo, codebooks, "train", draw) for draw in (0, 1)], excerpts(demo, codebooks, "test")


def test_signals_and_features_belong_together(data):
    """Frames are as loud as their features say: the signal is delayed as the analysis is."""
    _, unseen = data
    assert len(unseen.signal) == FRAME * len(unseen.features) == FRAME * unseen.frames.sum()
    power = np.log10((unseen.signal.numpy().reshape(-1, FRAME) ** 2).mean(axis=1) + 1e-9)
    levels = {shift: np.corrcoef(np.roll(power, shift), unseen.features[:, 0])[0, 1] for shift in (-2, -1, 0, 1, 2)}
    assert levels[0] > 0.1 + max(levels[-1], levels[1])
    starts, which = unseen.starts(17)
    features, signals = unseen.batch(starts[:3], 17)
    assert features.shape == (3, 21, 20) and signals.shape == (3, 17 * FRAME) and which[0] == 0
    assert torch.equal(signals[1], unseen.signal[starts[1] * FRAME : (starts[1] + 17) * FRAME])


def test_another_draw_is_another_level(data):
    (first, second), _ = data
    assert np.array_equal(first.frames, second.frames)
    assert not torch.allclose(first.signal, second.signal)


def test_it_learns(data):
    draws, unseen = data
    model = Fargan(SIZES["tiny"], seed=1)
    options = {"updates": 40, "batch": 12, "frames": 6, "redraw": 10, "evaluations": 1}
    history = training.fit(model, lambda n: draws[n % 2], unseen, **options)
    losses = history.groupby("update").loss.mean()
    assert losses[40] < 0.95 * losses[0]
    assert losses[40] == pytest.approx(training.evaluate(model, unseen).loss.mean(), rel=1e-6)
    assert list(history.columns) == ["utterance", "speaker", "loss", "update", "training_loss"]


def test_an_update_depends_on_its_number_alone(data):
    """So that a killed training continues to the same result (tests/learning/test_loop.py)."""
    draws, unseen = data
    found = []
    for before, critics in itertools.product(([0, 1, 2, 3], []), (None, adversarial.Critics((256, 128)))):
        model = Fargan(SIZES["tiny"], seed=1)
        learner = loop.Learner(model, optimizers.build(model, "muon"), optimizers.Annealed(1e-3))
        task = training._Training(learner, critics, lambda n: draws[n % 2], unseen, 4, 5, 2, 1)
        for update in [*before, 4]:
            torch.manual_seed(update)
            losses = {name: loss.item() for name, loss in task.losses(update)}
        found.append(losses)
    assert found[0] == found[2] and found[1] == found[3]
    assert set(found[0]) == {"model"} and set(found[1]) == {"model", "critics"}


def test_stages():
    """A general decoder that has had some updates gets the rest; others go on as its second stage did."""
    sizes = dict(zip(("spectral_updates", "critic_updates", "extra_updates"), (30, 20, 10), strict=True))
    rates = {"learning_rate": 3.0, "critic_learning_rate": 2.0, "extra_learning_rate": 1.0}
    for before, expected in ((0, [(False, 30, 3.0), (True, 20, 2.0)]), (10, [(False, 20, 3.0), (True, 20, 2.0)]),
                             (35, [(True, 15, 2.0)]), (50, []), (60, [])):  # fmt: skip
        assert adversarial.stages("general", before, **sizes, **rates) == expected
    assert adversarial.stages("group", 50, **sizes, **rates) == [(True, 10, 1.0)]
    assert adversarial.stages("group", 30, **sizes | {"critic_updates": 0}, **rates) == [(False, 10, 1.0)]


def test_stages_follow_each_other(data, tmp_path):
    draws, unseen = data
    model = Fargan(SIZES["tiny"], seed=1)
    parts = [adversarial.Stage(False, 2, 1e-3), adversarial.Stage(True, 2, 1e-3)]
    options = {"batch": 8, "frames": 3, "critic_frames": 6, "redraw": 10, "evaluations": 1}
    critics = [adversarial.Critics((128,), ahead=2), adversarial.Critics((64,), ahead=2)]
    path = tmp_path / "c.pt"
    options |= {"critics": critics, "kept": 0.2}
    history = training.fit_stages(model, parts, lambda n: draws[n % 2], unseen, path, **options)
    assert list(history["update"].unique()) == [0, 2, 4]
    beside = {"c-1-0-ahead.pt", "c-1-0.pt", "c-1-1-ahead.pt", "c-1-1.pt"}
    assert {file.name for file in tmp_path.iterdir()} == {"c-0-0.pt", *beside}
    at_two = history[history["update"] == 2].groupby("training").loss.mean()
    assert at_two[1] == at_two[2] == pytest.approx(at_two[0], rel=1e-5)
    at_four = history[history["update"] == 4].groupby("training").loss.mean()
    assert at_four[1] != at_four[2]
    again = Fargan(SIZES["tiny"], seed=1)  # nothing is trained again, and the same weights are left
    training.fit_stages(again, parts, lambda n: draws[n % 2], unseen, path, **options)
    assert all(map(torch.equal, again.state_dict().values(), model.state_dict().values()))
    model.provenance["updates"] = 4
    none = training.fit_stages(model, [], lambda n: draws[n % 2], unseen, path, **options)
    assert list(none["update"].unique()) == [4]
    assert none.loss.mean() == pytest.approx(training.evaluate(model, unseen).loss.mean(), rel=1e-6)


def test_the_mean_over_trainings(data, tmp_path):
    """0.2 of the weights before, 0.4 of either training's."""
    draws, unseen = data
    options = {"batch": 8, "frames": 3, "critic_frames": 6, "evaluations": 1, "critics": []}
    critics = [adversarial.Critics((128,), ahead=1), adversarial.Critics((64,), ahead=1)]
    begin, mean, found = Fargan(SIZES["tiny"], seed=1), Fargan(SIZES["tiny"], seed=1), []
    stage = [adversarial.Stage(True, 2, 1e-3)]
    fit = functools.partial(training.fit_stages, parts=stage, draw=lambda n: draws[n % 2], validation=unseen)
    for number, each in enumerate(critics):
        found.append(Fargan(SIZES["tiny"], seed=1))
        path = tmp_path / f"{number}.pt"
        fit(found[-1], checkpoint=path, seed=1 + number, **options | {"critics": [each]})
    fit(mean, checkpoint=tmp_path / "c.pt", seed=1, kept=0.2, **options | {"critics": critics})
    for own, before, one, other in zip(*(model.parameters() for model in (mean, begin, *found)), strict=True):
        torch.testing.assert_close(own, 0.2 * before + 0.4 * one + 0.4 * other)
    assert (found[0].step.out.weight - found[1].step.out.weight).abs().max() > 1e-4
    with pytest.raises(PcodecError, match="kept 1"):
        fit(mean, checkpoint=tmp_path / "c.pt", kept=1, **options | {"critics": critics})
    with pytest.raises(PcodecError, match=r"critics \[\]"):
        fit(mean, checkpoint=tmp_path / "c.pt", **options)


@pytest.mark.parametrize("options", [{"batch": 0}, {"frames": 0}, {"redraw": 0}])
def test_refusals(data, options):
    name, value = next(iter(options.items()))
    with pytest.raises(PcodecError, match=f"cannot train with .*{name} {value}"):
        training.fit(Fargan(SIZES["tiny"]), lambda n: data[0][0], data[1], updates=1, **options)
    with pytest.raises(PcodecError, match="no speech to train on"):
        Excerpts.of([], None, augment=False)


def test_mistakes_of_the_pitch_are_octaves_and_small_errors():
    pitch = torch.from_numpy(np.random.default_rng(1).uniform(-1.0, 2.4, (2000, 21)).astype(np.float32))
    factors = (50 * mistaken(pitch, np.random.default_rng(3)) + 100) / (50 * pitch + 100)
    wrong = (factors - 1).abs() > 1e-5
    assert 0.08 < wrong.any(dim=1).double().mean() < 0.12
    assert wrong.sum(dim=1).max() == 4, "the frames of one packet"
    kinds = factors[wrong].numpy()
    octaves = np.isclose(kinds, 2, atol=0.01) | np.isclose(kinds, 0.5, atol=0.01) | (kinds > 1.05) | (kinds < 0.95)
    assert 0.5 < octaves.mean() < 0.8
    periods = 50 * mistaken(pitch, np.random.default_rng(3)) + 100
    assert periods.min() >= 33 - 1e-3 and periods.max() <= 255


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_learns_the_same(data):
    (draw, _), unseen = data
    options = {"updates": 3, "batch": 4, "frames": 6, "evaluations": 1, "critics": adversarial.Critics((128,), ahead=1)}
    losses = {}
    for device in ("cpu", "cuda"):
        model = Fargan(SIZES["tiny"], seed=1).to(device)
        history = training.fit(model, lambda n: draw, unseen, **options)
        losses[device] = history.groupby("update").loss.mean().to_numpy()
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=0.02)
