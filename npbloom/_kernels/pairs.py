"""A stable sort of the pairs of a batch: (row that was read, entry that read it).

Pairs are split by the high bits of their row into buckets, each thread its part of the batch
(`histogram_range`, `partition_range`); then each thread finishes whole buckets
(`sort_buckets_range`). Everything is stable, so a row's pairs stay in input order (L5), and nothing
has the table's size. Row and entry of a pair lie side by side, in columns 0 and 1 of `pairs`
(pairs, 2): what is moved together is on one cache line.
"""

from __future__ import annotations

from npbloom._kernels.jit import helper, kernel, prefetch
from npbloom.types import IntArray, RowArray

DIGIT = 12  # bits counted in one pass at most: 4096 counters fit the first cache
SMALL = 24  # pairs up to which insertion beats counting
SPARSE = 4  # counters for each pair beyond which two passes with fewer counters beat one


@kernel
def histogram_range(rows: RowArray, slices: int, reserved: int, shift: int, counts: IntArray, lo: int, hi: int) -> None:
    """
    Count the pairs of each bucket, without those of row `reserved`.

    `rows` (n, k) are the rows that entries read, `counts` (buckets,). The key of probe j of a row
    is the row, or its slice ``row * slices + j``; its bucket is ``key >> shift``.
    """
    for i in range(lo, hi):
        for j in range(rows.shape[1]):
            row = int(rows[i, j])
            if row != reserved:
                counts[(row if slices == 1 else row * slices + j) >> shift] += 1


@kernel
def partition_range(
    rows: RowArray,
    slices: int,
    reserved: int,
    shift: int,
    first: int,
    bag_of: IntArray | None,
    spread: bool,
    cursors: IntArray,
    pairs: RowArray,
    lo: int,
    hi: int,
) -> None:
    """
    Put each pair into its bucket at the bucket's cursor; entries count from `first`.

    The index of a pair is the entry, or its bag where `bag_of` (entries,) is given; with `spread`
    slice j of that one. `cursors` (buckets,) and `pairs` are written to.
    """
    for i in range(lo, hi):
        index = first + i if bag_of is None else int(bag_of[first + i])
        for j in range(rows.shape[1]):
            row = int(rows[i, j])
            if row != reserved:
                key = row if slices == 1 else row * slices + j
                at = cursors[key >> shift]
                # This bucket's next lines: 1.02 ms for 262,144 pairs without, 0.42 with.
                prefetch(pairs, at + 16, 0)
                cursors[key >> shift] = at + 1
                pairs[at, 0] = key
                pairs[at, 1] = index * slices + j if spread else index


@helper
def _insertion(pairs: RowArray, first: int, last: int) -> None:
    """Sort pairs ``[first, last)`` by stable insertion."""
    for s in range(first + 1, last):
        key, index = pairs[s, 0], pairs[s, 1]
        at = s
        while at > first and pairs[at - 1, 0] > key:
            pairs[at, 0] = pairs[at - 1, 0]
            pairs[at, 1] = pairs[at - 1, 1]
            at -= 1
        pairs[at, 0] = key
        pairs[at, 1] = index


@helper
def _counting(pairs: RowArray, to: RowArray, counts: IntArray, digit: int, bits: int, first: int, last: int) -> None:
    """
    Sort pairs ``[first, last)`` by the `bits` of the keys from `digit` on, by stable counting.
    """
    mask = (1 << bits) - 1
    for value in range(mask + 1):
        counts[value] = 0
    for s in range(first, last):
        counts[(pairs[s, 0] >> digit) & mask] += 1
    at = first
    for value in range(mask + 1):
        count = counts[value]
        counts[value] = at
        at += count
    for s in range(first, last):
        value = (pairs[s, 0] >> digit) & mask
        place = counts[value]
        counts[value] = place + 1
        to[place, 0] = pairs[s, 0]
        to[place, 1] = pairs[s, 1]


@helper
def _count_once(
    pairs: RowArray,
    indices: RowArray,
    rows: IntArray,
    indptr: IntArray,
    counts: IntArray,
    low: int,
    first: int,
    last: int,
    found: int,
) -> int:
    """
    Finish a bucket by one counting sort: its counters are the rows, and its prefix sums `indptr`.

    Keys need not move. Rows are written without a branch, and overwritten where they do not occur:
    such a branch could not be predicted.
    """
    mask = (1 << low) - 1
    for value in range(mask + 1):
        counts[value] = 0
    for s in range(first, last):
        counts[pairs[s, 0] & mask] += 1
    base = pairs[first, 0] - (pairs[first, 0] & mask)
    at = first
    for value in range(mask + 1):
        count = counts[value]
        rows[found] = base + value
        indptr[found] = at
        found += count > 0
        counts[value] = at
        at += count
    for s in range(first, last):
        value = pairs[s, 0] & mask
        place = counts[value]
        counts[value] = place + 1
        indices[place] = pairs[s, 1]
    return found


@helper
def _digit_bits(size: int, low: int) -> int:
    """
    Return the number of bits to count in one pass.

    A bucket then has no more counters than about twice its pairs.
    """
    bits = 4
    while bits < DIGIT and bits < low and (1 << bits) < size:
        bits += 1
    return bits


@kernel
def sort_buckets_range(
    bounds: IntArray,
    low: int,
    pairs: RowArray,
    spare: RowArray,
    indices: RowArray,
    rows: IntArray,
    indptr: IntArray,
    counts: IntArray,
    lo: int,
    hi: int,
) -> int:
    """
    Sort the pairs of buckets ``[lo, hi)`` into CSR form; return the number of rows that occur.

    The pairs of bucket b are ``pairs[bounds[b]:bounds[b + 1]]``; their keys differ in the `low` low
    bits. The distinct rows are written to `rows`, the places where the pairs of each begin, and at
    last end, to `indptr`, and the indices, row by row, to `indices` (pairs,). `rows` and `indptr`
    have room for one more than there are pairs. `spare` is like `pairs`, `counts` has room for
    ``2**min(low, DIGIT)`` counters, and at least 16.
    """
    found = 0
    for bucket in range(lo, hi):
        first, last = bounds[bucket], bounds[bucket + 1]
        size = last - first
        if size > SMALL and low <= DIGIT and (1 << low) <= SPARSE * size:
            found = _count_once(pairs, indices, rows, indptr, counts, low, first, last, found)
            continue
        now, other = pairs, spare
        if size <= SMALL:
            _insertion(now, first, last)
        else:
            bits = _digit_bits(size, low)
            for digit in range(0, low, bits):
                _counting(now, other, counts, digit, bits, first, last)
                now, other = other, now
        for s in range(first, last):
            indices[s] = now[s, 1]
            if s == first or now[s, 0] != now[s - 1, 0]:
                rows[found] = now[s, 0]
                indptr[found] = s
                found += 1
    indptr[found] = bounds[hi]
    return found
