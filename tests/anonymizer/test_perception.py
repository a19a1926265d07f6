"""Promises that losses are zero for the same, grow with what they hear, and teach through frozen networks."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.anonymizer import perception
from pcodec.anonymizer.perception import Pair, Perception
from pcodec.anonymizer.tracker import Tracker
from pcodec.compute.backend import torch
from pcodec.features import hearing
from pcodec.learning import recognizer
from pcodec.speakers import embedding


@pytest.fixture(scope="module")
def true(speech):
    found = hearing.describe(speech[: 2 * 16000])
    return torch.from_numpy(hearing.levelled(found.mel, found.level))[None]


@pytest.fixture(scope="module")
def losses():
    torch.manual_seed(1)
    matrix = np.kron(np.eye(40), np.ones((2, 1))).astype(np.float32)  # two bands of each pair are one
    tracker, speaker = Tracker(), perception.Speaker(embedding.SpeakerEncoder(), matrix)
    found = {name: loss for name, loss in zip(
        ("reconstruction", "loudness", "masking", "formants", "pitch", "activations", "speaker"),
        (perception.Reconstruction(), perception.Loudness(), perception.Masking(), perception.Formants(tracker),
         perception.Pitch(tracker), perception.Activations(recognizer.Recognizer()), speaker), strict=True,
    )}  # fmt: skip
    for weight in found["activations"].recognizer.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    return found


def pair(found, true):
    voice = torch.ones(1, 32)
    return Pair(found, true, torch.ones(true.shape[:2], dtype=torch.bool), found, voice, -voice)


@pytest.mark.parametrize("name", ["reconstruction", "loudness", "masking", "formants", "pitch", "activations"])
def test_the_same_is_no_loss(losses, true, name):
    assert losses[name](pair(true.clone(), true)).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", ["reconstruction", *perception.NAMES])
def test_a_gradient_reaches_what_was_written(losses, true, name):
    """The published code cuts the gradient of two of these off by mistake."""
    found = (true + 0.1 * torch.randn_like(true)).requires_grad_()
    (gradient,) = torch.autograd.grad(losses[name](pair(found, true)), found)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).float().mean() > 0.3
    assert not any(weight.requires_grad for weight in losses[name].parameters())


def test_half_the_loudness_is_heard_and_silence_in_a_loud_band_too(losses, true):
    loudness = losses["loudness"]
    for off in (-1.0, 1.0):  # ten decibels are a factor of 10 ** 0.23 everywhere
        ratio = loudness.specific(true + off / hearing.SCALE) / loudness.specific(true)
        assert ratio.mean().item() == pytest.approx(10 ** (0.23 * off), rel=1e-4)
    at_1_khz = np.abs(perception._centres() - 1000).argmin()
    assert loudness.weighting[at_1_khz].item() == pytest.approx(0.0, abs=0.01)
    assert loudness.weighting[0] < loudness.weighting[at_1_khz]  # low tones are less loud


def test_what_is_masked_does_not_count(losses):
    masking = losses["masking"]
    true = torch.full((1, 4, 80), -1.5)
    true[:, :, 40] = 0.5  # 80 dB over the rest
    beside, far = true.clone(), true.clone()
    beside[:, :, 42] = -0.5  # 40 dB over what is there, but two bands from the masker, and under its slope
    far[:, :, 79] = -0.5
    assert masking(pair(beside, true)).item() == 0.0
    assert masking(pair(far, true)).item() > 0.0
    assert losses["reconstruction"](pair(beside, true)).item() > 0.0


def test_pitch_is_compared_relative_to_its_mean(losses):
    contour = perception.Pitch(Tracker())
    contour.tracker = torch.nn.Identity()  # what is read is what is given
    one = torch.zeros(1, 50, 5)
    one[..., 3] = torch.linspace(-0.2, 0.2, 50)
    higher, flat = one.clone(), torch.zeros(1, 50, 5)
    higher[..., 3] += 0.5
    voiced = torch.ones(1, 50, dtype=torch.bool)
    assert contour(Pair(higher, one, voiced)).item() == pytest.approx(0.0, abs=1e-6)
    assert contour(Pair(flat, one, voiced)).item() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("name", ["formants", "pitch"])
def test_where_nothing_is_voiced_nothing_counts(losses, true, name):
    found = (true + 0.1).requires_grad_()
    loss = losses[name](Pair(found, true, torch.zeros(true.shape[:2], dtype=torch.bool)))
    (gradient,) = torch.autograd.grad(loss, found)
    assert loss.item() == 0.0 and (gradient == 0).all()


def test_the_speaker_is_pulled_and_pushed(losses, true):
    speaker = losses["speaker"]
    with torch.no_grad():
        z = speaker.embed(true)
        kept = Pair(true, true, None, true, z, -z)
        changed = Pair(true, true, None, true, -z, z)
        assert speaker(changed).item() == pytest.approx(0.0, abs=1e-5)
        assert speaker(kept).item() == pytest.approx(3.0, abs=1e-5)
    with pytest.raises(PcodecError, match="another voice"):
        speaker(Pair(true, true, None))


def test_shares_are_what_gradients_have(losses, true):
    both = Perception({"loudness": 0.3, "masking": 0.1})
    found = (true + 0.1 * torch.randn_like(true)).requires_grad_()
    with pytest.raises(PcodecError, match="not measured"):
        both(pair(found, true))
    scales = both.measure([pair(found, true)])
    (own,) = torch.autograd.grad(both.reconstruction(pair(found, true)), found)
    for name, share in (("loudness", 0.3), ("masking", 0.1)):
        (other,) = torch.autograd.grad(scales[name] * both.losses[name](pair(found, true)), found)
        assert (other.norm() / own.norm()).item() == pytest.approx(share, rel=1e-3)


def test_refused():
    with pytest.raises(PcodecError, match="no loss is called smell"):
        Perception({"smell": 1.0})
    with pytest.raises(PcodecError, match="formants needs a network"):
        Perception({"formants": 0.1})


def test_a_weighting_is_the_standard_s():
    np.testing.assert_allclose(
        perception.a_weighting(np.array([31.5, 100, 1000, 4000, 8000])), [-39.5, -19.1, 0.0, 1.0, -1.1], atol=0.1
    )
