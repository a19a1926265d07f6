"""pcodec: a reproduction of "Personalized Neural Speech Codec" (Jang, Yang, Lim, Beack, Kim; ICASSP 2024).

Speech goes in (`speech`), becomes features (`features`), bits (`bitstream`) and a speaker group (`speakers`), is
trained by one loop (`learning`) into a family of decoders (`lpcnet`, `fargan`), is held by a user as one object
(`codecs`), and what comes out is measured (`evaluation`) and drawn (`plots`). Notebooks tell that story in order;
`experiment` runs them. `compute` is what the machine gives. An import points only towards the ground: the contract is
in pyproject.toml.

Conventions: signals are float32 in [-1, 1] at 16 kHz, mono; one frame is 160 samples (10 ms), one packet four
frames. Importing this package is instant: every module imports its own heavy dependencies.
"""

import os
import sys

__version__ = "0.1.0"


class PcodecError(Exception):
    """What the user gave cannot be used. The message is one line and names the file or value."""

    @classmethod
    def of(cls, path, what: str, error) -> "PcodecError":
        """ "path: what: error", of an error whose text may have several lines."""
        return cls(f"{path}: {what}: {' '.join(str(error).split())}")


NOTE = "pcodec: note: "


def note(text: str) -> None:
    """Tell the user, on standard error, what was decided for him."""
    print(NOTE + text, file=sys.stderr)


def threads() -> int:
    """How many threads or processes this one may use: what `pcodec run --threads` set, or all cores."""
    return int(os.environ.get("NUMBA_NUM_THREADS") or os.cpu_count())
