"""The figures: a tidy table in, a figure out.

Task: draw what the notebooks computed; nothing is computed here beyond what drawing needs.

Conventions: a function takes a tidy table and `ax=None`, or makes its own panels, and returns the axes it drew on. One
colour has one meaning in all figures (`style`). A notebook writes `plots.<figure>(...)`, wherever the figure lives.

Contents: `speech` (signals and features), `coding` (packets), `speakers` (embedding and groups), `training` (losses),
`quality` (decoded speech and its cost), and `style`, which they share.
"""

from pcodec.plots.anonymity import anonymity, attackers, heard_by
from pcodec.plots.coding import bit_allocation, bit_sensitivity, codes, decoded_features, quantization, rate
from pcodec.plots.quality import (
    complexity,
    denoising,
    kinds,
    mushra,
    objective,
    objective_paired,
    quality_complexity,
    quality_hours,
    rate_quality,
)
from pcodec.plots.semantic import probes, sampling, vocabularies
from pcodec.plots.speakers import (
    embedding_training,
    groups,
    groups_number,
    groups_running,
    groups_seconds,
    projection,
    scores,
)
from pcodec.plots.speech import corpus, excitation, features, lpc_envelopes, spectrogram, spectrograms, waveforms
from pcodec.plots.training import capacity, gains, mismatch, personalization, study, validation_loss

__all__ = [
    "anonymity",
    "attackers",
    "bit_allocation",
    "bit_sensitivity",
    "capacity",
    "codes",
    "complexity",
    "corpus",
    "decoded_features",
    "denoising",
    "embedding_training",
    "excitation",
    "features",
    "gains",
    "groups",
    "groups_number",
    "groups_running",
    "groups_seconds",
    "heard_by",
    "kinds",
    "lpc_envelopes",
    "mismatch",
    "mushra",
    "objective",
    "objective_paired",
    "personalization",
    "probes",
    "projection",
    "quality_complexity",
    "quality_hours",
    "quantization",
    "rate",
    "rate_quality",
    "sampling",
    "scores",
    "spectrogram",
    "spectrograms",
    "study",
    "validation_loss",
    "vocabularies",
    "waveforms",
]
