"""Training lowers the loss on unseen speech, places the words in time, and continues as if never killed."""

import numpy as np
import pytest
import torch

from pcodec import PcodecError
from pcodec.learning import loop, losses, optimizers
from pcodec.learning.adversarial import Critics, Stage
from pcodec.soundstream import training
from pcodec.soundstream.config import SIZES
from pcodec.soundstream.model import SoundStream
from pcodec.speech import audio, noise


@pytest.fixture(scope="module")
def data(demo):
    def speech(split):
        rows = demo[demo.split == split].groupby("speaker").head(2).iloc[:6]
        return training.Speech.of((row.utterance, row.speaker, audio.read(row.path)) for row in rows.itertuples())

    return speech("train"), speech("test")


@pytest.fixture(autouse=True)
def words_on_little_speech(monkeypatch):
    monkeypatch.setattr(training, "LATENTS", 20)


def test_it_learns_with_and_without_words(data):
    model = SoundStream(SIZES["tiny"], seed=1)
    options = {"updates": 30, "unquantized": 15, "batch": 5, "frames": 12, "evaluations": 2, "learning_rate": 3e-3}
    history = training.fit(model, *data, **options)
    at = history.groupby("update").loss.mean()
    assert at[30] < 0.9 * at[0]
    assert at[30] == pytest.approx(training.evaluate(model, data[1], 4).loss.mean(), rel=1e-6)
    assert training.evaluate(model, data[1], 8).loss.mean() < training.evaluate(model, data[1], 1).loss.mean()
    assert list(history.columns) == ["utterance", "speaker", "loss", "update", "training_loss"]


def test_an_update_depends_on_its_number_alone(data):
    """So that a killed training continues to the same result (tests/learning/test_loop.py)."""
    found = []
    for before in ([0, 1], []):
        for critics in (None, Critics((256,))):
            model = SoundStream(SIZES["tiny"], seed=1)
            learner = loop.Learner(model, optimizers.build(model, "muon"), optimizers.Annealed(1e-3))
            task = training._Training(learner, critics, *data, 5, 3, 10, (1, 8), None, 4, 1)
            for update in [*before, 4]:
                torch.manual_seed(update)
                named = {name: loss.item() for name, loss in task.losses(update)}
            found.append(named)
    assert found[0] == found[2] and found[1] == found[3]
    assert set(found[0]) == {"model"} and set(found[1]) == {"model", "critics"}


def test_killed_after_its_words_were_placed_it_continues(data, tmp_path):
    options = {"updates": 6, "unquantized": 2, "batch": 4, "frames": 10, "evaluations": 1, "average": 0.9}
    options |= {"critics": Critics((128,), ahead=2)}
    whole, model = (SoundStream(SIZES["tiny"], seed=1) for _ in range(2))
    training.fit(whole, *data, **options)

    class Killed(Exception):
        pass

    draw, calls = training.Speech.draw, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) == 30:
            raise Killed
        return draw(*arguments)

    path = tmp_path / "c.pt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Speech, "draw", dies)
        patch.setattr("pcodec.learning.checkpoint.SECONDS", 0.0)
        with pytest.raises(Killed):
            training.fit(model, *data, **options, checkpoint=path)
    again = SoundStream(SIZES["tiny"], seed=1)
    training.fit(again, *data, **options, checkpoint=path)
    assert all(map(torch.equal, again.state_dict().values(), whole.state_dict().values()))


def test_stages_follow_each_other(data, tmp_path):
    """Words are placed once, in the first stage; then two trainings beside critics, and their mean."""
    model = SoundStream(SIZES["tiny"], seed=1)
    parts = [Stage(False, 3, 1e-3), Stage(True, 2, 1e-3)]
    options = {"batch": 3, "frames": 8, "evaluations": 1, "unquantized": 2, "kept": 0.2}
    options["critics"] = [Critics((256,), ahead=1), Critics((128,), ahead=1)]
    history = training.fit_stages(model, parts, *data, tmp_path / "c.pt", **options)
    assert list(history["update"].unique()) == [0, 3, 5] and list(history.training.unique()) == [0, 1, 2]
    ends = history[history["update"] == 3].groupby("training").loss.mean()
    assert ends[1] == ends[2] == pytest.approx(ends[0], rel=1e-4)
    assert model.quantizer.stages[0].words.std() < 0.95, "no longer random"
    none = training.fit_stages(model, [], *data, tmp_path / "c.pt")
    assert none.loss.mean() == pytest.approx(training.evaluate(model, data[1], 4).loss.mean())


def test_noise_is_removed_where_it_is_to_be(data):
    """Half of the excerpts are noisy; of these, half are wanted clean; the switch alone learns from being on."""
    rain = noise.Noise.of([("rain", np.random.default_rng(1).standard_normal(16000))])
    signals = data[0].draw(400, 5, np.random.default_rng(1))
    heard, wanted, removed = training.beside_noise(signals, rain, np.random.default_rng(2))
    noisy = (heard != signals).any(dim=1)
    clean = (wanted == signals).all(dim=1)
    assert torch.equal(clean, (removed > 0) | ~noisy) and torch.equal(wanted[removed == 0], heard[removed == 0])
    shares = [part.float().mean().item() for part in (noisy, removed > 0, noisy & (removed > 0))]
    assert shares == pytest.approx([0.5, 0.5, 0.25], abs=0.08)
    model = SoundStream(SIZES["tiny"], seed=1)
    assert all((norm.gains == 0).all() for norm in (model.encoder.norm, model.encoder.last))
    with torch.no_grad():
        assert torch.equal(model.encoder(signals[:3]), model.encoder(signals[:3], torch.ones(3))), "it has not learned"
    training.fit(model, *data, updates=4, batch=4, frames=12, evaluations=1, noise=rain)
    assert all(
        (weight != 0).any()
        for norm in (model.encoder.norm, model.encoder.last)
        for weight in (norm.gains, norm.offsets)
    )


def test_excerpts_are_of_single_utterances():
    signals = [("a", "s", np.full(3000, 0.1)), ("b", "s", np.full(1000, 0.2)), ("c", "s", np.full(2500, 0.3))]
    speech = training.Speech.of(signals)
    drawn = speech.draw(400, 5, np.random.default_rng(1))
    assert drawn.shape == (400, 1600)
    assert torch.equal(drawn.std(dim=1) < 1e-6, torch.ones(400, dtype=bool)), "one level, so one utterance"
    middles = speech.stretches(5)
    assert torch.allclose(middles.abs().sum(dim=1), torch.tensor([160.0, 200.0, 480.0]))
    with pytest.raises(PcodecError, match="no utterance is 3200 samples long"):
        speech.draw(2, 10, np.random.default_rng(1))
    with pytest.raises(PcodecError, match="no speech to train on"):
        training.Speech.of([])


def test_a_loud_and_a_soft_mistake_cost_alike():
    """Both losses are relative: their value does not depend on the level, as long as it is above the floor."""
    true = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    found = true + 0.3 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(2))
    for loss in (losses.log_mel, losses.root_spectral):
        loud, soft = loss(found, true), loss(0.1 * found, 0.1 * true)
        assert loud.item() == pytest.approx(soft.item(), rel=0.1)
        assert loss(true, true).item() == 0.0


@pytest.mark.parametrize("options", [{"batch": 1}, {"frames": 3}, {"rates": (0, 4)}, {"rates": (9,)}])
def test_refusals(data, options):
    with pytest.raises(PcodecError, match="cannot train with batch"):
        training.fit(SoundStream(SIZES["tiny"]), *data, updates=1, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_learns_the_same(data):
    options = {"updates": 4, "unquantized": 2, "batch": 4, "frames": 10, "evaluations": 1}
    options |= {"critics": Critics((128,), ahead=1)}
    losses = {}
    for device in ("cpu", "cuda"):
        history = training.fit(SoundStream(SIZES["tiny"], seed=1).to(device), *data, **options)
        losses[device] = history.groupby("update").loss.mean().to_numpy()
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=0.02)
