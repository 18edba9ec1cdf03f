"""A stable sort of the (row, entry) pairs of a batch by row: what every scatter stands on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from npbloom import _parallel
from npbloom._kernels import scatter as kernels
from npbloom.types import IntArray

BUCKET = 1024  # pairs a bucket should hold: keys, sources and counters of one bucket fit the first cache
MOST_BUCKETS = 4096
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
    buckets_wanted = min(max(1, pairs // BUCKET), MOST_BUCKETS, 1 << high)
    low = high - (buckets_wanted.bit_length() - 1)  # bits left to sort inside a bucket
    buckets = ((num_rows * slices - 1) >> low) + 1

    bounds = _parallel.even_bounds(entries, max(1, GRAIN // width))
    counts = np.zeros((len(bounds) - 1, buckets), dtype=np.int64)
    parts = [(counts[part], lo, hi) for part, (lo, hi) in enumerate(pairwise(bounds))]
    _run(kernels.histogram_range, [((rows, slices, reserved, low, c), lo, hi) for c, lo, hi in parts])

    # The cursor of a bucket in a part stands behind all earlier buckets, and behind the same bucket of earlier parts.
    flat = counts.T.ravel()
    ends = np.cumsum(flat)
    kept = int(ends[-1])
    cursors = np.ascontiguousarray((ends - flat).reshape(buckets, -1).T)
    bucket_starts = np.append(cursors[0], kept)
    key_type, source_type = _whole(num_rows * slices), _whole(max(entries, 1))
    keys, sources = np.empty(kept, dtype=key_type), np.empty(kept, dtype=source_type)
    _run(
        kernels.partition_range,
        [
            ((rows, slices, reserved, low, owner, cursors[part], keys, sources), lo, hi)
            for part, (lo, hi) in enumerate(pairwise(bounds))
        ],
    )
    return _finish(bucket_starts, low, keys, sources)


def _run(kernel: Callable[..., Any], calls: list[tuple[tuple[Any, ...], int, int]]) -> None:
    """Call the kernel once for every part of the batch, each part with arrays of its own."""

    def task(arrays: tuple[Any, ...], lo: int, hi: int) -> Callable[[], Any]:
        return lambda: kernel(*arrays, lo, hi)

    _parallel.run_tasks([task(*call) for call in calls])


def _finish(bucket_starts: IntArray, low: int, keys: npt.NDArray[Any], sources: npt.NDArray[Any]) -> SortedPairs:
    """Sort inside each bucket, then write down where each row's pairs begin."""
    passes = -(-low // kernels.DIGIT)
    spare_keys, spare_sources = np.empty_like(keys), np.empty_like(sources)
    distinct = np.empty(len(bucket_starts) - 1, dtype=np.int64)
    bounds = _parallel.balanced_bounds(bucket_starts, GRAIN)

    def sort(lo: int, hi: int) -> Callable[[], None]:
        digits = np.empty(1 << kernels.DIGIT, dtype=np.int64)
        arrays = (bucket_starts, passes, keys, sources, spare_keys, spare_sources, distinct, digits)
        return lambda: kernels.sort_buckets_range(*arrays, lo, hi)

    _parallel.run_tasks([sort(lo, hi) for lo, hi in pairwise(bounds)])
    if passes % 2:
        keys, sources = spare_keys, spare_sources
    ends = np.cumsum(distinct)
    total = int(ends[-1])
    touched, starts = np.empty(total, dtype=np.int64), np.empty(total + 1, dtype=np.int64)
    starts[total] = len(keys)
    _parallel.run_chunks(kernels.mark_rows_range, bounds, bucket_starts, keys, ends - distinct, touched, starts)
    return SortedPairs(touched, starts, sources)
