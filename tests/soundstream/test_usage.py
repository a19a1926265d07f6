"""What is counted of codes is what was planted in them."""

import numpy as np
import pytest

from pcodec.soundstream import usage


def test_words_stand_in_the_order_of_their_main_axis():
    places = np.random.default_rng(1).permutation(50)
    words = np.outer(places, [1.0, 2.0, -1.0]) + 0.01 * np.random.default_rng(2).standard_normal((50, 3))
    found = usage.order(words)
    assert np.array_equal(found, places) or np.array_equal(found, 49 - places)


def test_bits_of_planted_codes():
    rng = np.random.default_rng(1)

    def signal():
        """Uniform; one of 16; a walk that goes on by one; always the same."""
        walk, same = np.arange(4000) % 256, np.full(4000, 7)
        return np.stack([rng.integers(256, size=4000), 16 * rng.integers(16, size=4000), walk, same], axis=1)

    found = usage.count([signal() for _ in range(40)], [signal() for _ in range(10)]).set_index("stage")
    assert list(found.used) == [256, 16, 256, 1]
    assert list(found.entropy) == pytest.approx([8, 4, 8, 0], abs=0.02)
    assert list(found.coded) == pytest.approx([8, 4, 8, 0], abs=0.05)
    assert found.after_the_last[3] < 1, "what follows is known"
    assert found.after_the_last[1] == pytest.approx(8, abs=0.2), "and here it is not"
    other = usage.count([np.full((100, 1), 3)], [np.full((100, 1), 200)])
    assert other.coded[0] > 8, "a model of other codes costs more than none"
