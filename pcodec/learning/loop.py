"""The training loop of every family.

Task: budget, schedule, updates, clipping, weight averaging, checkpoints, evaluations and progress; a family brings its
networks, its loss for an update and its evaluation (`Task`). What an update sees must depend on seed and number of
the update alone: then a training that was killed continues from its checkpoint to the same result (if the budget is
in updates).

Conventions: updates are counted from 0; `done` is the share of the budget that is used up. Evaluations are tables, of
which the loop keeps all, each with the number of updates before it.

Contents: `fit`, `Task`, `Learner`, `History`.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from pcodec import PcodecError
from pcodec.compute import backend
from pcodec.compute.backend import torch
from pcodec.learning.checkpoint import Checkpoint, digest

SHOW_SECONDS = 1.0  # from one look at the loss to the next: it waits for a GPU
CLIP = 1.0  # largest norm of a gradient: an optimizer with a memory would remember a burst for good


class Learner(NamedTuple):
    """A network that learns: a model, or one side of a game of generator and critics."""

    network: torch.nn.Module
    optimizers: list
    schedule: Callable[[int, float], float]  # learning rate from update and share of the budget
    clip: float = CLIP


class Task:
    """What a family brings."""

    learners: dict[str, Learner]  # by name; the first is the model, whose weights may be averaged
    unit = ""  # of the losses, for the progress bar
    averaged_from = 0  # number of updates from which on weights are averaged: before, some mean nothing yet

    def identity(self) -> str:
        """Digest of settings and data: a checkpoint of another task is not continued."""
        raise NotImplementedError

    def losses(self, update: int) -> Iterator[tuple]:
        """Yields (name of a learner, scalar loss) in turn; that learner has moved when the next one is asked for."""
        raise NotImplementedError

    def after(self, update: int) -> None:
        """After all learners have moved: pruning, for example."""

    def evaluate(self) -> pd.DataFrame:
        """The model as it is now, on data that nothing is learned from."""
        raise NotImplementedError

    def score(self, evaluation: pd.DataFrame) -> float:
        """What of an evaluation should be small, where training stops early."""
        raise NotImplementedError

    def state(self):
        """What goes on from update to update beside weights: recurrent states, for example."""

    def restore(self, state) -> None:
        """Take up what `state` gave."""


class History(NamedTuple):
    """What a training leaves beside the weights."""

    evaluations: pd.DataFrame  # the tables of all evaluations, with update and training_loss (of the update before)
    training: pd.DataFrame  # update, and a column of losses for each learner


def fit(
    task: Task,
    updates: int = 0,
    seconds: float = 0.0,
    evaluations: int = 5,
    average: float = 0.0,
    patience: int = 0,
    seed: int = 1,
    checkpoint: Path | None = None,
    name: str = "training",
) -> History:
    """Train the learners of `task` in place, for a budget of `updates` or of `seconds`.

    An evaluation comes first, then `evaluations` more, evenly spread, the last one at the end; with 0 there is none.
    With `average` the model that is evaluated and left at the end is an average of its weights since
    `Task.averaged_from`: a plain mean, and after 1 / (1 - average) updates an exponential one with that decay. With
    `patience` training stops when `Task.score` has not improved for so many updates, and the best weights are left.
    PyTorch's random numbers are seeded anew for every update. With `checkpoint` a killed training of the same task
    continues where it was, and a finished one is not trained again. Raises `PcodecError` if there is no budget or a
    loss is not finite.
    """
    if updates < 0 or seconds < 0 or bool(updates) == bool(seconds):
        raise PcodecError(f"training needs a budget, of updates or of seconds; got {updates} and {seconds}")
    if evaluations < 0 or not 0 <= average < 1 or patience < 0 or (patience and not evaluations):
        raise PcodecError(
            f"cannot train with evaluations {evaluations}, average {average}, patience {patience}"
        )  # fmt: skip
    backend.keep_memory()
    model = next(iter(task.learners.values())).network
    progress = _Progress(model, average)
    settings = (updates, seconds, evaluations, average, patience, seed, [
        (learner.schedule, learner.clip) for learner in task.learners.values()
    ], task.identity())  # fmt: skip
    weights = [weight for learner in task.learners.values() for weight in learner.network.state_dict().values()]
    keeper = Checkpoint(checkpoint, digest(settings, *weights) if checkpoint else "")
    if saved := keeper.load(next(model.parameters()).device):
        progress.restore(saved, task)
    started, shown = time.monotonic() - progress.elapsed, time.monotonic()
    bar = tqdm(total=updates or None, initial=progress.updates, desc=name, unit="update", mininterval=2)
    with bar, torch.random.fork_rng(devices=[]):
        while True:
            progress.elapsed = time.monotonic() - started
            done = progress.updates / updates if updates else min(1.0, progress.elapsed / seconds)
            due = progress.updates * evaluations >= len(progress.tables) * updates if updates else (
                done * evaluations >= len(progress.tables)
            )  # fmt: skip
            if evaluations and due:
                progress.evaluate(task, patience)
                started = time.monotonic() - progress.elapsed  # evaluations are not training
            if done >= 1.0 or (patience and progress.updates - progress.best_at >= patience):
                break
            torch.manual_seed(seed * 1_000_003 + progress.updates)
            losses = {}
            for who, loss in task.losses(progress.updates):
                _move(task.learners[who], loss, progress.updates, done)
                losses[who] = loss.detach()
            task.after(progress.updates)
            progress.add(losses, task.averaged_from)
            bar.update()
            if time.monotonic() - shown > SHOW_SECONDS or progress.updates == updates:
                shown = time.monotonic()
                text = ", ".join(f"{who} {loss:.3f}" for who, loss in losses.items()).replace("model", "loss")
                bar.set_postfix_str(f"{text} {task.unit}".strip(), refresh=False)
                for who, loss in losses.items():
                    if not torch.isfinite(loss):
                        raise PcodecError(
                            f"the training loss is {loss} after {progress.updates} updates ({who}); lower learning_rate"
                        )
            if keeper.due:
                progress.elapsed = time.monotonic() - started
                keeper.save(progress.state(task))
    keeper.save(progress.state(task))
    progress.leave()
    return progress.history(list(task.learners))


def _move(learner, loss, update, done):
    """One step of a learner against the gradient of its loss."""
    learner.network.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(learner.network.parameters(), learner.clip)
    for optimizer in learner.optimizers:
        optimizer.param_groups[0]["lr"] = learner.schedule(update, done)
        optimizer.step()


class _Progress:
    """Where a training is: updates, seconds, losses, evaluations, averaged and best weights."""

    def __init__(self, model, average: float):
        self.model, self.average = model, average
        self.updates, self.elapsed = 0, 0.0
        self.losses, self.tables = [], []
        self.averaged = _copy(model) if average else None
        self.best, self.best_score, self.best_at = None, float("inf"), 0

    def add(self, losses: dict, since: int) -> None:
        self.losses.append(torch.stack(list(losses.values())))
        self.updates += 1
        if self.averaged:
            count = max(0, self.updates - since)
            decay = min(self.average, count / (1 + count))  # at first a plain mean
            for name, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.averaged[name].lerp_(value, 1 - decay)
                else:
                    self.averaged[name].copy_(value)

    def evaluate(self, task: Task, patience: int) -> None:
        current = _copy(self.model) if self.averaged else None
        if self.averaged:
            self.model.load_state_dict(self.averaged)
        table = task.evaluate()
        if patience and (score := task.score(table)) < self.best_score:
            self.best, self.best_score, self.best_at = _copy(self.model), score, self.updates
        if current:
            self.model.load_state_dict(current)
        last = self.losses[-1][0].item() if self.losses else float("nan")
        self.tables.append(table.assign(update=self.updates, training_loss=last))

    def leave(self) -> None:
        """Give the model the weights that a training ends with."""
        if final := self.best or self.averaged:
            self.model.load_state_dict(final)

    def history(self, learners: list[str]) -> History:
        losses = torch.stack(self.losses).cpu().double().numpy() if self.losses else None
        training = pd.DataFrame(losses, columns=learners)
        training.insert(0, "update", range(len(training)))
        tables = self.tables or [pd.DataFrame(columns=["update", "training_loss"])]
        return History(pd.concat(tables, ignore_index=True), training)

    def state(self, task: Task) -> dict:
        networks = {
            name: (learner.network.state_dict(), [optimizer.state_dict() for optimizer in learner.optimizers])
            for name, learner in task.learners.items()
        }
        own = {name: value for name, value in vars(self).items() if name not in ("model", "average", "losses")}
        losses = torch.stack(self.losses) if self.losses else None
        return {"networks": networks, "progress": own, "losses": losses, "task_state": task.state()}

    def restore(self, saved: dict, task: Task) -> None:
        for name, learner in task.learners.items():
            weights, optimizers = saved["networks"][name]
            learner.network.load_state_dict(weights)
            for optimizer, state in zip(learner.optimizers, optimizers, strict=True):
                optimizer.load_state_dict(state)
        vars(self).update(saved["progress"])
        self.losses = [] if saved["losses"] is None else list(saved["losses"])
        task.restore(saved["task_state"])


def _copy(model) -> dict:
    """The weights of a network as they are now."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
