"""What moves weights, and how fast.

Task: the two optimizers of this project. Muon's step along a matrix is its orthogonalized momentum, as large in root
mean square as Adam's, so that all directions are learned equally fast (Jordan et al. 2024; Liu et al. 2025, also for
the decay). PyTorch's own Muon orthogonalizes in bfloat16; on a processor without such instructions that takes longer
than forward and backward pass together, so here the precision is the one that is faster on the machine.

Conventions: a schedule is called with the number of updates done and the share of the budget that is used up, 0 to 1,
and gives the learning rate of the next update. Notebook 06_training.

Contents: `build`, `Muon`, `orthogonalized`, `Annealed`, `Cosine`.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

from pcodec import PcodecError
from pcodec.compute import backend
from pcodec.compute.backend import torch

WEIGHT_DECAY = 0.1  # of matrices, times the rate: they do not grow without end in a long training
MOMENTUM = 0.95
RMS = 0.2  # of an update along a matrix, times the rate: about Adam's
STEPS = 5  # of the Newton-Schulz iteration
A, B, C = 3.4445, -4.7750, 2.0315  # its coefficients: singular values end between 0.7 and 1.2
EPSILON = 1e-7
ADAM = functools.partial(torch.optim.Adam, eps=1e-7, amsgrad=True)


@dataclass(frozen=True)
class Annealed:
    """rate / (1 + decay b) after b updates, falling linearly to zero over the last `anneal` of the budget."""

    rate: float
    decay: float = 0.0  # per update
    anneal: float = 0.5  # share of the budget

    def __post_init__(self):
        if not self.rate > 0 or not 0 <= self.anneal <= 1:
            raise PcodecError(f"cannot train with learning_rate {self.rate}, anneal {self.anneal}")

    def __call__(self, update: int, done: float) -> float:
        return self.rate / (1.0 + self.decay * update) * min(1.0, (1.0 - done) / self.anneal if self.anneal else 1.0)


@dataclass(frozen=True)
class Cosine:
    """Falls from `rate` to zero along half a cosine."""

    rate: float

    def __call__(self, update: int, done: float) -> float:
        return self.rate * (0.5 + 0.5 * math.cos(math.pi * done))


def build(model, name: str, adam: Callable = ADAM, weight_decay: float = WEIGHT_DECAY) -> list:
    """`adam` for all parameters or, with "muon", for those that are no matrix of a GRU or a dense layer.

    A single row is no matrix. `weight_decay` is Muon's.
    """
    if name not in ("adam", "muon"):
        raise PcodecError(f"optimizer must be adam or muon, got {name}")
    kinds = torch.nn.GRU | torch.nn.GRUCell | torch.nn.Linear
    layers = [layer for layer in model.modules() if isinstance(layer, kinds)]
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    inside = {id(weight) for layer in layers if name == "muon" for weight in layer.parameters()
              if weight.ndim == 2 and len(weight) > 1}  # fmt: skip
    others = [weight for weight in trained if id(weight) not in inside]
    matrices = [weight for weight in trained if id(weight) in inside]
    optimizers = [adam(others)] if others else []
    if matrices:
        optimizers.append(Muon(matrices, weight_decay=weight_decay))
    return optimizers


class Muon(torch.optim.Optimizer):
    """Orthogonalized Nesterov momentum with decoupled weight decay, for matrices (M, N) only."""

    def __init__(self, matrices, lr: float = 1e-3, weight_decay: float = WEIGHT_DECAY, momentum: float = MOMENTUM):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                buffer = state["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
                step = orthogonalized(weight.grad.lerp(buffer, group["momentum"]))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(step, alpha=-group["lr"] * RMS * math.sqrt(max(weight.shape)))


def orthogonalized(matrix, precision=None):
    """(M, N) -> the nearest matrix with equal singular values, roughly: five quintic Newton-Schulz steps.

    `precision` of the products: by default the one that is faster on this machine.
    """
    x = matrix.to(precision or backend.precision(matrix.device))
    tall = len(x) > x.shape[1]
    if tall:  # the smaller side first: a smaller Gram matrix
        x = x.T
    x = x / x.norm().clamp(min=EPSILON)
    for _ in range(STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.T if tall else x
