"""A GRU over given input products, with its own backward pass: the inner loop of training on a CPU.

Task: what nn.GRU does after it has multiplied its inputs. The inputs of LPCNet's sample network are table rows and
frames held for 160 samples, so their products cost next to nothing (specification section 8, "inference folding"), and
what remains is the recurrence. Time goes first here: a step reads and writes contiguous memory, and the gradient of the
recurrent matrix is one product over all steps.

Conventions: S steps, B sequences, N units; gates in PyTorch's order r, z, n. Gradients are nn.GRU's. Notebook
06_training.

Contents: `gru`.
"""

from pcodec.compute.backend import torch


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
        gates = torch.empty_like(inputs)
        candidates = inputs.new_empty(steps, batch, units)  # the recurrent part of n, before r
        for t in range(steps):
            products = torch.addmm(bias, states[t].to(precision), transposed)
            r_and_z, n = gates[t, :, : 2 * units], gates[t, :, 2 * units :]
            torch.add(inputs[t, :, : 2 * units], products[:, : 2 * units], out=r_and_z).sigmoid_()
            candidates[t] = products[:, 2 * units :]
            torch.addcmul(inputs[t, :, 2 * units :], r_and_z[:, :units], candidates[t], out=n).tanh_()
            torch.lerp(n, states[t], r_and_z[:, units:], out=states[t + 1])
        context.save_for_backward(gates, candidates, states, weight)
        return states[1:]

    @staticmethod
    def backward(context, d_states):
        gates, candidates, states, weight = context.saved_tensors
        steps, batch, _ = gates.shape
        units = weight.shape[1]
        d_products = torch.empty_like(gates, dtype=weight.dtype)
        d_state = torch.zeros_like(states[0])
        for t in range(steps - 1, -1, -1):
            d_state += d_states[t]
            r, z, n = gates[t].split(units, dim=1)
            kept = d_state * z
            d_n = (d_state - kept).mul_(1 - n * n)
            d_z = (states[t] - n).mul_(kept).mul_(1 - z)
            scaled = d_n * r
            d_r = (scaled * candidates[t]).mul_(1 - r)
            products = torch.cat([d_r, d_z, scaled], dim=1).to(weight.dtype)
            d_products[t] = products
            gates[t] = torch.cat([d_r, d_z, d_n], dim=1)  # what was saved becomes the gradient: no second buffer
            d_state = kept.add_(products @ weight)
        flat = d_products.view(steps * batch, 3 * units)
        if not context.needs_input_grad[1]:  # a frozen network
            return gates, None, None, d_state, None
        d_weight = (flat.t() @ states[:-1].reshape(steps * batch, units).to(weight.dtype)).float()
        d_bias = (flat.t() @ flat.new_ones(len(flat))).float()
        return gates, d_weight, d_bias, d_state, None
