"""The last layer of LPCNet and its loss in one: the cross-entropy of 256 codes, without writing down their logits.

Task: the dual fully connected layer makes 512 activations and 256 logits of 16 numbers, for every sample. Written to
memory, read and written again by each operation, they took a small decoder longer than everything else. Here a few
samples at a time go all the way to their loss, in the processor's caches, and once more on the way back.

Conventions: M samples, states h (M, 16); the two halves of the layer are one matrix (512, 16). Notebook 06_training.

Contents: `cross_entropy`.
"""

import functools

import numpy as np

from pcodec.compute.backend import torch
from pcodec.compute.vector import FAST, LOG2E, compiled, exp2, tanh
from pcodec.lpcnet.mulaw import LEVELS

TOGETHER = 256  # samples: their activations are half a megabyte
loosely = functools.partial(compiled, fastmath=FAST | {"reassoc"})  # sums in any order


def cross_entropy(h, weight, bias, factors, targets):
    """States h (M, 16), matrix (512, 16), bias (512), factors (2, 256), codes (M,) int64 -> losses (M,) in nats.

    -log softmax(a1 tanh(W1 h + b1) + a2 tanh(W2 h + b2))[code], `DualFC` before it.
    """
    return _CrossEntropy.apply(h, weight, bias, factors, targets)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(context, h, weight, bias, factors, targets):
        context.save_for_backward(h, weight, bias, factors, targets)
        losses = h.new_empty(len(h))
        for rows, activations in _activations(h, weight, bias):
            _losses(activations.numpy(), factors.numpy(), targets[rows].numpy(), losses[rows].numpy())
        return losses

    @staticmethod
    def backward(context, d_losses):
        h, weight, bias, factors, targets = context.saved_tensors
        d_losses, d_h = d_losses.contiguous(), torch.empty_like(h)
        d_weight, d_bias, d_factors = (torch.zeros_like(value) for value in (weight, bias, factors))
        for rows, activations in _activations(h, weight, bias):
            _losses_back(
                activations.numpy(), factors.numpy(), targets[rows].numpy(), d_losses[rows].numpy(), d_factors.numpy()
            )
            torch.mm(activations, weight, out=d_h[rows])
            d_weight.addmm_(activations.t(), h[rows])
            d_bias += activations.sum(dim=0)
        return d_h, d_weight, d_bias, d_factors, None


def _activations(h, weight, bias):
    """(which samples, what goes into their tanh), a few samples at a time."""
    transposed = weight.t().contiguous()
    for rows in (slice(first, first + TOGETHER) for first in range(0, len(h), TOGETHER)):
        yield rows, torch.addmm(bias, h[rows], transposed)


@loosely()
def _logits(x, factors, logits):
    """Activations (512,), squashed in place -> `logits` (256,), and the logarithm of the sum of their exponentials."""
    for i in range(2 * LEVELS):
        x[i] = tanh(x[i])
    for i in range(LEVELS):
        logits[i] = factors[0, i] * x[i] + factors[1, i] * x[LEVELS + i]
    top, total = logits[0], np.float32(0.0)
    for i in range(LEVELS):
        top = max(top, logits[i])
    for i in range(LEVELS):
        total += exp2(LOG2E * (logits[i] - top))
    return np.float32(top + np.log(total))


@loosely()
def _losses(activations, factors, targets, losses):
    """Losses (M,) from activations (M, 512), which are overwritten."""
    logits = np.empty(LEVELS, np.float32)
    for m in range(len(losses)):
        normalizer = _logits(activations[m], factors, logits)
        losses[m] = normalizer - logits[targets[m]]


@loosely()
def _losses_back(activations, factors, targets, d_losses, d_factors):
    """Activations (M, 512) become the gradients of themselves; those of the factors (2, 256) are added up."""
    logits, one = np.empty(LEVELS, np.float32), np.float32(1.0)
    for m in range(len(d_losses)):
        x, d_loss = activations[m], d_losses[m]
        normalizer = _logits(x, factors, logits)
        for i in range(LEVELS):
            logits[i] = d_loss * exp2(LOG2E * (logits[i] - normalizer))  # from here on their gradient
        logits[targets[m]] -= d_loss
        for i in range(LEVELS):
            d_factors[0, i] += logits[i] * x[i]
            d_factors[1, i] += logits[i] * x[LEVELS + i]
            x[i] = logits[i] * factors[0, i] * (one - x[i] * x[i])
            x[LEVELS + i] = logits[i] * factors[1, i] * (one - x[LEVELS + i] * x[LEVELS + i])
