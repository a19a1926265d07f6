"""What is added to a decoder for one person: small, and nothing in synthesis.

Task: what the paper does for groups, for one speaker and with few numbers to store. Every matrix W of a decoder becomes
W + U V with U, V of rank r, every vector gets an offset; only these are trained (low-rank adaptation). Added to the
decoder before it runs they cost nothing in synthesis; what is pruned stays pruned.

Of a codec that is learned end to end only the decoder is adapted, so that its packets are still anybody's.

Conventions: an adapter file is float16 safetensors and belongs to one decoder, which it names by its identity.

Contents: `Adapted`, `learnt`, `go_back`, `load`, `decoder_of`.
"""

import copy
from pathlib import Path

import numpy as np

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.learning import weights
from pcodec.learning.network import Network

RANK = 8
WHAT = "no adapter"


class Adapted(torch.nn.Module):
    """`base`, frozen, with trainable low-rank updates; called like it. It starts equal to `base`."""

    def __init__(self, base: Network, rank: int = RANK, seed: int = 1):
        super().__init__()
        learnt = {name: value for name, value in base.named_parameters() if name.startswith(base.ADAPTED)}
        largest = max(min(len(value), value[0].numel()) for value in learnt.values())
        if not 1 <= rank < largest:
            raise PcodecError(f"the rank of an adapter is 1 to {largest - 1}, below that of the matrices, got {rank}")
        self.base, self.config, self.rank = copy.deepcopy(base).requires_grad_(False), base.config, rank
        generator = torch.Generator().manual_seed(seed)
        parts = {}
        for name, value in learnt.items():
            rows, columns = len(value), value[0].numel()
            if value.ndim >= 2 and min(rows, columns) > rank:
                parts[f"{name}:up"] = torch.zeros(rows, rank)
                parts[f"{name}:down"] = torch.randn(rank, columns, generator=generator) / columns**0.5
            else:
                parts[f"{name}:offset"] = torch.zeros(value.shape)
        self.parts = torch.nn.ParameterDict({name.replace(".", "/"): value for name, value in parts.items()})

    def forward(self, *inputs, **options):
        """As that of `base`."""
        return torch.func.functional_call(self.base, self.weights(), inputs, options)

    def weights(self) -> dict:
        """Weights of the adapted decoder by name."""
        merged = {}
        for name, value in self.base.named_parameters():
            key = name.replace(".", "/")
            if not name.startswith(self.base.ADAPTED):
                merged[name] = value
            elif f"{key}:offset" in self.parts:
                merged[name] = value + self.parts[f"{key}:offset"]
            else:
                change = (self.parts[f"{key}:up"] @ self.parts[f"{key}:down"]).view_as(value)
                merged[name] = value + change * (value != 0)
        return merged

    def merged(self) -> Network:
        """A decoder like any other."""
        model = type(self.base)(self.config)
        model.load_state_dict(self.base.state_dict() | {name: value.detach() for name, value in self.weights().items()})
        model.provenance = dict(self.base.provenance)
        return model.eval()

    def save(self, path: str | Path, **provenance) -> None:
        """Write the adapter alone, as float16."""
        arrays = {name: value.detach().cpu().numpy().astype(np.float16) for name, value in self.parts.items()}
        weights.save(path, arrays, adapter={"rank": self.rank, "decoder": self.base.identity} | provenance)


def learnt(model: torch.nn.Module) -> dict:
    """A copy of the weights that training would change, by name."""
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}


@torch.no_grad()
def go_back(model: torch.nn.Module, before: dict, share: float) -> None:
    """Leave of a decoder, or of an adapter, a share of the way to what was learned from `before` (of `learnt`)."""
    for name, value in model.named_parameters():
        if value.requires_grad and not name.endswith(":down"):
            value.lerp_(before[name], 1 - share)


def load(path: str | Path, base: Network) -> Network:
    """The decoder `base` with the adapter in file `path`.

    Raises `PcodecError` naming the file if it is no adapter, or belongs to another decoder.
    """
    arrays, metadata = weights.load(path, WHAT)
    try:
        adapter = metadata["adapter"]
        state = {name: torch.from_numpy(value).float() for name, value in arrays.items()}
        model = Adapted(base, adapter["rank"])
        if adapter["decoder"] != base.identity:
            raise PcodecError(f"{path}: an adapter of decoder {adapter['decoder']}, not of {base.identity}")
        model.parts.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise PcodecError.of(path, WHAT, error) from None
    return model.merged()


def decoder_of(path: str | Path) -> str:
    """The identity of the decoder that the adapter in a file belongs to; raises `PcodecError` as `load` does."""
    _, metadata = weights.load(path, WHAT)
    try:
        return metadata["adapter"]["decoder"]
    except (KeyError, TypeError) as error:
        raise PcodecError.of(path, WHAT, error) from None
