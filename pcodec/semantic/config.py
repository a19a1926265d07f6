"""Rates of the semantic codec, and the sizes of its networks.

Task: tokens come in pairs, one semantic, one acoustic (SemantiCodec, Liu et al. 2024): a rate is pairs per second times
the bits of both. One network serves all rates.

Contents: `SemanticConfig`, `Rate`, `RATES`, `VOCABULARIES`, `STEP`, `EVERY`.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

STEP = 2  # frames of 10 ms in a step of what is said, 20 ms
EVERY = 8  # frames that a signal is padded to a multiple of: a pair of the slowest pace
VOCABULARIES = {2: (128, 512, 2048), 4: (128, 512)}  # steps in a pair: sizes of its semantic codebooks
ACOUSTIC = {2: (256, 1024), 4: (256,)}  # and of its acoustic ones


class Rate(NamedTuple):
    """How much is sent."""

    steps: int  # of 20 ms, in a pair of tokens
    semantic: int  # size of the codebook of what is said
    acoustic: int  # of how it sounds

    @property
    def bits(self) -> int:
        """Of a pair."""
        return (self.semantic - 1).bit_length() + (self.acoustic - 1).bit_length()

    @property
    def kbps(self) -> float:
        """In the tokens."""
        return self.bits * 0.05 / self.steps


RATES = {"0.2125": Rate(4, 512, 256), "0.425": Rate(2, 512, 256), "0.525": Rate(2, 2048, 1024)}  # by kb/s


@dataclass(frozen=True)
class SemanticConfig:
    """Widths of the networks."""

    FAMILY: ClassVar[str] = "semantic"

    content: int = 64  # numbers of a step of what is said
    latent: int = 32  # numbers of an acoustic word
    encoder: int = 96  # channels of the acoustic encoder
    student: int = 128  # of the encoder of what is said, for those who have no recognizer
    regressor: int = 160
    diffusion: tuple[int, ...] = (96, 128, 160)  # at 100, 50 and 25 per second

    def __post_init__(self):
        object.__setattr__(self, "diffusion", tuple(self.diffusion))

    @property
    def size(self) -> str:
        """As in names of files."""
        return next((name for name, config in SIZES.items() if config == self), "other")


SIZES = {"small": SemanticConfig(), "tiny": SemanticConfig(64, 16, 32, 128, 32, (16, 16, 16))}
