"""Trains what changes a voice: on spectra alone, then with the losses that a listener would have.

Task: every utterance is written again in its own talker's voice (VC-PL, Ghosh et al. 2024). Own encoders learn without
words first; then words are placed, and all goes on; at the end perception joins, its losses scaled where the training
is by then. The loss of the speaker needs speech in another voice: excerpts of a batch then change voices, too.

Conventions: excerpts of `FRAMES` frames of single utterances. An utterance may be there several times, at other speeds:
other voices. Each begins from seed and number of the update alone.

Contents: `Examples`, `fit`, `evaluate`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.anonymizer import spectra, voices
from pcodec.anonymizer.model import Anonymizer
from pcodec.anonymizer.perception import Pair, Perception
from pcodec.bitstream.quantizer import VOICED
from pcodec.compute.backend import torch
from pcodec.features import hearing
from pcodec.learning import loop, optimizers, recognizer
from pcodec.learning.checkpoint import digest
from pcodec.speakers import voiceprint

FRAMES = 256
COMMITMENT = 1.0  # weight of the quantizers' loss
LATENTS = 120  # excerpts on which these are placed
MEASURED, MEASURED_FROM = 4, 10**6  # batches on which losses are scaled, and the number of their first update


@dataclass
class Examples:
    """Utterances as a training sees them, one after the other."""

    mel: torch.Tensor  # (T, 80) levelled, of all
    prosody: torch.Tensor  # (T, 3)
    heard: torch.Tensor | None  # (T / 2, 384) the recognizer's activations, float16
    lengths: np.ndarray  # (N,) frames of each, multiples of 8
    voices: torch.Tensor  # (N, 32)
    pitch: np.ndarray  # (N, 2) mean and spread of log pitch; not a number where nothing is voiced
    utterances: pd.DataFrame  # (N rows) utterance, speaker
    codes: dict = field(default_factory=dict)  # of `heard`, by the identity of the centres

    @classmethod
    def of(cls, rows, encoder: dict[str, np.ndarray], hear: recognizer.Recognizer | None = None) -> "Examples":
        """From (utterance, speaker, samples) at 16 kHz; `encoder` are a speaker encoder's weights.

        Utterances without sound or shorter than an excerpt are left out.
        """
        parts = {name: [] for name in ("mel", "prosody", "heard", "voices", "pitch", "names")}
        for utterance, speaker, samples in rows:
            speech = hearing.describe(samples)
            if speech.level is None or len(speech.mel) < FRAMES:
                continue
            count = len(speech.mel) // 8 * 8
            parts["mel"].append(hearing.levelled(speech.mel, speech.level)[:count])
            parts["prosody"].append(
                spectra.prosody(speech.lags, speech.correlation, speech.mel, speech.level)[:count]
            )  # fmt: skip
            parts["voices"].append(voiceprint.embed(encoder, [voiceprint.log_mel(samples)])[0])
            parts["pitch"].append(voices.prosody_of(speech.lags, speech.correlation) or (np.nan, np.nan))
            parts["names"].append((utterance, speaker))
            if hear is not None:
                parts["heard"].append(recognizer.activations(hear, speech.mel[:count]).astype(np.float16))
        if not parts["mel"]:
            raise PcodecError(f"no utterance of {FRAMES / 100:g} s to train on")
        tensors = {name: torch.from_numpy(np.concatenate(parts[name])) for name in ("mel", "prosody")}
        heard = torch.from_numpy(np.concatenate(parts["heard"])) if hear is not None else None
        return cls(
            **tensors, heard=heard, lengths=np.array([len(mel) for mel in parts["mel"]]),
            voices=torch.from_numpy(np.stack(parts["voices"])), pitch=np.array(parts["pitch"]),
            utterances=pd.DataFrame(parts["names"], columns=["utterance", "speaker"]),
        )  # fmt: skip

    def pool(self) -> voices.Pool:
        """Each speaker's mean voice, of those with a pitch."""
        table = self.utterances.assign(mean=self.pitch[:, 0], spread=self.pitch[:, 1]).join(
            voiceprint.as_columns(self.voices.numpy())
        )
        means = table.dropna().groupby("speaker").mean(numeric_only=True)
        z = voiceprint.from_columns(means)
        return voices.Pool(z, means["mean"].to_numpy(), means["spread"].to_numpy())

    def codes_of(self, model: Anonymizer):
        """Words of recognized content (T / 2,), of all utterances, kept as long as the centres are the same."""
        key = digest(model.centres.numpy(), model.mean.numpy())
        if key not in self.codes:
            if self.heard is None:
                raise PcodecError("recognized content needs the recognizer's activations")
            self.codes[key] = torch.cat(
                [model.codes(None, part[None].float())[0][0] for part in self.heard.split(4096)]
            )
        return self.codes[key]

    def batch(self, which: np.ndarray, starts: np.ndarray, model: Anonymizer, frames: int = FRAMES):
        """(spectra, prosody, voices, codes or None) of excerpts that start at `starts`, even frames of utterances."""
        begins = (np.cumsum(self.lengths) - self.lengths)[which] + starts
        rows = torch.from_numpy(begins[:, None] + np.arange(frames))
        codes = None
        if model.config.content == "recognized":
            codes = [self.codes_of(model)[rows[:, ::2] // 2]]
        return self.mel[rows], self.prosody[rows], self.voices[which], codes

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Which utterances (count,), and where in them; every excerpt is as likely."""
        room = (self.lengths - FRAMES) // 2 + 1
        ends = np.cumsum(room)
        at = rng.integers(ends[-1], size=count)
        which = np.searchsorted(ends, at, side="right")
        return which, 2 * (at - (ends - room)[which])


def fit(
    model: Anonymizer,
    train: Examples,
    validation: Examples,
    perception: Perception | None = None,
    updates: int = 1000,
    perceptive_updates: int = 500,
    unquantized: int = 300,
    batch: int = 16,
    learning_rate: float = 1e-3,
    evaluations: int = 4,
    seed: int = 1,
    checkpoint: Path | None = None,
) -> pd.DataFrame:
    """Train `model` in place: `evaluate`'s tables with update and training_loss, and the scales of the losses.

    `updates` on the reconstruction, `unquantized` of them before own encoders have words, then `perceptive_updates`
    with `perception`, or without any. What comes before does not depend on `perception`: with the same checkpoint it is
    trained once. Raises `PcodecError` if there is no budget.
    """
    recognized, plain = model.config.content == "recognized", Perception({})
    if not recognized and updates <= unquantized:
        raise PcodecError(f"own encoders need more than {unquantized} updates, got {updates}")
    if recognized and not model.provenance.get("placed"):
        model.place(train.heard.float().numpy(), seed)
        model.provenance["placed"] = True
    first = 0 if recognized else unquantized
    stages = [(first, plain, 0.0), (updates - first, plain, 0.0), (perceptive_updates, perception or plain, 1.0)]
    before, histories = 0, []
    for number, (count, losses, anneal) in enumerate(stages):
        if not count:
            continue
        model.quantized = recognized or number > 0
        if not recognized and number == 1:
            mel, *_ = train.batch(*train.draw(LATENTS, np.random.default_rng([seed, 1])), model)
            model.start(mel, seed)
        adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], betas=(0.9, 0.99),
                                 weight_decay=0.01)  # fmt: skip
        learner = loop.Learner(model, [adam], optimizers.Annealed(learning_rate, 0.0, anneal))
        task = _Converting(learner, train, validation, losses, batch, seed + number)
        if losses.losses:
            losses.measure(task.measured())
        own = checkpoint and checkpoint.with_name(
            f"{checkpoint.stem}-{number}{'-' + digest(losses.shares)[:8] if losses.losses else ''}.pt"
        )
        history = loop.fit(task, count, evaluations=evaluations if number else 1, seed=seed + number, checkpoint=own,
                           name="anonymizer")  # fmt: skip
        histories.append(history.evaluations.assign(update=history.evaluations["update"] + before))
        before += count
    model.provenance |= {"updates": before, "scales": losses.scales, "shares": losses.shares}
    return pd.concat(histories, ignore_index=True)


def evaluate(model: Anonymizer, data: Examples, perception: Perception | None = None) -> pd.DataFrame:
    """Losses of the middle of each utterance: table utterance, speaker, reconstruction and those of `perception`."""
    perception = perception or Perception({})
    model.eval()
    rows = []
    with torch.no_grad():
        for which in range(len(data.lengths)):
            start = (data.lengths[which] - FRAMES) // 4 * 2
            mel, prosody, voice, codes = data.batch(np.array([which]), np.array([start]), model)
            found = model(mel, prosody, voice, codes).mel
            pair = Pair(found, mel, prosody[..., 1] > VOICED)
            rows.append({name: value.item() for name, value in perception.parts(pair).items()})
    model.train()
    return pd.concat([data.utterances, pd.DataFrame(rows)], axis=1)


class _Converting(loop.Task):
    """The anonymizer as the training loop sees it."""

    def __init__(self, learner, train, validation, perception, batch, seed):
        self.learners, self.model = {"model": learner}, learner.network
        self.train, self.validation, self.perception = train, validation, perception
        self.count, self.seed = batch, seed

    def identity(self):
        settings = (self.model.config, self.model.quantized, self.perception.shares, self.perception.scales, self.count)
        return digest(settings, self.seed, self.train.mel, self.train.voices, self.validation.mel)

    def pair(self, update) -> tuple[Pair, torch.Tensor]:
        """What is written of the excerpts of an update, and the quantizers' loss."""
        rng = np.random.default_rng([self.seed, update])
        which, starts = self.train.draw(self.count, rng)
        mel, prosody, voice, codes = self.train.batch(which, starts, self.model)
        written, loss = self.model(mel, prosody, voice, codes)
        other = target = None
        if "speaker" in self.perception.losses:
            turned = np.roll(np.arange(self.count), 1)
            moved = prosody.clone()
            shift = np.nan_to_num(self.train.pitch[which][turned, 0] - self.train.pitch[which][:, 0])
            moved[..., 0] += torch.from_numpy(shift.astype(np.float32))[:, None] * (prosody[..., 1] > VOICED)
            target = voice[turned]
            with torch.no_grad():
                own = codes or self.model.codes(mel)
            other = self.model.decode(own, moved, target)
        return Pair(written, mel, prosody[..., 1] > VOICED, other, voice, target), loss

    def measured(self):
        """Pairs on which losses are scaled, after whatever this training has seen."""
        self.model.train()
        quantizers = {name: value.clone() for name, value in self.model.state_dict().items()}
        for number in range(MEASURED):
            yield self.pair(MEASURED_FROM + number)[0]
        self.model.load_state_dict(quantizers)  # their words follow what they see

    def losses(self, update):
        pair, loss = self.pair(update)
        yield "model", self.perception(pair) + COMMITMENT * loss

    def evaluate(self):
        return evaluate(self.model, self.validation, self.perception)
