"""What the networks of all families have: a config, a provenance, and a file.

Task: `Network` is a PyTorch module whose weights are one safetensors file (`pcodec.learning.weights`), and which a seed
makes, without touching PyTorch's random numbers.

Contents: `Network`, `begin`, `heard`, `seeded`.
"""

from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.learning import weights


class Network(torch.nn.Module):
    """`provenance` travels with the weights: group, preset, seed, updates, codebooks."""

    CONFIG: type  # the family's dataclass of sizes
    ADAPTED = ""  # what the names of the weights begin with that an adapter updates

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.provenance: dict = {}

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights by name, as `pcodec.learning.weights` and compiled synthesis use them."""
        return {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}

    @property
    def identity(self) -> str:
        """16 hex digits of the weights' hash: what an adapter belongs to."""
        return weights.identity(self.config, self.arrays())

    def save(self, path: str | Path, dtype=np.float32) -> None:
        """Weights, config and provenance as safetensors."""
        weights.write(path, self.config, self.arrays(), self.provenance, dtype)

    @classmethod
    def load(cls, path: str | Path):
        """Raises `PcodecError` naming the file if it is missing or of another network."""
        config, arrays, provenance = weights.read(path, cls.CONFIG)
        model = cls(config)
        try:
            model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        except RuntimeError as error:
            raise PcodecError.of(path, f"no {cls.__name__} decoder", error) from None
        model.provenance = provenance
        return model.eval()


def begin(kind: type[Network], config, path: Path | None, seed: int) -> Network:
    """A network to train: the one in a file, which must have these sizes, or without a file one of random weights."""
    model = kind.load(path) if path else kind(config, seed=seed)
    if model.config != config:
        raise PcodecError(f"{path}: {config.FAMILY} of size {model.config.size}, expected {config.size}")
    return model


def heard(path: Path | str, model: Network, train: Iterable[str], unseen: Iterable[str]) -> list[str]:
    """Speakers that a decoder will have heard once it is trained on those of `train`.

    Raises `PcodecError` naming the file `path` that it is from if one of them is to be unseen.
    """
    speakers = {*model.provenance.get("speakers", []), *train}
    if known := sorted(speakers & {*unseen}):
        raise PcodecError(f'{path}: has heard speaker {known[0]}, who is to be unseen here; set first to ""')
    return sorted(speakers)


@contextmanager
def seeded(seed: int | None):
    """Inside, PyTorch's random numbers start from `seed`; outside they go on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        yield
