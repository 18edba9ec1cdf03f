"""Rows to vectors: gathers, bags and Bloom sums.

Sums run in float64 in input order and are rounded once (L5).

Arguments that kernels here share:

- `weight` (m, d): the table.
- `ids` (n,): ids, or rows of the table where nothing is hashed.
- `rows` (n, k): the rows that each id probes.
- `indptr` (bags + 1,): bag b holds the entries ``indptr[b] <= i < indptr[b + 1]``.
- `weights` (n,): a factor for each entry, or None.
- `reserved`: the row that adds nothing, or -1.
- `padding`: the id that is left out, or -1.
- `out`, `winners` (bags, d), or (n, d) where there are no bags: written to.
- `lo`, `hi`: the bags, or ids, to compute.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npbloom._kernels.jit import helper, kernel, prefetch
from npbloom._kernels.lanes import WIDTH, load, load_wide, store, zero_wide
from npbloom._kernels.segments import prefetch_row, sum_segment, whole
from npbloom.types import FloatArray, IntArray, Number, RowArray

AHEAD = 10  # ids between asking for rows and adding them


class Combine(NamedTuple):
    """Options of a Bloom vector: its rows are summed, or a slice is taken from each."""

    reserved: int  # the row that adds nothing, or -1
    divisor: float  # of the sum of rows
    concat: bool  # slice j from the row of probe j, instead of a sum


@kernel
def gather_range(weight: FloatArray, ids: IntArray, out: FloatArray, lo: int, hi: int) -> None:
    """Copy rows, bits unchanged: ``out[i] = weight[ids[i]]``."""
    d = weight.shape[1]
    for i in range(lo, hi):
        if i + 4 * AHEAD < hi:
            prefetch_row(weight, ids[i + 4 * AHEAD])
        row = ids[i]
        for c in range(0, whole(d), WIDTH):
            store(out, i, c, load(weight, row, c))
        for c in range(whole(d), d):
            out[i, c] = weight[row, c]


@helper
def _sum_probes(
    weight: FloatArray,
    flat: RowArray,
    k: int,
    i: int,
    reserved: int,
    divisor: Number,
    out: FloatArray,
    b: int,
) -> None:
    """Sum the rows that id i probes, over `divisor`, into row b of `out` (L21, L22)."""
    sum_segment(weight, flat, None, None, reserved, i * k, i * k + k, divisor, out, b)


@helper
def _concat_probes(weight: FloatArray, rows: RowArray, i: int, reserved: int, out: FloatArray, b: int) -> None:
    """Copy slice j of id i's vector from the row of probe j, into row b of `out` (L21)."""
    k = rows.shape[1]
    width = weight.shape[1] // k
    for j in range(k):
        begin, row = j * width, rows[i, j]
        for c in range(begin, begin + whole(width), WIDTH):
            store(
                out,
                b,
                c,
                zero_wide() if row == reserved else zero_wide() + load_wide(weight, row, c),
            )
        for c in range(begin + whole(width), begin + width):
            out[b, c] = np.float64(0.0) if row == reserved else np.float64(0.0) + weight[row, c]


@helper
def _four_lanes(weight: FloatArray, r0: int, r1: int, r2: int, r3: int, out: FloatArray, i: int, c: int) -> None:
    """Return eight columns of the sum of four rows."""
    two = (zero_wide() + load_wide(weight, r0, c)) + load_wide(weight, r1, c)
    store(out, i, c, (two + load_wide(weight, r2, c)) + load_wide(weight, r3, c))


@helper
def _four_probes(weight: FloatArray, rows: RowArray, i: int, ahead: int, out: FloatArray) -> None:
    """
    Sum the default, four probes without a reserved row, in one pass from table to output.

    The rows of a later id are prefetched in between, line by line, so that loads and prefetches
    alternate. 65,536 ids of 64 columns take 3.6 ms on one thread, and 4.0 ms where all prefetches
    of an id come first.
    """
    d = weight.shape[1]
    r0, r1, r2, r3 = rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3]
    n0, n1, n2, n3 = rows[ahead, 0], rows[ahead, 1], rows[ahead, 2], rows[ahead, 3]
    pairs = d - d % (2 * WIDTH)
    for c in range(0, pairs, 2 * WIDTH):
        prefetch(weight, n0, c)
        prefetch(weight, n1, c)
        prefetch(weight, n2, c)
        prefetch(weight, n3, c)
        _four_lanes(weight, r0, r1, r2, r3, out, i, c)
        if weight.itemsize == 8:  # a line holds eight columns, not sixteen
            prefetch(weight, n0, c + WIDTH)
            prefetch(weight, n1, c + WIDTH)
            prefetch(weight, n2, c + WIDTH)
            prefetch(weight, n3, c + WIDTH)
        _four_lanes(weight, r0, r1, r2, r3, out, i, c + WIDTH)
    for c in range(pairs, whole(d), WIDTH):
        _four_lanes(weight, r0, r1, r2, r3, out, i, c)
    for c in range(whole(d), d):
        two = (np.float64(0.0) + weight[r0, c]) + weight[r1, c]
        out[i, c] = (two + weight[r2, c]) + weight[r3, c]


@kernel
def bloom_sum_range(
    weight: FloatArray,
    rows: RowArray,
    reserved: int,
    divisor: Number,
    out: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """Sum the rows that each id probes, over `divisor` (L21)."""
    k, flat = rows.shape[1], rows.reshape(-1)
    for i in range(lo, hi):
        ahead = min(i + AHEAD, hi - 1)
        if k == 4 and divisor == 1.0:
            r0, r1, r2, r3 = rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3]
            if r0 != reserved and r1 != reserved and r2 != reserved and r3 != reserved:
                _four_probes(weight, rows, i, ahead, out)
                continue
        _sum_probes(weight, flat, k, i, reserved, divisor, out, i)


@kernel
def bloom_concat_range(weight: FloatArray, rows: RowArray, reserved: int, out: FloatArray, lo: int, hi: int) -> None:
    """Take slice j of each id's vector from the row of probe j (L21)."""
    k = rows.shape[1]
    width = weight.shape[1] // k
    for i in range(lo, hi):
        ahead = min(i + 2 * AHEAD, hi - 1)
        for j in range(k):
            for c in range(j * width, (j + 1) * width, 64 // weight.itemsize):
                prefetch(weight, rows[ahead, j], c)
        _concat_probes(weight, rows, i, reserved, out, i)


@helper
def _divisor(ids: IntArray, padding: int, mean: bool, first: int, last: int) -> Number:
    """
    Return the divisor of a bag's sum: the entries that are not padding in a mean, else 1 (L16).
    """
    if not mean:
        return np.float64(1.0)
    count = last - first
    for i in range(first, last):
        count -= ids[i] == padding
    return np.float64(max(count, 1))


@kernel
def bag_sum_range(
    weight: FloatArray,
    ids: IntArray,
    indptr: IntArray,
    weights: FloatArray | None,
    mean: bool,
    padding: int,
    out: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """Sum or average the rows of each bag; padding is in neither sum nor count (L14 to L16)."""
    for b in range(lo, hi):
        first, last = indptr[b], indptr[b + 1]
        divisor = _divisor(ids, padding, mean, first, last)
        sum_segment(weight, ids, None, weights, padding, first, last, divisor, out, b)


@kernel
def bag_max_range(
    weight: FloatArray,
    ids: IntArray,
    indptr: IntArray,
    padding: int,
    winners: IntArray,
    out: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Write the maximum of each bag by dimension, and the entry that won it (-1: none) (L17).

    The first NaN wins.
    """
    d = weight.shape[1]
    for b in range(lo, hi):
        for c in range(d):
            out[b, c] = 0.0
            winners[b, c] = -1
        for i in range(indptr[b], indptr[b + 1]):
            row = ids[i]
            if row == padding:
                continue
            for c in range(d):
                value, best = weight[row, c], out[b, c]
                if winners[b, c] < 0 or value > best or (value != value and best == best):
                    out[b, c] = value
                    winners[b, c] = i


@helper
def _vector(weight: FloatArray, rows: RowArray, i: int, combine: Combine, vector: FloatArray) -> None:
    """Write the Bloom vector of id i, in float64 and unrounded (L23b), into row 0 of `vector`."""
    if combine.concat:
        _concat_probes(weight, rows, i, combine.reserved, vector, 0)
    else:
        flat, k = rows.reshape(-1), rows.shape[1]
        _sum_probes(weight, flat, k, i, combine.reserved, combine.divisor, vector, 0)


@helper
def _add_vector(total: FloatArray, vector: FloatArray, scale: Number) -> None:
    """Add a vector, times its weight, to a bag's sum."""
    d = total.shape[1]
    for c in range(0, whole(d), WIDTH):
        store(total, 0, c, load(total, 0, c) + load(vector, 0, c) * scale)
    for c in range(whole(d), d):
        total[0, c] += vector[0, c] * scale


@kernel
def bloom_bag_sum_range(
    weight: FloatArray,
    ids: IntArray,
    rows: RowArray,
    indptr: IntArray,
    weights: FloatArray | None,
    mean: bool,
    padding: int,
    combine: Combine,
    out: FloatArray,
    acc: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Sum or average the Bloom vectors of each bag, rounded once.

    `acc` is (2, d), float64: the bag's sum and one id's vector.
    """
    d, end = weight.shape[1], indptr[hi] - 1
    total, vector = acc[0:1], acc[1:2]
    for b in range(lo, hi):
        first, last = indptr[b], indptr[b + 1]
        for c in range(d):
            total[0, c] = 0.0
        for i in range(first, last):
            for j in range(rows.shape[1]):
                prefetch_row(weight, rows[min(i + AHEAD, end), j])
            if ids[i] != padding:
                _vector(weight, rows, i, combine, vector)
                _add_vector(total, vector, np.float64(1.0 if weights is None else weights[i]))
        count = _divisor(ids, padding, mean, first, last)
        for c in range(d):
            out[b, c] = total[0, c] / count


@kernel
def bloom_bag_max_range(
    weight: FloatArray,
    ids: IntArray,
    rows: RowArray,
    indptr: IntArray,
    padding: int,
    combine: Combine,
    winners: IntArray,
    out: FloatArray,
    acc: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Write the maximum of the Bloom vectors of each bag by dimension.

    Also write the entry that won it (-1: none).

    Vectors are compared in float64, and the maximum is rounded once. `acc` is (2, d), float64.
    """
    d = weight.shape[1]
    best, vector = acc[0], acc[1:2]
    for b in range(lo, hi):
        for c in range(d):
            best[c] = 0.0
            winners[b, c] = -1
        for i in range(indptr[b], indptr[b + 1]):
            if ids[i] == padding:
                continue
            _vector(weight, rows, i, combine, vector)
            for c in range(d):
                if winners[b, c] < 0 or vector[0, c] > best[c] or (vector[0, c] != vector[0, c] and best[c] == best[c]):
                    best[c] = vector[0, c]
                    winners[b, c] = i
        for c in range(d):
            out[b, c] = best[c]


@helper
def _dot(grad: FloatArray, b: int, vector: FloatArray) -> Number:
    """Return the dot product of a gradient row and a vector, in float64 and column order (L18)."""
    total = np.float64(0.0)
    for c in range(vector.shape[0]):
        total += np.float64(grad[b, c]) * np.float64(vector[c])
    return total


@kernel
def bag_dot_range(
    weight: FloatArray,
    ids: IntArray,
    indptr: IntArray,
    grad: FloatArray,
    padding: int,
    out: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Write the gradient of each entry's weight: its bag's gradient times its row (L18).

    It is 0 for padding.

    `grad` is (bags, d), `out` (n,).
    """
    for b in range(lo, hi):
        for i in range(indptr[b], indptr[b + 1]):
            out[i] = 0.0 if ids[i] == padding else _dot(grad, b, weight[ids[i]])


@kernel
def bloom_bag_dot_range(
    weight: FloatArray,
    ids: IntArray,
    rows: RowArray,
    indptr: IntArray,
    grad: FloatArray,
    padding: int,
    combine: Combine,
    out: FloatArray,
    acc: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Write the gradient of each entry's weight (L18, L23b).

    It is the bag's gradient times the Bloom vector.

    0 for padding. `grad` is (bags, d), `out` (n,), `acc` (1, d) in float64.
    """
    for b in range(lo, hi):
        for i in range(indptr[b], indptr[b + 1]):
            if ids[i] == padding:
                out[i] = 0.0
            else:
                _vector(weight, rows, i, combine, acc)
                out[i] = _dot(grad, b, acc[0])


@kernel
def renorm_range(weight: FloatArray, touched: IntArray, max_norm: float, norm_type: float, lo: int, hi: int) -> None:
    """Scale each of the rows `touched` (u,) whose norm exceeds `max_norm`, in place (L10)."""
    d = weight.shape[1]
    for q in range(lo, hi):
        row = touched[q]
        norm = np.float64(0.0)
        for c in range(d):
            value = np.abs(np.float64(weight[row, c]))
            if norm_type == 2.0:
                norm += value * value
            elif norm_type == 1.0:
                norm += value
            elif norm_type == np.inf:
                if value > norm or value != value:
                    norm = value
                if norm != norm:
                    break
            else:
                norm += value**norm_type
        if norm_type == 2.0:
            norm = np.sqrt(norm)
        elif norm_type != 1.0 and norm_type != np.inf:
            norm = norm ** (np.float64(1.0) / norm_type)
        if norm > max_norm:
            scale = max_norm / (norm + np.float64(1e-7))
            for c in range(d):
                weight[row, c] = np.float64(weight[row, c]) * scale
