"""A decoder beside critics: who learns what, in the terms of the training loop.

Task: a training has stages, on spectra and beside critics. Critics (`pcodec.learning.discriminators`) learn to tell
what a decoder writes from speech, first alone, then beside it; the gradients of what the decoder learns from them are
kept in proportion to that of its own loss. Critics that begin with the decoder stay at chance and teach nothing. The
mean of several trainings beside critics, which start from the same weights, is better than each: what they agree on is
speech, and their mistakes differ.

Contents: `Critics`, `Ahead`; `Stage`, `stages`, `fit_stages`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pcodec import PcodecError
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

    def learner(self, seed: int, device="cpu") -> loop.Learner:
        """Networks, optimizer and rate; its network is a `discriminators.Critics`."""
        judges = discriminators.Critics(self.windows, seed).to(device)
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
        model = self.training.learners["model"].network.eval()
        with torch.no_grad():
            found, true = self.training.written(update)
        model.train()
        yield "critics", self.learners["critics"].network.loss(found, true)


class Stage(NamedTuple):
    """One part of a decoder's training."""

    critics: bool  # beside critics, or on spectra alone
    updates: int
    learning_rate: float


def stages(role: str, before: int, spectral_updates: int, critic_updates: int, extra_updates: int,
           learning_rate: float, critic_learning_rate: float, extra_learning_rate: float) -> list[Stage]:  # fmt: skip
    """What a decoder is trained on, one after the other; nothing if the `before` updates that it has had are all.

    Control and groups' decoders get `extra_updates` of the general one's last kind.
    """
    if role != "general":
        return [Stage(critic_updates > 0, extra_updates, extra_learning_rate)]
    first = max(0, spectral_updates - before)
    second = critic_updates - max(0, before - spectral_updates)
    parts = [Stage(False, first, learning_rate), Stage(True, max(0, second), critic_learning_rate)]
    return [stage for stage in parts if stage.updates]


def fit_stages(
    model,
    parts: list[Stage],
    fit: Callable[..., pd.DataFrame],
    checkpoint: Path,
    critics: Sequence[Critics],
    kept: float = 0.0,
    seed: int = 1,
) -> pd.DataFrame:
    """Train `model` stage after stage, in place: tables of `fit`, `update` counting those that it had before.

    `fit(stage, critics or None, seed=, checkpoint=)` trains it for a stage. Each of `critics` is a training of its own,
    from the same weights; what is left is `kept` of these, and of the rest a mean over the trainings. `training` counts
    these, from 1; it is 0 without critics.
    """
    if not critics or not 0 <= kept < 1:
        raise PcodecError(f"cannot train with critics {list(critics)}, kept {kept}")
    before, histories = model.provenance.get("updates", 0), []
    for number, stage in enumerate(parts):
        start = {name: value.clone() for name, value in model.state_dict().items()}
        mean = {name: kept * value for name, value in start.items()}
        for training, beside in enumerate(critics if stage.critics else [None]):
            model.load_state_dict(start)
            file = checkpoint.with_name(f"{checkpoint.stem}-{number}-{training}.pt")
            history = fit(stage, beside, seed=seed + training, checkpoint=file)
            for name, value in model.state_dict().items():
                mean[name] += (1 - kept) / len(critics) * value
            counted = training + 1 if stage.critics else 0
            histories.append(history.assign(update=history["update"] + before, training=counted))
        if stage.critics:
            model.load_state_dict(mean)
        before += stage.updates
    return pd.concat(histories, ignore_index=True)
