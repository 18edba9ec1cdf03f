"""Vectors to scores to ranks: dot products in one fixed order, and counts of better scores.

A matrix product from BLAS adds in an order that depends on the place of a column, so equal vectors
get unequal scores and ties are lost. Here every score is a sum over the columns in float64 and
eight parts, rounded once (L5), wherever it is computed. Ranks are counted without sorting.
"""

from __future__ import annotations

import numpy as np

from npbloom._kernels.jit import helper, kernel
from npbloom._kernels.lanes import WIDTH, Columns, add_to_lane, load, store, sum_lanes, wide, wide_zeros
from npbloom.types import FloatArray, IntArray, Number

# Items scored at once: with all their columns they stay in the second cache while users pass by.
TILE = 512


@helper
def _product(users: FloatArray, items: FloatArray, b: int, c: int, q: int) -> Columns:
    """Return products of column c of a user and of `WIDTH` items, in float64."""
    return wide(load(items, c, q)) * np.float64(users[b, c])


@helper
def _score_lanes(users: FloatArray, items: FloatArray, out: FloatArray, b: int, q: int) -> None:
    """Write scores of one user with `WIDTH` items: each lane sums as `sum_lanes` does."""
    d = items.shape[0]
    rest = d % WIDTH
    p0, p1, p2, p3 = wide_zeros(), wide_zeros(), wide_zeros(), wide_zeros()
    p4, p5, p6, p7 = wide_zeros(), wide_zeros(), wide_zeros(), wide_zeros()
    for c in range(0, d - rest, WIDTH):
        p0, p1 = p0 + _product(users, items, b, c, q), p1 + _product(users, items, b, c + 1, q)
        p2, p3 = p2 + _product(users, items, b, c + 2, q), p3 + _product(users, items, b, c + 3, q)
        p4, p5 = p4 + _product(users, items, b, c + 4, q), p5 + _product(users, items, b, c + 5, q)
        p6, p7 = p6 + _product(users, items, b, c + 6, q), p7 + _product(users, items, b, c + 7, q)
    for c in range(d - rest, d):
        term, lane = _product(users, items, b, c, q), c % WIDTH
        p0, p1 = (p0 + term if lane == 0 else p0), (p1 + term if lane == 1 else p1)
        p2, p3 = (p2 + term if lane == 2 else p2), (p3 + term if lane == 3 else p3)
        p4, p5, p6 = (p4 + term if lane == 4 else p4), (p5 + term if lane == 5 else p5), (p6 + term if lane == 6 else p6)
    store(out, b, q, ((p0 + p4) + (p2 + p6)) + ((p1 + p5) + (p3 + p7)))


@helper
def _score_one(users: FloatArray, items: FloatArray, b: int, q: int) -> Number:
    """Return the score of a user with one item, in float64."""
    parts = wide_zeros()
    for c in range(items.shape[0]):
        parts = add_to_lane(parts, c % WIDTH, np.float64(users[b, c]) * np.float64(items[c, q]))
    return sum_lanes(parts)


@kernel
def score_range(users: FloatArray, items: FloatArray, out: FloatArray, lo: int, hi: int) -> None:
    """
    Compute ``out[b, q] = sum_c users[b, c] * items[c, q]``, in float64 and eight parts (L5).

    `users` is (n, d), `items` (d, m): an item is a column; `out` (n, m).
    """
    size = items.shape[1]
    lanes = size - size % WIDTH
    for start in range(0, lanes, TILE):
        for b in range(lo, hi):
            for q in range(start, min(start + TILE, lanes), WIDTH):
                _score_lanes(users, items, out, b, q)
    for b in range(lo, hi):
        for q in range(lanes, size):
            out[b, q] = _score_one(users, items, b, q)


@kernel
def pair_range(users: FloatArray, items: FloatArray, out: FloatArray, lo: int, hi: int) -> None:
    """
    Compute ``out[i] = sum_c users[i, c] * items[i, c]``, in float64 and eight parts (L5).

    `users` and `items` are (n, d), `out` (n,).
    """
    d = users.shape[1]
    lanes = d - d % WIDTH
    for i in range(lo, hi):
        parts = wide_zeros()
        for c in range(0, lanes, WIDTH):
            parts = parts + wide(load(users, i, c)) * wide(load(items, i, c))
        for c in range(lanes, d):
            parts = add_to_lane(parts, c - lanes, np.float64(users[i, c]) * np.float64(items[i, c]))
        out[i] = sum_lanes(parts)


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


@kernel
def top_range(scores: FloatArray, found: IntArray, best: FloatArray, lo: int, hi: int) -> None:
    """
    Find the highest scores of each row: columns `found` and scores `best`, both (n, k), sorted.

    Both arrive filled with -1 and -inf. A later column enters a list only above its last score, so
    of equal scores the lower column comes first; NaN and -inf never enter.
    """
    k = found.shape[1]
    for b in range(lo, hi):
        last = best[b, k - 1]
        for q in range(scores.shape[1]):
            score = scores[b, q]
            if score > last:
                at = k - 1
                while at > 0 and best[b, at - 1] < score:
                    best[b, at] = best[b, at - 1]
                    found[b, at] = found[b, at - 1]
                    at -= 1
                best[b, at] = score
                found[b, at] = q
                last = best[b, k - 1]
