"""What a listener would mind: losses between a written and a true spectrum.

Task: the perception-informed losses of VC-PL (Ghosh et al. 2024), which are added to the reconstruction's while a model
learns, and cost nothing when it is used. Some are computed by hand (loudness, masking), some compare what a frozen
network reads of both (formants, pitch, a recognizer's activations, the speaker). The paper gives no weights: here each
loss is scaled once, so that its gradient at the spectrum has a chosen share of the reconstruction's.

Conventions: spectra `found`, `true` (B, T, 80) are `hearing.levelled`: 1 is 4 decades of power. A loss is called with a
`Pair` and gives a scalar; it is zero where found and true are the same (`Speaker` has no such point).

Contents: `Pair`, `Reconstruction`, `Loudness`, `Masking`, `Formants`, `Pitch`, `Activations`, `Speaker`, `Perception`,
`NAMES`; `spoiled`, `heard_by`.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.anonymizer import tracker as trackers
from pcodec.bitstream.quantizer import VOICED
from pcodec.compute.backend import torch
from pcodec.features.hearing import SCALE
from pcodec.learning import recognizer as recognizers
from pcodec.learning.recognizer import MELS, bands
from pcodec.speech import audio

nn = torch.nn
SILENT = 1e-3  # instead of a mean pitch of nothing
NAMES = ("loudness", "masking", "formants", "pitch", "activations", "speaker")


class Pair(NamedTuple):
    """What was written, what is true, and what else is known."""

    found: torch.Tensor  # (B, T, 80)
    true: torch.Tensor  # (B, T, 80)
    voiced: torch.Tensor  # (B, T) bool
    other: torch.Tensor | None = None  # (B, T, 80), what was written in another voice
    source: torch.Tensor | None = None  # (B, 32), the talker's own voice
    target: torch.Tensor | None = None  # (B, 32), the other voice


def decades(mel):
    """`levelled` spectra -> log10 of power."""
    return SCALE * mel


class Reconstruction(nn.Module):
    """mean (y - x)^2 (VC-PL)."""

    def forward(self, pair: Pair):
        return (pair.found - pair.true).square().mean()


class Loudness(nn.Module):
    """mean |n(y) - n(x)| + mean |sum n(y) - sum n(x)| / bands, n = (A E)^0.23 in each band.

    Specific loudness after Zwicker and Fastl (1990, chapter 8), A the weighting of IEC 61672.
    """

    EXPONENT = 0.23

    def __init__(self):
        super().__init__()
        self.register_buffer("weighting", torch.from_numpy(a_weighting(_centres()) * np.float32(self.EXPONENT / 10)))

    def specific(self, mel):
        """(B, T, 80) -> the same, in units of that of the level at 1 kHz."""
        return 10.0 ** (self.EXPONENT * decades(mel) + self.weighting)

    def forward(self, pair: Pair):
        y, x = self.specific(pair.found), self.specific(pair.true)
        return (y - x).abs().mean() + (y.sum(-1) - x.sum(-1)).abs().mean() / MELS


class Masking(nn.Module):
    """mean |max(y, m) - max(x, m)|: errors count where they are above what x masks.

    m is the spectrum x spread over bands, 27 dB per Bark upwards in frequency from below, 10 dB per Bark the other way
    (Schroeder et al. 1979, simplified), less `OFFSET`.
    """

    OFFSET = 1.0  # decades: 10 dB under the masker
    STEEP, FLAT = 2.7, 1.0  # decades per Bark

    def __init__(self):
        super().__init__()
        bark = 6.0 * np.arcsinh(_centres() / 600.0)
        away = bark[None, :] - bark[:, None]  # of a masked band (column) from its masker (row)
        falls = np.where(away >= 0, self.FLAT * away, -self.STEEP * away)
        self.register_buffer("falls", torch.from_numpy(falls.astype(np.float32)))

    def threshold(self, mel):
        """(B, T, 80) -> the same, `levelled`."""
        return ((decades(mel)[..., :, None] - self.falls).amax(dim=-2) - self.OFFSET) / SCALE

    def forward(self, pair: Pair):
        with torch.no_grad():
            least = self.threshold(pair.true)
        return (torch.maximum(pair.found, least) - torch.maximum(pair.true, least)).abs().mean()


class Formants(nn.Module):
    """mean over voiced frames of (F(y) - F(x))^2, F = F1, F2, F3 in kHz as a frozen network reads them (VC-PL)."""

    def __init__(self, tracker: trackers.Tracker):
        super().__init__()
        self.tracker = tracker.requires_grad_(False)

    def forward(self, pair: Pair):
        y, x = (self.tracker(mel)[..., : trackers.FORMANTS] for mel in (pair.found, pair.true))
        return _over(pair.voiced, (y - x).square().mean(dim=-1))


class Pitch(nn.Module):
    """mean over voiced frames of |f(y) / mean f(y) - f(x) / mean f(x)|, f in Hz as the network reads it (VC-PL)."""

    def __init__(self, tracker: trackers.Tracker):
        super().__init__()
        self.tracker = tracker.requires_grad_(False)

    def contour(self, mel, voiced):
        pitch = self.tracker(mel)[..., trackers.PITCH].clamp(-1.5, 1.5).exp()
        mean = (pitch * voiced).sum(1) / voiced.sum(1).clamp(min=1)
        return pitch / mean.clamp(min=SILENT)[:, None]  # where nothing is voiced nothing counts

    def forward(self, pair: Pair):
        y, x = (self.contour(mel, pair.voiced) for mel in (pair.found, pair.true))
        return _over(pair.voiced, (y - x).abs())


class Activations(nn.Module):
    """mean over blocks l of |phi_l(y) - phi_l(x)|^2 / |phi_l(x)|^2, phi_l centred (VC-PL's WavLM; here Whisper's)."""

    BLOCKS = (1, 2)  # of four, counted from 0

    def __init__(self, recognizer: recognizers.Recognizer):
        super().__init__()
        self.recognizer = recognizer

    def forward(self, pair: Pair):
        loudest = pair.true.amax(dim=(1, 2), keepdim=True)  # of the true one for both: the level does not leak in
        least = loudest - recognizers.RANGE / SCALE
        y, x = (
            self.recognizer(torch.maximum(mel, least) - loudest + 1.5, layers=max(self.BLOCKS) + 1)
            for mel in (pair.found, pair.true)
        )
        parts = []
        for block in self.BLOCKS:
            spread = (x[block] - x[block].mean(dim=(0, 1))).square().mean()
            parts.append((y[block] - x[block]).square().mean() / spread)
        return torch.stack(parts).mean()


class Speaker(nn.Module):
    """mean of 1 - cos(z(o), target) + max(0, cos(z(o), source)): pulled to the other voice, pushed from the own one.

    o is what was written in the other voice, z the speaker encoder (Jang et al. 2024), which hears 40 bands; `to_heard`
    (80, 40) is `spectra.matrix` to them.
    """

    FLOOR = 1e-6

    def __init__(self, encoder, to_heard: np.ndarray):
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        scaled = to_heard / to_heard.sum(axis=0).mean()  # the encoder does not mind the level
        self.register_buffer("to_heard", torch.from_numpy(scaled.astype(np.float32)))

    def embed(self, mel):
        """(B, T, 80) -> z (B, 32)."""
        return self.encoder(torch.log(10.0 ** decades(mel) @ self.to_heard + self.FLOOR))

    def forward(self, pair: Pair):
        if pair.other is None:
            raise PcodecError("the loss of the speaker needs speech in another voice")
        z = self.embed(pair.other)
        pull = 1.0 - nn.functional.cosine_similarity(z, pair.target)
        return (pull + nn.functional.cosine_similarity(z, pair.source).clamp(min=0.0)).mean()


class Perception(nn.Module):
    """Losses by name, each with the share of the reconstruction's gradient that it is to have."""

    def __init__(self, shares: dict[str, float], tracker=None, recognizer=None, speaker=None):
        """`shares` of some of `NAMES`; `speaker` is a `Speaker`. Raises `PcodecError` for what a loss lacks."""
        super().__init__()
        if unknown := [name for name in shares if name not in NAMES]:
            raise PcodecError(f"no loss is called {unknown[0]}; there are {', '.join(NAMES)}")
        needs = {"formants": tracker, "pitch": tracker, "activations": recognizer, "speaker": speaker}
        if lacking := [name for name in shares if name in needs and needs[name] is None]:
            raise PcodecError(f"the loss {lacking[0]} needs a network that is not given")
        made = {
            "loudness": lambda: Loudness(), "masking": lambda: Masking(), "formants": lambda: Formants(tracker),
            "pitch": lambda: Pitch(tracker), "activations": lambda: Activations(recognizer), "speaker": lambda: speaker,
        }  # fmt: skip
        self.reconstruction = Reconstruction()
        self.shares = {name: share for name, share in shares.items() if share}
        self.losses = nn.ModuleDict({name: made[name]() for name in self.shares})
        self.scales: dict[str, float] = {}

    def measure(self, pairs) -> dict[str, float]:
        """Set each loss's scale, of `Pair`s whose `found` and `other` have gradients; returns the scales.

        Scale = share |d reconstruction / d y| / |d loss / d y|, norms in root mean square over the pairs.
        """
        sizes = {name: [] for name in ["reconstruction", *self.losses]}
        for pair in pairs:
            for name, loss in [("reconstruction", self.reconstruction), *self.losses.items()]:
                at = pair.other if name == "speaker" else pair.found
                (gradient,) = torch.autograd.grad(loss(pair), at, retain_graph=True)
                sizes[name].append(gradient.square().sum().item())
        own = math.sqrt(np.mean(sizes.pop("reconstruction")))
        self.scales = {
            name: self.shares[name] * own / math.sqrt(max(np.mean(each), 1e-30)) for name, each in sizes.items()
        }
        return self.scales

    def parts(self, pair: Pair) -> dict:
        """Every loss, not scaled; the reconstruction first."""
        return {"reconstruction": self.reconstruction(pair)} | {
            name: loss(pair) for name, loss in self.losses.items() if name != "speaker" or pair.other is not None
        }

    def forward(self, pair: Pair):
        """The sum of all, scaled. Raises `PcodecError` before `measure`."""
        if self.losses and not self.scales:
            raise PcodecError("scales of the losses are not measured")
        parts = self.parts(pair)
        return sum(self.scales.get(name, 1.0) * part for name, part in parts.items())


def spoiled(mel: np.ndarray) -> dict[str, np.ndarray]:
    """`levelled` spectra (T, 80), spoiled in ways that are heard as differently as they look: (T, 80) by name."""
    bands_of, frames = np.arange(MELS), np.ones(9) / 9
    masked = Masking().threshold(torch.from_numpy(mel)).numpy()
    warped = np.stack([np.interp(bands_of * 0.92, bands_of, row) for row in mel])
    across = np.stack([np.convolve(np.pad(row, 4, "edge"), frames, "valid") for row in mel])
    along = np.stack([np.convolve(np.pad(column, 4, "edge"), frames, "valid") for column in mel.T], axis=1)
    made = {
        "6 dB softer": mel - 0.6 / SCALE,
        "formants higher": warped,
        "blurred in time": along,
        "blurred in frequency": across,
        "noise that is masked": np.maximum(mel, masked - 0.01),
        "noise in pauses": np.maximum(mel, -3.0 / SCALE),
    }
    return {name: value.astype(np.float32) for name, value in made.items()}


def heard_by(losses: "Perception", changed: dict, true: np.ndarray, correlation: np.ndarray) -> pd.DataFrame:
    """What each loss makes of `changed` spectra (T, 80) by name, where `true` was said.

    Table: loss, spoiled, value, in units of the loss's mean over all. The loss of the speaker, which is of converted
    speech, is not in it.
    """
    voiced = torch.from_numpy(correlation > VOICED)[None]
    rows = []
    with torch.no_grad():
        for name, mel in changed.items():
            pair = Pair(torch.from_numpy(mel)[None], torch.from_numpy(true)[None], voiced)
            rows += [(loss, name, value.item()) for loss, value in losses.parts(pair).items()]
    table = pd.DataFrame(rows, columns=["loss", "spoiled", "value"])
    return table.assign(value=table.value / table.groupby("loss").value.transform("mean"))


def a_weighting(hertz: np.ndarray) -> np.ndarray:
    """Frequencies (N,) in Hz -> dB (N,) float32, 0 at 1 kHz (IEC 61672-1, annex E)."""
    squares = np.asarray(hertz, np.float64) ** 2
    response = 12194.0**2 * squares**2 / (
        (squares + 20.6**2) * (squares + 12194.0**2) * np.sqrt((squares + 107.7**2) * (squares + 737.9**2))
    )  # fmt: skip
    return (20.0 * np.log10(np.maximum(response, 1e-9)) + 2.0).astype(np.float32)


def _centres():
    """Frequencies (80,) at which mel bands are largest."""
    return np.fft.rfftfreq(2 * (len(bands()) - 1), 1.0 / audio.RATE)[bands().argmax(axis=0)]


def _over(voiced, values):
    """Mean of values (B, T) where speech is voiced."""
    return (values * voiced).sum() / voiced.sum().clamp(min=1)
