"""Items to bits and back: bits of instances, likelihoods and ranks of items, bits that items share.

Likelihoods are summed for `WIDTH` instances, a group, at once: their log-probabilities lie side by
side, so that one cache line brings a bit of all of them, and every sum keeps its order.

Arguments that kernels here share:

- `table` (items, k), `rows` (some items, k): the bits of each item.
- `starts` (n + 1,): where the values of each instance start, and the last end.
- `columns` (groups, bits, WIDTH): log-probabilities; `tile` (groups, TILE, WIDTH): room for scores.
- `prior`: the numbers that the items' sums begin with.
- `first`: the number of the first of the items whose bits are `rows`.
- `members`, `ends`, `places` (entries,): the items of all instances, where the instance of each
  entry ends, and the entries by item.
- `scratch`: float64 memory to work in.
"""

from __future__ import annotations

import numpy as np

from npbloom._kernels.jit import helper, kernel, prefetch
from npbloom.types import FloatArray, IntArray, Number, RowArray

WIDTH = 8  # instances scored at once
MARKS = 32  # marks read for each sorted value, at most
AHEAD = 8  # items between asking for the log-probabilities of their bits and adding them


# ---- bits of items and instances -----------------------------------------------------------------


@kernel
def distinct_rows_range(table: RowArray, lo: int, hi: int) -> None:
    """
    Replace ranks among the bits not yet in the row by the bits, from left to right.

    The r-th unused bit is the least x with ``x == r + (used bits up to x)``.
    """
    for i in range(lo, hi):
        for j in range(1, table.shape[1]):
            rank = table[i, j]
            bit = rank
            while True:
                used = 0
                for other in range(j):
                    used += table[i, other] <= bit
                if rank + used == bit:
                    break
                bit = rank + used
            table[i, j] = bit


@helper
def _sort(values: IntArray) -> None:
    """Sort in place by Shell's method."""
    gap = 1
    while gap < values.size // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, values.size):
            value = values[i]
            at = i
            while at >= gap and values[at - gap] > value:
                values[at] = values[at - gap]
                at -= gap
            values[at] = value
        gap //= 3


@helper
def _sort_distinct(values: IntArray) -> int:
    """Sort in place, each value once, and count them."""
    _sort(values)
    count = 0
    for i in range(values.size):
        if count == 0 or values[count - 1] != values[i]:
            values[count] = values[i]
            count += 1
    return count


@helper
def _mark_distinct(values: IntArray, marks: IntArray, found: IntArray, bound: int) -> int:
    """
    Sort as `_sort_distinct` does, by a mark for each value below `bound`.

    This reads all marks. `found` has room for one more.
    """
    for i in range(values.size):
        marks[values[i]] = 1
    count = 0
    for value in range(bound):  # without a branch, which could not be predicted
        found[count] = value
        count += marks[value]
        marks[value] = 0
    for i in range(count):
        values[i] = found[i]
    return count


@kernel
def distinct_range(
    probes: RowArray, starts: IntArray, bound: int, bits: IntArray, counts: IntArray, scratch: FloatArray, lo: int, hi: int
) -> None:
    """
    Sort each instance's probes into its part of `bits`, each once, and count them.

    Values lie below `bound`. `scratch` is (2, bound + 1), or empty where no instance is large
    enough for marks to pay.
    """
    marks, found = scratch[0].view(np.int64), scratch[1].view(np.int64)
    marks[:] = 0
    for b in range(lo, hi):
        part = bits[starts[b] : starts[b + 1]]
        for i in range(part.size):
            part[i] = probes[starts[b] + i]
        if marks.size >= bound and part.size * MARKS >= bound:
            counts[b] = _mark_distinct(part, marks, found, bound)
        else:
            counts[b] = _sort_distinct(part)


@kernel
def pack_range(bits: IntArray, starts: IntArray, packed_starts: IntArray, packed: IntArray, lo: int, hi: int) -> None:
    """Move the distinct bits of each instance together."""
    for b in range(lo, hi):
        size = packed_starts[b + 1] - packed_starts[b]
        for i in range(size):
            packed[packed_starts[b] + i] = bits[starts[b] + i]


# ---- likelihoods ---------------------------------------------------------------------------------


@helper
def _score(columns: FloatArray, rows: RowArray, prior: FloatArray, start: int, stop: int, tile: FloatArray) -> None:
    """
    Write scores of a tile of items under a group of instances.

    Summed in float64 from the prior, probe by probe, and rounded once.
    """
    for q in range(start, stop):
        if q + AHEAD < rows.shape[0]:
            for j in range(rows.shape[1]):
                prefetch(columns, rows[q + AHEAD, j], 0)
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = prior[q]
        for j in range(rows.shape[1]):
            bit = rows[q, j]
            s0 += columns[bit, 0]
            s1 += columns[bit, 1]
            s2 += columns[bit, 2]
            s3 += columns[bit, 3]
            s4 += columns[bit, 4]
            s5 += columns[bit, 5]
            s6 += columns[bit, 6]
            s7 += columns[bit, 7]
        out = tile[q - start]
        out[0] = s0
        out[1] = s1
        out[2] = s2
        out[3] = s3
        out[4] = s4
        out[5] = s5
        out[6] = s6
        out[7] = s7


@kernel
def likelihood_range(
    columns: FloatArray, rows: RowArray, prior: FloatArray, first: int, tile: FloatArray, out: FloatArray, lo: int, hi: int
) -> None:
    """
    Compute ``out[b, first + q] = prior[q] + sum_j log_probs[b, rows[q, j]]``.

    Groups are [lo, hi).
    """
    for g in range(lo, hi):
        count = min(WIDTH, out.shape[0] - g * WIDTH)
        for start in range(0, rows.shape[0], tile.shape[1]):
            stop = min(start + tile.shape[1], rows.shape[0])
            _score(columns[g], rows, prior, start, stop, tile[g])
            for w in range(count):
                for q in range(start, stop):
                    out[g * WIDTH + w, first + q] = tile[g, q - start, w]


# ---- the best ------------------------------------------------------------------------------------


@helper
def _worse(score: Number, item: int, other: Number, other_item: int) -> bool:
    """
    Return True for a pair below another: a lower score, or of equal ones the higher item.

    NaN is lowest.
    """
    if score < other:
        return True
    if score > other:
        return False
    missing, other_missing = bool(score != score), bool(other != other)
    if missing != other_missing:
        return missing
    return item > other_item


@helper
def _sink(scores: FloatArray, items: IntArray, at: int, size: int) -> None:
    """Restore the heap, whose root is the worst pair, below `at`."""
    while True:
        worst, left = at, 2 * at + 1
        if left < size and _worse(scores[left], items[left], scores[worst], items[worst]):
            worst = left
        if left + 1 < size and _worse(scores[left + 1], items[left + 1], scores[worst], items[worst]):
            worst = left + 1
        if worst == at:
            return
        scores[at], scores[worst] = scores[worst], scores[at]
        items[at], items[worst] = items[worst], items[at]
        at = worst


@helper
def _holds(excluded: IntArray, lo: int, hi: int, item: int) -> bool:
    """Return True where an increasing part of `excluded` holds the item."""
    end = hi
    while lo < hi:
        middle = (lo + hi) // 2
        if excluded[middle] < item:
            lo = middle + 1
        else:
            hi = middle
    return lo < end and excluded[lo] == item


@helper
def _offer(scores: FloatArray, items: IntArray, size: int, score: Number, item: int) -> int:
    """Put a pair among the best if it is one of them; return the number of pairs after that."""
    if size < scores.size:
        at = size
        while at > 0 and _worse(score, item, scores[(at - 1) // 2], items[(at - 1) // 2]):
            scores[at], items[at] = scores[(at - 1) // 2], items[(at - 1) // 2]
            at = (at - 1) // 2
        scores[at], items[at] = score, item
        return size + 1
    if _worse(scores[0], items[0], score, item):
        scores[0], items[0] = score, item
        _sink(scores, items, 0, size)
    return size


@kernel
def top_k_range(
    columns: FloatArray,
    rows: RowArray,
    prior: FloatArray,
    first: int,
    excluded: IntArray,
    starts: IntArray,
    tile: FloatArray,
    limits: FloatArray,
    scores: FloatArray,
    items: IntArray,
    sizes: IntArray,
    lo: int,
    hi: int,
) -> None:
    """
    Offer the items from `first` on, whose bits are `rows`, to the heaps of groups [lo, hi).

    Heaps are `scores` and `items` (instances, k) with `sizes` (instances,) pairs in use. A score up
    to its limit (groups, WIDTH), the worst of a full heap, cannot enter: its item's number is
    higher. Where a heap is not full or holds NaN, the limit is NaN, and every score is offered.
    """
    for g in range(lo, hi):
        for start in range(0, rows.shape[0], tile.shape[1]):
            stop = min(start + tile.shape[1], rows.shape[0])
            _score(columns[g], rows, prior, start, stop, tile[g])
            for q in range(start, stop):
                hopeless = True
                for w in range(WIDTH):
                    hopeless &= tile[g, q - start, w] <= limits[g, w]
                if hopeless:
                    continue
                for w in range(WIDTH):
                    b = g * WIDTH + w
                    score = tile[g, q - start, w]
                    if score <= limits[g, w] or _holds(excluded, starts[b], starts[b + 1], first + q):
                        continue
                    sizes[b] = _offer(scores[b], items[b], sizes[b], score, first + q)
                    if sizes[b] == scores.shape[1]:
                        limits[g, w] = scores[b, 0]


@kernel
def order_range(scores: FloatArray, items: IntArray, sizes: IntArray, lo: int, hi: int) -> None:
    """Turn heaps into lists, best first; missing places are item -1 with score -inf."""
    for b in range(lo, hi):
        for end in range(sizes[b] - 1, 0, -1):
            scores[b, 0], scores[b, end] = scores[b, end], scores[b, 0]
            items[b, 0], items[b, end] = items[b, end], items[b, 0]
            _sink(scores[b], items[b], 0, end)
        for i in range(sizes[b], scores.shape[1]):
            scores[b, i] = -np.inf
            items[b, i] = -1


# ---- co-occurrence -------------------------------------------------------------------------------


@helper
def _together(members: IntArray, ends: IntArray, places: IntArray, lo: int, hi: int, counts: IntArray, touched: IntArray) -> int:
    """
    Count the items after an item in its instances, ``places[lo:hi]``.

    Return the number of different items.
    """
    size = 0
    for i in range(lo, hi):
        for at in range(places[i] + 1, ends[places[i]]):
            other = members[at]
            if counts[other] == 0:
                touched[size] = other
                size += 1
            counts[other] += 1
    return size


@kernel
def count_pairs_range(
    members: IntArray,
    ends: IntArray,
    places: IntArray,
    starts: IntArray,
    least: int,
    sizes: IntArray,
    scratch: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Count the items after each item that occur with it in at least `least` instances.

    `scratch` is (2, items).
    """
    counts, touched = scratch[0], scratch[1]
    counts[:] = 0
    for a in range(lo, hi):
        size = _together(members, ends, places, starts[a], starts[a + 1], counts, touched)
        found = 0
        for i in range(size):
            other = int(touched[i])
            found += counts[other] >= least
            counts[other] = 0
        sizes[a] = found


@kernel
def list_pairs_range(
    members: IntArray,
    ends: IntArray,
    places: IntArray,
    starts: IntArray,
    least: int,
    pair_starts: IntArray,
    pairs: IntArray,
    scratch: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    List the pairs that `count_pairs_range` counted, by increasing items.

    `pairs` (3, all pairs) has how often a pair is together, one item, the other; those of item a
    start at ``pair_starts[a]``. `scratch` is (2, items).
    """
    counts, touched = scratch[0], scratch[1]
    counts[:] = 0
    for a in range(lo, hi):
        size = _together(members, ends, places, starts[a], starts[a + 1], counts, touched)
        _sort(touched[:size])
        at = pair_starts[a]
        for i in range(size):
            other = int(touched[i])
            if counts[other] >= least:
                pairs[0, at], pairs[1, at], pairs[2, at] = counts[other], a, other
                at += 1
            counts[other] = 0


@helper
def _insert(values: IntArray, size: int, value: int) -> int:
    """Put a value into an increasing list, unless it is there; return the list's length."""
    at = size
    while at > 0 and values[at - 1] >= value:
        at -= 1
    if at < size and values[at] == value:
        return size
    for i in range(size, at, -1):
        values[i] = values[i - 1]
    values[at] = value
    return size + 1


@kernel
def share_range(
    table: RowArray, num_bits: int, firsts: IntArray, seconds: IntArray, draws: FloatArray, used: RowArray, lo: int, hi: int
) -> None:
    """
    Give pairs [lo, hi), in this order, a bit that neither item has. Not for threads.

    `draws` is (pairs, 3), in [0, 1); `used` has room for the bits of both items.
    """
    k = table.shape[1]
    for p in range(lo, hi):
        a, b = firsts[p], seconds[p]
        size = 0
        for j in range(k):
            size = _insert(used, size, table[a, j])
            size = _insert(used, size, table[b, j])
        unused = num_bits - size
        if unused == 0:
            continue
        bit = int(draws[p, 0] * unused)
        for i in range(size):
            if used[i] > bit:
                break
            bit += 1
        table[a, int(draws[p, 1] * k)] = bit
        table[b, int(draws[p, 2] * k)] = bit
