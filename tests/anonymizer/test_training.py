"""Promises that an anonymizer learns, goes on where it was killed, and makes another voice's features of any signal."""

import numpy as np
import pandas as pd
import pytest

from pcodec import PcodecError, features
from pcodec.anonymizer import conversion, perception, spectra, training, voices
from pcodec.anonymizer.config import AnonymizerConfig
from pcodec.anonymizer.model import Anonymizer
from pcodec.bitstream.container import Stream
from pcodec.codecs.anonymization import Anonymizer as Held
from pcodec.codecs.parametric import Codec
from pcodec.compute.backend import torch
from pcodec.features import hearing
from pcodec.features.cepstrum import band_log_energies
from pcodec.speakers import embedding
from pcodec.speech import audio

SMALL = AnonymizerConfig("own", 8, (16, 8, 4))


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(1)
    return embedding.SpeakerEncoder().arrays()


@pytest.fixture(scope="module")
def examples(demo, encoder):
    rows = demo[demo.split == "train"].groupby("speaker").head(1).head(6)
    made = [(row.utterance, row.speaker, audio.read(row.path)) for row in rows.itertuples()]
    made = [(utterance, speaker, np.resize(samples, 4 * audio.RATE)) for utterance, speaker, samples in made]
    return training.Examples.of(made, encoder)


@pytest.fixture(scope="module")
def learnt(examples, speech, tmp_path_factory):
    model = Anonymizer(SMALL, seed=1)
    found = hearing.describe(speech)
    model.to_bands.copy_(torch.from_numpy(spectra.matrix(found.mel, spectra.energies(found.analysis))))
    folder = tmp_path_factory.mktemp("training")
    curve = training.fit(model, examples, examples, perception.Perception({"loudness": 0.2}), 30, 5, 20, 4,
                         checkpoint=folder / "a.pt")  # fmt: skip
    return model, curve, folder


@pytest.fixture(scope="module")
def converter(learnt, examples, encoder):
    return conversion.Converter(learnt[0], examples.pool(), encoder)


def test_it_learns(learnt):
    model, curve, _ = learnt
    means = curve.groupby("update").reconstruction.mean()
    assert means.iloc[-1] < 0.5 * means.iloc[0]
    assert model.provenance["updates"] == 35 and set(model.provenance["scales"]) == {"loudness"}
    assert set(curve.utterance) and curve.loudness.notna().any()


def test_killed_it_goes_on_to_the_same(learnt, examples):
    model, _, folder = learnt
    again = Anonymizer(SMALL, seed=1)
    again.to_bands.copy_(model.to_bands)
    training.fit(again, examples, examples, perception.Perception({"loudness": 0.2}), 30, 5, 20, 4,
                 checkpoint=folder / "a.pt")  # fmt: skip
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_the_voice_is_not_in_the_words(learnt, examples):
    """Another voice's vector changes the spectrum, and the words are those of the spectrum alone."""
    model = learnt[0].eval()
    mel, prosody, voice, _ = examples.batch(np.array([0]), np.array([0]), model)
    with torch.no_grad():
        codes = model.codes(mel)
        one, other = (model.decode(codes, prosody, each) for each in (voice, -voice))
    assert [each.shape[1] for each in codes] == [128, 64, 32]
    assert all(each.max() < count for each, count in zip(codes, SMALL.words, strict=True))
    assert (one - other).abs().max() > 1e-4
    model.train()


def test_recognized_words_need_activations(examples):
    model = Anonymizer(AnonymizerConfig("recognized", 8, (8,)), seed=1)
    with pytest.raises(PcodecError, match="recognizer's activations"):
        model.codes(examples.mel[None, :64])
    with pytest.raises(PcodecError, match="extra `recognizer`"):
        conversion.Converter(model, None, None)


def test_budgets_are_refused(examples):
    with pytest.raises(PcodecError, match="more than 300 updates"):
        training.fit(Anonymizer(SMALL, seed=1), examples, examples, updates=100)
    with pytest.raises(PcodecError, match="no utterance"):
        training.Examples.of([("a", "b", np.zeros(1600, np.float32))], {})


def test_pieces_are_the_whole(converter, speech):
    long = np.resize(speech, 25 * audio.RATE)
    voice = converter.pool.voice("fixed")
    whole = converter.convert(long, voice)
    cut = list(converter.convert_blocks([long[at : at + 7777] for at in range(0, len(long), 7777)], voice))
    assert len(cut) > 1
    for number, found in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[number] for part in cut]), found)


def test_features_are_of_the_same_frames(converter, speech):
    found, own = converter.convert(speech, converter.pool.voice("fixed")), features.analyze(speech)
    assert [each.shape for each in found] == [each.shape for each in own]
    np.testing.assert_array_equal(found.correlation, own.correlation)
    level, other = (band_log_energies(each.features[:, :18]).max(axis=1) for each in (own, found))
    assert np.corrcoef(level, other)[0, 1] > 0.5  # loud is where it was loud


def test_the_pitch_is_the_voice_s(converter, speech):
    voice = voices.Voice(np.zeros(32, np.float32), np.log(220.0), 0.1)
    found = converter.convert(speech, voice)
    lags = features.lag(found.features[:, 18]).astype(float)
    assert voices.prosody_of(lags, found.features[:, 19] + 0.5)[0] == pytest.approx(np.log(220.0), abs=0.05)


def test_a_file_holds_all_of_it(converter, speech, tmp_path):
    converter.save(tmp_path / "a.safetensors")
    loaded, voice = conversion.Converter.load(tmp_path / "a.safetensors"), converter.pool.voice("random", seed=3)
    np.testing.assert_allclose(loaded.pool.voice("random", seed=3).z, voice.z, atol=1e-5)
    np.testing.assert_allclose(
        loaded.convert(speech, voice).features, converter.convert(speech, voice).features, atol=0.1
    )
    with pytest.raises(PcodecError, match=r"b\.safetensors"):
        conversion.Converter.load(tmp_path / "b.safetensors")


@pytest.mark.parametrize("kind", ["fixed", "pool", "random"])
def test_what_is_sent_is_a_stream_like_any_other(converter, speech, kind):
    held, codec = Held(converter, kind), Codec.load()
    stream = held.encode_blocks([speech], codec)
    read = Stream.from_bytes(stream.to_bytes())
    assert read.samples == len(speech) and read.payload_rate == 1600
    np.testing.assert_array_equal(codec.decode(stream.to_bytes())[0], held.convert(speech))
    assert not np.array_equal(read.packets, Stream.from_bytes(codec.encode(speech)).packets)


def test_a_codec_with_other_packets_codes_the_changed_speech(converter, speech):
    codec = Codec.load("soundstream-small")
    stream = Held(converter).encode_blocks([speech[:16000]], codec)
    spoken = codec.decode(codec.encode(Held(converter).convert(speech[:16000])))[0]
    np.testing.assert_array_equal(codec.decode(stream.to_bytes())[0], spoken)


def signals(speech):
    rng = np.random.default_rng(1)
    time = np.arange(audio.RATE) / audio.RATE
    return {
        "nothing": np.zeros(0), "a tenth of a second": speech[8000:9600], "silence": np.zeros(16000),
        "noise": 0.1 * rng.normal(size=16000), "a chord": sum(0.2 * np.sin(2 * np.pi * f * time) for f in (262, 330)),
        "clipped": np.clip(50 * speech, -1, 1), "two talkers": 0.5 * (speech[:16000] + speech[16000:32000][::-1]),
    }  # fmt: skip


@pytest.mark.parametrize("what", list(signals(np.zeros(40000))))
@pytest.mark.parametrize("kind", ["fixed", "pool"])
def test_any_signal_comes_out_as_long(converter, speech, what, kind):
    samples = signals(speech)[what].astype(np.float32)
    found = Held(converter, kind).convert(samples)
    assert len(found) == len(samples) and np.isfinite(found).all()
    if what == "silence":
        assert not found.any()


def test_offset_and_rate_are_the_user_s(converter, speech):
    found = Held(converter).convert(np.stack([speech, speech], axis=1), 16000)
    np.testing.assert_array_equal(found, Held(converter).convert(speech))
    with pytest.raises(PcodecError, match="voices are"):
        Held(converter, "mine")


def test_speeds_are_other_speakers(speech):
    rows = list(embedding.with_speeds([("u", "s", speech)], (0.9, 1.0)))
    assert [row[:2] for row in rows] == [("u@0.9", "s@0.9"), ("u", "s")]
    assert len(rows[0][2]) == pytest.approx(len(speech) / 0.9, rel=0.01)


def test_the_pool_is_of_speakers(examples):
    pool = examples.pool()
    assert len(pool.z) == len(set(examples.utterances.speaker))
    assert isinstance(examples.utterances, pd.DataFrame) and (pool.spread > 0).all()
