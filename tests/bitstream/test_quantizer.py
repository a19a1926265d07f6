"""Quantization is the reference's to the bit: searches, rules of pitch and interpolation, refusals."""

import numpy as np
import pytest

from pcodec import PcodecError, features
from pcodec.bitstream import quantizer
from pcodec.bitstream.quantizer import FIELDS

PACKETS = ["7a201d4acf174b9c"] + 5 * ["7b54dd4acf175d61"]  # specification section 13
DECODED_19 = [-0.75, 7.9890, 1.2052, -1.0695, -0.3088, 0.2590, -0.3688, -0.3060, -0.5476, -0.3820, -0.4352, -0.1115,
              -0.0067, 0.0727, -0.2044, -0.0470, 0.0012, -0.1058, 0.56, 0.4125]  # fmt: skip


def test_sixty_four_bits():
    assert sum(FIELDS.values()) == 64


def test_reference_packets(test_vector, original_codebooks):
    fields = quantizer.quantize(features.analyze(test_vector), original_codebooks)
    bits = ["".join(f"{value:0{width}b}" for value, width in zip(row, FIELDS.values(), strict=True)) for row in fields]
    assert [f"{int(word, 2):016x}" for word in bits[:6]] == PACKETS
    assert quantizer.dequantize(fields, original_codebooks)[19] == pytest.approx(DECODED_19, abs=1e-4)


def test_error_of_the_original_codebooks_on_librispeech(librispeech, original_codebooks):
    """Specification section 6.1: rms of c1..c17 between .18 and .37, mean .25, on 20 s of speech."""
    paths = sorted((librispeech / "test-other").rglob("*.flac"))[::20]
    pairs = [(a.features, quantizer.quantized_features(a, original_codebooks)) for a in map(features.cached, paths)]
    rms = np.sqrt(np.mean(np.concatenate([b - a for a, b in pairs]) ** 2, axis=0))[1:18]
    assert 0.2 < rms.mean() < 0.3


def test_fields_fit_their_bits(demo, codebooks):
    for path in demo[demo.split == "test"].path[:5]:
        fields = quantizer.quantize(features.cached(path), codebooks)
        assert (fields >= 0).all() and (fields < 2 ** np.array(list(FIELDS.values()))).all()


@pytest.mark.parametrize("lag", [None, 40, 77, 121, 200])
def test_scalar_fields_are_near(speech, codebooks, lag):
    pulses = np.zeros(16000)
    pulses[:: lag or 16000] = 0.5
    analysis = features.analyze(speech if lag is None else pulses)
    fields = quantizer.quantize(analysis, codebooks)
    decoded = quantizer.dequantize(fields, codebooks)
    assert np.abs(decoded[3::4, 0] - analysis.features[3::4, 0]).max() <= 0.125 + 1e-5  # half a step of c0
    voiced = fields[:, 2] > 0
    flat = voiced & (np.ptp(analysis.lags, axis=1) == 0)
    assert flat.any() or lag is None
    steps = 21 * np.log2((50 * decoded[1::4, 18] + 100) / analysis.lags[:, 0])
    assert (np.abs(steps[flat]) <= 0.5 + 1e-4).all()  # half a step of the main pitch
    strength = decoded[::4, 19] + 0.5 - analysis.correlation
    assert np.abs(strength[voiced]).max() <= 0.0875 + 1e-5


def test_codebooks_beat_smaller_ones_on_their_training_speech(demo, codebooks):
    """Each stage of the search must reduce the error."""
    analysis = features.cached(demo[demo.split == "train"].path.iloc[0])
    fields = quantizer.quantize(analysis, codebooks)
    target = analysis.features[3::4, 1:18]
    partial = [((target - sum(codebooks.stages[i][fields[:, 4 + i]] for i in range(n))) ** 2).mean() for n in (1, 2, 3)]
    assert partial[0] > partial[1] > partial[2]
    assert partial[2] < 0.1 * target.var()


def test_search_keeps_the_better_of_near_survivors():
    """A greedy search would take word 0 first; the pair (1, 0) is exact."""
    stages = np.full((3, 1024, 17), 100.0, dtype=np.float32)
    stages[:, 0] = stages[0, 1] = 0
    stages[0, 0, 0], stages[0, 1, 0] = 1.0, 3.0
    stages[1, 0, 0], stages[2, 0, 0] = -1.1, 0.0
    target = np.zeros(17, np.float32)
    target[0] = 1.9
    found = np.zeros(3, np.int64)
    quantizer._search_stages(target, stages, np.ascontiguousarray(stages.transpose(0, 2, 1)), found)
    assert found.tolist() == [1, 0, 0]


def test_searches_agree_with_trying_every_word(speech, codebooks):
    """Delta and interpolation by brute force, in double precision, on speech."""
    analysis = features.analyze(speech[:16000])
    cepstra = analysis.features[:, :18].reshape(-1, 4, 18).astype(np.float64)
    fields = quantizer.quantize(analysis, codebooks)
    decoded = quantizer.dequantize(fields, codebooks)[:, :18].reshape(-1, 4, 18).astype(np.float64)
    before = np.zeros(18)
    for frames, coded, field in zip(cepstra, decoded, fields, strict=True):
        last = coded[3]
        mean = (before + last) / 2
        words = codebooks.delta + np.stack([mean, mean, before, last])[np.arange(4096) % 4]
        minus = words - 2 * codebooks.delta
        errors = ((np.vstack([words, minus]) - frames[1]) ** 2).sum(axis=1)
        assert errors[field[7]] == pytest.approx(errors.min(), abs=1e-5)
        middle = coded[1]
        zero, two = [(before + middle) / 2, before, middle], [(middle + last) / 2, middle, last]
        pairs = [
            ((frames[0] - a) ** 2).sum() + ((frames[2] - b) ** 2).sum()
            for i, a in enumerate(zero) for j, b in enumerate(two) if (i, j) != (2, 1)
        ]  # fmt: skip
        assert pairs[field[8]] == pytest.approx(min(pairs), abs=1e-5)
        before = last


def test_packets_can_be_coded_one_by_one(speech, codebooks):
    analysis = features.analyze(speech[:20000])
    whole = quantizer.quantize(analysis, codebooks)
    before, fields, decoded = None, [], []
    for p in range(len(whole)):
        packet = features.Analysis(analysis.features[4 * p : 4 * p + 4], *(part[p : p + 1] for part in analysis[1:]))
        fields.append(quantizer.quantize(packet, codebooks, before))
        decoded.append(quantizer.dequantize(fields[-1], codebooks, before))
        before = decoded[-1][-1, :18]
    assert np.array_equal(np.vstack(fields), whole)
    assert np.array_equal(np.vstack(decoded), quantizer.dequantize(whole, codebooks))


def idempotent(analysis, codebooks) -> float:
    """Assert that what has been decoded is coded the same again; return the share of packets this could be seen in."""
    fields = quantizer.quantize(analysis, codebooks)
    decoded = quantizer.dequantize(fields, codebooks).reshape(-1, 4, 20)
    lags = 50 * decoded[:, :, 18] + 100
    slope = (lags[:, 3:] - lags[:, :1]) / 6  # per sub-frame; frame k is centred on sub-frames 2 k and 2 k + 1
    again = features.Analysis(
        decoded.reshape(-1, 20),
        lags.mean(axis=1, keepdims=True) + slope * (np.arange(8) - 3.5),
        np.ones((len(fields), 8), np.float32),
        decoded[:, 0, 19] + np.float32(0.5),
    )
    inside = ((lags > 33.5) & (lags < 254.5)).all(axis=1)  # where the decoder limits a lag the slope is lost
    assert np.array_equal(quantizer.quantize(again, codebooks)[inside, :4], fields[inside, :4])
    return inside.mean()


def test_scalar_fields_are_idempotent(speech, codebooks):
    assert idempotent(features.analyze(speech), codebooks) > 0.5


def test_scalar_fields_are_idempotent_on_librispeech(librispeech, original_codebooks):
    paths = sorted((librispeech / "test-other").rglob("*.flac"))[::5]
    assert np.mean([idempotent(features.cached(path), original_codebooks) for path in paths]) > 0.5


def test_silence_has_the_reference_s_code(codebooks):
    """No energy: the pitch is 0 / 0, and the reference's integer of that is the smallest, limited to code 0."""
    fields = quantizer.quantize(features.analyze(np.zeros(6400)), codebooks)
    assert (fields[:, 1:4] == 0).all()
    assert np.isfinite(quantizer.dequantize(fields, codebooks)).all()


def test_fields_are_checked(codebooks):
    good = quantizer.quantize(features.analyze(np.zeros(100)), codebooks)
    for column, value, match in ((0, 128, "c0 must fit 7 bits, got 128"), (8, -1, "interpolation .* got -1")):
        bad = good.copy()
        bad[0, column] = value
        with pytest.raises(PcodecError, match=match):
            quantizer.dequantize(bad, codebooks)
    with pytest.raises(PcodecError, match=r"\(1, 8\)"):
        quantizer.dequantize(good[:, :8], codebooks)
    with pytest.raises(PcodecError, match="float64"):
        quantizer.dequantize(good * 1.0, codebooks)
