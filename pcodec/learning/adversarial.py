"""A decoder beside critics: who learns what, in the terms of the training loop.

Task: critics (`pcodec.learning.discriminators`) learn to tell what a decoder writes from speech, first alone, then
beside it; the gradients of what the decoder learns from them are kept in proportion to that of its own loss. Critics
that begin with the decoder stay at chance and teach nothing.

Contents: `Critics`, `Ahead`.
"""

from dataclasses import dataclass

import pandas as pd

from pcodec.compute.backend import torch
from pcodec.learning import discriminators, loop, losses, optimizers
from pcodec.learning.checkpoint import digest


@dataclass(frozen=True)
class Critics:
    """Critics beside a decoder, one for each window; all look at each update."""

    windows: tuple[int, ...] = discriminators.WINDOWS
    learning_rate: float = 1e-3
    ahead: int = 120  # updates in which they alone learn, before the decoder does
    adversarial: float = 0.5  # sizes of their losses' gradients, in those of the decoder's own loss
    matching: float = 0.5

    def learner(self, seed: int) -> loop.Learner:
        """Networks, optimizer and rate; its network is a `discriminators.Critics`."""
        judges = discriminators.Critics(self.windows, seed)
        adam = torch.optim.AdamW(judges.parameters(), betas=(0.8, 0.99), weight_decay=0.0)
        return loop.Learner(judges, [adam], optimizers.Annealed(self.learning_rate, 0.0, 0.0))

    def loss(self, judges, own, signals, found, true):
        """What a decoder learns from: its `own` scalar loss, with the critics' gradients in proportion.

        `signals` is what it wrote, `found` the part of it that is judged beside `true`.
        """
        deceiving, matching = judges.decoder_losses(found, true)
        return losses.balanced(signals, own, [(deceiving, self.adversarial), (matching, self.matching)])


class Ahead(loop.Task):
    """The critics of a training, who look at its decoder before that learns.

    The training is a task with learners "model" and "critics", and `written(update)`: (found, true) signals.
    """

    def __init__(self, training):
        self.training, self.learners = training, {"critics": training.learners["critics"]}

    def identity(self) -> str:
        return digest(self.training.identity(), *self.training.learners["model"].network.state_dict().values())

    def losses(self, update):
        with torch.no_grad():
            found, true = self.training.written(update)
        yield "critics", self.learners["critics"].network.loss(found, true)

    def evaluate(self):
        return pd.DataFrame()
