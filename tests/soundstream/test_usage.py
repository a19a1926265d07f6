"""What is counted of codes was planted in them; what is compressed comes back, and takes the bits that were said."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.soundstream import usage
from pcodec.soundstream.entropy import Model, beside


def planted(count, seed=1):
    """Signals of four stages: uniform; one of 16; a walk that goes on by one; always the same."""
    rng = np.random.default_rng(seed)

    def signal():
        walk, same = np.arange(4000) % 256, np.full(4000, 7)
        return np.stack([rng.integers(256, size=4000), 16 * rng.integers(16, size=4000), walk, same], axis=1)

    return [signal().astype(np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def model():
    return Model.of(planted(40), "0123456789abcdef")


def test_words_stand_in_the_order_of_their_main_axis():
    places = np.random.default_rng(1).permutation(50)
    words = np.outer(places, [1.0, 2.0, -1.0]) + 0.01 * np.random.default_rng(2).standard_normal((50, 3))
    found = usage.order(words)
    assert np.array_equal(found, places) or np.array_equal(found, 49 - places)


def test_bits_of_planted_codes(model):
    found = usage.count(model, planted(10, 2)).set_index("stage")
    assert list(found.used) == [256, 16, 256, 1]
    assert list(found.entropy) == pytest.approx([8, 4, 8, 0], abs=0.02)
    assert list(found.coded) == pytest.approx([8, 4, 8, 0], abs=0.05)
    assert list(found.after_the_last) == pytest.approx([8, 4, 0, 0], abs=0.3), "a walk is foreseen"
    assert (model.shared[0], model.shared[2]) == (65536, 32), "pairs that say nothing are not believed"
    other = Model.of([np.full((100, 1), 3, np.uint8)] * 5, "")
    assert usage.count(other, [np.full((100, 1), 200, np.uint8)]).coded[0] > 8, "other codes cost more than they have"


@pytest.mark.parametrize("stages", [1, 3, 4])
def test_codes_come_back_in_the_bits_that_were_said(model, stages, tmp_path):
    model.save(tmp_path / "a.codes.npz")
    again = Model.load(beside(tmp_path / "a.safetensors"))
    assert again.identity == model.identity
    codes = planted(1, 3)[0][:500, :stages]
    data = model.compress(codes)
    assert np.array_equal(again.expand(data, 500, stages), codes)
    assert 8 * len(data) == pytest.approx(model.bits([codes]).sum(), abs=64)
    assert np.array_equal(model.expand(model.compress(codes[:0]), 0, stages), codes[:0])


def test_refusals(model, tmp_path):
    with pytest.raises(PcodecError, match="1 signals are too few"):
        Model.of(planted(1), "")
    (tmp_path / "b.codes.npz").write_bytes(b"nothing")
    for name in ("a", "b"):
        with pytest.raises(PcodecError, match=rf"{name}\.codes\.npz: no model of codes"):
            Model.load(tmp_path / f"{name}.codes.npz")
    with pytest.raises(PcodecError, match="damaged: 3 bytes of codes"):
        model.expand(b"abc", 10, 2)
    for seed in range(200):
        data = np.random.default_rng(seed).bytes(40)
        try:
            assert model.expand(data, 60, 4).shape == (60, 4)
        except PcodecError as error:
            assert "damaged" in str(error)
