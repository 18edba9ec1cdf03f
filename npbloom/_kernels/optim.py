"""RowGrad to table: one step of each optimizer over gradient rows, in the table's dtype (L32).

Arithmetic is done left to right as written. The gradient of table row ``rows[q]`` is the sum of
segment q (`segments.sum_segment`), held in the first cache while it is applied eight columns at a
time, so that a fused step writes nothing of size (u, d). Without `segments` it is row q of `grad`,
and without `rows` the table's row is q, too. So `step` and `update` are one kernel, and equal by
construction (L26). Scalars come as a named tuple of the table's dtype: Numba would make
``float32 * 0.1`` a float64. The flag `decays` is False where there is no weight decay: a term with
coefficient 0 is not computed.

Arguments that all kernels here share:

- `weight` (m, d): the table, written to.
- `rows` (u,): touched rows, distinct and increasing; None for all rows.
- `grad`: gradient rows (u, d), or the output gradient (outputs, d) that `segments` sums.
- `segments`: which rows of `grad` add up to each gradient row, or None.
- state arrays: (m, d), or (m,) where there is one value a row; written to.
- `grad_row`: room for a gradient row in the table's dtype, (1, d).
- `lo`, `hi`: the gradient rows to step with.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from npbloom._kernels.jit import helper, kernel, prefetch
from npbloom._kernels.lanes import WIDTH, Columns, add_to_lane, load, root, store, sum_lanes, wide, wide_zeros
from npbloom._kernels.segments import Segments, sum_segment, whole
from npbloom.types import FloatArray, IntArray, Number

AHEAD = 16  # touched rows between asking for table and state and stepping on them


class SGD(NamedTuple):
    """Scalars of an SGD step."""

    lr: Number
    momentum: Number
    weight_decay: Number
    decays: bool


class Adagrad(NamedTuple):
    """Scalars of a step of Adagrad and RowWiseAdagrad; `lr` is the rate after `lr_decay`."""

    lr: Number
    weight_decay: Number
    eps: Number
    decays: bool


class Adam(NamedTuple):
    """Scalars of an Adam step; `rest` is ``1 - beta``, `correction` is ``1 - beta**step``."""

    lr: Number
    beta1: Number
    rest1: Number
    correction1: Number
    beta2: Number
    rest2: Number
    correction2: Number
    weight_decay: Number
    eps: Number
    decays: bool


Scalars: TypeAlias = SGD | Adagrad | Adam


@helper
def _decayed(grad: Columns, w: Columns, scalars: Scalars) -> Columns:
    """Return the gradient with weight decay, if any."""
    if scalars.decays:
        return grad + w * scalars.weight_decay
    return grad


@helper
def _target(rows: IntArray | None, q: int) -> int:
    """Return the table's row of gradient row q."""
    row: int = q if rows is None else rows[q]
    return row


@helper
def _later(rows: IntArray | None, q: int, hi: int) -> int:
    """
    Return the table's row that is stepped on `AHEAD` rows later.

    It is prefetched a line at a time, between the columns of this row. Prefetched at once, 143,891
    rows of 64 columns, whose gradients began 16 bytes into a line, took Adagrad 10.0 ms with
    sorting on one thread; line by line they took 7.9 ms.
    """
    return _target(rows, min(q + AHEAD, hi - 1))


@helper
def _gradient(grad: FloatArray, segments: Segments | None, q: int, grad_row: FloatArray) -> None:
    """Write gradient row q, the sum of its segment or row q of `grad`, into `grad_row`."""
    if segments is None:
        for c in range(0, whole(grad.shape[1]), WIDTH):
            store(grad_row, 0, c, load(grad, q, c))
        for c in range(whole(grad.shape[1]), grad.shape[1]):
            grad_row[0, c] = grad[q, c]
    else:
        indptr, indices, bag_of, weights = segments
        first, last = indptr[q], indptr[q + 1]
        sum_segment(grad, indices, bag_of, weights, None, first, last, None, None, grad_row, 0)


@helper
def _sgd(w: Columns, grad: Columns, scalars: SGD) -> Columns:
    """Return new weights (L28)."""
    return w - grad * scalars.lr


@helper
def _momentum(w: Columns, buffer: Columns, grad: Columns, scalars: SGD) -> Columns:
    """Return the new momentum buffer (L28)."""
    return buffer * scalars.momentum + _decayed(grad, w, scalars)


@kernel
def sgd_range(
    weight: FloatArray,
    rows: IntArray | None,
    grad: FloatArray,
    segments: Segments | None,
    buffer: FloatArray | None,
    scalars: SGD,
    grad_row: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Compute ``buf = momentum * buf + g; w -= lr * buf``, or ``w -= lr * g`` (L28).

    The latter is without momentum.
    """
    d = weight.shape[1]
    for q in range(lo, hi):
        row, later = _target(rows, q), _later(rows, q, hi)
        _gradient(grad, segments, q, grad_row)
        for c in range(0, whole(d), WIDTH):
            prefetch(weight, later, c)
            if buffer is not None:
                prefetch(buffer, later, c)
            g, w = load(grad_row, 0, c), load(weight, row, c)
            if buffer is None:
                store(weight, row, c, _sgd(w, _decayed(g, w, scalars), scalars))
            else:
                velocity = _momentum(w, load(buffer, row, c), g, scalars)
                store(buffer, row, c, velocity)
                store(weight, row, c, _sgd(w, velocity, scalars))
        for c in range(whole(d), d):
            g1, w1 = grad_row[0, c], weight[row, c]
            if buffer is None:
                weight[row, c] = _sgd(w1, _decayed(g1, w1, scalars), scalars)
            else:
                velocity1 = _momentum(w1, buffer[row, c], g1, scalars)
                buffer[row, c] = velocity1
                weight[row, c] = _sgd(w1, velocity1, scalars)


@helper
def _adagrad(w: Columns, total: Columns, grad: Columns, scalars: Adagrad) -> tuple[Columns, Columns]:
    """Return new weights and the new sum of squares (L29)."""
    grad = _decayed(grad, w, scalars)
    total = total + grad * grad
    return w - grad * scalars.lr / (root(total) + scalars.eps), total


@kernel
def adagrad_range(
    weight: FloatArray,
    rows: IntArray | None,
    grad: FloatArray,
    segments: Segments | None,
    state_sum: FloatArray,
    scalars: Adagrad,
    grad_row: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """Compute ``sum += g * g; w -= lr * g / (sqrt(sum) + eps)`` (L29)."""
    d = weight.shape[1]
    for q in range(lo, hi):
        row, later = _target(rows, q), _later(rows, q, hi)
        _gradient(grad, segments, q, grad_row)
        for c in range(0, whole(d), WIDTH):
            prefetch(weight, later, c)
            prefetch(state_sum, later, c)
            g = load(grad_row, 0, c)
            w, squares = _adagrad(load(weight, row, c), load(state_sum, row, c), g, scalars)
            store(state_sum, row, c, squares)
            store(weight, row, c, w)
        for c in range(whole(d), d):
            weight[row, c], state_sum[row, c] = _adagrad(weight[row, c], state_sum[row, c], grad_row[0, c], scalars)


@helper
def _rowwise(w: Columns, grad: Columns, scale: Number, scalars: Adagrad) -> Columns:
    """Return new weights (L30)."""
    return w - grad * scalars.lr / scale


@kernel
def rowwise_adagrad_range(
    weight: FloatArray,
    rows: IntArray | None,
    grad: FloatArray,
    segments: Segments | None,
    state_sum: FloatArray,
    scalars: Adagrad,
    grad_row: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Compute ``sum_r += mean(g * g); w -= lr * g / (sqrt(sum_r) + eps)`` (L30).

    The mean is in float64, its sum in eight parts (L5). `state_sum` is (m,).
    """
    d = weight.shape[1]
    for q in range(lo, hi):
        row, later = _target(rows, q), _later(rows, q, hi)
        _gradient(grad, segments, q, grad_row)
        parts = wide_zeros()
        for c in range(0, whole(d), WIDTH):
            prefetch(weight, later, c)
            g = _decayed(load(grad_row, 0, c), load(weight, row, c), scalars)
            store(grad_row, 0, c, g)
            parts = parts + wide(g) * wide(g)
        for c in range(whole(d), d):
            g1 = _decayed(grad_row[0, c], weight[row, c], scalars)
            grad_row[0, c] = g1
            parts = add_to_lane(parts, c - whole(d), np.float64(g1) * np.float64(g1))
        state_sum[row] = state_sum[row] + weight.dtype.type(sum_lanes(parts) / np.float64(d))
        scale = root(state_sum[row]) + scalars.eps
        for c in range(0, whole(d), WIDTH):
            store(weight, row, c, _rowwise(load(weight, row, c), load(grad_row, 0, c), scale, scalars))
        for c in range(whole(d), d):
            weight[row, c] = _rowwise(weight[row, c], grad_row[0, c], scale, scalars)


@helper
def _adam(w: Columns, mean: Columns, square: Columns, grad: Columns, scalars: Adam) -> tuple[Columns, Columns, Columns]:
    """Return new weights and moments (L31)."""
    grad = _decayed(grad, w, scalars)
    mean = mean * scalars.beta1 + grad * scalars.rest1
    square = square * scalars.beta2 + (grad * grad) * scalars.rest2
    length = (mean / scalars.correction1) * scalars.lr
    return w - length / (root(square / scalars.correction2) + scalars.eps), mean, square


@kernel
def adam_range(
    weight: FloatArray,
    rows: IntArray | None,
    grad: FloatArray,
    segments: Segments | None,
    exp_avg: FloatArray,
    exp_avg_sq: FloatArray,
    scalars: Adam,
    grad_row: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """Step with bias-corrected moments, eps outside the root (L31)."""
    d = weight.shape[1]
    for q in range(lo, hi):
        row, later = _target(rows, q), _later(rows, q, hi)
        _gradient(grad, segments, q, grad_row)
        for c in range(0, whole(d), WIDTH):
            prefetch(weight, later, c)
            prefetch(exp_avg, later, c)
            prefetch(exp_avg_sq, later, c)
            g = load(grad_row, 0, c)
            w, mean, square = _adam(load(weight, row, c), load(exp_avg, row, c), load(exp_avg_sq, row, c), g, scalars)
            store(exp_avg, row, c, mean)
            store(exp_avg_sq, row, c, square)
            store(weight, row, c, w)
        for c in range(whole(d), d):
            w1, mean1, square1 = _adam(weight[row, c], exp_avg[row, c], exp_avg_sq[row, c], grad_row[0, c], scalars)
            exp_avg[row, c], exp_avg_sq[row, c], weight[row, c] = mean1, square1, w1
