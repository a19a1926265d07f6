"""Promises that each part of the semantic codec learns, goes on where it was killed, what is frozen stays."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.learning import recognizer
from pcodec.semantic import diffusion, training
from pcodec.semantic.config import RATES, SIZES, VOCABULARIES, Rate
from pcodec.semantic.model import Projection, Regressed, Semantic
from pcodec.speakers import embedding
from pcodec.speech import audio


@pytest.fixture(scope="module")
def examples(demo):
    torch.manual_seed(1)
    rows = demo[demo.split == "train"].groupby("speaker").head(1).head(6)
    made = [(row.utterance, row.speaker, audio.read(row.path)) for row in rows.itertuples()]
    made = [(utterance, speaker, np.resize(samples, 4 * audio.RATE)) for utterance, speaker, samples in made]
    return training.Examples.of(made, embedding.SpeakerEncoder().arrays())


@pytest.fixture(scope="module")
def placed(examples):
    """Words are content that was drawn, not k-means centres: six utterances have too few pairs for those."""
    model, rng = Semantic(SIZES["tiny"], seed=1), np.random.default_rng(1)
    training.place(model, examples, centres=False)
    for name, book in model.semantic.items():
        rows = examples.content.reshape(-1, int(name[0]) * model.config.content)
        book.words.copy_(rows[rng.integers(len(rows), size=len(book.words))])
    return model.state_dict()


def fresh(placed):
    model = Semantic(SIZES["tiny"], seed=1)
    model.load_state_dict(placed)
    return model


@pytest.fixture(scope="module")
def told(placed, examples, tmp_path_factory):
    model, file = fresh(placed), tmp_path_factory.mktemp("training") / "a.pt"
    curve = training.fit_tokens(model, examples, examples, 20, 4, 3e-3, average=0.9, evaluations=1, unplaced=12,
                                checkpoint=file)  # fmt: skip
    return model, curve, file


def test_tokens_learn(told):
    means = told[1].groupby(["kbps", "update"]).error.mean().unstack()
    assert (means.iloc[:, -1] < 0.9 * means[0]).all()
    assert set(means.index) == {rate.kbps for rate in RATES.values()}


def test_a_stream_that_is_not_there_is_missed(told, examples):
    """Without what is said, or without how it sounds, features are further off."""
    both, said, sounding = (
        training.evaluate(told[0], examples, RATES["0.525"], *which).error.mean()
        for which in ((True, True), (True, False), (False, True))
    )
    assert both < said and both < sounding


def test_killed_it_goes_on_to_the_same(told, placed, examples):
    again = fresh(placed)
    training.fit_tokens(again, examples, examples, 20, 4, 3e-3, average=0.9, evaluations=1, unplaced=12,
                        checkpoint=told[2])  # fmt: skip
    for name, value in again.state_dict().items():
        assert torch.equal(value, told[0].state_dict()[name]), name


def test_words_of_what_is_said_stay_unless_they_are_to_learn(told, placed, examples):
    name = "semantic.2-512.words"
    assert torch.equal(told[0].state_dict()[name], placed[name])
    model = fresh(placed)
    training.fit_tokens(model, examples, examples, 14, 4, 3e-3, {2: (512,)}, frozen=False, evaluations=1, unplaced=12)
    assert not torch.equal(model.state_dict()[name], placed[name])
    assert torch.equal(model.state_dict()["semantic.4-512.words"], placed["semantic.4-512.words"])


def test_a_student_learns_what_it_is_taught(placed, examples):
    model = fresh(placed)
    own, other = examples.content, examples.mel[::2, ::2].repeat(1, 2)[:, : model.config.content]
    examples.content = (other - other.mean()) / other.std()
    curve = training.fit_student(model, examples, examples, 25, 4, 3e-3, evaluations=1)
    examples.content = own
    means = curve.groupby("update").error.mean()
    assert means.iloc[-1] < 0.5 * means.iloc[0]


def test_diffusion_learns(told, placed, examples):
    model = fresh(placed)
    model.load_state_dict(told[0].state_dict())
    curve = training.fit_diffusion(model, examples, examples, 60, 4, 3e-3, average=0.8, evaluations=1)
    means = curve.groupby("update").error.mean()
    assert means.iloc[-1] < 0.9 * means.iloc[0]
    for name, value in model.regressor.state_dict().items():
        assert torch.equal(value, told[0].regressor.state_dict()[name])


def test_a_sampler_finds_a_planted_distribution():
    """A network that knows the one true x says v so that any number of steps ends there; guidance goes beyond it."""
    x = torch.randn(2, 16, 20, generator=torch.Generator().manual_seed(1))

    def knows(noisy, time, regressed, voice):
        a, s = torch.cos(0.5 * torch.pi * time)[:, None, None], torch.sin(0.5 * torch.pi * time)[:, None, None]
        true = x * regressed.features.abs().amax().clamp(max=1)  # zero where tokens are not shown
        return (a * noisy - true) / s.clamp(min=1e-3)

    shown, noise = Regressed(torch.ones_like(x), torch.ones(2, 4, 16)), torch.randn(x.shape)
    voice = torch.zeros(2, 32)
    for steps in (1, 3, 20):
        torch.testing.assert_close(diffusion.sample(knows, shown, voice, noise, steps, 1.0, 1.0), x, atol=2e-3, rtol=0)
    far = diffusion.sample(knows, shown, voice, noise, 20, 2.0, 1.0)
    assert (far - x).abs().mean() > 0.3 and torch.corrcoef(torch.stack([far.flatten(), x.flatten()]))[0, 1] > 0.9
    with pytest.raises(PcodecError, match="cannot sample in 0 steps"):
        diffusion.sample(knows, shown, voice, noise, 0)


def test_the_loss_has_its_gradient(told, examples):
    model = told[0]
    x, _, content, voice = examples.batch(*examples.middles(), model)
    sent, words = training._sent(model, x, content, RATES["0.425"])
    regressed = model.regress(sent, words, voice, 2)
    shown = torch.ones(len(x), dtype=torch.bool)
    diffusion.loss(model.diffusion, x, regressed, voice, torch.full((len(x),), 0.5), torch.randn_like(x),
                   shown).mean().backward()  # fmt: skip
    assert model.diffusion.out.weight.grad.abs().sum() > 0
    assert all(torch.isfinite(each.grad).all() for each in model.diffusion.parameters() if each.grad is not None)
    model.zero_grad()


def test_a_projection_keeps_what_varies():
    rng = np.random.default_rng(1)
    planted = rng.normal(size=(3000, 4)) @ rng.normal(size=(4, recognizer.WIDTH))
    heard = (5 + planted + 0.01 * rng.normal(size=planted.shape)).astype(np.float32)
    projection = Projection(4)
    projection.place(heard)
    content = projection(torch.from_numpy(heard)).numpy()
    assert (content**2).mean() == pytest.approx(1, rel=0.01) and np.abs(content.mean(axis=0)).max() < 0.01
    back, *_ = np.linalg.lstsq(np.c_[content, np.ones(len(content))], heard, rcond=None)
    assert np.abs(np.c_[content, np.ones(len(content))] @ back - heard).max() < 0.2


def test_rates_are_those_of_the_paper():
    assert [rate.kbps for rate in RATES.values()] == pytest.approx([0.2125, 0.425, 0.525])
    assert [rate.bits for rate in RATES.values()] == [17, 17, 21]
    assert all(rate.semantic in VOCABULARIES[rate.steps] for rate in RATES.values())
    assert Rate(2, 128, 256).kbps == pytest.approx(0.375)


def test_refusals(placed, examples, demo):
    with pytest.raises(PcodecError, match="tokens need more than 300 updates, got 300"):
        training.fit_tokens(fresh(placed), examples, examples, 300)
    with pytest.raises(PcodecError, match="too few for 2048 words"):
        training.place(fresh(placed), examples)
    with pytest.raises(PcodecError, match=r"no utterance of 2\.56 s to train on"):
        training.Examples.of([("a", "b", np.zeros(16000))], embedding.SpeakerEncoder().arrays())
