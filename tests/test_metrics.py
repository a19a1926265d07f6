import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError, audio, metrics


def test_identity(speech):
    assert metrics.pesq_wideband(speech, speech) == pytest.approx(4.644, abs=0.001)  # the top of its scale
    assert metrics.stoi(speech, speech) == pytest.approx(1.0, abs=1e-9)


def test_more_noise_is_worse(speech):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=len(speech)).astype(np.float32) * np.sqrt((speech**2).mean())
    for measure in metrics.MEASURES.values():
        values = [measure.compute(speech, speech + noise * 10 ** (-snr / 20)) for snr in (40, 20, 10, 0)]
        assert measure.better == "higher" and values == sorted(values, reverse=True)
        assert values[0] - values[-1] > 0.1


GOLDEN = {"STOI": 0.994938, "PESQ-WB": 2.2385}  # of pystoi 0.4.1 and pesq 0.0.4


def test_golden(speech):
    noisy = speech + 0.01 * np.sin(np.arange(len(speech)) * 0.7).astype(np.float32)
    assert metrics.stoi(speech, noisy) == pytest.approx(GOLDEN["STOI"], abs=1e-6)
    assert metrics.pesq_wideband(speech, noisy) == pytest.approx(GOLDEN["PESQ-WB"], abs=1e-3)


def test_golden_has_every_measure():
    assert set(GOLDEN) == set(metrics.MEASURES)


def test_table_in_table_out(tmp_path, speech):
    audio.write(tmp_path / "a.wav", speech)
    table = pd.DataFrame([{"utterance": "u", "speaker": "s", "system": "same", "reference": tmp_path / "a.wav",
                           "decoded": tmp_path / "a.wav"}])  # fmt: skip
    values = metrics.evaluate(table).set_index("measure").value
    assert values["STOI"] == pytest.approx(1.0, abs=1e-9) and values["PESQ-WB"] > 4.6
    audio.write(tmp_path / "silent.wav", np.zeros(len(speech)))
    with pytest.raises(PcodecError, match=r"silent\.wav \(same\): the decoded signal is silent"):
        metrics.evaluate(table.assign(decoded=tmp_path / "silent.wav"))
    audio.write(tmp_path / "short.wav", speech[:-1])
    with pytest.raises(PcodecError, match=r"short\.wav .*differ in length"):
        metrics.evaluate(table.assign(decoded=tmp_path / "short.wav"))
    with pytest.raises(PcodecError, match="no measure 'MOS'"):
        metrics.evaluate(table, ("MOS",))


def test_interval_covers_and_respects_speakers():
    """A difference planted per speaker: drawing utterances alone would give a far too narrow interval."""
    covered, widths, naive = 0, [], []
    for trial in range(50):
        rng = np.random.default_rng(trial)
        speakers = np.repeat(np.arange(10), 20)
        values = 1.0 + rng.normal(0, 1.0, 10)[speakers] + rng.normal(0, 0.1, 200)
        mean, low, high = metrics.interval(values, speakers, draws=300)
        assert low <= mean <= high
        covered += low <= 1.0 <= high
        widths.append(high - low)
        naive.append(2 * 1.96 * values.std() / np.sqrt(200))
    assert covered / 50 > 0.8
    assert np.mean(widths) > 3 * np.mean(naive)


def test_interval_of_a_constant_and_refusals():
    assert metrics.interval(np.full(6, 2.5), np.repeat(["a", "b"], 3)) == (2.5, 2.5, 2.5)
    with pytest.raises(PcodecError, match="3 values of 2 utterances"):
        metrics.interval(np.zeros(3), np.array(["a", "b"]))
    with pytest.raises(PcodecError, match="not a number"):
        metrics.interval(np.array([1.0, np.nan]), np.array(["a", "b"]))
