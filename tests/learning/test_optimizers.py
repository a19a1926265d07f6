"""Muon does what PyTorch's does, in the precision that is fast; every trained weight has one optimizer."""

import pytest

from pcodec import PcodecError
from pcodec.compute import backend
from pcodec.compute.backend import torch
from pcodec.learning import optimizers


@pytest.mark.parametrize("shape", [(48, 16), (16, 48), (32, 32)])
def test_orthogonalized_is_near_the_nearest_orthogonal_matrix(shape):
    torch.manual_seed(1)
    matrix = torch.randn(shape)
    found = optimizers.orthogonalized(matrix, torch.float32)
    values = torch.linalg.svdvals(found)
    assert found.shape == shape and values.min() > 0.3 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    nearest = u @ v
    assert (found * nearest).sum() / found.norm() / nearest.norm() > 0.95
    again = optimizers.orthogonalized(100.0 * matrix, torch.float32)
    assert torch.allclose(again, found, atol=1e-4), "the scale does not matter"


@pytest.mark.parametrize("fast", [True, False])
def test_steps_are_those_of_pytorch_s_muon(fast, monkeypatch):
    """To the bit in bfloat16, in which PyTorch's computes; within that precision's error in float32."""
    monkeypatch.setattr(backend, "bfloat16_pays", lambda device: fast)
    torch.manual_seed(1)
    start, gradients = torch.randn(24, 12), torch.randn(6, 24, 12)
    ends = []
    for kind, options in (
        (torch.optim.Muon, {"weight_decay": optimizers.WEIGHT_DECAY, "adjust_lr_fn": "match_rms_adamw"}),
        (optimizers.Muon, {}),
    ):
        weight = torch.nn.Parameter(start.clone())
        optimizer = kind([weight], lr=0.02, **options)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        ends.append(weight.detach())
    theirs, ours = ends
    assert (theirs - start).norm() > 0.3
    if fast:
        assert torch.equal(ours, theirs)
    else:
        assert (ours - theirs).norm() < 0.02 * (theirs - start).norm()


def test_every_trained_weight_has_one_optimizer():
    model = torch.nn.ModuleDict(
        {"gru": torch.nn.GRU(8, 4), "dense": torch.nn.Linear(4, 8), "code": torch.nn.Embedding(9, 8)}
    )
    model["frozen"] = torch.nn.Linear(3, 3).requires_grad_(False)
    adam, muon = optimizers.build(model, "muon")
    by_muon = {id(weight) for weight in muon.param_groups[0]["params"]}
    matrices = [model["gru"].weight_ih_l0, model["gru"].weight_hh_l0, model["dense"].weight]
    assert by_muon == {id(weight) for weight in matrices}
    by_adam = {id(weight) for weight in adam.param_groups[0]["params"]}
    trained = {id(weight) for weight in model.parameters() if weight.requires_grad}
    assert by_adam == trained - by_muon
    (adam,) = optimizers.build(model, "adam")
    assert {id(weight) for weight in adam.param_groups[0]["params"]} == trained
    with pytest.raises(PcodecError, match="adam or muon, got sgd"):
        optimizers.build(model, "sgd")


def test_muon_has_the_matrices_and_adam_the_rest():
    """A single row, a bias and a matrix that belongs to no layer are not for Muon."""
    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList([torch.nn.Linear(8, 4), torch.nn.Linear(8, 1), torch.nn.GRUCell(8, 4)])
    model.free = torch.nn.Parameter(torch.zeros(4, 4))
    adam, muon = optimizers.build(model, "muon")
    shapes = [sorted(tuple(weight.shape) for weight in each.param_groups[0]["params"]) for each in (adam, muon)]
    assert shapes == [[(1,), (1, 8), (4,), (4, 4), (12,), (12,)], [(4, 8), (12, 4), (12, 8)]]
