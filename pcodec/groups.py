"""Speaker groups: k-means on the mean embeddings of the training speakers.

Task: split all speakers into C exclusive groups of similar voices, and find the group of an unseen utterance by its
nearest centroid. The codec sends that index; decoders are trained on estimated indices too, so that they are robust
to wrong ones (Jang et al. 2024).

Conventions: z is (N, 32), `pcodec.embedding`. Groups are numbered by their number of speakers, largest first, so the
same clustering always has the same numbers. Notebook 05_groups.

Contents: `SpeakerGroups`, `speaker_means`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pcodec import PcodecError, paths

RESTARTS = 50  # of k-means; the best of them is kept


@dataclass(frozen=True)
class SpeakerGroups:
    """C groups by their centroids."""

    centroids: np.ndarray  # (C, 32) float32

    @classmethod
    def fit(cls, means: pd.DataFrame, C: int, seed: int = 1) -> "SpeakerGroups":
        """Cluster speakers' mean embeddings (`speaker_means`) into C groups with k-means++."""
        from sklearn.cluster import KMeans

        if not 2 <= C <= len(means):
            raise PcodecError(
                f"C = {C} groups need at least 2 groups and {C} training speakers, there are {len(means)}"
            )
        result = KMeans(C, n_init=RESTARTS, random_state=seed).fit(means.to_numpy())
        sizes = np.bincount(result.labels_, minlength=C)
        order = sorted(range(C), key=lambda c: (-sizes[c], tuple(result.cluster_centers_[c])))
        return cls(result.cluster_centers_[order].astype(np.float32))

    def assign(self, z: np.ndarray) -> np.ndarray:
        """Embeddings (N, 32) -> index of the nearest centroid (N,)."""
        return ((np.asarray(z)[:, None] - self.centroids) ** 2).sum(axis=2).argmin(axis=1)

    def save(self, path: str | Path) -> None:
        with paths.replacing(Path(path)) as temporary:
            np.savez(temporary, centroids=self.centroids)

    @classmethod
    def load(cls, path: str | Path) -> "SpeakerGroups":
        with np.load(path) as file:
            return cls(file["centroids"])


def speaker_means(z: np.ndarray, speakers: list[str]) -> pd.DataFrame:
    """Embeddings (N, 32) of utterances -> mean of each speaker, a table indexed by speaker."""
    return pd.DataFrame(z).groupby(np.asarray(speakers)).mean()
