"""Compiled products and activations are right with and without wide vectors."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from pcodec.compute import vector


def matrix(strips, columns, density, seed=1):
    """Of 16 x 1 blocks, in float16."""
    rng = np.random.default_rng(seed)
    kept = np.repeat(rng.random((strips, columns)) < density, 16, axis=0)
    return (rng.standard_normal(kept.shape) * kept).astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_product_is_numpy_s(density):
    weights = matrix(6, 50, density)
    blocks = vector.pack(weights)
    kept = int(np.count_nonzero(weights.reshape(6, 16, 50).any(axis=1)))
    assert kept <= len(blocks.columns) <= kept + 6 * (vector.CHAINS - 1)
    x = np.random.default_rng(2).standard_normal(50).astype(np.float32)
    out = np.arange(96, dtype=np.float32)[None]
    vector.add_product(blocks, x[None], out)
    assert out[0] == pytest.approx(np.arange(96) + weights.astype(float) @ x, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("together", [2, vector.TOGETHER, 2 * vector.TOGETHER + 1])
def test_vectors_together_get_the_bits_they_get_alone(together):
    blocks = vector.pack(matrix(3, 50, 0.4))
    x = np.random.default_rng(2).standard_normal((together, 50)).astype(np.float32)
    out = np.ones((together, 48), np.float32)
    alone = out.copy()
    vector.add_product(blocks, x, out)
    for row in range(together):
        vector.add_product(blocks, x[row : row + 1], alone[row : row + 1])
    assert np.array_equal(out, alone) and len(np.unique(out[:, 0])) == together


def test_every_float16_is_widened_exactly():
    values = np.arange(65536, dtype=np.uint16).view(np.float16)
    values = values[np.isfinite(values)].reshape(16, -1)
    blocks, out = vector.pack(values.astype(np.float32)), np.zeros((1, 16), np.float32)
    for column in range(values.shape[1]):
        x = np.zeros((1, values.shape[1]), np.float32)
        x[0, column] = 1.0
        out[:] = 0.0
        vector.add_product(blocks, x, out)
        assert np.array_equal(out[0], values[:, column])


@numba.njit
def all_of(x):
    out = np.empty((3, len(x)), np.float32)
    for i in range(len(x)):
        out[0, i], out[1, i], out[2, i] = vector.exp2(x[i]), vector.sigmoid(x[i]), vector.tanh(x[i])
    return out


def test_activations_are_as_exact_as_stated():
    x = np.concatenate([np.linspace(-30, 30, 200_001), np.arange(-126, 127)]).astype(np.float32)
    power, sigmoid, tanh = all_of(x)
    exact = x.astype(float)
    assert np.abs(power / np.exp2(exact) - 1).max() < 4e-7
    assert np.abs(sigmoid - 1 / (1 + np.exp(-exact))).max() < 4e-7
    assert np.abs(tanh - np.tanh(exact)).max() < 4e-7
    far = all_of(np.array([-1e30, -200.0, 200.0, 1e30], np.float32))
    assert np.isfinite(far).all() and far[2].tolist() == [-1, -1, 1, 1]


@numba.njit(**vector.compiled.keywords)
def total(x):
    found = np.float32(0.0)
    for i in range(len(x)):
        found += x[i]
    return found


def test_compiled_sums_keep_their_order():
    """Or a decoder's samples would depend on whether it was compiled in this process or in an earlier one."""
    x = np.random.default_rng(1).standard_normal(4096).astype(np.float32)
    assert total(x) == np.cumsum(x)[-1] and np.cumsum(x)[-1] != np.cumsum(x[::-1])[-1]


def test_runs_without_wide_vectors(tmp_path):
    code = """
import numpy as np
from pcodec.compute import vector
weights = np.arange(-32.0, 32.0).reshape(16, 4)
weights[:4] = 0
weights[:4, 0] = 6e-8, -1e-5, 65504, 1 + 2**-10  # subnormal, largest, finest: converted without an instruction for it
out = np.zeros((1, 16), np.float32)
vector.add_product(vector.pack(weights), np.array([[1, 2, 4, 8]], np.float32), out)
assert np.array_equal(out[0], np.float32(weights.astype(np.float16) @ np.float32([1, 2, 4, 8]))), out
"""
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | plain, timeout=120)
