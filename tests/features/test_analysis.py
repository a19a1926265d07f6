"""Features are the reference's, in one piece or in many; pitch is found; bad signals are refused."""

import numpy as np
import pytest

from pcodec import PcodecError, features
from pcodec.features import pitch
from pcodec.speech import audio, corpus

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
    # On so ill-conditioned a signal the last bit of float32 moves coefficients by 1e-3 to 4e-3, whichever way a
    # float32 program orders and fuses its operations: the printed digits are one of these ways.
    assert lpc == pytest.approx(LPC_19, abs=2e-3)
    assert not lpc[13:].any(), "the recursion stops at 30 dB of prediction gain"


def test_lpc_of_a_known_spectrum():
    """Levinson must agree with solving the normal equations."""
    rng = np.random.default_rng(3)
    cepstra = rng.normal(0, 0.3, (20, 18)) * np.linspace(1, 0.2, 18)
    for cepstrum, lpc in zip(cepstra, features.lpc_from_cepstrum(cepstra), strict=True):
        energies = 10.0 ** (features.cepstrum.band_log_energies(cepstrum))
        power = np.interp(np.arange(161), features.cepstrum.BAND_EDGES, energies * features.cepstrum.COMPENSATION)
        power[160] = 0.0
        r = np.fft.irfft(power, 320)[:17] * 320
        r[0] += 1e-4 * r[0] + 26 / 38
        r *= 1 - 6e-5 * np.arange(17) ** 2
        solved = np.linalg.solve(r[np.abs(np.subtract.outer(range(16), range(16)))], -r[1:])
        assert lpc == pytest.approx(solved, abs=1e-5)
    with pytest.raises(PcodecError, match=r"\(20, 17\)"):
        features.lpc_from_cepstrum(cepstra[:, 1:])


@pytest.mark.parametrize("longest", [7, 700, 40000])
@pytest.mark.parametrize("clean", [False, True])
def test_a_stream_is_the_whole_bit_for_bit(speech, longest, clean):
    rng = np.random.default_rng(longest)
    speech = speech[: 40000 if longest > 7 else 3000]
    state, parts, at = features.State(clean=clean), [], 0
    while at < len(speech):
        count = int(rng.integers(0, longest + 1))
        part, state = features.stream(speech[at : at + count], state)
        parts.append(part)
        at += count
    parts.append(features.stream(speech[:0], state, last=True)[0])
    whole = features.analyze(speech, clean)
    for name, pieces, field in zip(whole._fields, zip(*parts, strict=True), whole, strict=True):
        assert np.array_equal(np.concatenate(pieces), field), name


def test_a_stream_can_be_continued_twice_from_one_state(speech):
    _, state = features.stream(speech[:5000])
    first = features.stream(speech[5000:9000], state)[0]
    assert np.array_equal(features.stream(speech[5000:9000], state)[0].features, first.features)


def plain_reference_step(score, best, gain):
    """The 2019 search as specification section 5.2 words it, candidate by candidate."""
    top, origin = np.full(224, np.float32(gain) - np.float32(6)), np.full(224, best)
    for i in range(224):
        for j in range(min(0, 4 - i), 5):
            if i + j < 224 and score[i + j] > top[i]:
                top[i] = score[i + j] - np.float32(0.02) * np.float32(abs(j)) * np.float32(abs(j))
                origin[i] = i + j
    return top, origin


def test_the_short_search_finds_what_the_reference_finds():
    rng = np.random.default_rng(5)
    for trial in range(60):
        score = np.cumsum(rng.normal(0, 0.4, 224)) if trial % 2 else rng.normal(0, rng.choice([0.1, 1, 5]), 224)
        score = (score - score.max()).astype(np.float32)
        gain = np.float32(rng.choice([0.0, rng.uniform(-3, 9)]))
        top, origin = np.empty(224, np.float32), np.empty(224, np.int32)
        pitch.reference_step(score, int(score.argmax()), gain, top, origin)
        expected = plain_reference_step(score, int(score.argmax()), gain)
        assert np.array_equal(top, expected[0]) and np.array_equal(origin, expected[1]), trial


def test_the_clean_search_weighs_every_step():
    score, top, origin = np.full(224, -5.0, np.float32), np.empty(224, np.float32), np.empty(224, np.int32)
    score[100] = 0.0
    pitch.clean_step(score, 100, top, origin)
    assert top[[96, 98, 100, 104]] == pytest.approx([-0.32, -0.08, 0.0, -0.32])
    assert top[[95, 105, 200]] == pytest.approx(-5.0) and origin[[96, 105, 200]].tolist() == [100, 105, 200]
    score[:] = -20.0
    score[100] = 0.0
    pitch.clean_step(score, 100, top, origin)
    assert top[200] == -6.0 and origin[200] == 100


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


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("lag", [40, 64, 100, 160, 200])
def test_planted_pitch_is_found(lag, clean):
    pulses = np.zeros(16000)
    pulses[::lag] = 0.5
    analysis = features.analyze(pulses, clean)
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
    with pytest.raises(PcodecError, match=r"floating point in .* got int16"):
        features.analyze(np.zeros(9, np.int16))
    with pytest.raises(PcodecError, match="got a peak of 32768"):
        features.analyze(np.array([0.0, -32768.0]))


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
