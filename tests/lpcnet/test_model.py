"""The network computes the specification's equations, in both forms, in one piece or in many."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.lpcnet.model import LPCNet, LPCNetConfig


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, w, u, b, bu, h):
    """Section 8 of the specification, in PyTorch's gate order r, z, n."""
    a, c = w @ x + b, u @ h + bu
    n = len(h)
    r, z = sigmoid(a[:n] + c[:n]), sigmoid(a[n : 2 * n] + c[n : 2 * n])
    return z * h + (1 - z) * np.tanh(a[2 * n :] + r * c[2 * n :])


def test_forward_is_the_equations():
    model = LPCNet(LPCNetConfig(units=32), seed=3)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    w = {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}
    rng = np.random.default_rng(1)
    features = rng.normal(0, 0.4, (6, 20))
    codes = rng.integers(0, 256, (320, 3))
    with torch.no_grad():
        logits = model(torch.tensor(features[None], dtype=torch.float32), torch.tensor(codes[None]))[0][0].numpy()

    lag = np.clip((0.1 + 50 * features[:, 18] + 100).astype(int), 33, 255)
    x = np.concatenate([features, w["frame.pitch.weight"][lag]], axis=1)
    for conv in ("frame.conv1", "frame.conv2"):
        kernel, bias = w[f"{conv}.weight"], w[f"{conv}.bias"]
        x = np.tanh(np.stack([sum(kernel[:, :, j] @ x[t + j] for j in range(3)) + bias for t in range(len(x) - 2)]))
    for dense in ("frame.dense1", "frame.dense2"):
        x = np.tanh(x @ w[f"{dense}.weight"].T + w[f"{dense}.bias"])
    h_a, h_b = np.zeros(32), np.zeros(16)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    for t in range(320):
        f = x[t // 160]
        inputs = np.concatenate([w["sample.embedding.weight"][codes[t]].ravel(), f])
        h_a = gru(inputs, *(w[f"sample.gru_a.{name}"] for name in names), h_a)
        h_b = gru(np.concatenate([h_a, f]), *(w[f"sample.gru_b.{name}"] for name in names), h_b)
        branches = [
            w["sample.dual_fc.factors"][i]
            * np.tanh(w[f"sample.dual_fc.{part}.weight"] @ h_b + w[f"sample.dual_fc.{part}.bias"])
            for i, part in enumerate(("first", "second"))
        ]
        assert logits[t] == pytest.approx(sum(branches), abs=1e-5)


@pytest.mark.parametrize("units", [16, 48])
def test_folded_and_plain_form_agree_in_values_states_and_gradients(units):
    """The fast form of training is the specification's form: to 1e-5 of the largest gradient of each parameter."""
    model = LPCNet(LPCNetConfig(units=units), seed=3)
    sample = model.sample
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    rng = np.random.default_rng(1)
    codes = torch.tensor(rng.integers(0, 256, (3, 320, 3)))
    f = torch.tensor(rng.normal(0, 0.5, (3, 2, 128)), dtype=torch.float32, requires_grad=True)
    states = tuple(torch.tensor(rng.uniform(-0.5, 0.5, (3, n)), dtype=torch.float32) for n in (units, 16))
    targets, weights = torch.tensor(rng.integers(0, 256, (3, 320))), torch.tensor(rng.uniform(0, 1, (3, 320)))
    found = {}
    for form in ("plain", "folded"):
        model.zero_grad()
        f.grad = None
        if form == "plain":
            b, last = sample.plain(codes, f, states)
            logits = sample.dual_fc(b)
            losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            losses = losses.view(targets.shape)
        else:
            losses, last = sample(codes, f, states, targets=targets)
        (losses * weights).mean().backward()
        gradients = [parameter.grad.clone() for parameter in sample.parameters()]
        found[form] = [losses.detach(), last[0].detach(), last[1].detach(), f.grad.clone(), *gradients]
    for plain, folded in zip(*found.values(), strict=True):
        assert plain.shape == folded.shape
        assert (plain - folded).abs().max() <= 1e-5 * max(1e-3, plain.abs().max())


def test_states_carry_a_signal_over_cuts():
    model = LPCNet(LPCNetConfig(units=32), seed=2)
    codes, features = torch.randint(0, 256, (2, 640, 3)), torch.randn(2, 8, 20) * 0.3
    with torch.no_grad():
        whole, _ = model(features, codes)
        states, parts = None, []
        for frame in range(4):
            part, states = model(features[:, frame : frame + 5], codes[:, 160 * frame : 160 * (frame + 1)], states)
            parts.append(part)
        cold, _ = model(features[:, 3:8], codes[:, 480:])
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)
    assert not torch.allclose(cold, whole[:, 480:], atol=1e-3)


def test_bfloat16_products_are_close():
    model = LPCNet(LPCNetConfig(units=32), seed=2)
    codes, features = torch.randint(0, 256, (2, 320, 3)), torch.randn(2, 6, 20) * 0.3
    with torch.no_grad():
        exact, half = (model(features, codes, None, kind)[0] for kind in (torch.float32, torch.bfloat16))
    assert 0 < (exact - half).abs().max() < 0.05 * exact.abs().max()


def test_parameters_are_the_specification_s():
    """Section 8's counts, with the 84 useful inputs of the first convolution."""
    model = LPCNet()
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == 1_239_904 - 39_296 + 32_384
    assert model.sample.gru_a.weight_hh_l0.numel() == 442_368 and model.sample.gru_a.weight_ih_l0.numel() == 589_824


def test_embedding_starts_as_a_ramp():
    rows = LPCNet(LPCNetConfig(units=16), seed=1).sample.embedding.weight.mean(dim=1).detach().numpy()
    assert np.corrcoef(rows, np.arange(256))[0, 1] > 0.95
    assert rows[-1] - rows[0] == pytest.approx(0.1 * np.sqrt(12), abs=0.06)


def test_whole_signal_ends_in_zeros_inside_the_network():
    """Away from the ends the padded form equals the training form."""
    model = LPCNet(LPCNetConfig(units=16), seed=1)
    features = torch.randn(1, 12, 20) * 0.3
    with torch.no_grad():
        whole, inner = model.frame(features, whole=True), model.frame(features)
    assert whole.shape[1] == 12 and inner.shape[1] == 8
    assert torch.allclose(whole[:, 2:-2], inner, atol=1e-6)
    assert not torch.allclose(whole[:, :2], inner[:, :2])


def test_files(tmp_path):
    model = LPCNet(LPCNetConfig(units=16), seed=1)
    model.provenance = {"C": 2, "group": 1, "updates": 7}
    model.save(tmp_path / "m.safetensors")
    loaded = LPCNet.load(tmp_path / "m.safetensors")
    assert loaded.config == model.config and loaded.provenance == model.provenance
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 100)
    for name in ("bad.safetensors", "missing.safetensors"):
        with pytest.raises(PcodecError, match=name):
            LPCNet.load(tmp_path / name)


def test_seed_decides_the_weights_and_nothing_else():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    a, b = LPCNet(LPCNetConfig(units=16), seed=1), LPCNet(LPCNetConfig(units=16), seed=1)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert torch.equal(torch.random.get_rng_state(), before)
