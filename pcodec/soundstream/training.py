"""Trains the codec that is learned end to end: without a quantizer, with one, beside critics.

Task: encoder and decoder learn to pass speech through few numbers; then the quantizer's words are placed on what the
encoder makes, and all three go on together, with as many stages as an excerpt happens to get (quantizer dropout,
SoundStream, Zeghidour et al. 2021, section III-D): one model serves all rates. Spectral losses see no noise as it is;
critics do.

With noise, half of the excerpts are noisy, and half of all are to come out without (section III-E): the encoder learns
both, and a switch says which.

Conventions: excerpts (B, 320 T) of single utterances, with random level and polarity. The loss of what is written is
taken as late as the network is. Any network with `encoder`, `quantizer`, `write` and `delay` can be trained:
`model.SoundStream`, on spectra, and `wave.WaveStream`, on samples.

Contents: `fit_stages`; `fit`, `evaluate`, `Speech`, `beside_noise`.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.learning import adversarial, loop, losses, network, optimizers
from pcodec.learning.adversarial import Ahead, Critics, Stage
from pcodec.learning.checkpoint import digest
from pcodec.soundstream.config import FRAME
from pcodec.speech.noise import Noise, mixed

LEVELS = -14.0, 8.0  # dB, lowest and highest
COMMITMENT = 1.0  # weight of the quantizer's loss
SCALES = 2  # resolutions of either loss that an update draws
SCALED = tuple(losses.MELS), losses.WINDOWS  # of which
LATENTS = 200  # s of speech, at least, on which words are placed
ADAM = functools.partial(torch.optim.AdamW, betas=(0.8, 0.95))
WEIGHT_DECAY = 0.05  # of matrices
JUDGED = 4  # stages at which a network is evaluated: 1.6 kb/s
SNR = -5.0, 20.0  # dB, of noisy excerpts
STRETCH = 100  # frames of an utterance on which its loss is measured


@dataclass
class Speech:
    """Utterances end to end."""

    signal: torch.Tensor  # (samples,) float32 in [-1, 1]
    lengths: np.ndarray  # (N,) samples of each
    utterances: pd.DataFrame  # (N rows) utterance, speaker

    @classmethod
    def of(cls, signals) -> "Speech":
        """From (utterance, speaker, samples in [-1, 1])."""
        rows = list(signals)
        if not rows:
            raise PcodecError("no speech to train on")
        signal = torch.from_numpy(np.concatenate([np.asarray(samples, np.float32) for *_, samples in rows]))
        names = pd.DataFrame([(utterance, speaker) for utterance, speaker, _ in rows], columns=["utterance", "speaker"])
        return cls(signal, np.array([len(samples) for *_, samples in rows]), names)

    def draw(self, batch: int, frames: int, rng: np.random.Generator):
        """Excerpts (batch, 320 frames), every possible one as likely, with random levels and polarities."""
        room = np.maximum(0, self.lengths - FRAME * frames + 1)
        if not room.any():
            raise PcodecError(f"no utterance is {FRAME * frames} samples long")
        ends, begins = np.cumsum(room), np.cumsum(self.lengths) - self.lengths
        at = rng.integers(ends[-1], size=batch)
        which = np.searchsorted(ends, at, side="right")
        device = self.signal.device
        starts = torch.from_numpy(begins[which] + at - (ends - room)[which]).to(device)
        gains = rng.choice([-1.0, 1.0], batch) * 10 ** (rng.uniform(*LEVELS, batch) / 20)
        signals = self.signal[starts[:, None] + torch.arange(FRAME * frames, device=device)]
        return (signals * torch.from_numpy(gains.astype(np.float32)).to(device)[:, None]).clamp(-1, 1)

    def to(self, device) -> "Speech":
        """The same on `device`, where excerpts then stay."""
        return Speech(self.signal.to(device), self.lengths, self.utterances)

    def stretches(self, frames: int):
        """The middle of each utterance (N, 320 frames); shorter ones end with silence."""
        cut = []
        for part in torch.split(self.signal, self.lengths.tolist()):
            first = max(0, (len(part) - FRAME * frames) // 2)
            part = part[first : first + FRAME * frames]
            cut.append(torch.nn.functional.pad(part, (0, FRAME * frames - len(part))))
        return torch.stack(cut)


def beside_noise(signals: torch.Tensor, noise: Noise, rng: np.random.Generator):
    """Signals (B, samples) -> what is heard, what is wanted (each (B, samples)), whether noise is removed (B,) 0 or 1.

    Each is noisy, and each is to be without noise, as likely as not; a noisy one that may stay so is wanted as it is.
    """
    count, samples = signals.shape
    noisy, removed = rng.integers(2, size=(2, count)).astype(bool)
    dirty = mixed(signals.cpu().numpy(), noise.draw(count, samples, rng), rng.uniform(*SNR, count))
    noisy, removed, dirty = (torch.from_numpy(each).to(signals.device) for each in (noisy, removed, dirty))
    heard = torch.where(noisy[:, None], dirty.clamp(-1, 1), signals)
    return heard, torch.where(removed[:, None], signals, heard), removed.float()


def loss_of(found, true, mels=tuple(losses.MELS), windows=losses.WINDOWS):
    """Losses (B,) of signals `found` where `true` was said: logarithms of mel spectra, and roots of spectra."""
    return losses.log_mel(found, true, mels) + losses.root_spectral(found, true, windows)


def evaluate(model: network.Network, data: Speech, stages: int | None = None, batch: int = 16) -> pd.DataFrame:
    """Loss of `model` at so many stages (0: not quantized) on each utterance: table (utterance, speaker, loss)."""
    model.eval()
    found, device = [], next(model.parameters()).device
    with torch.no_grad():
        for signals in data.stretches(STRETCH).to(device).split(batch):
            latents = model.encoder(signals)
            if stages != 0:
                latents = model.quantizer.decode(model.quantizer.encode(latents, stages))
            written = model.write(latents, seed=1)
            found.append(loss_of(written[:, model.delay :], signals[:, : signals.shape[1] - model.delay]))
    model.train()
    return data.utterances.assign(loss=torch.cat(found).cpu().numpy())


def fit_stages(
    model: network.Network,
    parts: list[Stage],
    data: Speech,
    validation: Speech,
    checkpoint: Path,
    critics: Sequence[Critics] = (Critics(),),
    kept: float = 0.0,
    unquantized: int = 0,
    seed: int = 1,
    **options,
) -> pd.DataFrame:
    """`fit`, stage after stage, in place, as `adversarial.fit_stages` does; `options` go to `fit`.

    The words of a network that has learned before are where they are; one that has not begins with `unquantized`
    updates.
    """
    before = model.provenance.get("updates", 0)
    if not parts:
        return evaluate(model, validation, options.get("judged", JUDGED)).assign(update=before)

    def of(stage, beside, **own):
        first = 0 if before or stage is not parts[0] else unquantized
        return fit(
            model, data, validation, stage.updates, unquantized=first, learning_rate=stage.learning_rate,
            critics=beside, **own, **options,
        )  # fmt: skip

    return adversarial.fit_stages(model, parts, of, checkpoint, critics, kept, seed)


def fit(
    model: network.Network,
    data: Speech,
    validation: Speech | None,
    updates: int = 0,
    seconds: float = 0.0,
    unquantized: int = 0,
    batch: int = 8,
    frames: int = 64,
    rates: tuple[int, ...] = (),
    learning_rate: float = 2e-3,
    anneal: float = 0.5,
    average: float = 0.0,
    critics: Critics | None = None,
    noise: Noise | None = None,
    judged: int = JUDGED,
    evaluations: int = 5,
    seed: int = 1,
    checkpoint: Path | None = None,
) -> pd.DataFrame:
    """Train `model` in place; return validation losses: `evaluate`'s table at `judged` stages, with update and
    training_loss.

    In the first `unquantized` updates latents are passed on as they are; then words are placed. An excerpt uses one of
    `rates`, numbers of stages, by default 1 to all. `critics` learn ahead of the model, then beside it. With
    `noise` it learns to remove that, too. `validation` may be None without `evaluations`. The rest as in `loop.fit`.
    """
    if batch < 2 or FRAME * frames <= 2 * model.delay or not {*rates} <= {*range(1, model.config.stages + 1)}:
        raise PcodecError(f"cannot train with batch {batch}, frames {frames}, rates {list(rates)}")
    learner = loop.Learner(
        model, optimizers.build(model, "muon", ADAM, WEIGHT_DECAY), optimizers.Annealed(learning_rate, 0.0, anneal)
    )
    rates = rates or tuple(range(1, model.config.stages + 1))
    task = _Training(learner, critics, data, validation, unquantized, batch, frames, rates, noise, judged, seed)
    if critics and critics.ahead:
        ahead = checkpoint and checkpoint.with_name(f"{checkpoint.stem}-ahead.pt")
        loop.fit(Ahead(task), critics.ahead, evaluations=0, seed=seed, checkpoint=ahead, name="critics")
    return loop.fit(task, updates, seconds, evaluations, average, seed=seed, checkpoint=checkpoint).evaluations


class _Training(loop.Task):
    """The codec, and its critics, as the training loop sees them."""

    def __init__(self, learner, critics, data, validation, unquantized, batch, frames, rates, noise, judged, seed):
        self.learners, self.model, self.validation = {"model": learner}, learner.network, validation
        self.device = next(self.model.parameters()).device
        self.data = data.to(self.device)
        self.unquantized, self.batch, self.frames, self.rates = unquantized, batch, frames, np.array(rates)
        self.critics, self.noise, self.judged, self.seed = critics, noise, judged, seed
        self.averaged_from = unquantized + 1 if unquantized else 0  # then words have been placed
        if critics:
            self.learners["critics"] = critics.learner(seed, self.device)

    def identity(self) -> str:
        settings = (self.model.config, self.critics, self.unquantized, self.batch, self.frames, self.rates.tolist())
        noise = self.noise.names if self.noise else []
        return digest((*settings, self.judged, self.seed, noise), self.data.signal)

    def start(self):
        """Place the words on what the encoder makes of training speech."""
        rng = np.random.default_rng(self.seed)
        count = 1 + int(LATENTS * 50 / (self.batch * self.frames))
        with torch.no_grad():
            latents = torch.cat(
                [self.model.encoder(self.data.draw(self.batch, self.frames, rng)) for _ in range(count)]
            )
        self.model.quantizer.start(latents, self.seed)

    def pass_on(self, update):
        """(What the codec writes, what is true as late, loss of the quantizer)."""
        if update == self.unquantized and self.unquantized:
            self.start()
        rng = np.random.default_rng([self.seed, update])
        heard = signals = self.data.draw(self.batch, self.frames, rng)
        switch = ()
        if self.noise:
            heard, signals, removed = beside_noise(signals, self.noise, rng)
            switch = (removed,)
        latents, loss = self.model.encoder(heard, *switch), torch.zeros((), device=self.device)
        if update >= self.unquantized:
            latents, _, loss = self.model.quantizer(latents, torch.from_numpy(rng.choice(self.rates, self.batch)))
        return self.model.write(latents), signals, loss

    def written(self, update):
        """(Found, true), which critics judge."""
        written, signals, _ = self.pass_on(update)
        return self.aligned(written, signals)

    def aligned(self, written, signals):
        """(Found, true): what is written late beside what was said."""
        return written[:, self.model.delay :], signals[:, : signals.shape[1] - self.model.delay]

    def losses(self, update):
        written, signals, quantizer = self.pass_on(update)
        found, true = self.aligned(written, signals)
        drawn = ([scales[n] for n in torch.randperm(len(scales))[:SCALES].tolist()] for scales in SCALED)
        own = loss_of(found, true, *drawn).mean()
        if self.critics:
            judges = self.learners["critics"].network
            yield "critics", judges.loss(found.detach(), true)
            own = self.critics.loss(judges, own, written, found, true)
        yield "model", own + COMMITMENT * quantizer

    def evaluate(self):
        return evaluate(self.model, self.validation, self.judged)
