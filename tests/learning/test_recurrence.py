"""The compiled GRU is PyTorch's: states and gradients, in one layer or two, with a network that is frozen."""

import pytest
import torch

from pcodec.learning import recurrence


def both(network, inputs):
    """Of the compiled GRU and of PyTorch's: states, and gradients of a loss by the inputs and by the weights."""
    found = []
    for form in (recurrence.layers, lambda network, inputs: network(inputs)[0]):
        network.zero_grad()
        own = inputs.clone().requires_grad_()
        states = form(network, own)
        (states * torch.linspace(-1.0, 1.0, states.shape[1])[:, None]).square().mean().backward()
        found.append([states.detach(), own.grad, *(weight.grad for weight in network.parameters())])
    return zip(*found, strict=True)


@pytest.mark.parametrize("units", [5, 16, 33])  # no full vector, one, and two with a rest
def test_states_and_gradients_are_those_of_pytorch(units):
    torch.manual_seed(units)
    network = torch.nn.GRU(7, units, num_layers=2, batch_first=True)
    for own, true in both(network, 3.0 * torch.randn(4, 50, 7)):
        assert true.abs().max() > 0 and (own - true).abs().max() <= 1e-5 * true.abs().max()


def test_a_frozen_network_passes_gradients_on():
    torch.manual_seed(1)
    network = torch.nn.GRU(7, 16, batch_first=True).requires_grad_(False)
    _, by_inputs, *by_weights = both(network, torch.randn(4, 50, 7))
    assert by_weights == [(None, None)] * 4
    assert (by_inputs[0] - by_inputs[1]).abs().max() <= 1e-5 * by_inputs[1].abs().max()
