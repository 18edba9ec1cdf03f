"""Products of matrices in one fixed order, for the vectors behind learned codes (L41)."""

from __future__ import annotations

from npbloom._kernels.jit import helper, kernel
from npbloom.types import FloatArray

# Columns of the right matrix at once: they stay in the second cache while rows of the left pass by.
TILE = 512


@helper
def _product_one(left: FloatArray, right: FloatArray, out: FloatArray, b: int, start: int, stop: int) -> None:
    """Write products of one row with the columns of a tile."""
    s0 = out[b, start:stop]
    s0[:] = 0.0
    for c in range(right.shape[0]):
        u0, column = left[b, c], right[c, start:stop]
        for q in range(s0.shape[0]):
            s0[q] += u0 * column[q]


@helper
def _product_four(left: FloatArray, right: FloatArray, out: FloatArray, b: int, start: int, stop: int) -> None:
    """
    Write products of four rows with the columns of a tile.

    What is read of the right serves all four, and four terms a pass keep sums in registers.
    """
    s0, s1, s2, s3 = out[b, start:stop], out[b + 1, start:stop], out[b + 2, start:stop], out[b + 3, start:stop]
    for scores in (s0, s1, s2, s3):
        scores[:] = 0.0
    c = 0
    while c + 4 <= right.shape[0]:
        i0, i1, i2, i3 = right[c, start:stop], right[c + 1, start:stop], right[c + 2, start:stop], right[c + 3, start:stop]
        a0, a1, a2, a3 = left[b, c], left[b, c + 1], left[b, c + 2], left[b, c + 3]
        b0, b1, b2, b3 = left[b + 1, c], left[b + 1, c + 1], left[b + 1, c + 2], left[b + 1, c + 3]
        c0, c1, c2, c3 = left[b + 2, c], left[b + 2, c + 1], left[b + 2, c + 2], left[b + 2, c + 3]
        d0, d1, d2, d3 = left[b + 3, c], left[b + 3, c + 1], left[b + 3, c + 2], left[b + 3, c + 3]
        for q in range(s0.shape[0]):
            v0, v1, v2, v3 = i0[q], i1[q], i2[q], i3[q]
            s0[q] = (((s0[q] + a0 * v0) + a1 * v1) + a2 * v2) + a3 * v3
            s1[q] = (((s1[q] + b0 * v0) + b1 * v1) + b2 * v2) + b3 * v3
            s2[q] = (((s2[q] + c0 * v0) + c1 * v1) + c2 * v2) + c3 * v3
            s3[q] = (((s3[q] + d0 * v0) + d1 * v1) + d2 * v2) + d3 * v3
        c += 4
    while c < right.shape[0]:
        u0, u1, u2, u3, i0 = left[b, c], left[b + 1, c], left[b + 2, c], left[b + 3, c], right[c, start:stop]
        for q in range(s0.shape[0]):
            s0[q] += u0 * i0[q]
            s1[q] += u1 * i0[q]
            s2[q] += u2 * i0[q]
            s3[q] += u3 * i0[q]
        c += 1


@kernel
def product_range(left: FloatArray, right: FloatArray, out: FloatArray, lo: int, hi: int) -> None:
    """
    Compute ``out[b, q] = sum_c left[b, c] * right[c, q]``, from 0.0, from left to right.

    `left` is (n, d), `right` (d, m), `out` (n, m).
    """
    size = right.shape[1]
    for start in range(0, size, TILE):
        stop = min(start + TILE, size)
        b = lo
        while b + 4 <= hi:
            _product_four(left, right, out, b, start, stop)
            b += 4
        while b < hi:
            _product_one(left, right, out, b, start, stop)
            b += 1
