"""Matrix-vector products and activations on vector registers, compiled by Numba.

Task: one sample of synthesis is a handful of small matrix-vector products. LLVM does not vectorize a loop over sparse
16 x 1 blocks, so it is written here in LLVM's own vector instructions, which become AVX-512, AVX2, SSE or NEON, as the
machine has it. Several vectors at once share the reading and widening of the weights; each gets the bits it gets alone.

Conventions: a matrix (16 R, K) is cut into R strips of 16 rows; of each strip the columns that are not zero throughout
are kept; a dense matrix is one of which all are kept. Weights are float16, arithmetic is float32. The relative error of
`exp2` and the absolute ones of `sigmoid` and `tanh`, which are made from it, are below 4e-7.

Contents: `Blocks`, `pack`, `add_product`, `TOGETHER`, `copy`, `copy_row`, `spread`, `exp2`, `sigmoid`, `tanh`,
`gru_step`, `compiled` (how to compile what calls them), `EXP`, `SIGMOID`, `TANH` (what they cost).
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from pcodec.compute import compiling

LANES = 16  # rows of a strip, numbers in a register
CHAINS = 3  # sums that grow side by side: one alone would wait for itself
TOGETHER = 4  # vectors multiplied at once
POLYNOMIAL = np.polynomial.Chebyshev.interpolate(np.exp2, 6, [0.0, 1.0]).convert(kind=np.polynomial.Polynomial).coef
C0, C1, C2, C3, C4, C5, C6 = map(np.float32, POLYNOMIAL)
# Not all of fast math: sums keep their order, or they would depend on what the compiler makes of the code around them.
FAST = {"contract", "nnan", "ninf", "nsz"}
compiled = functools.partial(compiling.compiled, nogil=True, fastmath=FAST, error_model="numpy")
LOG2E = np.float32(1.0 / math.log(2.0))
EXP, SIGMOID, TANH = 21, 24, 27  # operations of an activation


class Blocks(NamedTuple):
    """A matrix of R strips; strip i holds blocks starts[i] to starts[i + 1] of 16 weights."""

    weights: np.ndarray  # (blocks * 16,) uint16, the bits of float16
    columns: np.ndarray  # (blocks,) int32
    starts: np.ndarray  # (R + 1,) int32


def pack(matrix: np.ndarray) -> Blocks:
    """Matrix (16 R, K) -> its non-zero 16 x 1 blocks, rounded to float16."""
    weights, columns, starts = [], [], [0]
    for strip in matrix.astype(np.float16).reshape(-1, LANES, matrix.shape[1]):
        kept = np.flatnonzero(strip.any(axis=0))
        filler = -len(kept) % CHAINS  # zero blocks, so that every chain is equally long
        weights.append(np.concatenate([strip[:, kept].T, np.zeros((filler, LANES), np.float16)]))
        columns.append(np.concatenate([kept, np.zeros(filler, int)]))
        starts.append(starts[-1] + len(columns[-1]))
    return Blocks(
        np.concatenate(weights).view(np.uint16).ravel(),
        np.concatenate(columns).astype(np.int32),
        np.array(starts, dtype=np.int32),
    )


def _product(vectors):
    """The product of a matrix and `vectors` vectors, as an intrinsic."""

    @intrinsic
    def product(typing_context, weights, columns, starts, x, out):
        return types.void(weights, columns, starts, x, out), functools.partial(_generate, vectors)

    return product


def _generate(vectors, context, builder, signature, arguments):
    """LLVM of out += matrix @ x for `vectors` rows of x and out: a block of weights is read once for all of them."""
    floats, halves = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(16), LANES)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    nothing = ir.Constant(floats, ir.Undefined)
    arrays = [
        cgutils.create_struct_proxy(kind)(context, builder, value)
        for kind, value in zip(signature.args, arguments, strict=True)
    ]
    weights, columns, starts = (array.data for array in arrays[:3])
    size = arrays[2].nitems.type

    def rows(array):
        width = builder.extract_value(array.shape, 1)
        return [builder.gep(array.data, [builder.mul(width, size(row))]) for row in range(vectors)]

    def vector(data, block, kind):
        at = builder.gep(data, [builder.mul(block, size(LANES))])
        return builder.bitcast(at, kind.as_pointer())

    def index(data, position):
        return builder.sext(builder.load(builder.gep(data, [position])), size)

    xs, outs = rows(arrays[3]), rows(arrays[4])
    sums = [[cgutils.alloca_once(builder, floats) for _ in range(CHAINS)] for _ in range(vectors)]
    strips = builder.sub(arrays[2].nitems, size(1))
    with cgutils.for_range(builder, strips) as strip:
        goals = [vector(row, strip.index, floats) for row in outs]
        for goal, chains in zip(goals, sums, strict=True):
            builder.store(builder.load(goal, align=4), chains[0])
            for total in chains[1:]:
                builder.store(ir.Constant(floats, [0.0] * LANES), total)
        begin, end = index(starts, strip.index), index(starts, builder.add(strip.index, size(1)))
        for loop in _loops(context, vectors):
            with cgutils.for_range_slice(builder, builder.add(begin, size(loop[0])), end, size(CHAINS), size) as (
                first,
                _,
            ):
                for chain in loop:
                    block = builder.add(first, size(chain - loop[0]))
                    w = _widened(context, builder, builder.load(vector(weights, block, halves), align=2))
                    column = index(columns, block)
                    for row, chains in zip(xs, sums, strict=True):
                        value = builder.load(builder.gep(row, [column]))
                        value = builder.insert_element(nothing, value, ir.IntType(32)(0))
                        product = builder.fmul(w, builder.shuffle_vector(value, nothing, zeros), flags=("contract",))
                        total = chains[chain]
                        builder.store(builder.fadd(product, builder.load(total), flags=("contract",)), total)
        for goal, chains in zip(goals, sums, strict=True):
            total = builder.load(chains[0])
            for other in chains[1:]:
                total = builder.fadd(total, builder.load(other))
            builder.store(total, goal, align=4)
    return context.get_dummy_value()


def _loops(context, vectors):
    """The chains that grow in one loop over a strip: all of them if their sums fit into the machine's registers."""
    fit = vectors == 1 or "+avx512f" in context.codegen().magic_tuple()[2].split(",")
    return [range(CHAINS)] if fit else [[chain] for chain in range(CHAINS)]


_of_one, _of_several = _product(1), _product(TOGETHER)


@compiled()
def add_product(blocks, x, out):
    """out (S, 16 R) += matrix @ x (S, K), for S vectors; float32, contiguous."""
    done = 0
    while done + TOGETHER <= len(x):
        _of_several(blocks.weights, blocks.columns, blocks.starts, x[done:], out[done:])
        done += TOGETHER
    while done < len(x):
        _of_one(blocks.weights, blocks.columns, blocks.starts, x[done:], out[done:])
        done += 1


@compiled()
def copy(x, y):
    """y becomes x, two arrays of one shape (S, N). An assignment of slices takes Numba a second to compile, each."""
    for s in range(len(y)):
        for i in range(y.shape[1]):
            y[s, i] = x[s, i]


@compiled()
def copy_row(x, y):
    """y (N,) becomes x, as `copy` does."""
    for i in range(len(y)):
        y[i] = x[i]


@compiled()
def spread(x, y):
    """Each row of y (S, N) becomes x (N,)."""
    for s in range(len(y)):
        for i in range(len(x)):
            y[s, i] = x[i]


def _widened(context, builder, halves):
    """Float16 bits -> float32, exactly."""
    floats, words = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
    if _converts(context):
        return builder.fpext(builder.bitcast(halves, ir.VectorType(ir.HalfType(), LANES)), floats)

    def constant(value):
        return ir.Constant(words, [value] * LANES)

    # The fields are moved, then the smaller exponent bias is made up for.
    bits = builder.sext(halves, words)  # copies the sign all the way up
    bits = builder.and_(builder.shl(bits, constant(13)), constant(0x8FFFE000 - 2**32))
    return builder.fmul(builder.bitcast(bits, floats), ir.Constant(floats, [2.0**112] * LANES))


def _converts(context):
    """Whether the machine has an instruction for it; without one LLVM would call a function that may not be there."""
    machine, _, features = context.codegen().magic_tuple()
    return machine.startswith(("aarch64", "arm64")) or "+f16c" in features.split(",")


@intrinsic
def _float_of_bits(typing_context, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@compiled(inline="always")
def exp2(x):
    """2^x, float32; x is held within -126 and 126."""
    x = min(max(x, np.float32(-126.0)), np.float32(126.0))
    biased = np.int32(x + np.float32(127.0))  # the exponent, as a float32 holds it
    f = x - np.float32(np.int32(biased - 127))  # int32 again: Numba widens it, and AVX2 cannot convert 64 bits
    power = _float_of_bits(np.int32(biased << 23))
    return power * (C0 + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * C6))))))


@compiled(inline="always")
def sigmoid(x):
    """1 / (1 + e^-x), float32."""
    return np.float32(1.0) / (np.float32(1.0) + exp2(-LOG2E * x))


@compiled(inline="always")
def tanh(x):
    """Hyperbolic tangent, float32."""
    return np.float32(2.0) * sigmoid(x + x) - np.float32(1.0)


@compiled()
def gru_step(inputs, recurrent, h):
    """States h (S, N) go one step on, in place, from a GRU's products of its input and of h, (S, 3 N) each.

    Gates are in PyTorch's order r, z, n; the products have their biases; `recurrent` is scratch afterwards.
    """
    n = h.shape[1]
    for s in range(len(h)):
        for i in range(2 * n):
            recurrent[s, i] = sigmoid(recurrent[s, i] + inputs[s, i])
        for i in range(n):
            c = tanh(inputs[s, 2 * n + i] + recurrent[s, i] * recurrent[s, 2 * n + i])
            h[s, i] = c + recurrent[s, n + i] * (h[s, i] - c)
