"""Vector quantizers: a latent vector becomes a few numbers, and these a vector again.

Task: residual quantization (SoundStream, Zeghidour et al. 2021, section III-C). Stage i looks up, in its own codebook,
what the stages before it left over; the sum of all words is the quantized vector. Fewer stages are a lower rate, so a
network that is trained with any number of them serves all rates.

Conventions: latents (B, T, D); codes (B, T, S) int64, 0 .. words - 1, stage after stage; a code costs log2(words) bits.
While training, gradients pass as if nothing had been quantized (straight-through).

Contents: `Residual`, `Quantized`, `Averaged`, `Factorized`, `KINDS`.
"""

import warnings
from typing import NamedTuple

import numpy as np

from pcodec import PcodecError
from pcodec.compute.backend import torch
from pcodec.learning import network

nn = torch.nn
DECAY = 0.99  # of the averages, an update
LEAST = 0.02  # of an even share of the use: a word used less is dead, and starts anew
COMMITMENT = 0.25  # weight of the encoder's distance to the words, beside the words' to the encoder
PASSES = 10  # of k-means


class Averaged(nn.Module):
    """A codebook that follows the mean of what falls to each word (van den Oord et al. 2017, appendix A.1)."""

    def __init__(self, width: int, words: int):
        super().__init__()
        self.register_buffer("words", torch.randn(words, width))
        self.register_buffer("uses", torch.ones(words))
        self.register_buffer("sums", self.words.clone())

    def start(self, vectors, seed: int) -> None:
        """Place the words by k-means on vectors (N, D), at least as many as there are words."""
        if len(vectors) < len(self.words):
            raise PcodecError(f"{len(vectors)} vectors are too few to start {len(self.words)} words")
        from sklearn.cluster import KMeans

        clusters = KMeans(len(self.words), n_init=1, max_iter=PASSES, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fewer different vectors than words: the rest start anew
            which = clusters.fit_predict(vectors.cpu().numpy().astype(np.float64))
        found = clusters.cluster_centers_
        share = np.bincount(which, minlength=len(self.words)) / len(which)
        self.uses.copy_(torch.from_numpy(share * len(self.words)))
        self.words.copy_(torch.from_numpy(found))
        self.sums.copy_(self.words * self.uses[:, None])

    def nearest(self, vectors):
        """Vectors (N, D) -> codes (N,), by Euclidean distance."""
        return (self.words.square().sum(1) - 2.0 * vectors @ self.words.T).argmin(dim=1)

    def word(self, codes):
        """Codes (...) -> words (..., D)."""
        return self.words[codes]

    def forward(self, vectors):
        """Vectors (N, D) -> their words, codes, and losses (N,): how far the encoder is from the words.

        The words follow by themselves.
        """
        codes = self.nearest(vectors)
        words = self.word(codes)
        return words, codes, COMMITMENT * (vectors - words).square().mean(dim=1)

    @torch.no_grad()
    def follow(self, vectors, codes) -> None:
        """Move the words towards the vectors (N, D) that fell to them; dead ones become one of the vectors.

        `uses` are relative to an even share, so that the size of a batch does not matter.
        """
        count = len(self.words)
        scale = count / len(vectors)
        uses = torch.bincount(codes, minlength=count).to(vectors.dtype) * scale
        self.uses.lerp_(uses, 1.0 - DECAY)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, codes, vectors) * scale, 1.0 - DECAY)
        dead = self.uses < LEAST
        if dead.any():
            drawn = vectors[torch.randint(len(vectors), (int(dead.sum()),), device=vectors.device)]
            self.uses[dead], self.sums[dead] = 1.0, drawn
        self.words.copy_(self.sums / self.uses[:, None])


class Factorized(nn.Module):
    """A codebook in few dimensions, looked up by the angle, learned by gradient (DAC, Kumar et al. 2023, section 3.2).

    The encoder's gradient passes by the projections, as it does with averaged words; in DAC it goes through them.
    """

    DIRECTIONS = 8  # dimensions

    def __init__(self, width: int, words: int):
        super().__init__()
        self.down, self.up = nn.Linear(width, self.DIRECTIONS), nn.Linear(self.DIRECTIONS, width)
        self.words = nn.Parameter(torch.randn(words, self.DIRECTIONS))

    def start(self, vectors, seed: int) -> None:
        """Words are projections of vectors (N, D) drawn at random."""
        drawn = np.random.default_rng(seed).choice(
            len(vectors), len(self.words), replace=len(vectors) < len(self.words)
        )
        with torch.no_grad():
            self.words.copy_(self.down(vectors[torch.from_numpy(drawn)]))

    def nearest(self, vectors):
        """Vectors (N, D) -> codes (N,), by the angle."""
        return (self.down(vectors) @ nn.functional.normalize(self.words).T).argmax(dim=1)

    def word(self, codes):
        """Codes (...) -> words (..., D)."""
        return self.up(self.words[codes])

    def forward(self, vectors):
        """Vectors (N, D) -> their words, codes, and losses (N,): distances of vectors and words, either way."""
        codes, below = self.nearest(vectors), self.down(vectors)
        words = self.words[codes]
        loss = COMMITMENT * (below - words.detach()).square() + (below.detach() - words).square()
        own = self.down(vectors.detach())
        return self.up(words.detach() + (own - own.detach())), codes, loss.mean(dim=1)

    def follow(self, vectors, codes) -> None:
        """Words move by their gradient."""


KINDS = {"averaged": Averaged, "factorized": Factorized}


class Quantized(NamedTuple):
    """What a quantizer makes of latents."""

    latents: torch.Tensor  # (B, T, D)
    codes: torch.Tensor  # (B, T, S)
    loss: torch.Tensor  # scalar: what encoder (and words) are to learn


class Residual(nn.Module):
    """`stages` codebooks of `words` each, of a kind of `KINDS`."""

    def __init__(self, width: int, stages: int = 8, words: int = 256, kind: str = "averaged", seed: int | None = None):
        super().__init__()
        with network.seeded(seed):
            self.stages = nn.ModuleList(KINDS[kind](width, words) for _ in range(stages))

    @torch.no_grad()
    def start(self, latents, seed: int = 1) -> None:
        """Place all words on latents (B, T, D) of training speech: before this, they mean nothing."""
        left = latents.detach().flatten(0, 1).clone()
        for number, stage in enumerate(self.stages):
            stage.start(left, seed + number)
            left -= stage.word(stage.nearest(left))

    def forward(self, latents, used=None) -> Quantized:
        """Latents (B, T, D) through the first `used` (B,) stages, at least one, or all; while training, words learn.

        A stage learns from the signals that use it (quantizer dropout, SoundStream section III-D).
        """
        shape, left = latents.shape, latents.flatten(0, 1)
        total, codes, losses = torch.zeros_like(left), [], []
        for number, stage in enumerate(self.stages):
            word, which, loss = stage(left)
            on = torch.ones(len(left), dtype=torch.bool) if used is None else (
                (used > number)[:, None].expand(shape[:2]).flatten()
            )  # fmt: skip
            some, on = on.any(), on.to(left.device)
            if some:
                losses.append(loss[on].mean())
                if self.training:
                    stage.follow(left.detach()[on], which[on])
            word = word * on[:, None]
            total, left = total + word, left - word.detach()
            codes.append(which)
        total = total.view(shape)
        straight = latents + (total - latents).detach() + (total - total.detach())  # the encoder's gradient, the words'
        return Quantized(straight, torch.stack(codes, dim=1).view(*shape[:2], -1), torch.stack(losses).sum())

    @torch.no_grad()
    def encode(self, latents, stages: int | None = None):
        """Latents (B, T, D) -> codes (B, T, stages)."""
        left, codes = latents.flatten(0, 1), []
        for stage in self.stages[:stages]:
            codes.append(stage.nearest(left))
            left = left - stage.word(codes[-1])
        return torch.stack(codes, dim=1).view(*latents.shape[:2], -1)

    @torch.no_grad()
    def decode(self, codes):
        """Codes (B, T, S), of the first S stages -> latents (B, T, D).

        Raises `PcodecError` for more stages than there are, or a code that is no word.
        """
        if not 1 <= codes.shape[-1] <= len(self.stages):
            raise PcodecError(f"codes of {codes.shape[-1]} stages, there are {len(self.stages)}")
        words = len(self.stages[0].words)
        if codes.numel() and not 0 <= codes.min() <= codes.max() < words:
            raise PcodecError(f"codes must be 0 to {words - 1}, got {codes.min()} to {codes.max()}")
        return sum(stage.word(codes[..., number]) for number, stage in enumerate(self.stages[: codes.shape[-1]]))
