"""Mu-law codes are the specification's."""

import numpy as np
import pytest

from pcodec.lpcnet import mulaw


def test_mulaw_values_of_the_specification():
    x = np.array([-32768, -1000, -100, -10, -1, 0, 1, 10, 100, 1000, 10000, 32767.0])
    assert mulaw.mulaw_encode(x).tolist() == [0, 78, 115, 126, 128, 128, 128, 130, 141, 178, 229, 255]
    codes = np.array([0, 1, 64, 127, 128, 129, 255], dtype=np.uint8)
    expected = [-32768, -31373.3, -1927.53, -5.689, 0, 5.689, 31373.3]
    assert mulaw.mulaw_decode(codes) == pytest.approx(expected, rel=3e-6, abs=5e-4)  # half a printed digit
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(mulaw.mulaw_encode(mulaw.mulaw_decode(every)), every)
