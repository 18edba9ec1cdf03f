"""Vectors -> scores -> ranks: dot products in one fixed order, and counts of what stands above a test item, without sorting.

A matrix product from BLAS adds in an order that depends on where a column stands, so equal vectors get unequal scores and ties
are lost. Here every score is the sum over the columns from left to right, in the dtype of the vectors, wherever it is computed.
"""

from __future__ import annotations

from typing import Any

from npbloom._kernels.jit import kernel

TILE = 512  # items scored at once: their scores stay in the first cache while all columns are added


@kernel
def score_range(users: Any, items: Any, out: Any, lo: int, hi: int) -> None:
    """``out[b, q] = sum_c users[b, c] * items[c, q]``, from left to right."""
    width, size = items.shape
    for start in range(0, size, TILE):
        stop = min(start + TILE, size)
        for b in range(lo, hi):
            scores = out[b, start:stop]
            i0, u0 = items[0, start:stop], users[b, 0]
            for q in range(scores.shape[0]):
                scores[q] = u0 * i0[q]
            c = 1
            while c + 4 <= width:  # four columns a pass keep the sum in a register; the order is that of one column a pass
                i0, i1, i2, i3 = (
                    items[c, start:stop],
                    items[c + 1, start:stop],
                    items[c + 2, start:stop],
                    items[c + 3, start:stop],
                )
                u0, u1, u2, u3 = users[b, c], users[b, c + 1], users[b, c + 2], users[b, c + 3]
                for q in range(scores.shape[0]):
                    scores[q] = (((scores[q] + u0 * i0[q]) + u1 * i1[q]) + u2 * i2[q]) + u3 * i3[q]
                c += 4
            while c < width:
                i0, u0 = items[c, start:stop], users[b, c]
                for q in range(scores.shape[0]):
                    scores[q] += u0 * i0[q]
                c += 1


@kernel
def pair_range(users: Any, items: Any, out: Any, lo: int, hi: int) -> None:
    """``out[i] = sum_c users[i, c] * items[i, c]``, from left to right."""
    for i in range(lo, hi):
        total = users[i, 0] * items[i, 0]
        for c in range(1, users.shape[1]):
            total = total + users[i, c] * items[i, c]
        out[i] = total


@kernel
def count_range(scores: Any, starts: Any, items: Any, above: Any, equal: Any, before: Any, lo: int, hi: int) -> None:
    """For the test items ``items[starts[b]:starts[b + 1]]`` of row b: scores above, scores equal, equal further left.

    An item does not count itself. NaN counts nowhere: it marks what is no item.
    """
    for b in range(lo, hi):
        for pair in range(starts[b], starts[b + 1]):
            item = items[pair]
            target = scores[b, item]
            higher = 0
            left = 0
            right = 0
            for q in range(item):
                higher += scores[b, q] > target
                left += scores[b, q] == target
            for q in range(item + 1, scores.shape[1]):
                higher += scores[b, q] > target
                right += scores[b, q] == target
            above[pair] = higher
            equal[pair] = left + right
            before[pair] = left
