"""The framewise decoder is its equations; it hears itself, not the truth, and learns to go on where the truth ended."""

import numpy as np
import pytest
import torch

from pcodec.fargan import training
from pcodec.fargan.config import HISTORY, SIZES
from pcodec.fargan.model import Fargan, lags


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, h, w_ih, w_hh):
    a, c = w_ih @ x, w_hh @ h
    n = len(h)
    r, z = sigmoid(a[:n] + c[:n]), sigmoid(a[n : 2 * n] + c[n : 2 * n])
    return (1 - z) * np.tanh(a[2 * n :] + r * c[2 * n :]) + z * h


@pytest.fixture(scope="module")
def model():
    model = Fargan(SIZES["tiny"], seed=3)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def test_forward_is_the_equations(model):
    w = {name: value.astype(np.float64) for name, value in model.arrays().items()}
    rng = np.random.default_rng(1)
    features = rng.normal(0, 0.4, (9, 20))
    features[:, 18] = rng.uniform(-1.3, 3.1, 9)  # lags of 33 samples and more
    truth = rng.normal(0, 0.05, 320)
    with torch.no_grad():
        given = torch.tensor(features[None], dtype=torch.float32), torch.tensor(truth[None], dtype=torch.float32)
        found = model(*given)[0].numpy()

    lag = np.clip((0.1 + 50 * features[:, 18] + 100).astype(int), 33, 255)
    x = np.concatenate([features, w["frame.pitch.weight"][lag]], axis=1)
    x = np.tanh(x @ w["frame.dense.weight"].T + w["frame.dense.bias"])
    for conv in ("frame.conv1", "frame.conv2"):
        kernel, bias = w[f"{conv}.weight"], w[f"{conv}.bias"]
        x = np.tanh(np.stack([sum(kernel[:, :, j] @ x[t + j] for j in range(3)) + bias for t in range(len(x) - 2)]))
    conditioning = np.tanh(x @ w["frame.up.weight"].T + w["frame.up.bias"]).reshape(len(x) * 4, -1)

    def glu(name, x):
        return x * sigmoid(w[f"step.{name}.gate.weight"] @ x)

    signal = np.concatenate([np.zeros(HISTORY - 160), truth[:160]])
    last = np.zeros(w["step.conv.weight"].shape[1] // 2)
    states = [np.zeros(w[f"step.grus.{i}.weight_hh"].shape[1]) for i in range(3)]
    for number in range(4, 20):
        c, period = conditioning[number], lag[2 + number // 4]
        gain = np.exp(w["step.gain.weight"][0] @ c + w["step.gain.bias"][0])
        at = len(signal) - period - 2 + np.arange(44)
        at = np.where(at >= len(signal), at - period, at)
        copy, before = (np.clip(part / (gain + 1e-5), -1, 1) for part in (signal[at], signal[-40:]))
        now = np.concatenate([c, copy, before])
        x = glu("conv_glu", np.tanh(w["step.conv.weight"] @ np.concatenate([last, now])))
        last = now
        gates = sigmoid(w["step.gates.weight"] @ x + w["step.gates.bias"])
        layers = [x]
        for i in range(3):
            inputs = np.concatenate([x, gates[i] * copy[2:-2], before])
            states[i] = gru(inputs, states[i], w[f"step.grus.{i}.weight_ih"], w[f"step.grus.{i}.weight_hh"])
            x = glu(f"glus.{i}", states[i])
            layers.append(x)
        x = np.concatenate([*layers, gates[3] * copy[2:-2], before])
        x = glu("skip_glu", np.tanh(w["step.skip.weight"] @ x))
        made = np.tanh(w["step.out.weight"] @ x) * gain
        true = truth[40 * number : 40 * number + 40]
        signal = np.concatenate([signal, true if len(true) else made])
    assert len(found) == 800
    assert found[:320] == pytest.approx(truth, abs=1e-7), "it begins with what is true"
    assert found == pytest.approx(signal[HISTORY - 160 :], abs=1e-5)


def test_it_hears_its_own_past(model):
    """What is true after the primer changes nothing; the last primed sub-frame changes all that follows."""
    torch.manual_seed(1)
    features, primer = 0.3 * torch.randn(1, 10, 20), 0.05 * torch.randn(1, 320)
    changed = primer.clone()
    changed[:, -40:] += 0.05
    with torch.no_grad():
        one, other = model(features, primer), model(features, changed)
    assert torch.equal(one[:, :280], other[:, :280]) and not torch.equal(one[:, 320:360], other[:, 320:360])


def test_every_weight_has_a_gradient_through_the_unrolled_network(model):
    torch.manual_seed(1)
    features, true = 0.3 * torch.randn(2, 10, 20), 0.05 * torch.randn(2, 960)
    loss = training.loss_of(model(features, true[:, :320]), true)
    model.zero_grad()
    loss.mean().backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0, name


def test_the_longest_and_the_shortest_period_are_inside_the_history(model):
    features = torch.zeros(2, 8, 20)
    features[0, :, 18], features[1, :, 18] = 9.0, -9.0
    assert lags(features)[:, 0].tolist() == [255, 33]
    assert torch.isfinite(model(features, torch.zeros(2, 320))).all()


def test_files_and_seeds(model, tmp_path):
    model.provenance = {"codebooks": "x"}
    model.save(tmp_path / "a.safetensors")
    again = Fargan.load(tmp_path / "a.safetensors")
    assert again.config == model.config and again.provenance == {"codebooks": "x"}
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    one, other, third = (Fargan(SIZES["tiny"], seed=seed).arrays() for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert any(not np.array_equal(one[name], third[name]) for name in one)
