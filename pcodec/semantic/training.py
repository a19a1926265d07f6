"""Trains the semantic codec: codebooks, a student, what is sent, and both decoders.

Task: in this order. What is said is placed by k-means and frozen. A student learns to find it without the recognizer.
Acoustic encoder, its words and the regressor learn together, each update at another rate and with other sizes of the
codebooks, so that one network serves all (variable vocabulary, Liu et al. 2024); now and then one of the streams, or
the voice, is not there. The diffusion model learns last, on tokens that no longer change.

Conventions: excerpts of `FRAMES` frames of single utterances, of any speeds. Each update depends on seed and number of
the update alone.

Contents: `Examples`, `place`, `lost`, `fit_student`, `student_error`, `fit_tokens`, `fit_diffusion`, `evaluate`.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.bitstream.quantizer import VOICED
from pcodec.compute.backend import torch
from pcodec.features import hearing
from pcodec.learning import loop, optimizers, recognizer
from pcodec.learning.checkpoint import digest
from pcodec.semantic import diffusion, tokens
from pcodec.semantic.config import ACOUSTIC, EVERY, RATES, STEP, VOCABULARIES, Rate
from pcodec.semantic.model import Semantic
from pcodec.speakers import voiceprint

FRAMES = 256  # of an excerpt
UNPLACED = 300  # updates before acoustic vectors are quantized
ABSENT = 0.1  # share of excerpts without what is said, and of those without how it sounds
NAMELESS = 0.3  # share of excerpts without a voice
BLIND = 0.1  # share that diffusion sees without tokens
LATENTS = 200  # excerpts on which acoustic words are placed
ADAM = functools.partial(torch.optim.AdamW, betas=(0.9, 0.99), weight_decay=0.01)


@dataclass
class Examples:
    """Utterances as a training sees them, one after the other."""

    features: torch.Tensor  # (T, 20) relative, not yet normalized
    mel: torch.Tensor  # (T, 80) levelled
    heard: torch.Tensor | None  # (T / 2, 384) the recognizer's activations, float16
    lengths: np.ndarray  # (N,) frames of each, multiples of 8
    voices: torch.Tensor  # (N, 32)
    utterances: pd.DataFrame  # (N rows) utterance, speaker
    content: torch.Tensor | None = None  # (T / 2, D), once it is known how it is found

    @classmethod
    def of(cls, rows, encoder: dict[str, np.ndarray], hear: recognizer.Recognizer | None = None) -> "Examples":
        """From (utterance, speaker, samples) at 16 kHz; `encoder` are a speaker encoder's weights.

        Utterances without sound or shorter than an excerpt are left out.
        """
        parts = {name: [] for name in ("features", "mel", "heard", "voices", "names")}
        for utterance, speaker, samples in rows:
            speech = hearing.describe(samples)
            if speech.level is None or len(speech.mel) < FRAMES:
                continue
            count = len(speech.mel) // EVERY * EVERY
            z = voiceprint.embed(encoder, [voiceprint.log_mel(samples)])[0]
            own = speech.analysis.features[:count]
            parts["features"].append(tokens.relative(own, tokens.voice_of(own, z)))
            parts["mel"].append(hearing.levelled(speech.mel, speech.level)[:count].astype(np.float32))
            parts["voices"].append(z)
            parts["names"].append((utterance, speaker))
            if hear is not None:
                parts["heard"].append(recognizer.activations(hear, speech.mel[:count]).astype(np.float16))
        if not parts["mel"]:
            raise PcodecError(f"no utterance of {FRAMES / 100:g} s to train on")
        tensors = {name: torch.from_numpy(np.concatenate(parts[name])) for name in ("features", "mel")}
        heard = torch.from_numpy(np.concatenate(parts["heard"])) if hear is not None else None
        return cls(
            **tensors, heard=heard, lengths=np.array([len(mel) for mel in parts["mel"]]),
            voices=torch.from_numpy(np.stack(parts["voices"])),
            utterances=pd.DataFrame(parts["names"], columns=["utterance", "speaker"]),
        )  # fmt: skip

    @torch.no_grad()
    def find(self, model: Semantic) -> "Examples":
        """With the content that a model's projection, or without a recognizer's activations its student, finds."""
        if self.heard is not None:
            parts = [model.projection(part.float()) for part in self.heard.split(4096)]
        else:
            parts = [model.student(mel[None])[0] for mel in self.mel.split(self.lengths.tolist())]
        self.content = torch.cat(parts)
        return self

    def batch(self, which: np.ndarray, starts: np.ndarray, model: Semantic):
        """(normalized features (N, 256, 20), mel, content, voices) of excerpts from `starts`, multiples of 8."""
        begins = (np.cumsum(self.lengths) - self.lengths)[which] + starts
        rows = torch.from_numpy(begins[:, None] + np.arange(FRAMES))
        normalized = (self.features[rows] - model.mean) / model.spread
        return normalized, self.mel[rows], self.content[rows[:, ::STEP] // STEP], self.voices[which]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Which utterances (count,), and where in them; every excerpt is as likely."""
        room = (self.lengths - FRAMES) // EVERY + 1
        ends = np.cumsum(room)
        at = rng.integers(ends[-1], size=count)
        which = np.searchsorted(ends, at, side="right")
        return which, EVERY * (at - (ends - room)[which])

    def middles(self) -> tuple[np.ndarray, np.ndarray]:
        """An excerpt from the middle of each utterance."""
        return np.arange(len(self.lengths)), (self.lengths - FRAMES) // (2 * EVERY) * EVERY


def place(model: Semantic, train: Examples, seed: int = 1, centres: bool = True) -> None:
    """What does not learn by gradient: statistics of features, the projection, and the words of what is said."""
    model.mean.copy_(train.features.mean(dim=0))
    model.spread.copy_(train.features.std(dim=0) + 1e-3)
    if train.heard is not None:
        model.projection.place(train.heard.float().numpy())
    train.find(model)
    if not centres:
        return
    from sklearn.cluster import MiniBatchKMeans

    for steps, sizes in VOCABULARIES.items():
        ends = np.cumsum(train.lengths) // STEP
        rows = train.content.numpy()[: ends[-1] // steps * steps].reshape(-1, steps * model.config.content)
        for size in sizes:
            if len(rows) < size:
                raise PcodecError(f"{len(rows)} pairs of speech are too few for {size} words")
            clusters = MiniBatchKMeans(
                size, init="random", batch_size=8192, n_init=1, max_iter=50, random_state=seed
            ).fit(rows)
            found = clusters.cluster_centers_.astype(np.float32)
            model.semantic[f"{steps}-{size}"].words.copy_(torch.from_numpy(found))


@torch.no_grad()
def lost(model: Semantic, data: dict[str, Examples]) -> pd.DataFrame:
    """What share of the content's power words of what is said lose: table split, steps, words, lost."""
    rows = []
    for split, examples in data.items():
        for steps, sizes in VOCABULARIES.items():
            whole = len(examples.content) // steps * steps
            joined = examples.content[:whole].reshape(-1, steps * model.config.content)
            for size in sizes:
                book = model.semantic[f"{steps}-{size}"]
                off = (joined - book.words[book.nearest(joined)]).square().sum() / joined.square().sum()
                rows.append((split, steps, size, off.item()))
    return pd.DataFrame(rows, columns=["split", "steps", "words", "lost"])


def fit_student(
    model: Semantic, train: Examples, validation: Examples, updates: int, batch: int = 16, learning_rate: float = 1e-3,
    evaluations: int = 4, seed: int = 1, checkpoint: Path | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Teach the student, in place; returns table utterance, speaker, error (share of the content's variance), update.

    The content is what the recognizer's projection found.
    """
    learner = loop.Learner(model.student, [ADAM(model.student.parameters())], optimizers.Cosine(learning_rate))
    task = _Teaching(learner, model, train, validation, batch, seed)
    return loop.fit(
        task, updates, evaluations=evaluations, seed=seed, checkpoint=checkpoint, name="student"
    ).evaluations


@torch.no_grad()
def student_error(model: Semantic, data: Examples) -> pd.DataFrame:
    """How far the student is from the content of the middle of each utterance: table utterance, speaker, error."""
    _, mel, content, _ = data.batch(*data.middles(), model)
    return data.utterances.assign(error=(model.student(mel) - content).square().mean(dim=(1, 2)).numpy())


def fit_tokens(
    model: Semantic, train: Examples, validation: Examples, updates: int, batch: int = 16, learning_rate: float = 1e-3,
    sizes: dict | None = None, frozen: bool = True, average: float = 0.99, evaluations: int = 4, seed: int = 1,
    unplaced: int = UNPLACED, checkpoint: Path | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Train acoustic encoder, words and regressor, in place; returns `evaluate`'s tables with update.

    `sizes` are the semantic vocabularies that an update may get, as `config.VOCABULARIES`, which is the default; those
    words are `frozen`, or learn, too. Before `unplaced` updates nothing acoustic is quantized.
    """
    if updates <= unplaced:
        raise PcodecError(f"tokens need more than {unplaced} updates, got {updates}")
    parts = {"encoder": model.encoder, "acoustic": model.acoustic, "regressor": model.regressor}
    parts = torch.nn.ModuleDict(parts | ({} if frozen else {"semantic": model.semantic}))
    model.semantic.requires_grad_(not frozen)
    histories = []
    for number, count in enumerate((unplaced, updates - unplaced)):
        weights = [weight for weight in parts.parameters() if weight.requires_grad]
        anneal = optimizers.Annealed(learning_rate, 0.0, 0.0 if number == 0 else 0.7)
        learner = loop.Learner(parts, [ADAM(weights)], anneal)
        task = _Telling(learner, model, train, validation, batch, sizes or VOCABULARIES, number > 0, seed)
        if number:
            task.start()
        own = checkpoint and checkpoint.with_name(f"{checkpoint.stem}-{number}.pt")
        history = loop.fit(
            task, count, evaluations=evaluations if number else 1, average=average if number else 0.0,
            seed=seed + number, checkpoint=own, name="tokens",
        )  # fmt: skip
        histories.append(history.evaluations.assign(update=history.evaluations["update"] + unplaced * number))
    return pd.concat(histories, ignore_index=True)


def fit_diffusion(
    model: Semantic, train: Examples, validation: Examples, updates: int, batch: int = 16, learning_rate: float = 1e-3,
    average: float = 0.999, evaluations: int = 4, seed: int = 1, checkpoint: Path | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Train the diffusion model, in place; returns table utterance, speaker, error (of v), update."""
    weights = list(model.diffusion.parameters())
    learner = loop.Learner(model.diffusion, [ADAM(weights)], optimizers.Cosine(learning_rate))
    task = _Drawing(learner, model, train, validation, batch, seed)
    return loop.fit(
        task, updates, evaluations=evaluations, average=average, seed=seed, checkpoint=checkpoint, name="diffusion"
    ).evaluations


@torch.no_grad()
def evaluate(
    model: Semantic, data: Examples, rate: Rate, said: bool = True, sounding: bool = True, quantized: bool = True
) -> pd.DataFrame:
    """How far the regressor is from the middle of each utterance: table utterance, speaker, error.

    The error is a weighted mean square of normalized features. Without `said` or `sounding` that stream is not there;
    not `quantized`, acoustic vectors are sent as they are.
    """
    model.eval()
    x, _, content, voice = data.batch(*data.middles(), model)
    sent, words = _sent(model, x, content, rate, quantized)
    here = torch.ones(len(x), dtype=torch.bool)
    found = model.regress(sent, words, voice, rate.steps, here & said, here & sounding).features
    error = _weighted(model, (found - x).square(), x).mean(dim=(1, 2))
    model.train()
    return data.utterances.assign(error=error.numpy())


def _sent(model, x, content, rate, quantized=True):
    """What a receiver knows: content and acoustic words."""
    sent = model.content_of(model.semantic_tokens(content, rate), rate)
    latents = model.latents(x, content, sent, rate.steps)
    if not quantized:
        return sent, latents
    book = model.acoustic[f"{rate.steps}-{rate.acoustic}"]
    return sent, book.word(book.nearest(latents.flatten(0, 1))).view_as(latents)


def _weighted(model, errors, x):
    """Squared errors (B, T, 20) of normalized features, weighted; a pitch counts where something is voiced."""
    weights = torch.from_numpy(tokens.weights(model.spread.numpy())).to(errors)
    correlation = x[..., tokens.CORRELATION] * model.spread[tokens.CORRELATION] + model.mean[tokens.CORRELATION]
    here = torch.ones_like(errors)
    here[..., tokens.PITCH] = (correlation > VOICED).to(errors)
    return errors * weights * here


class _Task(loop.Task):
    """What the trainings of all parts share."""

    def __init__(self, learner, model, train, validation, batch, seed):
        self.learners, self.model = {"model": learner}, model
        self.train, self.validation, self.count, self.seed = train, validation, batch, seed

    def identity(self):
        words = [book.words for book in self.model.semantic.values()]
        return digest(type(self).__name__, self.model.config, self.count, self.seed, self.train.content, *words,
                      self.validation.features)  # fmt: skip

    def drawn(self, update):
        """Random numbers of an update, and its excerpts."""
        rng = np.random.default_rng([self.seed, update])
        return rng, self.train.batch(*self.train.draw(self.count, rng), self.model)


class _Teaching(_Task):
    def losses(self, update):
        _, (_, mel, content, _) = self.drawn(update)
        yield "model", (self.model.student(mel) - content).square().mean()

    def evaluate(self):
        return student_error(self.model, self.validation)


class _Telling(_Task):
    def __init__(self, learner, model, train, validation, batch, sizes, quantized, seed):
        super().__init__(learner, model, train, validation, batch, seed)
        self.sizes, self.quantized = sizes, quantized

    def identity(self):
        return digest(super().identity(), self.sizes, self.quantized)

    def rate(self, rng) -> Rate:
        """Of an update: pace, and sizes of both codebooks."""
        steps = int(rng.choice(list(self.sizes)))
        return Rate(steps, int(rng.choice(self.sizes[steps])), int(rng.choice(ACOUSTIC[steps])))

    @torch.no_grad()
    def start(self):
        """Place acoustic words on what the encoder makes of training speech."""
        x, _, content, _ = self.train.batch(*self.train.draw(LATENTS, np.random.default_rng(self.seed)), self.model)
        for steps, sizes in ACOUSTIC.items():
            rate = Rate(steps, self.sizes.get(steps, VOCABULARIES[steps])[-1], sizes[-1])
            latents = _sent(self.model, x, content, rate, quantized=False)[1].flatten(0, 1)
            for size in sizes:
                self.model.acoustic[f"{steps}-{size}"].start(latents, self.seed)

    def losses(self, update):
        rng, (x, _, content, voice) = self.drawn(update)
        rate, model = self.rate(rng), self.model
        sent = model.content_of(model.semantic_tokens(content, rate), rate)
        latents, loss = model.latents(x, content, sent, rate.steps), 0.0
        words = latents
        if self.quantized:
            book, rows = model.acoustic[f"{rate.steps}-{rate.acoustic}"], latents.flatten(0, 1)
            found, which, away = book(rows)
            book.follow(rows.detach(), which)
            words, loss = latents + (found.view_as(latents) - latents).detach(), away.mean()
        said, sounding = (torch.from_numpy(rng.random(len(x)) >= ABSENT) for _ in range(2))
        known = torch.from_numpy(rng.random(len(x)) >= NAMELESS)
        made = model.regress(sent, words, voice * known[:, None], rate.steps, said, sounding).features
        yield "model", _weighted(model, (made - x).square(), x).mean() + loss

    def evaluate(self):
        return pd.concat([evaluate(self.model, self.validation, rate, quantized=self.quantized).assign(kbps=rate.kbps)
                          for rate in RATES.values()], ignore_index=True)  # fmt: skip


class _Drawing(_Task):
    def identity(self):
        return digest(super().identity(), *self.model.regressor.state_dict().values())

    def told(self, x, content, voice, rate):
        with torch.no_grad():
            sent, words = _sent(self.model, x, content, rate)
            return self.model.regress(sent, words, voice, rate.steps)

    def losses(self, update):
        rng, (x, _, content, voice) = self.drawn(update)
        rates = list(RATES.values())
        voice = voice * torch.from_numpy(rng.random(len(x)) >= NAMELESS)[:, None]
        regressed = self.told(x, content, voice, rates[rng.integers(len(rates))])
        times = torch.from_numpy(((rng.permutation(len(x)) + rng.random()) / len(x)).astype(np.float32))
        shown = torch.from_numpy(rng.random(len(x)) >= BLIND)
        error = diffusion.loss(self.model.diffusion, x, regressed, voice, times, torch.randn_like(x), shown)
        yield "model", (error * torch.from_numpy(tokens.weights(self.model.spread.numpy()))).mean()

    @torch.no_grad()
    def evaluate(self):
        """At times and with noise that are always the same."""
        x, _, content, voice = self.validation.batch(*self.validation.middles(), self.model)
        regressed = self.told(x, content, voice, RATES["0.525"])
        rng = torch.Generator().manual_seed(0)
        noise, times = torch.randn(x.shape, generator=rng), (torch.arange(len(x)) + 0.5) / len(x)
        shown = torch.ones(len(x), dtype=torch.bool)
        error = diffusion.loss(self.model.diffusion, x, regressed, voice, times, noise, shown).mean(dim=(1, 2))
        return self.validation.utterances.assign(error=error.numpy())
