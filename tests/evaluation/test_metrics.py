"""Each measure: identical signals, a planted difference, a refusal, a golden value."""

import os

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError
from pcodec.evaluation import metrics, packages
from pcodec.speech import audio

BEST = {  # value of a signal against itself; DNSMOS and DistillMOS do not hear the reference
    "PESQ-WB": 4.644, "STOI": 1.0, "ESTOI": 1.0, "LSD": 0.0, "mel distance": 0.0, "STFT distance": 0.0,
    "pitch error": 0.0, "voicing error": 0.0, "buzz": 0.0, "speaker similarity": 1.0, "ViSQOL": 5.0,
}  # fmt: skip
GOLDEN = {  # of a tone added to a generated voice; packages as in constraints.txt
    "PESQ-WB": 2.2385, "STOI": 0.994938, "ESTOI": 0.99228, "LSD": 2.18588, "mel distance": 1.21014,
    "STFT distance": 0.0990166, "pitch error": 0.0, "voicing error": 0.0625, "speaker similarity": 0.9433,
    "DNSMOS P.808": 3.339, "DistillMOS": 2.97155, "ViSQOL": 4.6974, "word errors": 0.375, "buzz": 0.00173722,
}  # fmt: skip
everyone = pytest.mark.parametrize("name", metrics.MEASURES)


def measured(name, reference, decoded):
    if name not in metrics.available():
        pytest.skip(f"{name}: not installed")
    return metrics.MEASURES[name].compute(reference, decoded)


def noisy(speech, decibels):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=len(speech)) * np.sqrt((speech**2).mean()) * 10 ** (-decibels / 20)
    return (speech + noise).astype(np.float32)


@pytest.mark.parametrize("name", BEST)
def test_identity(name, speech):
    assert measured(name, speech, speech) == pytest.approx(BEST[name], abs=1e-3)


@pytest.mark.parametrize("name", [name for name in metrics.MEASURES if name != "buzz"])
def test_more_noise_is_worse(name, speech):
    values = [measured(name, speech, noisy(speech, snr)) for snr in (40, 20, 10, 0)]
    drowned = measured(name, speech, noisy(speech, -15))
    better = metrics.MEASURES[name].better
    if name != "DistillMOS":  # which prefers a generated voice with a little noise
        assert values == sorted(values, reverse=better == "higher")
    assert drowned < values[0] if better == "higher" else drowned > values[0]


@everyone
def test_golden(name, speech):
    tone = speech + 0.01 * np.sin(np.arange(len(speech)) * 0.7).astype(np.float32)
    tolerance = 1e-3 if name in ("PESQ-WB", "DNSMOS P.808", "DistillMOS", "ViSQOL", "speaker similarity") else 1e-5
    assert measured(name, speech, tone) == pytest.approx(GOLDEN[name], abs=tolerance)


def test_golden_has_every_measure():
    assert set(GOLDEN) == set(metrics.MEASURES)


def test_planted_spectra(speech):
    """A level difference of 6 dB is 6 dB in every band and bin that is not cut off."""
    louder = (2 * speech).astype(np.float32)
    assert metrics.mel_distance(speech, louder) == pytest.approx(6.02, abs=1.5)  # a floor is added to soft bands
    loud = np.random.default_rng(1).normal(0, 0.05, 32000).astype(np.float32)
    assert metrics.log_spectral_distance(loud, 2 * loud) == pytest.approx(6.02, abs=0.01)
    assert metrics.stft_distance(loud, 2 * loud) == pytest.approx(1 + np.log(2), abs=0.01)


@pytest.mark.parametrize("hop", metrics.HOPS)
def test_planted_buzz(hop):
    """Noise that repeats itself is found where speech has none of its own; fresh noise is not, nor is a voice."""
    rng = np.random.default_rng(1)
    noise, other = (0.05 * rng.normal(size=32000).astype(np.float32) for _ in range(2))
    repeated = np.resize(noise[:hop], 32000)
    assert abs(metrics.buzz(noise, other)) < 0.03
    assert metrics.buzz(noise, repeated) == pytest.approx(1.0, abs=0.03)
    half = (repeated + other) / np.sqrt(2, dtype=np.float32)
    assert metrics.buzz(noise, half) == pytest.approx(0.5, abs=0.07)
    pulses = ((np.arange(32000) % hop == 0) * 0.5).astype(np.float32)
    assert metrics.buzz(pulses, pulses) == 0.0


@pytest.mark.parametrize("seconds", [2, 9.5, 10.3, 12])
def test_dnsmos_is_that_of_its_package(speech, seconds):
    package = pytest.importorskip("speechmos.dnsmos", reason="optional extra quality")
    signal = np.resize(speech, int(seconds * audio.RATE))
    expected = package.run(signal, audio.RATE)["p808_mos"]
    assert packages.dnsmos(signal, signal) == pytest.approx(expected, abs=1e-5)


def test_planted_pitch():
    """Pulse trains of 100 and 150 Hz, and noise: where both are voiced the pitch is wrong; noise is not voiced."""
    n = np.arange(32000)
    low, near, high = (np.convolve((n % period == 0) * 0.5, [1, 0.9, 0.7, 0.4], "same") for period in (160, 152, 107))
    noise = 0.05 * np.random.default_rng(1).normal(size=len(n))
    low, near, high, noise = (signal.astype(np.float32) for signal in (low, near, high, noise))
    assert metrics.pitch_error(low, near) < 0.05 < 0.9 < metrics.pitch_error(low, high)
    assert metrics.voicing_error(low, high) < 0.05 < 0.9 < metrics.voicing_error(low, noise)
    assert metrics.pitch_error(low, noise) > 0.5
    assert metrics.pitch_error(noise, noise) == 0.0


def test_table_in_table_out(tmp_path, speech, monkeypatch):
    monkeypatch.setattr(metrics.paths, "cache", lambda name: tmp_path / name)
    audio.write(tmp_path / "a.wav", speech)
    table = pd.DataFrame([{"utterance": "u", "speaker": "s", "system": "same", "reference": tmp_path / "a.wav",
                           "decoded": tmp_path / "a.wav"}])  # fmt: skip
    values = metrics.evaluate(table, ("STOI", "LSD"))
    assert values.value.tolist() == pytest.approx([1.0, 0.0], abs=1e-9) and values.measure.tolist() == ["STOI", "LSD"]
    assert set(metrics.evaluate(table).measure) == set(metrics.available())
    audio.write(tmp_path / "silent.wav", np.zeros(len(speech)))
    with pytest.raises(PcodecError, match=r"same, utterance u: .*silent\.wav: the decoded signal is silent"):
        metrics.evaluate(table.assign(decoded=tmp_path / "silent.wav"))
    audio.write(tmp_path / "short.wav", speech[:-1])
    with pytest.raises(PcodecError, match=r"short\.wav: .*differ in length"):
        metrics.evaluate(table.assign(decoded=tmp_path / "short.wav"))
    with pytest.raises(PcodecError, match="no measure 'MOS'"):
        metrics.evaluate(table, ("MOS",))
    with pytest.raises(PcodecError, match="no column speaker"):
        metrics.evaluate(table.drop(columns="speaker"))


def test_the_shortest_signal_has_all_measures(speech):
    start = len(speech) // 2
    shortest = speech[start : start + int(metrics.SHORTEST * audio.RATE)]
    metrics.validate(shortest, shortest)
    for name in metrics.available():
        assert np.isfinite(metrics.MEASURES[name].compute(shortest, shortest)), name
    with pytest.raises(PcodecError, match=r"0\.74 s are too short to be rated"):
        metrics.validate(shortest[:-160], shortest[:-160])


def test_what_was_measured_is_kept(tmp_path, speech, monkeypatch):
    """Killed and started again: only what is missing is computed."""
    monkeypatch.setattr(metrics.paths, "cache", lambda name: tmp_path / name)
    calls = []
    counted = metrics.MEASURES["STOI"]._replace(compute=lambda *signals: calls.append(1) or 0.5)
    monkeypatch.setitem(metrics.MEASURES, "STOI", counted)
    rows = []
    for number in range(3):
        audio.write(tmp_path / f"{number}.wav", speech[: 12000 + number])
        rows.append(("u", "s", f"system {number}", tmp_path / f"{number}.wav", tmp_path / f"{number}.wav"))
    table = pd.DataFrame(rows, columns=["utterance", "speaker", "system", "reference", "decoded"])
    metrics.evaluate(table.iloc[:2], ("STOI",))
    metrics.evaluate(table, ("STOI", "LSD"))
    assert len(calls) == 3


def test_several_processes_find_the_same(tmp_path, speech, monkeypatch):
    monkeypatch.setenv("PCODEC_HOME", str(tmp_path))
    rows = []
    for number in range(8):
        audio.write(tmp_path / f"{number}.wav", noisy(speech[:12000], 5 * number))
        rows.append((f"u{number}", "s", "noisy", tmp_path / "7.wav", tmp_path / f"{number}.wav"))
    table = pd.DataFrame(rows, columns=["utterance", "speaker", "system", "reference", "decoded"])
    audio.write(tmp_path / "7.wav", speech[:12000])
    found = []
    for number in (2, 1):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(number))
        found.append(metrics.evaluate(table, ("STOI", "LSD")))
        for file in (tmp_path / "cache").rglob("*.json"):
            file.unlink()
    pd.testing.assert_frame_equal(*found)


def test_a_process_beside_others_has_one_thread(monkeypatch):
    """Twice as many threads as cores halve the speed of a recognizer."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    with metrics._pool(2) as mapped:
        assert [*mapped(os.getenv, ["NUMBA_NUM_THREADS", "OMP_NUM_THREADS"])] == ["1", "1"]


def test_paired_differences(tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        (f"u{u}", f"s{u % 5}", system, "STOI", 0.7 + 0.02 * u % 0.1 + plus + 0.001 * rng.normal())
        for u in range(20)
        for system, plus in (("a", 0.03), ("b", 0.0))
    ]
    values = pd.DataFrame(rows, columns=["utterance", "speaker", "system", "measure", "value"])
    row = metrics.paired(values, [("a", "b")]).iloc[0]
    assert row.low < 0.03 < row.high and row.high - row.low < 0.004 and row.better == "higher"
    assert (row.speakers, row.utterances) == (5, 20)
    with pytest.raises(PcodecError, match="no system 'c'; there are a, b"):
        metrics.paired(values, [("a", "c")])
    with pytest.raises(PcodecError, match="a, utterance u0: rated twice"):
        metrics.paired(pd.concat([values, values[:1]]), [("a", "b")])
