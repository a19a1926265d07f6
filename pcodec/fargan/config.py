"""Sizes of the framewise decoder.

Task: what a file of weights says of its network, for those who use it without PyTorch.

Contents: `FarganConfig`, `SIZES`, `STEP`, `PERIODS`, `HISTORY`.
"""

from dataclasses import dataclass
from typing import ClassVar

STEP = 40  # samples that are written at a time, 2.5 ms
STEPS = 4  # of them in a frame
PERIODS = 2  # samples before and after the copied ones that the network sees of the past period
HISTORY = 260  # samples of its own past that it can see: the longest period and those before it


@dataclass(frozen=True)
class FarganConfig:
    """Widths; the paper's are the defaults (FARGAN, Valin et al. 2024)."""

    FAMILY: ClassVar[str] = "fargan"

    conv: int = 192  # of the framewise convolution
    gru_1: int = 160
    gru_2: int = 128
    gru_3: int = 128
    skip: int = 128
    dense: int = 64  # first layer at frame rate
    conditioning: int = 128  # convolutions at frame rate
    step_conditioning: int = 80  # what a sub-frame is given of it
    features: int = 20  # per frame
    pitch_embedding: int = 12

    @property
    def size(self) -> str:
        """Its name in `SIZES`, as in the names of files."""
        return next((name for name, config in SIZES.items() if config == self), "other")


SIZES = {  # layers are multiples of 16 wide, as the registers of synthesis
    "large": FarganConfig(),
    "small": FarganConfig(conv=144, gru_1=112, gru_2=112, gru_3=96, skip=96),
    "tiny": FarganConfig(
        conv=80, gru_1=64, gru_2=48, gru_3=48, skip=48, dense=48, conditioning=80, step_conditioning=48
    ),
}
