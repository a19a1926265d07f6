"""Promises that spectra of 80 bands lead to the codec's features."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.anonymizer import spectra
from pcodec.features import hearing
from pcodec.features.cepstrum import band_log_energies
from pcodec.speech import audio


@pytest.fixture(scope="module")
def described(speech):
    return hearing.describe(speech)


def test_a_matrix_leads_to_the_cepstrum(librispeech):
    files = sorted((librispeech / "train-clean-100").rglob("*.flac"))[::40][:8]
    known, new = [], []
    for number, file in enumerate(files):
        found = hearing.describe(audio.read(file))
        (new if number == 7 else known).append((found.mel, found.analysis.features[:, :18]))
    mel, cepstra = map(np.concatenate, zip(*known, strict=True))
    weights = spectra.matrix(mel, 10.0 ** band_log_energies(cepstra))
    assert (weights >= 0).all()
    ((mel, cepstra),) = new
    off = band_log_energies(spectra.cepstrum(mel, weights)) - band_log_energies(cepstra)
    assert np.sqrt((off**2).mean()) < 0.2  # 2 dB
    assert np.abs(off.mean(axis=0)).max() < 0.15


def test_a_planted_matrix_is_found(described):
    planted = np.abs(np.random.default_rng(1).normal(size=(80, 5)))
    found = spectra.matrix(described.mel, 10.0 ** described.mel.astype(np.float64) @ planted)
    np.testing.assert_allclose(found, planted, rtol=0.02, atol=0.02)


def test_prosody(described):
    found = spectra.prosody(described.lags, described.correlation, described.mel, described.level)
    assert found.shape == (len(described.mel), 3)
    voiced = described.correlation > spectra.VOICED
    assert (found[~voiced, 0] == 0).all() and found[voiced, 0].std() > 0
    assert -7 / 4 <= found[:, 2].min() and found[:, 2].max() < 1


def test_refused(described):
    with pytest.raises(PcodecError, match="give no matrix"):
        spectra.matrix(described.mel, np.zeros((len(described.mel), 3)))
