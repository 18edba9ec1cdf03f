"""A stable sort of the (row, entry) pairs of a batch by row: what every scatter stands on."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from npbloom import _parallel
from npbloom._kernels import scatter as kernels
from npbloom.types import IntArray

FEW = 64  # pairs that one insertion sort orders faster than anything with buckets
MOST_BUCKETS = 12  # bits: more counters than this leave the first cache while the batch is split
GRAIN = 8192  # pairs below which a second thread does not pay


class SortedPairs(NamedTuple):
    """Touched rows (or slices), where the pairs of each begin, and the entries they come from in input order."""

    touched: IntArray  # (u,) int64, strictly increasing
    starts: IntArray  # (u + 1,) into `sources`
    sources: npt.NDArray[Any]  # (pairs,)

    def bounds(self, work: int) -> list[int]:
        """Split the touched rows by pairs, since hot rows make them uneven; `work` is the cost of a pair in elements."""
        return _parallel.balanced_bounds(self.starts, max(1, 4 * GRAIN // work))


def _whole(size: int) -> npt.DTypeLike:
    """The narrower integer type that counts up to `size`: keys and sources are written and read several times."""
    return np.int32 if size <= 2**31 else np.int64


def sort_pairs(
    rows: npt.NDArray[Any], num_rows: int, *, slices: int = 1, reserved: int = -1, owner: IntArray | None = None
) -> SortedPairs:
    """
    Sort the pairs of ``rows`` (n, k) by row, or by slice ``row * slices + j``; pairs of the row `reserved` are left out.

    The source of a pair is its entry ``0 <= i < n``, or ``owner[i]`` where `owner` is given.
    """
    entries, width = rows.shape
    pairs = entries * width
    high = max(num_rows * slices - 1, 1).bit_length()
    low = high if pairs <= FEW else max(min(high, kernels.DIGIT), high - MOST_BUCKETS)  # bits left to sort in a bucket
    buckets = ((num_rows * slices - 1) >> low) + 1

    bounds = _parallel.even_bounds(entries, max(1, GRAIN // width))
    counts = np.zeros((len(bounds) - 1, buckets), dtype=np.int64)
    parts = list(enumerate(pairwise(bounds)))
    _parallel.run_tasks(
        [partial(kernels.histogram_range, rows, slices, reserved, low, counts[part], lo, hi) for part, (lo, hi) in parts]
    )

    # The cursor of a bucket in a part stands behind all earlier buckets, and behind the same bucket of earlier parts.
    flat = counts.T.ravel()
    ends = np.cumsum(flat)
    kept = int(ends[-1])
    cursors = np.ascontiguousarray((ends - flat).reshape(buckets, -1).T)
    bucket_starts = np.append(cursors[0], kept)
    key_type, source_type = _whole(num_rows * slices), _whole(max(entries, 1))
    keys, sources = np.empty(kept, dtype=key_type), np.empty(kept, dtype=source_type)
    arrays = (rows, slices, reserved, low, owner)
    _parallel.run_tasks(
        [partial(kernels.partition_range, *arrays, cursors[part], keys, sources, lo, hi) for part, (lo, hi) in parts]
    )
    return _finish(bucket_starts, low, keys, sources)


def _finish(bucket_starts: IntArray, low: int, keys: npt.NDArray[Any], sources: npt.NDArray[Any]) -> SortedPairs:
    """Sort inside each bucket, then write the distinct rows of all buckets one after the other."""
    spare_keys, spare_sources = np.empty_like(keys), np.empty_like(sources)
    rows, row_starts = np.empty_like(keys), np.empty(len(keys), dtype=np.int64)
    distinct = np.empty(len(bucket_starts) - 1, dtype=np.int64)
    bounds = _parallel.balanced_bounds(bucket_starts, GRAIN)
    counters = min(1 << low, 1 << kernels.DIGIT)
    _parallel.run_tasks(
        [
            partial(
                kernels.sort_buckets_range,
                *(bucket_starts, low, keys, sources, spare_keys, spare_sources, rows, row_starts, distinct),
                *(np.empty(counters, dtype=np.int64), lo, hi),
            )
            for lo, hi in pairwise(bounds)
        ]
    )
    ends = np.cumsum(distinct)
    total = int(ends[-1])
    touched, starts = np.empty(total, dtype=np.int64), np.empty(total + 1, dtype=np.int64)
    starts[total] = len(keys)
    arrays = (bucket_starts, ends - distinct, distinct, rows, row_starts, touched, starts)
    _parallel.run_chunks(kernels.join_buckets_range, bounds, *arrays)
    return SortedPairs(touched, starts, spare_sources)
