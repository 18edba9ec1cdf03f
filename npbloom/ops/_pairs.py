"""A stable sort of the (row, entry) pairs of a batch by row, which every scatter uses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np

from npbloom import _parallel
from npbloom._kernels import pairs as kernels
from npbloom.types import IntArray, RowArray

Result = TypeVar("Result")

FEW = 64  # pairs that one insertion sort orders faster than anything with buckets
MOST_BUCKETS = 12  # bits: more counters than this leave the first cache while the batch is split
LEAST_LOW = 10  # bits left to sort in a bucket at least: fewer buckets are fewer places to write to
GRAIN = 3 * 2**17  # elements of gradient to add below which a second thread does not pay


class SortedPairs(NamedTuple):
    """
    Pairs that one thread has sorted, in CSR form: touched rows, and the entries that read each.
    """

    rows: IntArray  # (u,) rows or slices, strictly increasing
    indptr: IntArray  # (u + 1,) into `indices`
    indices: RowArray  # (pairs,) in input order for each row; behind its end another thread writes


class Pairs(NamedTuple):
    """Pairs in buckets of neighbouring rows, not yet sorted within."""

    bounds: IntArray  # (buckets + 1,) where the pairs of each begin
    low: int  # bits that the rows of a bucket differ in
    pairs: RowArray  # (kept, 2): row, and the entry that reads it
    parts: list[int]  # the buckets at which parts begin, and the end

    def sort_and(self, work: Callable[[SortedPairs], Result]) -> list[Result]:
        """
        Sort each part and give it to `work`, in the thread that sorted it.

        Results are in order of the rows.
        """
        return _parallel.run_tasks(self.tasks(work))

    def tasks(self, work: Callable[[SortedPairs], Result]) -> list[Callable[[], Result]]:
        """
        Return the calls that `sort_and` makes.

        All memory for sorting is taken now, before `work` begins to write.
        """
        kept = len(self.pairs)
        indices, spare = np.empty(kept, self.pairs.dtype), np.empty_like(self.pairs)
        counters = max(1 << min(self.low, kernels.DIGIT), 16)

        def part(rows: IntArray, indptr: IntArray, counts: IntArray, lo: int, hi: int) -> Result:
            found = kernels.sort_buckets_range(self.bounds, self.low, self.pairs, spare, indices, rows, indptr, counts, lo, hi)
            return work(SortedPairs(rows[:found], indptr[: found + 1], indices[: self.bounds[hi]]))

        tasks: list[Callable[[], Result]] = []
        for lo, hi in pairwise(self.parts):
            size = int(self.bounds[hi] - self.bounds[lo]) + 1
            scratch = (np.empty(size, np.int64), np.empty(size, np.int64), np.empty(counters, np.int64))
            tasks.append(partial(part, *scratch, lo, hi))
        return tasks


def split_pairs(
    rows_range: Callable[[int, int], RowArray],
    entries: int,
    width: int,
    num_rows: int,
    *,
    work: int,
    slices: int = 1,
    reserved: int = -1,
    bag_of: IntArray | None = None,
    spread: bool = False,
) -> Pairs:
    """
    Split the pairs of `entries`, each of which reads `width` rows, into buckets of near rows.

    ``rows_range(lo, hi)`` gives the rows of a range of entries, (hi - lo, width); it may raise. A
    pair's key is its row, or its slice ``row * slices + j``; pairs of the row `reserved` are left
    out. The index of a pair is its entry ``0 <= i < n``, or ``bag_of[i]``, and with `spread` slice
    ``index * slices + j``. `work` is the cost of a pair in elements.
    """
    keys = num_rows * slices
    high = max(keys - 1, 1).bit_length()
    low = high if entries * width <= FEW else max(min(high, LEAST_LOW), high - MOST_BUCKETS)
    buckets = ((keys - 1) >> low) + 1
    bounds = _parallel.even_bounds(entries, max(1, GRAIN // (width * (work + 16))))
    parts = list(enumerate(pairwise(bounds)))
    counts = np.zeros((len(parts), buckets), dtype=np.int64)

    def count(part: int, lo: int, hi: int) -> RowArray:
        rows = rows_range(lo, hi)
        kernels.histogram_range(rows, slices, reserved, low, counts[part], 0, hi - lo)
        return rows

    rows = _parallel.run_tasks([partial(count, part, lo, hi) for part, (lo, hi) in parts])

    # The cursor of a bucket in a part stands behind all earlier buckets, and behind the same bucket
    # of earlier parts.
    flat = counts.T.ravel()
    ends = np.cumsum(flat)
    cursors = np.ascontiguousarray((ends - flat).reshape(buckets, -1).T)
    starts = np.append(cursors[0], ends[-1])
    whole = np.int32 if max(keys, entries * (slices if spread else 1)) < 2**31 else np.int64
    pairs = np.empty((int(ends[-1]), 2), dtype=whole)

    def place(part: int, lo: int, hi: int) -> None:
        kernels.partition_range(rows[part], slices, reserved, low, lo, bag_of, spread, cursors[part], pairs, 0, hi - lo)

    _parallel.run_tasks([partial(place, part, lo, hi) for part, (lo, hi) in parts])
    return Pairs(starts, low, pairs, _parallel.balanced_bounds(starts, max(1, GRAIN // (work + 16)), _parallel.PIECES))


def distinct_rows(rows: IntArray, num_rows: int) -> IntArray:
    """Return the distinct values of ``rows`` (n,), increasing."""
    column = rows.reshape(-1, 1)
    pairs = split_pairs(lambda lo, hi: column[lo:hi], rows.size, 1, num_rows, work=0)
    return np.concatenate(pairs.sort_and(lambda part: part.rows))
