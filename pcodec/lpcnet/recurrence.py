"""A GRU over given input products, with its own backward pass: the inner loop of training on a CPU.

Task: what nn.GRU does after it has multiplied its inputs. The inputs of LPCNet's sample network are table rows and
frames held for 160 samples, so their products cost next to nothing (specification section 8, "inference folding"), and
what remains is the recurrence. Time goes first here: a step reads and writes contiguous memory, and the gradient of the
recurrent matrix is one product over all steps. The products are PyTorch's; what is between them is compiled, because
calling PyTorch once per operation and step takes longer than a small GRU's arithmetic.

Conventions: S steps, B sequences, N units; gates in PyTorch's order r, z, n. Gradients are nn.GRU's. Notebook
06_training.

Contents: `gru`.
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
    for b in range(len(products)):
        for i in range(2 * units):
            gates[t, b, i] = sigmoid(inputs[t, b, i] + products[b, i])
        for i in range(units):
            candidates[t, b, i] = products[b, 2 * units + i]
            n = tanh(inputs[t, b, 2 * units + i] + gates[t, b, i] * candidates[t, b, i])
            gates[t, b, 2 * units + i] = n
            states[t + 1, b, i] = n + gates[t, b, units + i] * (states[t, b, i] - n)


@compiled()
def _step_back(t, gates, candidates, states, d_states, d_products, d_state):
    """Gradients of step t's products; its gates become the gradients of the inputs: no second buffer.

    `d_state` (B, N), that of the state after the step, becomes what goes straight to the state before.
    """
    one, units = np.float32(1.0), states.shape[2]
    for b in range(len(d_state)):
        for i in range(units):
            r, z, n = gates[t, b, i], gates[t, b, units + i], gates[t, b, 2 * units + i]
            d = d_state[b, i] + d_states[t, b, i]
            d_n = d * (one - z) * (one - n * n)
            d_z = d * (states[t, b, i] - n) * z * (one - z)
            d_r = d_n * candidates[t, b, i] * r * (one - r)
            d_products[t, b, i] = gates[t, b, i] = d_r
            d_products[t, b, units + i] = gates[t, b, units + i] = d_z
            d_products[t, b, 2 * units + i] = d_n * r
            gates[t, b, 2 * units + i] = d_n
            d_state[b, i] = d * z
