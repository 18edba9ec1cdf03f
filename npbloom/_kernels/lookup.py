"""Rows -> vectors: gathers, bags and Bloom sums. Sums run in float64 in input order and are rounded once (L5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom._kernels.jit import helper, kernel, prefetch

AHEAD = 8  # ids between a prefetch and its use: long enough for memory, short enough to stay in the first cache


@helper
def _prefetch_row(weight: Any, row: Any, step: int) -> None:
    """Ask for every cache line of a row; `step` is the number of values in one."""
    for column in range(0, weight.shape[1], step):
        prefetch(weight, row, column)


@kernel
def gather_range(weight: Any, ids: Any, out: Any, lo: int, hi: int) -> None:
    """``out[i] = weight[ids[i]]``, bits copied."""
    step = 64 // weight.itemsize
    for i in range(lo, hi):
        if i + AHEAD < hi:
            _prefetch_row(weight, ids[i + AHEAD], step)
        row = ids[i]
        for c in range(weight.shape[1]):
            out[i, c] = weight[row, c]


@helper
def _store(out: Any, i: int, acc: Any, divisor: Any) -> None:
    """Round an accumulator once into row i; a divisor of 1 is no division."""
    if divisor == 1.0:
        for c in range(acc.shape[0]):
            out[i, c] = acc[c]
    else:
        for c in range(acc.shape[0]):
            out[i, c] = acc[c] / divisor


@helper
def _sum_probes(weight: Any, rows: Any, i: int, reserved: int, acc: Any) -> None:
    """The sum of the rows that id i probes, in order, probes of the reserved row left out (L21, L22)."""
    k, d = rows.shape[1], weight.shape[1]
    for c in range(d):
        acc[c] = 0.0
    j = 0
    while j < k:
        # Four rows a pass keep the accumulator in registers; the order of additions is that of one row a pass.
        if j + 4 <= k:
            r0, r1, r2, r3 = rows[i, j], rows[i, j + 1], rows[i, j + 2], rows[i, j + 3]
            if r0 != reserved and r1 != reserved and r2 != reserved and r3 != reserved:
                for c in range(d):
                    acc[c] = (((acc[c] + weight[r0, c]) + weight[r1, c]) + weight[r2, c]) + weight[r3, c]
                j += 4
                continue
        row = rows[i, j]
        if row != reserved:
            for c in range(d):
                acc[c] += weight[row, c]
        j += 1


@helper
def _concat_probes(weight: Any, rows: Any, i: int, reserved: int, acc: Any) -> None:
    """Slice j of id i's vector from the row of probe j (L21)."""
    width = weight.shape[1] // rows.shape[1]
    for j in range(rows.shape[1]):
        row = rows[i, j]
        for c in range(j * width, (j + 1) * width):
            acc[c] = 0.0
            if row != reserved:
                acc[c] += weight[row, c]


@kernel
def bloom_sum_range(weight: Any, rows: Any, reserved: int, divisor: Any, out: Any, acc: Any, lo: int, hi: int) -> None:
    """Vector of every id as the sum of its probes over `divisor`; `reserved` is the row that adds nothing, or -1."""
    k, d, step = rows.shape[1], weight.shape[1], 64 // weight.itemsize
    for i in range(lo, hi):
        if i + AHEAD < hi:
            for j in range(k):
                _prefetch_row(weight, rows[i + AHEAD, j], step)
        if k == 4 and divisor == 1.0:
            # The default: one pass from table to output, without the accumulator in between.
            r0, r1, r2, r3 = rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3]
            if r0 != reserved and r1 != reserved and r2 != reserved and r3 != reserved:
                for c in range(d):
                    out[i, c] = (((np.float64(0.0) + weight[r0, c]) + weight[r1, c]) + weight[r2, c]) + weight[r3, c]
                continue
        _sum_probes(weight, rows, i, reserved, acc)
        _store(out, i, acc, divisor)


@kernel
def bloom_concat_range(weight: Any, rows: Any, reserved: int, out: Any, acc: Any, lo: int, hi: int) -> None:
    """Vector of every id, slice j from the row of probe j."""
    for i in range(lo, hi):
        _concat_probes(weight, rows, i, reserved, acc)
        _store(out, i, acc, 1.0)


@kernel
def bag_sum_range(
    weight: Any, ids: Any, starts: Any, weights: Any, mean: bool, padding: int, out: Any, acc: Any, lo: int, hi: int
) -> None:
    """Sum or mean of the rows of every bag; padding is left out of both sum and count (L14 to L16)."""
    d, step, end = weight.shape[1], 64 // weight.itemsize, starts[hi]
    for b in range(lo, hi):
        for c in range(d):
            acc[c] = 0.0
        count = 0
        for i in range(starts[b], starts[b + 1]):
            if i + AHEAD < end:
                _prefetch_row(weight, ids[i + AHEAD], step)
            row = ids[i]
            if row == padding:
                continue
            count += 1
            if weights is None:
                for c in range(d):
                    acc[c] += weight[row, c]
            else:
                scale = np.float64(weights[i])
                for c in range(d):
                    acc[c] += scale * weight[row, c]
        _store(out, b, acc, np.float64(count) if mean and count > 0 else np.float64(1.0))


@kernel
def bag_max_range(weight: Any, ids: Any, starts: Any, padding: int, winners: Any, out: Any, lo: int, hi: int) -> None:
    """Maximum of every bag by dimension, and the entry that won it (-1: none); NaN wins, the first one (L17)."""
    d = weight.shape[1]
    for b in range(lo, hi):
        for c in range(d):
            out[b, c] = 0.0
            winners[b, c] = -1
        for i in range(starts[b], starts[b + 1]):
            row = ids[i]
            if row == padding:
                continue
            for c in range(d):
                value, best = weight[row, c], out[b, c]
                if winners[b, c] < 0 or value > best or (value != value and best == best):
                    out[b, c] = value
                    winners[b, c] = i


@helper
def _vector(weight: Any, rows: Any, i: int, reserved: int, divisor: Any, concat: bool, vector: Any) -> None:
    """The Bloom vector of id i in float64, unrounded (L23b)."""
    if concat:
        _concat_probes(weight, rows, i, reserved, vector)
    else:
        _sum_probes(weight, rows, i, reserved, vector)
        if divisor != 1.0:
            for c in range(vector.shape[0]):
                vector[c] /= divisor


@kernel
def bloom_bag_sum_range(
    weight: Any, ids: Any, rows: Any, starts: Any, weights: Any, mean: bool, padding: int, reserved: int,
    divisor: Any, concat: bool, out: Any, acc: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """Sum or mean of the Bloom vectors of every bag, rounded once; `acc` is (2, d): the bag and one id's vector."""
    d, step, end = weight.shape[1], 64 // weight.itemsize, starts[hi]
    total, vector = acc[0], acc[1]
    for b in range(lo, hi):
        for c in range(d):
            total[c] = 0.0
        count = 0
        for i in range(starts[b], starts[b + 1]):
            if i + AHEAD < end:
                for j in range(rows.shape[1]):
                    _prefetch_row(weight, rows[i + AHEAD, j], step)
            if ids[i] == padding:
                continue
            count += 1
            _vector(weight, rows, i, reserved, divisor, concat, vector)
            if weights is None:
                for c in range(d):
                    total[c] += vector[c]
            else:
                scale = np.float64(weights[i])
                for c in range(d):
                    total[c] += scale * vector[c]
        _store(out, b, total, np.float64(count) if mean and count > 0 else np.float64(1.0))


@kernel
def bloom_bag_max_range(
    weight: Any, ids: Any, rows: Any, starts: Any, padding: int, reserved: int, divisor: Any, concat: bool,
    winners: Any, out: Any, acc: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """Maximum of the Bloom vectors of every bag, compared in float64 and rounded once, and the entry that won it."""
    d = weight.shape[1]
    best, vector = acc[0], acc[1]
    for b in range(lo, hi):
        for c in range(d):
            best[c] = 0.0
            winners[b, c] = -1
        for i in range(starts[b], starts[b + 1]):
            if ids[i] == padding:
                continue
            _vector(weight, rows, i, reserved, divisor, concat, vector)
            for c in range(d):
                if winners[b, c] < 0 or vector[c] > best[c] or (vector[c] != vector[c] and best[c] == best[c]):
                    best[c] = vector[c]
                    winners[b, c] = i
        _store(out, b, best, np.float64(1.0))


@helper
def _dot(grad: Any, b: int, vector: Any) -> Any:
    """Dot product of a gradient row with a vector, in float64 and in column order (L18)."""
    total = np.float64(0.0)
    for c in range(vector.shape[0]):
        total += np.float64(grad[b, c]) * np.float64(vector[c])
    return total


@kernel
def bag_dot_range(weight: Any, ids: Any, starts: Any, grad: Any, padding: int, out: Any, lo: int, hi: int) -> None:
    """Gradient of each entry's weight: its bag's gradient times its row; 0 for padding (L18)."""
    for b in range(lo, hi):
        for i in range(starts[b], starts[b + 1]):
            out[i] = 0.0 if ids[i] == padding else _dot(grad, b, weight[ids[i]])


@kernel
def bloom_bag_dot_range(
    weight: Any, ids: Any, rows: Any, starts: Any, grad: Any, padding: int, reserved: int, divisor: Any, concat: bool,
    out: Any, acc: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """Gradient of each entry's weight: its bag's gradient times its Bloom vector; 0 for padding (L18, L23b)."""
    for b in range(lo, hi):
        for i in range(starts[b], starts[b + 1]):
            if ids[i] == padding:
                out[i] = 0.0
            else:
                _vector(weight, rows, i, reserved, divisor, concat, acc)
                out[i] = _dot(grad, b, acc)


@kernel
def renorm_range(weight: Any, touched: Any, max_norm: Any, norm_type: Any, lo: int, hi: int) -> None:
    """Scale each touched row whose norm exceeds `max_norm`, once, in place (L10)."""
    d = weight.shape[1]
    for q in range(lo, hi):
        row = touched[q]
        norm = np.float64(0.0)
        for c in range(d):
            value = np.abs(np.float64(weight[row, c]))
            if norm_type == 2.0:
                norm += value * value
            elif norm_type == 1.0:
                norm += value
            elif norm_type == np.inf:
                if value > norm or value != value:
                    norm = value
                if norm != norm:
                    break
            else:
                norm += value**norm_type
        if norm_type == 2.0:
            norm = np.sqrt(norm)
        elif norm_type != 1.0 and norm_type != np.inf:
            norm = norm ** (np.float64(1.0) / norm_type)
        if norm > max_norm:
            scale = max_norm / (norm + np.float64(1e-7))
            for c in range(d):
                weight[row, c] = np.float64(weight[row, c]) * scale
