"""Training data are what the specification says, the same in every training, and kept for the next."""

from pathlib import Path

import numpy as np
import pytest

from pcodec import PcodecError, features
from pcodec.compute.backend import torch
from pcodec.lpcnet import examples, mulaw
from pcodec.speech import audio


def test_without_noise_the_loop_codes_the_signal(speech):
    """Planted truth: decoding the targets gives back the signal, to the error of mu-law on the excitation."""
    y = np.rint(audio.preemphasis(speech * audio.SCALE))
    y = y[: len(y) // 160 * 160]
    lpc = features.lpc_from_cepstrum(features.analyze_emphasized(y).features[: len(y) // 160, :18])
    codes = examples.noisy_prediction_loop(y, lpc, np.zeros(len(y), dtype=np.int32))
    assert np.array_equal(codes[1:, 2], codes[:-1, 3]), "without noise the past excitation is the past target"
    past, decoded = np.zeros(16), np.empty(len(y))
    for t in range(len(y)):
        prediction = -lpc[t // 160] @ past
        assert codes[t, 0] == mulaw.mulaw_encode(past[0])
        decoded[t] = prediction + mulaw.mulaw_decode(codes[t, 3])
        past = np.concatenate([[decoded[t]], past[:-1]])
    noise_to_signal = ((decoded - y) ** 2).sum() / (y**2).sum()
    assert 10 * np.log10(noise_to_signal) < -30
    assert codes[0, :3].tolist() == [128, 128, 128]


def test_targets_repair_the_noise(speech):
    """With noise the targets still follow the clean signal: the error does not pile up."""
    y = np.rint(audio.preemphasis(speech * audio.SCALE))[:16000]
    lpc = features.lpc_from_cepstrum(features.analyze_emphasized(y).features[:100, :18])
    noise = examples.excitation_noise(np.random.default_rng(1), len(y), 2.0)
    codes = examples.noisy_prediction_loop(y, lpc, noise)
    noisy = np.clip(codes[:-1, 3].astype(int) + noise[:-1], 0, 255)
    assert np.array_equal(codes[1:, 2], noisy)
    signal = mulaw.mulaw_decode(codes[1:, 0])
    assert 10 * np.log10(((signal - y[:-1]) ** 2).sum() / (y**2).sum()) < -10


def test_features_lie_on_the_audio_they_describe():
    """Planted pulses: the frame whose target excitation has the pulse is the frame whose cepstrum is loudest there."""
    rng = np.random.default_rng(1)
    x = 60.0 * rng.normal(size=160 * 120)
    places = [160 * (10 * (i + 1)) + offset for i, offset in enumerate((0, 20, 50, 65, 95, 110, 140, 159, 30, 130))]
    x[places] += 25_000.0
    codes, found = examples.prepare(x / audio.SCALE, None, np.random.default_rng(3), augment=False)
    loud = np.abs(codes[:, 3].astype(int) - 128).reshape(-1, 160).max(axis=1)
    for place in places:
        around = np.arange(place // 160 - 4, place // 160 + 5)
        assert around[loud[around].argmax()] == around[found[around, 0].argmax()]


@pytest.mark.parametrize("sigma", [0.0, 1.0, 6.0])
def test_noise_is_laplacian_with_its_deviation(sigma):
    noise = examples.excitation_noise(np.random.default_rng(1), 200_000, sigma)
    assert noise.std() == pytest.approx(np.sqrt(sigma**2 + (1 / 12 if sigma else 0)), rel=0.02, abs=1e-9)
    if sigma == 6.0:
        assert (np.asarray(noise, float) ** 4).mean() / noise.var() ** 2 == pytest.approx(6.0, rel=0.1)


def test_conditions_have_the_specified_ranges():
    draws = [examples.draw_conditions(np.random.default_rng(i)) for i in range(4000)]
    gains = np.array([gain for gain, _, _ in draws])
    sigma = np.array([sigma for _, _, sigma in draws])
    loud = gains[gains >= 0.0999]
    assert loud.min() == pytest.approx(0.1) and loud.max() == pytest.approx(10 ** (19 / 20))
    assert (gains == 0).mean() == pytest.approx(0.01, abs=0.006)
    assert ((gains > 0) & (gains < 0.0999)).mean() == pytest.approx(0.05, abs=0.015)
    assert sigma.mean() == pytest.approx(10 / 3, rel=0.05) and sigma.max() <= 10
    taps = np.array([b[1:] + a[1:] for _, (b, a), _ in draws])
    assert np.abs(taps).max() <= 0.375 and taps.std() == pytest.approx(0.75 / np.sqrt(12), rel=0.03)


def test_silence_is_dropped_and_joined_without_a_click():
    tone = 3000 * np.sin(2 * np.pi * 100 * np.arange(1600) / 16000 + 1.0)
    kept = examples.drop_silence(np.concatenate([np.zeros(1600), tone, np.zeros(3200), tone]))
    assert len(kept) == 3200
    assert np.abs(np.diff(kept)).max() < 1.5 * np.abs(np.diff(tone)).max()
    assert len(examples.drop_silence(np.zeros(1600))) == 0


def test_preparation_repeats_and_aligns(demo, codebooks):
    table = demo.iloc[:2]
    first = examples.SampleDataset.build(table, Path(), codebooks, augment=True)
    fresh = [(row.utterance, row.speaker, audio.read(row.path)) for row in table.iloc[::-1].itertuples()]
    again = examples.SampleDataset.of(fresh, codebooks, augment=True)
    last = int(again.frames[0])
    assert torch.equal(first.codes[: 160 * int(first.frames[0])], again.codes[160 * last :]), (
        "the order does not matter"
    )
    assert len(first.codes) == 160 * len(first.features) == 160 * first.frames.sum()
    starts, which = first.starts(3)
    ends = np.cumsum(first.frames)
    assert (starts - 2 >= np.where(which == 0, 0, ends[0])).all() and (starts + 5 <= ends[which]).all()
    got, codes = first.batch(starts[:2], 3)
    assert got.shape == (2, 7, 20) and torch.equal(got[0], first.features[starts[0] - 2 : starts[0] + 5])
    assert torch.equal(codes[1], first.codes[160 * starts[1] : 160 * (starts[1] + 3)].long())


def test_examples_are_kept_for_other_trainings(demo, codebooks, monkeypatch, tmp_path):
    """Prepared once; what is kept is what would be prepared, and other settings or draws are other examples."""
    monkeypatch.setenv("PCODEC_HOME", str(tmp_path))
    table, asked = demo.iloc[:2], []

    def counted(samples, *rest):
        asked.append(len(samples))
        return prepare(samples, *rest)

    prepare = examples.prepare
    monkeypatch.setattr(examples, "prepare", counted)
    first = examples.SampleDataset.build(table, Path(), codebooks, augment=True)
    again = examples.SampleDataset.build(table.iloc[:1], Path(), codebooks, augment=True)
    assert len(asked) == 2 and torch.equal(again.codes, first.codes[: len(again.codes)])
    assert torch.equal(again.features, first.features[: len(again.features)])
    for number, changed in enumerate([{"draw": 1}, {"seed": 2}, {"augment": False}, {"codebooks": None}], 1):
        settings = {"codebooks": codebooks, "augment": True} | changed
        other = examples.SampleDataset.build(table.iloc[:1], Path(), **settings)
        assert len(asked) == 2 + number and not torch.equal(other.features, again.features)
    late = {"codebooks": codebooks, "augment": True, "draw": examples.KEPT_DRAWS}
    for _ in range(2):
        examples.SampleDataset.build(table.iloc[:1], Path(), **late)
    assert len(asked) == 8, "late draws are not kept: the disk would fill"


def test_examples_of_much_speech_stay_on_the_disk(demo, codebooks, monkeypatch, tmp_path):
    """They are those of memory, are prepared once, also where that was ended half-way, and batches are elsewhere."""
    monkeypatch.setenv("PCODEC_HOME", str(tmp_path))
    table, prepare = demo.iloc[:3], examples.prepare
    held = examples.SampleDataset.build(table, Path(), codebooks, augment=True, draw=examples.KEPT_DRAWS)
    monkeypatch.setattr(examples, "KEPT_HOURS", 0.0)
    calls = []

    def ends(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return prepare(*arguments)

    monkeypatch.setattr(examples, "prepare", ends)
    with pytest.raises(KeyboardInterrupt):
        examples.SampleDataset.build(table, Path(), codebooks, augment=True, draw=examples.KEPT_DRAWS)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing half-written"
    for _ in range(2):
        found = examples.SampleDataset.build(table, Path(), codebooks, augment=True, draw=examples.KEPT_DRAWS)
    assert len(calls) == 2 + 3
    assert torch.equal(found.codes, held.codes) and torch.equal(found.features, held.features)
    assert found.utterances.equals(held.utterances) and list(found.frames) == list(held.frames)
    starts, _ = found.starts(5)
    (features, codes), there = found.batch(starts[:2], 5), found.to("meta").batch(starts[:2], 5)
    assert torch.equal(features, held.batch(starts[:2], 5)[0]) and torch.equal(codes, held.batch(starts[:2], 5)[1])
    assert [part.device.type for part in there] == ["meta", "meta"]
    assert found.to("meta").codes.device.type == "cpu"
    other = examples.SampleDataset.build(table.iloc[:2], Path(), codebooks, augment=True, draw=examples.KEPT_DRAWS)
    assert len(other.frames) == 2


def test_silence_is_refused(demo, codebooks, tmp_path):
    audio.write(tmp_path / "silence.wav", np.zeros(16000))
    table = demo.iloc[:1].assign(path=str(tmp_path / "silence.wav"))
    with pytest.raises(PcodecError, match="no speech to train on in 1 utterances"):
        examples.SampleDataset.build(table, Path(), codebooks, augment=False)
