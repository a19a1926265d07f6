"""SoundStream for one person: how an adapter of the decoder learns from a minute of speech.

Conventions: adapters are those of `pcodec.learning.adapter`, losses those of `pcodec.soundstream.training`, on spectra
and at all rates. Encoder and quantizer stay as they are: packets are the same with and without an adapter. What has
learned goes half of the way: naturalness comes from a mean of weights, which any training leaves.

Contents: `adapt`, `heard`, `evaluate`, `Adapted`.
"""

from pcodec.learning import adapter
from pcodec.soundstream import training
from pcodec.soundstream.model import SoundStream
from pcodec.soundstream.training import Speech

evaluate = training.evaluate  # on what was `heard`
LOSS = "loss"  # column of what it returns
OPTIONS = {"batch": 8, "frames": 64, "learning_rate": 1e-3, "average": 0.98}
WAY = 0.5  # share of what was learned that is left


class Adapted(adapter.Adapted):
    """A network whose decoder has an adapter, as training uses it."""

    def __init__(self, base: SoundStream, rank: int = adapter.RANK, seed: int = 1):
        super().__init__(base, rank, seed)
        self.encoder, self.quantizer, self.delay = self.base.encoder, self.base.quantizer, base.delay

    def write(self, latents, seed: int | None = None):
        """As that of the network."""
        return self(latents, seed)

    def train(self, mode: bool = True):
        """Only the adapter learns; the quantizer's words stay where they are."""
        super().train(mode)
        self.base.eval()
        return self


def heard(signals: list, codebooks: None = None) -> Speech:
    """(name, speaker, samples) as `evaluate` measures on them."""
    return Speech.of(signals)


def adapt(model: SoundStream | Adapted, signals: list, codebooks: None = None, seed: int = 1, **options) -> None:
    """Train a network, or the adapter of its decoder, on (name, speaker, samples), in place.

    `options` go to `training.fit` and replace `OPTIONS`; what is left is `WAY` of what was learned. There are no
    codebooks.
    """
    before = adapter.learnt(model)
    training.fit(model, Speech.of(signals), None, seed=seed, evaluations=0, **OPTIONS | options)
    adapter.go_back(model, before, WAY)
