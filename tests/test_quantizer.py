import numpy as np
import pytest

from pcodec import PcodecError, features, quantizer
from pcodec.quantizer import FIELDS

PACKETS = ["7a201d4acf174b9c"] + 5 * ["7b54dd4acf175d61"]  # specification section 13
DECODED_19 = [-0.75, 7.9890, 1.2052, -1.0695, -0.3088, 0.2590, -0.3688, -0.3060, -0.5476, -0.3820, -0.4352, -0.1115,
              -0.0067, 0.0727, -0.2044, -0.0470, 0.0012, -0.1058, 0.56, 0.4125]  # fmt: skip


def test_sixty_four_bits():
    assert sum(FIELDS.values()) == 64 and len(quantizer.INTERPOLATIONS) == 8


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
    target = np.zeros((1, 17))
    target[0, 0] = 1.9
    assert quantizer._search_stages(target, stages).tolist() == [[1, 0, 0]]


def test_training_repeats(demo, codebooks):
    train = [features.cached(path).features for path in demo[demo.split == "train"].path[:60]]
    assert quantizer.train_codebooks(train, max_frames=6000).identity == codebooks.identity
    assert quantizer.train_codebooks(train, max_frames=6000, seed=2).identity != codebooks.identity


def test_files(tmp_path, codebooks):
    codebooks.save(tmp_path / "books.npz")
    assert quantizer.Codebooks.load(tmp_path / "books.npz").identity == codebooks.identity
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    for name in ("bad.npz", "missing.npz"):
        with pytest.raises(PcodecError, match=name):
            quantizer.Codebooks.load(tmp_path / name)
    with pytest.raises(PcodecError, match="1000 frames"):
        quantizer.train_codebooks([np.zeros((1000, 20), dtype=np.float32)])
