"""Sizes of the LPCNet decoder.

Task: what a file of weights says of its network, for those who use it without PyTorch.

Contents: `LPCNetConfig`.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class LPCNetConfig:
    """Sizes of the decoder; the paper's are the defaults and units = 256."""

    FAMILY: ClassVar[str] = "lpcnet"

    units: int = 384  # GRU_A
    units_b: int = 16  # GRU_B
    features: int = 20  # per frame
    conditioning: int = 128  # width of the frame network and of its output
    signal_embedding: int = 128
    pitch_embedding: int = 64

    @property
    def size(self) -> str:
        """As in the names of files."""
        return str(self.units)
