"""Speaker groups: k-means on the mean embeddings of the training speakers, and the classifiers that find a group again.

Task: split all speakers into C exclusive groups of similar voices, and find the group of an unseen utterance, or of a
talk while it goes on. The codec sends that index; decoders are trained on estimated indices too, so that they are
robust to wrong ones (Jang et al. 2024).

Conventions: z is (N, 32), `pcodec.speakers.embedding`. Groups are numbered by their number of speakers, largest first,
so the same clustering always has the same numbers. `UNKNOWN` stands for "nobody can say" (silence, too short): such a
signal gets the general decoder. Notebook 05_groups.

Contents: `SpeakerGroups`, `Assignment`, `RunningAssignment`, `follow`, `share_right`, `median_talkers`,
`speaker_means`, `stability`, `number_of_groups`.
"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pcodec import PcodecError
from pcodec.learning import weights
from pcodec.speakers import UNKNOWN, voiceprint
from pcodec.speech import audio

PREFIX = "encoder."  # of the encoder's weights in a file
RESTARTS = 50  # of k-means; the best of them is kept
STEP = 4000  # samples, 0.25 s, from one look of the running assignment to the next
SPEECH = 0.25  # s of sound that is not silence, from which on a group is estimated at all


class Assignment(NamedTuple):
    """A group's index, or UNKNOWN, and how sure the softmax layer is of it (0 for UNKNOWN)."""

    group: int
    probability: float


@dataclass(frozen=True, eq=False)
class SpeakerGroups:
    """C groups: their centroids, a softmax layer on z that tells them apart, and the encoder that z comes from."""

    encoder: dict[str, np.ndarray]  # weights of an `embedding.SpeakerEncoder` by name
    centroids: np.ndarray  # (C, 32) float32
    weight: np.ndarray  # (C, 32) float32, of the softmax layer
    bias: np.ndarray  # (C,) float32

    @classmethod
    def fit(cls, encoder, z: np.ndarray, speakers: list[str], C: int, seed: int = 1) -> "SpeakerGroups":
        """Groups of the speakers of z (N, 32), N segments of any lengths.

        k-means++ clusters the speakers' means, a speaker counting once; the softmax layer is then trained with
        cross-entropy (and scikit-learn's usual L2 penalty) to tell from one z in which cluster its speaker is, every
        speaker having the same weight.
        """
        from sklearn.cluster import KMeans
        from sklearn.linear_model import LogisticRegression

        means = speaker_means(z, speakers)
        if 2 <= C <= len(means) and (distinct := len(means.drop_duplicates())) < C:
            raise PcodecError(
                f"C = {C} groups need as many different voices, the {len(means)} speakers have {distinct}"
            )
        if not 2 <= C <= len(means):
            raise PcodecError(
                f"C = {C} groups need at least 2 groups and {C} training speakers, there are {len(means)}"
            )
        clusters = KMeans(C, n_init=RESTARTS, random_state=seed).fit(means.to_numpy(np.float64))
        sizes = np.bincount(clusters.labels_, minlength=C)
        order = sorted(range(C), key=lambda c: (-sizes[c], tuple(clusters.cluster_centers_[c])))
        number = pd.Series(np.argsort(order)[clusters.labels_], index=means.index)
        shares = 1.0 / pd.Series(speakers).map(pd.Series(speakers).value_counts()).to_numpy()
        labels = number[list(speakers)].to_numpy()
        softmax = LogisticRegression(max_iter=2000).fit(z, labels, shares * len(z) / len(means))
        weight, bias = softmax.coef_, softmax.intercept_
        if C == 2:  # scikit-learn keeps one row for two classes
            weight, bias = np.vstack([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
        arrays = (clusters.cluster_centers_[order], weight, bias)
        return cls(encoder.arrays(), *(np.ascontiguousarray(array, dtype=np.float32) for array in arrays))

    @property
    def C(self) -> int:
        return len(self.centroids)

    def nearest(self, z: np.ndarray) -> np.ndarray:
        """Embeddings (N, 32) -> index of the nearest centroid (N,)."""
        return ((np.asarray(z)[:, None] - self.centroids) ** 2).sum(axis=2).argmin(axis=1)

    def probabilities(self, z: np.ndarray) -> np.ndarray:
        """Embeddings (N, 32) -> probability of each group by the softmax layer (N, C)."""
        logits = np.asarray(z) @ self.weight.T + self.bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def assign(self, samples: np.ndarray) -> Assignment:
        """The group of a signal (samples,) in [-1, 1] at 16 kHz; UNKNOWN when there is hardly any sound in it."""
        samples = audio.checked(samples)
        if (~voiceprint.is_silent(samples)).sum() * voiceprint.HOP < SPEECH * audio.RATE:
            return Assignment(UNKNOWN, 0.0)
        probabilities = self.probabilities(voiceprint.embed(self.encoder, [voiceprint.log_mel(samples)]))[0]
        return Assignment(int(probabilities.argmax()), float(probabilities.max()))

    def save(self, path: str | Path, **provenance) -> None:
        arrays = {PREFIX + name: value for name, value in self.encoder.items()}
        arrays |= {"centroids": self.centroids, "weight": self.weight, "bias": self.bias}
        weights.save(path, arrays, provenance=provenance)

    @classmethod
    def load(cls, path: str | Path) -> "SpeakerGroups":
        """Read what `save` wrote; raises `PcodecError` naming the file otherwise."""
        what = "no speaker groups"
        arrays, _ = weights.load(path, what)
        try:
            encoder = {name.removeprefix(PREFIX): arrays[name] for name in arrays if name.startswith(PREFIX)}
            voiceprint.embed(encoder, [np.zeros((1, voiceprint.MELS), np.float32)])
            centroids, weight, bias = (arrays[name] for name in ("centroids", "weight", "bias"))
            if not centroids.shape == weight.shape == (len(bias), voiceprint.UNITS) or bias.ndim != 1:
                raise ValueError(f"shapes {centroids.shape}, {weight.shape}, {bias.shape}")
            if not all(np.isfinite(array).all() for array in arrays.values()):
                raise ValueError("values that are not numbers")
            return cls(encoder, centroids, weight, bias)
        except (KeyError, ValueError) as error:
            raise PcodecError.of(path, what, error) from None


class RunningAssignment:
    """The group of a talk while it goes on, looked at anew every quarter of a second.

    UNKNOWN until `settle` seconds of sound have been heard; then the group of the last `window` seconds, except that
    another group must reach `confidence` before it replaces the one that stands, and silence changes nothing.
    """

    def __init__(self, groups: SpeakerGroups, settle: float = 1.5, window: float = 4.0, confidence: float = 0.8):
        if not SPEECH <= settle <= window or not 0.0 <= confidence <= 1.0:
            raise PcodecError(
                f"settle {settle} s must lie between {SPEECH} s and the window, {window} s; confidence {confidence} "
                "between 0 and 1"
            )
        self.groups, self.settle, self.window, self.confidence = groups, settle, window, confidence
        self._heard = np.zeros(0, np.float32)
        self._waiting = np.zeros(0, np.float32)  # less than a step
        self._sound = 0.0  # s
        self.current = Assignment(UNKNOWN, 0.0)

    def push(self, samples: np.ndarray) -> Assignment:
        """Hear some more (samples,) of any number; return what stands now. How a talk is cut makes no difference."""
        self._waiting = np.concatenate([self._waiting, audio.checked(samples).astype(np.float32)])
        while len(self._waiting) >= STEP:
            step, self._waiting = self._waiting[:STEP], self._waiting[STEP:]
            self._heard = np.concatenate([self._heard, step])[-int(self.window * audio.RATE) :]
            self._sound += (~voiceprint.is_silent(step)).sum() * voiceprint.HOP / audio.RATE
            heard_now = self.groups.assign(self._heard) if self._sound >= self.settle else self.current
            stands = self.current.group
            sure = stands in (UNKNOWN, heard_now.group) or heard_now.probability >= self.confidence
            if heard_now.group != UNKNOWN and sure:
                self.current = heard_now
        return self.current


def follow(groups: SpeakerGroups, samples: np.ndarray) -> pd.DataFrame:
    """The running assignment over a signal (samples,): table seconds, group (UNKNOWN or 0 .. C - 1), probability."""
    running = RunningAssignment(groups)
    rows = []
    for start in range(0, len(samples) - STEP + 1, STEP):
        rows.append(((start + STEP) / audio.RATE, *running.push(samples[start : start + STEP])))
    return pd.DataFrame(rows, columns=["seconds", "group", "probability"])


def share_right(timeline: pd.DataFrame, group: int) -> float:
    """Share of the looks of `follow`, from the first known group on, that say `group`; nan if none was known."""
    known = timeline.group[timeline.group != UNKNOWN]
    return float((known == group).mean())


def median_talkers(right: pd.Series, group: pd.Series) -> list[str]:
    """The talker with the median share of time in the right group, of each of the two largest groups.

    `right` (shares) and `group` are indexed by talker; only talkers of `right` count. Of two talkers in the middle the
    one with the smaller share is taken, of equal shares the first name, of equally large groups the lower number.
    """
    group = group[right.index]
    largest = sorted(set(group), key=lambda c: (-(group == c).sum(), c))[:2]
    ranked = [right[group == c].sort_index().sort_values(kind="stable") for c in largest]
    return [shares.index[(len(shares) - 1) // 2] for shares in ranked]


def speaker_means(z: np.ndarray, speakers: list[str]) -> pd.DataFrame:
    """Embeddings (N, 32) of utterances or segments -> mean of each speaker, a table indexed by speaker."""
    return pd.DataFrame(z).groupby(np.asarray(speakers)).mean()


def stability(means: pd.DataFrame, C: int, seeds: int = 10) -> pd.DataFrame:
    """How far k-means finds the same C groups again: adjusted Rand indices of all pairs of `seeds` clusterings.

    Kind "seed" differs in the seed of k-means alone, with as many restarts as `SpeakerGroups.fit`; kind "half" is
    fitted on a random half of the speakers and assigns all of them. Columns kind, rand. 1 is the same, 0 is chance.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    points = means.to_numpy(np.float64)
    labels = {"seed": [], "half": []}
    for seed in range(seeds):
        half = np.random.default_rng(seed).permutation(len(points))[: max(C, len(points) // 2)]
        for kind, chosen in (("seed", slice(None)), ("half", half)):
            clusters = KMeans(C, n_init=RESTARTS, random_state=seed).fit(points[chosen])
            labels[kind].append(clusters.predict(points))
    rows = [(kind, adjusted_rand_score(a, b)) for kind, runs in labels.items() for a, b in combinations(runs, 2)]
    return pd.DataFrame(rows, columns=["kind", "rand"])


def number_of_groups(means: pd.DataFrame, seed: int = 1, most: int = 8) -> pd.DataFrame:
    """Silhouette (higher: better separated) and inertia of k-means for C = 2 .. `most`: C, silhouette, inertia."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    points = means.to_numpy(np.float64)
    rows = []
    for C in range(2, min(most, len(means.drop_duplicates()) - 1) + 1):
        clusters = KMeans(C, n_init=RESTARTS, random_state=seed).fit(points)
        rows.append((C, float(silhouette_score(points, clusters.labels_)), float(clusters.inertia_)))
    return pd.DataFrame(rows, columns=["C", "silhouette", "inertia"])
