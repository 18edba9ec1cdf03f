"""What all families of kernels share: asking for rows before they are needed, and sums of rows (L5).

A sum of rows is taken column by column: eight columns at a time stay in registers while the rows go by. More rows than
`CHUNK` are summed a chunk at a time, so that a hot row's thousands of terms are read once and not once for every eight
columns; between chunks the sum waits in a float64 scratch row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom._kernels.jit import helper, prefetch
from npbloom._kernels.lanes import WIDTH, load, load_wide, rounded, store, zero_wide

CHUNK = 4  # rows summed in one pass over the columns
AHEAD = 12  # rows between asking for one and reading it: 16.8M sums took 5.1 ms with 12, 5.2 with 8, 6.1 with 4


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
def factor(sources: Any, owner: Any, s: int) -> Any:
    """Where the factor of term s stands: factors go by entry, as sources do."""
    return sources[s] if owner is not None else s


@helper
def ask(table: Any, sources: Any, owner: Any, lo: int, hi: int) -> None:
    """Ask for the rows of the terms `AHEAD` of ``[lo, hi)``."""
    for s in range(lo + AHEAD, min(hi + AHEAD, sources.shape[0])):
        prefetch_row(table, term_row(sources, owner, s))


@helper
def _add_lanes(table: Any, sources: Any, owner: Any, weights: Any, skip: Any, lo: int, hi: int, c: int, total: Any) -> Any:
    """`total` plus terms ``[lo, hi)``, eight columns from c on; sources equal to `skip` add nothing."""
    for s in range(lo, hi):
        if skip is None or sources[s] != skip:
            term = load_wide(table, term_row(sources, owner, s), c)
            total = total + (term if weights is None else term * np.float64(weights[factor(sources, owner, s)]))
    return total


@helper
def _add_one(table: Any, sources: Any, owner: Any, weights: Any, skip: Any, lo: int, hi: int, c: int, total: Any) -> Any:
    """`total` plus terms ``[lo, hi)``, in column c."""
    for s in range(lo, hi):
        if skip is None or sources[s] != skip:
            term = np.float64(table[term_row(sources, owner, s), c])
            total += term if weights is None else term * np.float64(weights[factor(sources, owner, s)])
    return total


@helper
def sum_all_but_last(table: Any, sources: Any, owner: Any, weights: Any, skip: Any, first: int, last: int, acc: Any) -> Any:
    """Sum terms from `first` on into `acc` (1, d), leaving a last chunk of at most `CHUNK`; returns where that begins."""
    s = first
    while last - s > CHUNK:
        ask(table, sources, owner, s, s + CHUNK)
        for c in range(0, whole(table.shape[1]), WIDTH):
            total = zero_wide() if s == first else load(acc, 0, c)
            store(acc, 0, c, _add_lanes(table, sources, owner, weights, skip, s, s + CHUNK, c, total))
        for c in range(whole(table.shape[1]), table.shape[1]):
            total1 = np.float64(0.0) if s == first else acc[0, c]
            acc[0, c] = _add_one(table, sources, owner, weights, skip, s, s + CHUNK, c, total1)
        s += CHUNK
    ask(table, sources, owner, s, last)
    return s


@helper
def sum_lanes(
    table: Any, sources: Any, owner: Any, weights: Any, skip: Any, first: int, s: int, last: int, acc: Any, c: int
) -> Any:
    """Eight columns of the whole sum in float64; `s` is where the last chunk begins."""
    total = zero_wide() if s == first else load(acc, 0, c)
    return _add_lanes(table, sources, owner, weights, skip, s, last, c, total)


@helper
def sum_one(
    table: Any, sources: Any, owner: Any, weights: Any, skip: Any, first: int, s: int, last: int, acc: Any, c: int
) -> Any:
    """One column of it."""
    total = np.float64(0.0) if s == first else acc[0, c]
    return _add_one(table, sources, owner, weights, skip, s, last, c, total)


@helper
def begin(grad: Any, sources: Any, owner: Any, weights: Any, starts: Any, q: int, acc: Any) -> Any:
    """Start on the gradient of touched row q: its first term, the first of its last chunk, and its end."""
    if sources is None:
        return 0, 0, 0
    first, last = int(starts[q]), int(starts[q + 1])
    return first, int(sum_all_but_last(grad, sources, owner, weights, None, first, last, acc)), last


@helper
def gradient_lanes(grad: Any, sources: Any, owner: Any, weights: Any, q: int, terms: Any, acc: Any, like: Any, c: int) -> Any:
    """Eight columns of the gradient of touched row q in the dtype of `like`: its terms' sum, or without sources row q.

    One or two rows without factors are summed in their own dtype: a float64 sum of two float32 that is rounded to float32
    is the float32 sum, since 53 >= 2 * 24 + 2 (Figueroa 1995).
    """
    if sources is None:
        return rounded(like, load(grad, q, c))
    first, s, last = terms
    if weights is None:
        if last - first == 1:
            return rounded(like, load(grad, term_row(sources, owner, first), c) + grad.dtype.type(0.0))
        if last - first == 2:
            one = load(grad, term_row(sources, owner, first), c) + grad.dtype.type(0.0)
            return rounded(like, one + load(grad, term_row(sources, owner, first + 1), c))
    return rounded(like, sum_lanes(grad, sources, owner, weights, None, first, s, last, acc, c))


@helper
def gradient_one(grad: Any, sources: Any, owner: Any, weights: Any, q: int, terms: Any, acc: Any, like: Any, c: int) -> Any:
    """One column of it."""
    if sources is None:
        return rounded(like, grad[q, c])
    first, s, last = terms
    return rounded(like, sum_one(grad, sources, owner, weights, None, first, s, last, acc, c))
