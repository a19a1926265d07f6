"""A GRU over given input products, with its own backward pass: the inner loop of training on a CPU.

Task: what nn.GRU does after it has multiplied its inputs. In LPCNet's sample network those are table rows and frames
held for 160 samples, so their products cost next to nothing (specification section 8, "inference folding"), and what
remains is the recurrence; the speaker encoder learns twice as fast with it. Time goes first here: a step reads and
writes contiguous memory, and the gradient of the recurrent matrix is one product over all steps. The products are
PyTorch's; what is between them is compiled, because calling PyTorch once per operation and step takes longer than a
small GRU's arithmetic.

Conventions: S steps, B sequences, N units; gates in PyTorch's order r, z, n. Gradients are nn.GRU's. Notebooks
04_embedding and 06_training.

Contents: `gru`, `layers`.
"""

import numpy as np

from pcodec.compute.backend import torch
from pcodec.compute.vector import compiled, sigmoid, tanh


def gru(inputs, weight, bias, state, precision=torch.float32):
    """Input products with their bias (S, B, 3 N), recurrent matrix (3 N, N), its bias (3 N), first state (B, N)
    -> states (S, B, N).

    `precision` is that of the matrix products; everything else is float32.
    """
    return _Recurrence.apply(inputs, weight, bias, state, precision)


def layers(network: torch.nn.GRU, inputs):
    """(B, S, I) -> states (B, S, N) of the last layer of a network with `batch_first`, from states of zero."""
    if inputs.is_cuda:  # a GPU's own is faster
        return network(inputs)[0]
    x = inputs.transpose(0, 1)
    for weight_ih, weight_hh, bias_ih, bias_hh in network.all_weights:
        products = torch.nn.functional.linear(x, weight_ih, bias_ih)
        x = gru(products, weight_hh, bias_hh, x.new_zeros(x.shape[1], network.hidden_size))
    return x.transpose(0, 1)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(context, inputs, weight, bias, state, precision):
        steps, batch, _ = inputs.shape
        units = weight.shape[1]
        weight, bias = weight.to(precision), bias.to(precision)
        transposed = weight.t().contiguous()
        states = inputs.new_empty(steps + 1, batch, units)
        states[0] = state
        gates, candidates = torch.empty_like(inputs), inputs.new_empty(steps, batch, units)
        products = inputs.new_empty(batch, 3 * units, dtype=precision)
        arrays = [tensor.numpy() for tensor in (inputs.contiguous(), states, gates, candidates)]
        for t in range(steps):
            torch.addmm(bias, states[t].to(precision), transposed, out=products)
            _step(t, products.float().numpy(), *arrays)
        context.save_for_backward(gates, candidates, states, weight)
        return states[1:]

    @staticmethod
    def backward(context, d_states):
        gates, candidates, states, weight = context.saved_tensors
        steps, batch, _ = gates.shape
        units = weight.shape[1]
        d_products = torch.empty_like(gates)
        d_state = torch.zeros_like(states[0])
        arrays = [tensor.numpy() for tensor in (gates, candidates, states, d_states.contiguous(), d_products, d_state)]
        for t in range(steps - 1, -1, -1):
            _step_back(t, *arrays)
            d_state += d_products[t].to(weight.dtype) @ weight
        if not context.needs_input_grad[1]:  # a frozen network
            return gates, None, None, d_state, None
        flat = d_products.view(steps * batch, 3 * units).to(weight.dtype)
        d_weight = (flat.t() @ states[:-1].reshape(steps * batch, units).to(weight.dtype)).float()
        d_bias = (flat.t() @ flat.new_ones(len(flat))).float()
        return gates, d_weight, d_bias, d_state, None


@compiled()
def _step(t, products, inputs, states, gates, candidates):
    """States t + 1, from recurrent products (B, 3 N); keeps the gates, and the recurrent part of n before r."""
    units = states.shape[2]
    for b in range(len(products)):  # by views of rows: loops over them become vector instructions
        x, y, h, new = inputs[t, b], products[b], states[t, b], states[t + 1, b]
        both = gates[t, b]
        r, z, n = _three(both)
        candidates[t, b] = y[2 * units :]
        for i in range(2 * units):
            both[i] = sigmoid(x[i] + y[i])
        for i in range(units):
            n[i] = tanh(x[2 * units + i] + r[i] * y[2 * units + i])
        for i in range(units):
            new[i] = n[i] + z[i] * (h[i] - n[i])


@compiled()
def _step_back(t, gates, candidates, states, d_states, d_products, d_state):
    """Gradients of step t's products; its gates become the gradients of the inputs: no second buffer.

    `d_state` (B, N), that of the state after the step, becomes what goes straight to the state before.
    """
    one, units = np.float32(1.0), states.shape[2]
    for b in range(len(d_state)):
        r, z, n = _three(gates[t, b])
        d_r, d_z, d_n = _three(d_products[t, b])
        h, c, d_new, d_h = states[t, b], candidates[t, b], d_states[t, b], d_state[b]
        for i in range(units):
            d = d_h[i] + d_new[i]
            d_input = d * (one - z[i]) * (one - n[i] * n[i])
            d_r[i] = d_input * c[i] * r[i] * (one - r[i])
            d_z[i] = d * (h[i] - n[i]) * z[i] * (one - z[i])
            d_n[i] = d_input * r[i]
            d_h[i] = d * z[i]
            n[i] = d_input
        gates[t, b, : 2 * units] = d_products[t, b, : 2 * units]


@compiled(inline="always")
def _three(row):
    """Views of r, z and n in a row of gates."""
    units = len(row) // 3
    return row[:units], row[units : 2 * units], row[2 * units :]
