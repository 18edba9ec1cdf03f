"""Sums of segments: rows of an array that lie in one segment of a CSR matrix, added in order (L5).

A sum is taken a block of `BLOCK` columns at a time. A block's float64 sums stay in registers while
the rows go by, so a bag's or a hot row's thousands of terms are walked once for each block, and
each of their cache lines is read once. The next rows are prefetched on the way, line by line, also
those of the next sum, so that the walk does not pause between two sums.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npbloom._kernels.jit import helper, prefetch
from npbloom._kernels.lanes import WIDTH, Columns, load_wide, store, zero_wide
from npbloom.types import FloatArray, IntArray, Number, RowArray

BLOCK = 4 * WIDTH  # columns summed in one walk over the rows
# Terms between asking for a row and adding it: 65,536 sums of 8 rows took 9.4 ms with 12, 5.6 ms
# with 40.
AHEAD = 40


class Segments(NamedTuple):
    """
    Entries of the batch grouped by the table row they read: a CSR matrix of rows by entries.

    Segment q has the terms ``indptr[q] <= s < indptr[q + 1]``. Term s adds row
    ``bag_of[indices[s]]`` of the output gradient times ``weights[indices[s]]``; without `bag_of` it
    adds row ``indices[s]``.
    """

    indptr: IntArray  # (u + 1,)
    indices: RowArray  # (pairs,) entries of the batch, or outputs where `bag_of` is None
    bag_of: IntArray | None = None  # (entries,)
    weights: FloatArray | None = None  # (entries,), only with `bag_of`


@helper
def prefetch_row(table: FloatArray, row: int) -> None:
    """Request every cache line of a row, also one that only its last value reaches into."""
    for column in range(0, table.shape[1], 64 // table.itemsize):
        prefetch(table, row, column)
    prefetch(table, row, table.shape[1] - 1)


@helper
def whole(width: int) -> int:
    """Return the number of columns that fill lanes; the rest is computed one by one."""
    return width - width % WIDTH


@helper
def grad_row_of(indices: RowArray, bag_of: IntArray | None, s: int) -> int:
    """Return the row that term s adds: that of its index, or of its index's bag."""
    row: int = indices[s] if bag_of is None else bag_of[indices[s]]
    return row


@helper
def _weight(indices: RowArray, bag_of: IntArray | None, weights: FloatArray, s: int) -> Number:
    """
    Return the weight of term s.

    It is found by the index where that is an entry of the batch, else by the place.
    """
    return np.float64(weights[s] if bag_of is None else weights[indices[s]])


@helper
def _four_lanes(
    table: FloatArray,
    indices: RowArray,
    bag_of: IntArray | None,
    weights: FloatArray | None,
    skip: int | None,
    first: int,
    last: int,
    c: int,
) -> tuple[Columns, Columns, Columns, Columns]:
    """
    Return sums of terms ``[first, last)`` in a block of columns from c on, without those of `skip`.
    """
    t0, t1, t2, t3 = zero_wide(), zero_wide(), zero_wide(), zero_wide()
    end = indices.shape[0] - 1
    for s in range(first, last):
        ahead = grad_row_of(indices, bag_of, min(s + AHEAD, end))
        for line in range(0, BLOCK, 64 // table.itemsize):
            prefetch(table, ahead, c + line)
        prefetch(table, ahead, c + BLOCK - 1)
        if skip is not None and indices[s] == skip:
            continue
        row = grad_row_of(indices, bag_of, s)
        w0, w1 = load_wide(table, row, c), load_wide(table, row, c + WIDTH)
        w2, w3 = load_wide(table, row, c + 2 * WIDTH), load_wide(table, row, c + 3 * WIDTH)
        if weights is None:
            t0, t1, t2, t3 = t0 + w0, t1 + w1, t2 + w2, t3 + w3
        else:
            scale = _weight(indices, bag_of, weights, s)
            t0, t1, t2, t3 = t0 + w0 * scale, t1 + w1 * scale, t2 + w2 * scale, t3 + w3 * scale
    return t0, t1, t2, t3


@helper
def _one_lane(
    table: FloatArray,
    indices: RowArray,
    bag_of: IntArray | None,
    weights: FloatArray | None,
    skip: int | None,
    first: int,
    last: int,
    c: int,
) -> Columns:
    """Return the same sum in eight columns."""
    total = zero_wide()
    end = indices.shape[0] - 1
    for s in range(first, last):
        prefetch(table, grad_row_of(indices, bag_of, min(s + AHEAD, end)), c)
        if skip is None or indices[s] != skip:
            term = load_wide(table, grad_row_of(indices, bag_of, s), c)
            total = total + (term if weights is None else term * _weight(indices, bag_of, weights, s))
    return total


@helper
def _one_column(
    table: FloatArray,
    indices: RowArray,
    bag_of: IntArray | None,
    weights: FloatArray | None,
    skip: int | None,
    first: int,
    last: int,
    c: int,
) -> Number:
    """Return the same sum in one column."""
    total = np.float64(0.0)
    for s in range(first, last):
        if skip is None or indices[s] != skip:
            term = np.float64(table[grad_row_of(indices, bag_of, s), c])
            total += term if weights is None else term * _weight(indices, bag_of, weights, s)
    return total


@helper
def sum_segment(
    table: FloatArray,
    indices: RowArray,
    bag_of: IntArray | None,
    weights: FloatArray | None,
    skip: int | None,
    first: int,
    last: int,
    divisor: Number | None,
    out: FloatArray,
    b: int,
) -> None:
    """
    Sum terms ``[first, last)`` into row b of `out`, over `divisor`, rounded once (L5).

    Term s is ``table[indices[s]] * weights[s]``, or with `bag_of`
    ``table[bag_of[indices[s]]] * weights[indices[s]]``. Terms whose index is `skip` add nothing.
    """
    d = table.shape[1]
    blocks = d - d % BLOCK
    for c in range(0, blocks, BLOCK):
        t0, t1, t2, t3 = _four_lanes(table, indices, bag_of, weights, skip, first, last, c)
        store(out, b, c, t0 if divisor is None else t0 / divisor)
        store(out, b, c + WIDTH, t1 if divisor is None else t1 / divisor)
        store(out, b, c + 2 * WIDTH, t2 if divisor is None else t2 / divisor)
        store(out, b, c + 3 * WIDTH, t3 if divisor is None else t3 / divisor)
    for c in range(blocks, whole(d), WIDTH):
        total = _one_lane(table, indices, bag_of, weights, skip, first, last, c)
        store(out, b, c, total if divisor is None else total / divisor)
    for c in range(whole(d), d):
        total1 = _one_column(table, indices, bag_of, weights, skip, first, last, c)
        out[b, c] = total1 if divisor is None else total1 / divisor
