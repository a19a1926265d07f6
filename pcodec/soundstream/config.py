"""Sizes of the codec that is learned end to end.

Task: what a file of weights says of its network, for those who use it without PyTorch.

Contents: `SoundStreamConfig`, `SIZES`, `FRAME`, `HOP`, `WINDOW`, `DELAY`.
"""

from dataclasses import dataclass
from typing import ClassVar

FRAME = 320  # samples of a latent vector, 20 ms
HOP = 160  # samples from one spectrum to the next
WINDOW = 640  # samples of a spectrum
DELAY = WINDOW - HOP  # samples that come out later than they went in, beside the frame itself: 50 ms in all
KERNEL = 7  # frames that a convolution sees, itself and those before
EXPANSION = 3  # inner width of a block, in its own
BINS = WINDOW // 2 + 1
OVERLAP = 1.5  # sum of the squares of Hann windows that are a quarter apart
FLOOR = 1e-3  # of magnitudes, before their logarithm
CENTRE, SPREAD = -3.0, 3.0  # of log magnitudes of speech, roughly: what is given to the encoder is about 0 +- 1
LOUDEST = 8.0  # logarithm of the largest magnitude that is written
CONTEXT = 3  # latent vectors that the decoder sees at a time, the newest and those before


@dataclass(frozen=True)
class SoundStreamConfig:
    """Widths and numbers of blocks."""

    FAMILY: ClassVar[str] = "soundstream"

    encoder: int = 160  # width at 50 frames/s
    encoder_blocks: int = 3
    latent: int = 64
    stages: int = 8  # of the quantizer
    words: int = 256  # of each stage
    quantizer: str = "averaged"  # a kind of `pcodec.learning.vq.KINDS`
    decoder: int = 224  # width at 50 frames/s
    decoder_blocks: int = 5
    late: int = 160  # width at 100 frames/s
    late_blocks: int = 2
    noise: int = 32  # random numbers that the decoder is given for each spectrum

    @property
    def size(self) -> str:
        """Its name in `SIZES`, as in the names of files."""
        return next((name for name, config in SIZES.items() if config == self), "other")


SIZES = {
    "large": SoundStreamConfig(),
    "small": SoundStreamConfig(
        encoder=96, encoder_blocks=2, latent=48, decoder=128, decoder_blocks=3, late=96, late_blocks=2
    ),
    "tiny": SoundStreamConfig(
        encoder=48, encoder_blocks=2, latent=32, decoder=64, decoder_blocks=3, late=48, late_blocks=2, noise=16
    ),
}
