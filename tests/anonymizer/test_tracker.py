"""Promises that formants are where they were made, and that the network learns to read them."""

import numpy as np
import pytest
import scipy.signal

from pcodec.anonymizer import spectra, tracker
from pcodec.compute.backend import torch
from pcodec.features import hearing
from pcodec.speech import audio


def vowel(hertz, pitch=100.0, seconds=1.0):
    """Pulses through resonances of 80 Hz."""
    at = (np.arange(0, seconds, 1 / pitch) * audio.RATE).astype(int)
    signal = np.zeros(int(seconds * audio.RATE))
    signal[at] = 1.0
    for resonance in hertz:
        radius = np.exp(-np.pi * 80 / audio.RATE)
        signal = scipy.signal.lfilter(
            [1.0], [1.0, -2 * radius * np.cos(2 * np.pi * resonance / audio.RATE), radius**2], signal
        )
    return 0.5 * signal / np.abs(signal).max()


@pytest.mark.parametrize("planted", [(700, 1200, 2600), (300, 2200, 3000), (500, 1500, 2500)])
def test_planted_formants_are_found(planted):
    found = tracker.formants(vowel(planted))
    assert np.isfinite(found).all(axis=1).mean() > 0.8
    np.testing.assert_allclose(np.nanmedian(found, axis=0), planted, rtol=0.08)


def test_silence_has_none():
    assert np.isnan(tracker.formants(np.zeros(8000))).all()


def test_labels_know_what_is_voiced():
    signal = np.concatenate([vowel((700, 1200, 2600), 125.0), np.zeros(16000)])
    label = tracker.labels(signal, hearing.describe(signal))
    assert label[20:80, tracker.VOICING].mean() > 0.9
    assert label[130:, tracker.VOICING].mean() < 0.1
    assert np.nanmedian(label[20:80, tracker.PITCH]) == pytest.approx(np.log(125 / spectra.PITCH), abs=0.03)
    assert np.isnan(label[130:, : tracker.FORMANTS]).all()


def test_the_network_learns_to_read(tmp_path):
    pairs = []
    for first, second in ((300, 2300), (700, 1200), (500, 1800), (400, 900)):
        signal = vowel((first, second, 2900), seconds=2.5)
        found = hearing.describe(signal)
        pairs.append((hearing.levelled(found.mel, found.level), tracker.labels(signal, found)))
    network = tracker.Tracker(32)
    before = tracker.errors(network, pairs)
    tracker.fit(network, pairs, pairs, updates=60, checkpoint=tmp_path / "tracker.pt")
    after = tracker.errors(network, pairs)
    assert after.F1[0] < 0.6 * before.F1[0] and after.F2[0] < 0.6 * before.F2[0]
    again = tracker.Tracker(32)
    tracker.fit(again, pairs, pairs, updates=60, checkpoint=tmp_path / "tracker.pt")
    assert torch.equal(again.layers[0].weight, network.layers[0].weight)
