import numpy as np
import pytest

from pcodec import PcodecError, audio, corpus, features

# The reference's unquantized features of packet 4, frames 0 and 3 (specification section 13).
FRAME_16 = [-0.9085, 10.7192, 2.0689, -2.7445, -0.8172, 1.6323, 1.0424, -0.7054, -0.6732, 0.2660, 0.4107, -0.2387,
            -0.3989, 0.0410, 0.0909, -0.1349, -0.1225, 0.0495, 0.56, 0.49952]  # fmt: skip
FRAME_19 = [-0.7885, 10.8305, 2.0575, -2.7967, -0.8485, 1.6221, 1.0231, -0.7063, -0.6786, 0.2675, 0.4021, -0.2407,
            -0.3787, 0.0531, 0.1014, -0.1320, -0.1245, 0.0497, 0.56, 0.49952]  # fmt: skip
LPC_19 = [-2.10356, 0.57575, 0.89520, 0.25386, -0.34423, -0.47832, -0.19641, 0.18484, 0.33965, 0.16528, -0.17457,
          -0.30078, 0.19172, 0, 0, 0]  # fmt: skip


def test_reference_features(test_vector):
    found = features.analyze(test_vector).features
    assert found[16] == pytest.approx(FRAME_16, abs=1e-4)
    assert found[19] == pytest.approx(FRAME_19, abs=1e-4)


def test_reference_lpc(test_vector):
    lpc = features.lpc_from_cepstrum(features.analyze(test_vector).features[19:20, :18])[0]
    # The reference's float32 recursion is off by up to 3e-4 of its own on so ill-conditioned a signal.
    assert lpc == pytest.approx(LPC_19, abs=2e-3)
    assert not lpc[13:].any(), "the recursion stops at 30 dB of prediction gain"


def test_lpc_predicts(speech):
    """On speech the predictor from the cepstrum must take away most of the energy."""
    y = audio.preemphasis(speech * audio.SCALE)
    analysis = features.analyze(speech)
    lpc = features.lpc_from_cepstrum(analysis.features[:, :18])
    signal = residual = 0.0
    for k in range(1, len(y) // 160 - 1):
        at = 160 * k - 80
        frame = np.lib.stride_tricks.sliding_window_view(y[at - 16 : at + 160], 17)[:160]
        error = frame[:, ::-1] @ np.concatenate([[1.0], lpc[k]])
        signal, residual = signal + (frame[:, -1] ** 2).sum(), residual + (error**2).sum()
    assert 10 * np.log10(signal / residual) > 8.0


@pytest.mark.parametrize("lag", [40, 64, 100, 160, 200])
def test_planted_pitch_is_found(lag):
    pulses = np.zeros(16000)
    pulses[::lag] = 0.5
    analysis = features.analyze(pulses)
    assert np.median(analysis.lags[2:-2]) == lag
    assert np.median(analysis.correlation[2:-2]) > 0.8
    assert np.median(features.lag(analysis.features[8:-8, 18])) == lag


def test_level_moves_c0_alone(speech):
    loud, soft = features.analyze(speech), features.analyze(speech / 10)
    strong = loud.features[:, 0] > 2  # away from the energy floor
    difference = (loud.features - soft.features)[strong]
    assert difference[:, 0].mean() == pytest.approx(2 * np.sqrt(18), rel=0.03)  # 20 dB on every band
    assert np.abs(difference[:, 1:18].mean(axis=0)).max() < 0.35


@pytest.mark.parametrize("samples", [0, 1, 159, 560, 561, 16000])
def test_frames_hold_every_sample(samples):
    analysis = features.analyze(np.zeros(samples))
    frames = len(analysis.features)
    assert frames % 4 == 0 and samples + 80 <= 160 * frames < samples + 80 + 640
    assert len(analysis.lags) == frames // 4 and np.isfinite(analysis.features).all()


def test_bad_signals():
    with pytest.raises(PcodecError, match=r"\(2, 5\)"):
        features.analyze(np.zeros((2, 5)))
    with pytest.raises(PcodecError, match="not numbers"):
        features.analyze(np.array([0.0, np.nan]))


def test_cache_is_keyed_by_content(tmp_path, monkeypatch, speech):
    monkeypatch.setenv("PCODEC_HOME", str(tmp_path))
    audio.write(tmp_path / "a.wav", speech)
    first = features.cached(tmp_path / "a.wav")
    monkeypatch.setattr(features, "analyze", lambda samples: pytest.fail("the cache was not used"))
    assert np.array_equal(features.cached(tmp_path / "a.wav").features, first.features)
    monkeypatch.undo()
    monkeypatch.setenv("PCODEC_HOME", str(tmp_path))
    audio.write(tmp_path / "a.wav", speech[::-1])
    assert not np.array_equal(features.cached(tmp_path / "a.wav").features, first.features)


def test_pitch_tells_librispeech_genders_apart(librispeech):
    table = corpus.librispeech(librispeech)
    table = table[table.split == "test"].groupby("speaker").head(2)
    hertz = []
    for row in table.itertuples():
        analysis = features.analyze(audio.read(librispeech / row.path))
        hertz.append(np.median(16000 / analysis.lags[analysis.correlation > 0.5]))
    median = table.assign(hertz=hertz).groupby(["gender", "speaker"]).hertz.median()
    assert 160 < median["F"].median() < 260 and 80 < median["M"].median() < 150
