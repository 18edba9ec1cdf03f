"""Vectors to scores to ranks: dot products in one fixed order, and counts of better scores.

A matrix product from BLAS adds in an order that depends on the place of a column, so equal vectors
get unequal scores and ties are lost. Here every score is the sum over the columns from left to
right, in the dtype of the vectors, wherever it is computed. Ranks are counted without sorting.
"""

from __future__ import annotations

from npbloom._kernels.jit import helper, kernel
from npbloom.types import FloatArray, IntArray

# Items scored at once: with all their columns they stay in the second cache while users pass by.
TILE = 512


@helper
def _score_one(users: FloatArray, items: FloatArray, out: FloatArray, b: int, start: int, stop: int) -> None:
    """Write scores of one user with the items of a tile."""
    s0 = out[b, start:stop]
    s0[:] = 0.0
    for c in range(items.shape[0]):
        u0, column = users[b, c], items[c, start:stop]
        for q in range(s0.shape[0]):
            s0[q] += u0 * column[q]


@helper
def _score_four(users: FloatArray, items: FloatArray, out: FloatArray, b: int, start: int, stop: int) -> None:
    """
    Write scores of four users with the items of a tile.

    An item's column, once read, serves all, and four columns a pass keep sums in registers.
    """
    s0, s1, s2, s3 = out[b, start:stop], out[b + 1, start:stop], out[b + 2, start:stop], out[b + 3, start:stop]
    for scores in (s0, s1, s2, s3):
        scores[:] = 0.0
    c = 0
    while c + 4 <= items.shape[0]:
        i0, i1, i2, i3 = items[c, start:stop], items[c + 1, start:stop], items[c + 2, start:stop], items[c + 3, start:stop]
        a0, a1, a2, a3 = users[b, c], users[b, c + 1], users[b, c + 2], users[b, c + 3]
        b0, b1, b2, b3 = users[b + 1, c], users[b + 1, c + 1], users[b + 1, c + 2], users[b + 1, c + 3]
        c0, c1, c2, c3 = users[b + 2, c], users[b + 2, c + 1], users[b + 2, c + 2], users[b + 2, c + 3]
        d0, d1, d2, d3 = users[b + 3, c], users[b + 3, c + 1], users[b + 3, c + 2], users[b + 3, c + 3]
        for q in range(s0.shape[0]):
            v0, v1, v2, v3 = i0[q], i1[q], i2[q], i3[q]
            s0[q] = (((s0[q] + a0 * v0) + a1 * v1) + a2 * v2) + a3 * v3
            s1[q] = (((s1[q] + b0 * v0) + b1 * v1) + b2 * v2) + b3 * v3
            s2[q] = (((s2[q] + c0 * v0) + c1 * v1) + c2 * v2) + c3 * v3
            s3[q] = (((s3[q] + d0 * v0) + d1 * v1) + d2 * v2) + d3 * v3
        c += 4
    while c < items.shape[0]:
        u0, u1, u2, u3, i0 = users[b, c], users[b + 1, c], users[b + 2, c], users[b + 3, c], items[c, start:stop]
        for q in range(s0.shape[0]):
            s0[q] += u0 * i0[q]
            s1[q] += u1 * i0[q]
            s2[q] += u2 * i0[q]
            s3[q] += u3 * i0[q]
        c += 1


@kernel
def score_range(users: FloatArray, items: FloatArray, out: FloatArray, lo: int, hi: int) -> None:
    """
    Compute ``out[b, q] = sum_c users[b, c] * items[c, q]``, from 0.0, from left to right.

    `users` is (n, d), `items` (d, m): an item is a column; `out` (n, m).
    """
    size = items.shape[1]
    for start in range(0, size, TILE):
        stop = min(start + TILE, size)
        b = lo
        while b + 4 <= hi:
            _score_four(users, items, out, b, start, stop)
            b += 4
        while b < hi:
            _score_one(users, items, out, b, start, stop)
            b += 1


@kernel
def pair_range(users: FloatArray, items: FloatArray, out: FloatArray, lo: int, hi: int) -> None:
    """
    Compute ``out[i] = sum_c users[i, c] * items[i, c]``, from 0.0, from left to right.

    `users` and `items` are (n, d), `out` (n,).
    """
    for i in range(lo, hi):
        out[i] = 0.0
        for c in range(users.shape[1]):
            out[i] += users[i, c] * items[i, c]


@kernel
def count_range(
    scores: FloatArray,
    indptr: IntArray,
    items: IntArray,
    above: IntArray,
    equal: IntArray,
    before: IntArray,
    lo: int,
    hi: int,
) -> None:
    """
    Count for each test item the scores above its own, the equal ones, and the equal ones before it.

    The test items of row b of `scores` (n, m) are ``items[indptr[b]:indptr[b + 1]]``; `above`,
    `equal` and `before` are like `items`. An item does not count itself. NaN counts nowhere: it
    marks places without an item.
    """
    for b in range(lo, hi):
        for pair in range(indptr[b], indptr[b + 1]):
            item = items[pair]
            target = scores[b, item]
            higher = 0
            left = 0
            right = 0
            for q in range(item):
                higher += scores[b, q] > target
                left += scores[b, q] == target
            for q in range(item + 1, scores.shape[1]):
                higher += scores[b, q] > target
                right += scores[b, q] == target
            above[pair] = higher
            equal[pair] = left + right
            before[pair] = left
