"""Sizes of the networks that change a voice.

Contents: `AnonymizerConfig`, `CONTENTS`, `VOICES`.
"""

from dataclasses import dataclass
from typing import ClassVar

from pcodec import PcodecError

CONTENTS = ("recognized", "own")  # what is said is found by a frozen recognizer, or by encoders that learn it
VOICES = ("fixed", "pool", "random")  # that talkers are given (`voices`)


@dataclass(frozen=True)
class AnonymizerConfig:
    """Where what is said comes from, how wide layers are, and how many words there are for it."""

    FAMILY: ClassVar[str] = "anonymizer"

    content: str = "own"
    width: int = 64  # channels of convolutions
    words: tuple[int, ...] = (64, 32, 16)  # at 50, 25 and 12.5 per second; of a recognizer, at 50

    def __post_init__(self):
        object.__setattr__(self, "words", tuple(self.words))
        one = len(self.words) == 1 if self.content == "recognized" else self.words
        if self.content not in CONTENTS or not one:
            raise PcodecError(f"cannot make an anonymizer of {self}")

    @property
    def size(self) -> str:
        """As in names of files."""
        return self.content
