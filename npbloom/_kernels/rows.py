"""What all families of kernels share: asking for rows before they are needed, and sums of rows (L5).

A sum of rows is taken a block of `BLOCK` columns at a time. A block's float64 sums stay in registers while the rows go by,
so a bag's or a hot row's thousands of terms are walked once for each block, and each of their cache lines is read once. The
rows that follow are asked for as the walk goes, line by line, also those of the next sum: there is no pause between two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom._kernels.jit import helper, prefetch
from npbloom._kernels.lanes import WIDTH, load_wide, store, zero_wide

BLOCK = 4 * WIDTH  # columns summed in one walk over the rows
AHEAD = 40  # terms between asking for a row and adding it: 65,536 sums of 8 rows took 9.4 ms with 12 and 5.6 ms with 40


@helper
def prefetch_row(table: Any, row: Any) -> None:
    """Ask for every cache line of a row, the one that its last value may reach into included."""
    for column in range(0, table.shape[1], 64 // table.itemsize):
        prefetch(table, row, column)
    prefetch(table, row, table.shape[1] - 1)


@helper
def whole(width: int) -> int:
    """Columns that fill lanes; the rest is done one by one."""
    return width - width % WIDTH


@helper
def term_row(sources: Any, owner: Any, s: int) -> Any:
    """The row that term s is: its source, or the owner of its source."""
    return sources[s] if owner is None else owner[sources[s]]


@helper
def _factor(sources: Any, owner: Any, weights: Any, s: int) -> Any:
    """The factor of term s: factors go by entry, as sources do."""
    return np.float64(weights[s] if owner is None else weights[sources[s]])


@helper
def _four_lanes(table: Any, sources: Any, owner: Any, weights: Any, skip: Any, first: int, last: int, c: int) -> Any:
    """Sums of terms ``[first, last)`` in a block of columns from c on; sources equal to `skip` add nothing."""
    t0, t1, t2, t3 = zero_wide(), zero_wide(), zero_wide(), zero_wide()
    end = sources.shape[0] - 1
    for s in range(first, last):
        ahead = term_row(sources, owner, min(s + AHEAD, end))
        for line in range(0, BLOCK, 64 // table.itemsize):
            prefetch(table, ahead, c + line)
        prefetch(table, ahead, c + BLOCK - 1)
        if skip is not None and sources[s] == skip:
            continue
        row = term_row(sources, owner, s)
        w0, w1 = load_wide(table, row, c), load_wide(table, row, c + WIDTH)
        w2, w3 = load_wide(table, row, c + 2 * WIDTH), load_wide(table, row, c + 3 * WIDTH)
        if weights is None:
            t0, t1, t2, t3 = t0 + w0, t1 + w1, t2 + w2, t3 + w3
        else:
            scale = _factor(sources, owner, weights, s)
            t0, t1, t2, t3 = t0 + w0 * scale, t1 + w1 * scale, t2 + w2 * scale, t3 + w3 * scale
    return t0, t1, t2, t3


@helper
def _one_lane(table: Any, sources: Any, owner: Any, weights: Any, skip: Any, first: int, last: int, c: int) -> Any:
    """The same in eight columns."""
    total = zero_wide()
    end = sources.shape[0] - 1
    for s in range(first, last):
        prefetch(table, term_row(sources, owner, min(s + AHEAD, end)), c)
        if skip is None or sources[s] != skip:
            term = load_wide(table, term_row(sources, owner, s), c)
            total = total + (term if weights is None else term * _factor(sources, owner, weights, s))
    return total


@helper
def _one_column(table: Any, sources: Any, owner: Any, weights: Any, skip: Any, first: int, last: int, c: int) -> Any:
    """The same in one column."""
    total = np.float64(0.0)
    for s in range(first, last):
        if skip is None or sources[s] != skip:
            term = np.float64(table[term_row(sources, owner, s), c])
            total += term if weights is None else term * _factor(sources, owner, weights, s)
    return total


@helper
def sum_row(
    table: Any, sources: Any, owner: Any, weights: Any, skip: Any, first: int, last: int, divisor: Any, out: Any, b: int
) -> None:
    """The sum of terms ``[first, last)`` over `divisor` (None: as it is), rounded once, into row b of `out` (L5)."""
    d = table.shape[1]
    blocks = d - d % BLOCK
    for c in range(0, blocks, BLOCK):
        t0, t1, t2, t3 = _four_lanes(table, sources, owner, weights, skip, first, last, c)
        store(out, b, c, t0 if divisor is None else t0 / divisor)
        store(out, b, c + WIDTH, t1 if divisor is None else t1 / divisor)
        store(out, b, c + 2 * WIDTH, t2 if divisor is None else t2 / divisor)
        store(out, b, c + 3 * WIDTH, t3 if divisor is None else t3 / divisor)
    for c in range(blocks, whole(d), WIDTH):
        total = _one_lane(table, sources, owner, weights, skip, first, last, c)
        store(out, b, c, total if divisor is None else total / divisor)
    for c in range(whole(d), d):
        total1 = _one_column(table, sources, owner, weights, skip, first, last, c)
        out[b, c] = total1 if divisor is None else total1 / divisor
