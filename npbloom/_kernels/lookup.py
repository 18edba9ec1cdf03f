"""Rows to vectors: gathers, bags and Bloom sums.

Sums of rows are taken in runs of sixteen, sums over columns in eight parts (L5).

Arguments that kernels here share:

- `weight` (m, d): the table.
- `ids` (n,): ids, or rows of the table where nothing is hashed.
- `rows` (n, k): the rows that each id probes.
- `indptr` (bags + 1,): bag b holds the entries ``indptr[b] <= i < indptr[b + 1]``.
- `weights` (n,): a factor for each entry, or None.
- `reserved`: the row that adds nothing, or -1.
- `padding`: the id that is left out, or -1.
- `streams`: True to write `out` past the caches; its rows are whole cache lines then.
- `out`, `winners` (bags, d), or (n, d) where there are no bags: written to.
- `lo`, `hi`: the bags, or ids, to compute.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npbloom._kernels.jit import helper, kernel, prefetch
from npbloom._kernels.lanes import (
    WIDTH,
    Columns,
    add_to_lane,
    columns_in,
    fence,
    load,
    load_like,
    store,
    stream,
    sum_lanes,
    wide,
    wide_zeros,
    zeros,
)
from npbloom._kernels.segments import LANE, LINE, RUN, prefetch_row, sum_segment, whole
from npbloom.types import FloatArray, IntArray, Number, RowArray

AHEAD = 10  # ids between asking for rows and adding them


class Combine(NamedTuple):
    """Options of a Bloom vector: its rows are summed, or a slice is taken from each."""

    reserved: int  # the row that adds nothing, or -1
    divisor: float  # of the sum of rows; 1 for none
    concat: bool  # slice j from the row of probe j, instead of a sum


@kernel
def gather_range(weight: FloatArray, ids: IntArray, streams: bool, out: FloatArray, lo: int, hi: int) -> None:
    """Copy rows, bits unchanged: ``out[i] = weight[ids[i]]``."""
    d, line = weight.shape[1], columns_in(LINE, weight)
    zero = zeros(weight, LINE)
    for i in range(lo, hi):
        if i + 4 * AHEAD < hi:
            prefetch_row(weight, ids[i + 4 * AHEAD])
        row = ids[i]
        if streams:
            for c in range(0, d, line):
                stream(out, i, c, load_like(zero, weight, row, c))
        else:
            for c in range(0, whole(d), WIDTH):
                store(out, i, c, load(weight, row, c))
            for c in range(whole(d), d):
                out[i, c] = weight[row, c]
    fence()


@helper
def _concat_probes(weight: FloatArray, rows: RowArray, i: int, reserved: int, out: FloatArray, b: int) -> None:
    """Copy slice j of id i's vector from the row of probe j, into row b of `out` (L21)."""
    k = rows.shape[1]
    width, lanes = weight.shape[1] // k, columns_in(LANE, weight)
    for j in range(k):
        begin, row = j * width, rows[i, j]
        whole_end = begin + width - width % lanes
        zero, zero1 = zeros(weight, LANE), zeros(weight, 1)
        for c in range(begin, whole_end, lanes):
            store(out, b, c, zero if row == reserved else zero + load_like(zero, weight, row, c))
        for c in range(whole_end, begin + width):
            out[b, c] = zero1 if row == reserved else zero1 + weight[row, c]


@helper
def _four_columns(
    zero: Columns,
    weight: FloatArray,
    r0: int,
    r1: int,
    r2: int,
    r3: int,
    streams: bool,
    out: FloatArray,
    i: int,
    c: int,
) -> None:
    """Write the sum of four rows in the columns of `zero` from c on."""
    two = (zero + load_like(zero, weight, r0, c)) + load_like(zero, weight, r1, c)
    total = (two + load_like(zero, weight, r2, c)) + load_like(zero, weight, r3, c)
    if streams:
        stream(out, i, c, total)
    else:
        store(out, i, c, total)


@helper
def _four_probes(weight: FloatArray, rows: RowArray, i: int, ahead: int, streams: bool, out: FloatArray) -> None:
    """
    Sum the default, four probes without a reserved row, in one pass from table to output.

    The rows of a later id are prefetched in between, line by line, so that loads and prefetches
    alternate. 65,536 ids of 64 columns take 3.6 ms on one thread, and 4.0 ms where all prefetches
    of an id come first.
    """
    d, line = weight.shape[1], columns_in(LINE, weight)
    r0, r1, r2, r3 = rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3]
    n0, n1, n2, n3 = rows[ahead, 0], rows[ahead, 1], rows[ahead, 2], rows[ahead, 3]
    lines = d - d % line
    for c in range(0, lines, line):
        prefetch(weight, n0, c)
        prefetch(weight, n1, c)
        prefetch(weight, n2, c)
        prefetch(weight, n3, c)
        _four_columns(zeros(weight, LINE), weight, r0, r1, r2, r3, streams, out, i, c)
    for c in range(lines, d):
        _four_columns(zeros(weight, 1), weight, r0, r1, r2, r3, False, out, i, c)


@kernel
def bloom_sum_range(
    weight: FloatArray,
    rows: RowArray,
    reserved: int,
    divisor: Number,
    streams: bool,
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
                _four_probes(weight, rows, i, ahead, streams, out)
                continue
        sum_segment(weight, flat, None, None, reserved, i * k, i * k + k, divisor, streams, out, i)
    fence()


@kernel
def bloom_concat_range(weight: FloatArray, rows: RowArray, reserved: int, out: FloatArray, lo: int, hi: int) -> None:
    """Take slice j of each id's vector from the row of probe j (L21)."""
    k = rows.shape[1]
    width = weight.shape[1] // k
    for i in range(lo, hi):
        ahead = min(i + 2 * AHEAD, hi - 1)
        for j in range(k):
            for c in range(j * width, (j + 1) * width, columns_in(LINE, weight)):
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
    if padding >= 0:
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
        sum_segment(weight, ids, None, weights, padding, first, last, divisor, None, out, b)


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
    """Write the Bloom vector of id i into row 0 of `vector`, in the table's dtype (L23b)."""
    if combine.concat:
        _concat_probes(weight, rows, i, combine.reserved, vector, 0)
    else:
        flat, k, reserved = rows.reshape(-1), rows.shape[1], combine.reserved
        sum_segment(weight, flat, None, None, reserved, i * k, i * k + k, combine.divisor, None, vector, 0)


@helper
def _add_vector(run: FloatArray, vector: FloatArray, scale: Number | None) -> None:
    """Add a vector, times its weight, to a run of a bag's terms."""
    d = run.shape[1]
    for c in range(0, whole(d), WIDTH):
        term = load(vector, 0, c)
        store(run, 0, c, load(run, 0, c) + (term if scale is None else term * scale))
    for c in range(whole(d), d):
        run[0, c] += vector[0, c] if scale is None else vector[0, c] * scale


@helper
def _close_run(run: FloatArray, total: FloatArray) -> None:
    """Add a run to the bag's sum, and begin another one."""
    for c in range(run.shape[1]):
        total[0, c] += np.float64(run[0, c])
        run[0, c] = 0.0


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
    vectors: FloatArray,
    total: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Sum or average the Bloom vectors of each bag.

    `vectors` is (2, d), in the table's dtype: a run of terms and one id's vector; `total` (1, d),
    float64.
    """
    d, end = weight.shape[1], indptr[hi] - 1
    run, vector = vectors[0:1], vectors[1:2]
    for b in range(lo, hi):
        first, last = indptr[b], indptr[b + 1]
        for c in range(d):
            total[0, c] = 0.0
            run[0, c] = 0.0
        for i in range(first, last):
            for j in range(rows.shape[1]):
                prefetch_row(weight, rows[min(i + AHEAD, end), j])
            if ids[i] != padding:
                _vector(weight, rows, i, combine, vector)
                _add_vector(run, vector, None if weights is None else weights[i])
            if (i - first) % RUN == RUN - 1:
                _close_run(run, total)
        _close_run(run, total)
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
    vector: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Write the maximum of the Bloom vectors of each bag by dimension.

    Also write the entry that won it (-1: none). `vector` is (1, d), in the table's dtype.
    """
    d = weight.shape[1]
    for b in range(lo, hi):
        for c in range(d):
            out[b, c] = 0.0
            winners[b, c] = -1
        for i in range(indptr[b], indptr[b + 1]):
            if ids[i] == padding:
                continue
            _vector(weight, rows, i, combine, vector)
            for c in range(d):
                value, best = vector[0, c], out[b, c]
                if winners[b, c] < 0 or value > best or (value != value and best == best):
                    out[b, c] = value
                    winners[b, c] = i


@helper
def _dot(grad: FloatArray, b: int, vectors: FloatArray, row: int) -> Number:
    """Return the dot product of two rows, in float64 and eight partial sums (L5)."""
    d, parts = grad.shape[1], wide_zeros()
    for c in range(0, whole(d), WIDTH):
        parts = parts + wide(load(grad, b, c)) * wide(load(vectors, row, c))
    for c in range(whole(d), d):
        parts = add_to_lane(parts, c - whole(d), np.float64(grad[b, c]) * np.float64(vectors[row, c]))
    return sum_lanes(parts)


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
            out[i] = 0.0 if ids[i] == padding else _dot(grad, b, weight, ids[i])


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
    vector: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Write the gradient of each entry's weight (L18, L23b).

    It is the bag's gradient times the Bloom vector.

    0 for padding. `grad` is (bags, d), `out` (n,), `vector` (1, d) in the table's dtype.
    """
    for b in range(lo, hi):
        for i in range(indptr[b], indptr[b + 1]):
            if ids[i] == padding:
                out[i] = 0.0
            else:
                _vector(weight, rows, i, combine, vector)
                out[i] = _dot(grad, b, vector, 0)
