"""Output gradients -> gradients of rows: a stable sort of the probed rows, then one sum for each touched row.

A pair is (row that was read, entry that read it). Pairs are split by the high bits of their row into buckets, each thread
its part of the batch (`histogram_range`, `partition_range`); then each thread finishes whole buckets (`sort_buckets_range`,
`join_buckets_range`). Everything is stable, so a row's pairs stay in input order (L5), and nothing has the table's size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom._kernels.jit import helper, kernel, prefetch

AHEAD = 8
DIGIT = 11  # bits sorted in one pass: 2048 counters fit the first cache
SMALL = 32  # pairs up to which insertion beats counting


@kernel
def histogram_range(rows: Any, slices: int, reserved: int, shift: int, counts: Any, lo: int, hi: int) -> None:
    """Count the pairs of each bucket; the key of probe j of a row is the row, or its slice ``row * slices + j``."""
    for i in range(lo, hi):
        for j in range(rows.shape[1]):
            row = np.int64(rows[i, j])
            if row != reserved:
                key = row if slices == 1 else row * slices + j
                counts[key >> shift] += 1


@kernel
def partition_range(
    rows: Any, slices: int, reserved: int, shift: int, owner: Any, cursors: Any, keys: Any, sources: Any, lo: int, hi: int
) -> None:
    """Put each pair into its bucket at the bucket's cursor; the source is the entry, or its bag where `owner` is given."""
    for i in range(lo, hi):
        source = i if owner is None else owner[i]
        for j in range(rows.shape[1]):
            row = np.int64(rows[i, j])
            if row != reserved:
                key = row if slices == 1 else row * slices + j
                at = cursors[key >> shift]
                cursors[key >> shift] = at + 1
                keys[at] = key
                sources[at] = source


@helper
def _insertion(keys: Any, sources: Any, to_keys: Any, to_sources: Any, first: int, last: int) -> None:
    """Stable insertion sort of ``[first, last)`` into the other arrays, which may be the same."""
    for s in range(first, last):
        key, source = keys[s], sources[s]
        at = s
        while at > first and to_keys[at - 1] > key:
            to_keys[at] = to_keys[at - 1]
            to_sources[at] = to_sources[at - 1]
            at -= 1
        to_keys[at] = key
        to_sources[at] = source


@helper
def _counting(keys: Any, sources: Any, to_keys: Any, to_sources: Any, counts: Any, digit: int, first: int, last: int) -> None:
    """Stable counting sort of ``[first, last)`` by one digit of the keys."""
    mask = counts.shape[0] - 1
    for value in range(counts.shape[0]):
        counts[value] = 0
    for s in range(first, last):
        counts[(keys[s] >> digit) & mask] += 1
    at = first
    for value in range(counts.shape[0]):
        count = counts[value]
        counts[value] = at
        at += count
    for s in range(first, last):
        value = (keys[s] >> digit) & mask
        to_keys[counts[value]] = keys[s]
        to_sources[counts[value]] = sources[s]
        counts[value] += 1


@kernel
def sort_buckets_range(
    bounds: Any, low: int, keys: Any, sources: Any, spare_keys: Any, spare_sources: Any, rows: Any, row_starts: Any,
    distinct: Any, counts: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """Sort each bucket's pairs by the `low` bits that its keys differ in, and note its distinct rows.

    Sorted sources end up in `spare_sources`. A bucket's distinct rows, and where the pairs of each begin, are written from the
    bucket's own first place on: there are never more rows than pairs, so no bucket reaches into another.
    """
    passes = (low + DIGIT - 1) // DIGIT
    for bucket in range(lo, hi):
        first, last = bounds[bucket], bounds[bucket + 1]
        if last - first > SMALL and passes <= 1:
            distinct[bucket] = _count_once(keys, sources, spare_sources, rows, row_starts, counts, low, first, last)
            continue
        if last - first <= SMALL:
            _insertion(keys, sources, spare_keys, spare_sources, first, last)
        else:
            for done in range(passes):
                if done & 1:
                    _counting(spare_keys, spare_sources, keys, sources, counts, done * DIGIT, first, last)
                else:
                    _counting(keys, sources, spare_keys, spare_sources, counts, done * DIGIT, first, last)
            if passes % 2 == 0:
                for s in range(first, last):
                    spare_keys[s] = keys[s]
                    spare_sources[s] = sources[s]
        at = first
        for s in range(first, last):
            if s == first or spare_keys[s] != spare_keys[s - 1]:
                rows[at] = spare_keys[s]
                row_starts[at] = s
                at += 1
        distinct[bucket] = at - first


@helper
def _count_once(
    keys: Any, sources: Any, to_sources: Any, rows: Any, row_starts: Any, counts: Any, low: int, first: int, last: int
) -> Any:
    """One counting sort is enough: its counters are the rows, and its prefix sums where they begin; keys need not move."""
    mask = (1 << low) - 1
    for value in range(mask + 1):
        counts[value] = 0
    for s in range(first, last):
        counts[keys[s] & mask] += 1
    base = keys[first] - (keys[first] & mask)
    at, found = first, first
    for value in range(mask + 1):
        count = counts[value]
        if count > 0:
            rows[found] = base + value
            row_starts[found] = at
            found += 1
            counts[value] = at
            at += count
    for s in range(first, last):
        value = keys[s] & mask
        to_sources[counts[value]] = sources[s]
        counts[value] += 1
    return found - first


@kernel
def join_buckets_range(
    bounds: Any, firsts: Any, distinct: Any, rows: Any, row_starts: Any, touched: Any, starts: Any, lo: int, hi: int
) -> None:
    """Move each bucket's distinct rows, and where their pairs begin, to their place among all."""
    for bucket in range(lo, hi):
        for q in range(distinct[bucket]):
            touched[firsts[bucket] + q] = rows[bounds[bucket] + q]
            starts[firsts[bucket] + q] = row_starts[bounds[bucket] + q]


@helper
def _prefetch_row(grad: Any, b: Any, step: int) -> None:
    """Ask for every cache line of a gradient row; `step` is the number of values in one."""
    for column in range(0, grad.shape[1], step):
        prefetch(grad, b, column)


@kernel
def sum_rows_range(grad: Any, sources: Any, starts: Any, values: Any, acc: Any, lo: int, hi: int) -> None:
    """Gradient of each touched row in ``[lo, hi)`` into ``values[0 : hi - lo]``: the plain sum of its sources' rows (L5).

    Most rows have one or two pairs: those go from gradient to value without the accumulator. Hot rows take four pairs a pass,
    which keeps the accumulator in registers; the order of additions is that of one pair a pass.
    """
    d, step, end = grad.shape[1], 64 // grad.itemsize, starts[hi]
    zero = np.float64(0.0)
    for q in range(lo, hi):
        first, last = starts[q], starts[q + 1]
        if last - first <= 2:
            for s in range(first + AHEAD, min(last + AHEAD, end)):
                _prefetch_row(grad, sources[s], step)
            b0, b1 = sources[first], sources[last - 1]
            if last - first == 1:
                for c in range(d):
                    values[q - lo, c] = zero + grad[b0, c]
            else:
                for c in range(d):
                    values[q - lo, c] = (zero + grad[b0, c]) + grad[b1, c]
            continue
        for c in range(d):
            acc[c] = 0.0
        s = first
        while s + 4 <= last:
            for ahead in range(s + AHEAD, min(s + AHEAD + 4, end)):
                _prefetch_row(grad, sources[ahead], step)
            b0, b1, b2, b3 = sources[s], sources[s + 1], sources[s + 2], sources[s + 3]
            for c in range(d):
                acc[c] = (((acc[c] + grad[b0, c]) + grad[b1, c]) + grad[b2, c]) + grad[b3, c]
            s += 4
        while s < last:
            if s + AHEAD < end:
                _prefetch_row(grad, sources[s + AHEAD], step)
            b0 = sources[s]
            for c in range(d):
                acc[c] += grad[b0, c]
            s += 1
        for c in range(d):
            values[q - lo, c] = acc[c]


@helper
def _over(value: Any, divisor: Any) -> Any:
    """A quotient, or the value where there is nothing to divide by: decided when the kernel is compiled."""
    return value if divisor is None else value / divisor


@kernel
def sum_terms_range(
    grad: Any, sources: Any, starts: Any, touched: Any, slices: int, owner: Any, counts: Any, weights: Any, winners: Any,
    divisor: Any, by_frequency: bool, values: Any, acc: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """The same where terms are scaled, sliced or won: ((G / count) * w) / divisor, summed, over the frequency (L5)."""
    width, step, end = acc.shape[0], 64 // grad.itemsize, starts[hi]
    for q in range(lo, hi):
        offset = 0 if slices == 1 else (touched[q] % slices) * width
        first, last = starts[q], starts[q + 1]
        for c in range(width):
            acc[c] = 0.0
        for s in range(first, last):
            if owner is None and s + AHEAD < end:
                _prefetch_row(grad, sources[s + AHEAD], step)
            source = sources[s]
            b = source if owner is None else owner[source]
            part = grad[b, offset : offset + width]  # a view: an offset added to every index would stop vectorisation
            if winners is not None:
                won = winners[b, offset : offset + width]
                for c in range(width):
                    if won[c] == source:
                        acc[c] += _over(np.float64(part[c]), divisor)
            elif counts is not None:
                count = counts[b]
                for c in range(width):
                    acc[c] += _over(np.float64(part[c]) / count, divisor)
            elif weights is not None:
                scale = np.float64(weights[source])
                for c in range(width):
                    acc[c] += _over(np.float64(part[c]) * scale, divisor)
            else:
                for c in range(width):
                    acc[c] += _over(np.float64(part[c]), divisor)
        if by_frequency:
            for c in range(width):
                acc[c] /= np.float64(last - first)
        for c in range(width):
            values[q - lo, c] = acc[c]
