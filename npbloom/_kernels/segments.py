"""Sums of segments: rows of an array that lie in one segment of a CSR matrix, added in order (L5).

Terms are added in the table's dtype in runs of `RUN`, and runs in float64. A sum is taken a block
of columns at a time. A block's sums stay in registers while the rows go by, so a bag's or a hot
row's thousands of terms are walked once for each block, and each of their cache lines is read once.
The next rows are prefetched on the way, line by line, also those of the next sum, so that the walk
does not pause between two sums.
"""

from __future__ import annotations

from typing import NamedTuple

from npbloom._kernels.jit import helper, prefetch
from npbloom._kernels.lanes import WIDTH, Columns, columns_in, load_like, store, stream, wide, zeros
from npbloom.types import FloatArray, IntArray, Number, RowArray

RUN = 16  # neighbouring terms that are added in the table's dtype (L5)
# Bytes of a row that are summed in one walk over the rows: what 8 registers of 32 bytes hold.
BLOCK = 256
HALF = 128
LINE = 64  # bytes of a cache line
LANE = 32
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
    for column in range(0, table.shape[1], columns_in(LINE, table)):
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
    return weights[s] if bag_of is None else weights[indices[s]]


@helper
def _sum_run(
    zero: Columns,
    width: int,
    table: FloatArray,
    indices: RowArray,
    bag_of: IntArray | None,
    weights: FloatArray | None,
    skip: int | None,
    first: int,
    last: int,
    c: int,
) -> Columns:
    """Return the sum of terms ``[first, last)`` in the columns of `zero` from c on (L5)."""
    total = zero
    end = indices.shape[0] - 1
    for s in range(first, last):
        ahead = grad_row_of(indices, bag_of, min(s + AHEAD, end))
        for column in range(0, width, columns_in(LINE, table)):
            prefetch(table, ahead, c + column)
        if width >= columns_in(LINE, table):  # rows that begin within a line reach into one more
            prefetch(table, ahead, c + width - 1)
        if skip is not None and indices[s] == skip:
            continue
        term = load_like(zero, table, grad_row_of(indices, bag_of, s), c)
        total = total + (term if weights is None else term * _weight(indices, bag_of, weights, s))
    return total


@helper
def _over(run: Columns, divisor: Number | None, number: Number) -> Columns:
    """
    Return a sum of one run over `divisor`, in the dtype of `number`.

    A divisor of one run is at most 16 times 16, so the quotient has the bits of a float64 quotient
    that is rounded.
    """
    if divisor is None:
        return run
    return run if divisor == 1.0 else run / number


@helper
def _write(streams: bool | None, out: FloatArray, b: int, c: int, lanes: Columns) -> None:
    """Write lanes past the caches, if asked to."""
    if streams is None:
        store(out, b, c, lanes)
    elif streams:
        stream(out, b, c, lanes)
    else:
        store(out, b, c, lanes)


@helper
def _sum_columns(
    zero: Columns,
    width: int,
    table: FloatArray,
    indices: RowArray,
    bag_of: IntArray | None,
    weights: FloatArray | None,
    skip: int | None,
    first: int,
    last: int,
    divisor: Number | None,
    streams: bool | None,
    out: FloatArray,
    b: int,
    c: int,
) -> None:
    """Write the sum of runs in the columns of `zero` from c on, over `divisor`, rounded once."""
    run = _sum_run(zero, width, table, indices, bag_of, weights, skip, first, min(first + RUN, last), c)
    if last <= first + RUN:  # float64 would be rounded to the same
        _write(streams, out, b, c, _over(run, divisor, table.dtype.type(1 if divisor is None else divisor)))
    else:
        total = wide(run)
        for start in range(first + RUN, last, RUN):
            total = total + wide(_sum_run(zero, width, table, indices, bag_of, weights, skip, start, min(start + RUN, last), c))
        _write(streams, out, b, c, total if divisor is None else total / divisor)


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
    streams: bool | None,
    out: FloatArray,
    b: int,
) -> None:
    """
    Sum terms ``[first, last)`` into row b of `out`, over `divisor`, rounded once (L5).

    Term s is ``table[indices[s]] * weights[s]``, or with `bag_of`
    ``table[bag_of[indices[s]]] * weights[indices[s]]``. Terms whose index is `skip` add nothing,
    and keep their place in a run. With `streams` the caller ends with a `fence`.
    """
    d = table.shape[1]
    block, half, lane = columns_in(BLOCK, table), columns_in(HALF, table), columns_in(LANE, table)
    blocks, halves, lanes = d - d % block, d - d % half, d - d % lane
    for c in range(0, blocks, block):
        _sum_columns(zeros(table, BLOCK), block, table, indices, bag_of, weights, skip, first, last, divisor, streams, out, b, c)
    for c in range(blocks, halves, half):
        _sum_columns(zeros(table, HALF), half, table, indices, bag_of, weights, skip, first, last, divisor, streams, out, b, c)
    for c in range(halves, lanes, lane):
        _sum_columns(zeros(table, LANE), lane, table, indices, bag_of, weights, skip, first, last, divisor, streams, out, b, c)
    for c in range(lanes, d):
        _sum_columns(zeros(table, 1), 1, table, indices, bag_of, weights, skip, first, last, divisor, streams, out, b, c)
