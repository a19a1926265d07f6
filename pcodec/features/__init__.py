"""LPCNet's 20 numbers per 10 ms: cepstrum, pitch, correlation; one analysis for all (`analysis`)."""

from pcodec.features.analysis import (
    BANDS,
    COLUMNS,
    FEATURES,
    FRAME,
    LAG_MAX,
    LAG_MIN,
    OFFSET,
    PACKET,
    PACKET_SAMPLES,
    SUBFRAMES,
    WINDOW,
    Analysis,
    State,
    analyze,
    analyze_emphasized,
    cached,
    export,
    lag,
    lpc_from_cepstrum,
    predictor_spectra,
    stream,
)

__all__ = [
    "BANDS", "COLUMNS", "FEATURES", "FRAME", "LAG_MAX", "LAG_MIN", "OFFSET", "PACKET", "PACKET_SAMPLES", "SUBFRAMES",
    "WINDOW", "Analysis", "State", "analyze", "analyze_emphasized", "cached", "export", "lag",
    "lpc_from_cepstrum", "predictor_spectra", "stream",
]  # fmt: skip
