"""RowGrad -> table: one step of each optimizer over gradient rows, in the table's dtype, left to right as written (L32).

`rows` names the table row of each gradient row; None means that gradient row q is the table's row q. Scalars come
as a named tuple of the table's dtype: Numba would make ``float32 * 0.1`` a float64. The flag `decays` says whether there is
weight decay at all: a term with coefficient 0 is not computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npbloom._kernels.jit import helper, kernel, prefetch

AHEAD = 8


class SGD(NamedTuple):
    """Scalars of an SGD step."""

    lr: Any
    momentum: Any
    weight_decay: Any
    decays: bool


class Adagrad(NamedTuple):
    """Scalars of a step of Adagrad and RowWiseAdagrad; `lr` is the rate after `lr_decay`."""

    lr: Any
    weight_decay: Any
    eps: Any
    decays: bool


class Adam(NamedTuple):
    """Scalars of an Adam step; `rest` is ``1 - beta``, `correction` is ``1 - beta**step``."""

    lr: Any
    beta1: Any
    rest1: Any
    correction1: Any
    beta2: Any
    rest2: Any
    correction2: Any
    weight_decay: Any
    eps: Any
    decays: bool


@helper
def _prefetch_row(table: Any, row: Any, step: int) -> None:
    """Ask for every cache line of a row; `step` is the number of values in one."""
    for column in range(0, table.shape[1], step):
        prefetch(table, row, column)


@helper
def _decayed(grad: Any, w: Any, scalars: Any) -> Any:
    """The gradient with weight decay, where there is any."""
    if scalars.decays:
        return grad + scalars.weight_decay * w
    return grad


@kernel
def sgd_range(weight: Any, rows: Any, values: Any, buffer: Any, scalars: Any, lo: int, hi: int) -> None:
    """``buf = momentum * buf + g; w -= lr * buf``, without momentum ``w -= lr * g`` (L28)."""
    step = 64 // weight.itemsize
    for q in range(lo, hi):
        if rows is not None and q + AHEAD < hi:
            _prefetch_row(weight, rows[q + AHEAD], step)
            if buffer is not None:
                _prefetch_row(buffer, rows[q + AHEAD], step)
        row = q if rows is None else rows[q]
        for c in range(weight.shape[1]):
            grad = _decayed(values[q, c], weight[row, c], scalars)
            if buffer is not None:
                grad = scalars.momentum * buffer[row, c] + grad
                buffer[row, c] = grad
            weight[row, c] = weight[row, c] - scalars.lr * grad


@kernel
def adagrad_range(weight: Any, rows: Any, values: Any, total: Any, scalars: Any, lo: int, hi: int) -> None:
    """``sum += g * g; w -= lr * g / (sqrt(sum) + eps)`` (L29)."""
    step = 64 // weight.itemsize
    for q in range(lo, hi):
        if rows is not None and q + AHEAD < hi:
            _prefetch_row(weight, rows[q + AHEAD], step)
            _prefetch_row(total, rows[q + AHEAD], step)
        row = q if rows is None else rows[q]
        for c in range(weight.shape[1]):
            grad = _decayed(values[q, c], weight[row, c], scalars)
            squares = total[row, c] + grad * grad
            total[row, c] = squares
            weight[row, c] = weight[row, c] - scalars.lr * grad / (np.sqrt(squares) + scalars.eps)


@kernel
def rowwise_adagrad_range(weight: Any, rows: Any, values: Any, total: Any, scalars: Any, lo: int, hi: int) -> None:
    """``sum_r += mean(g * g); w -= lr * g / (sqrt(sum_r) + eps)``, the mean in float64, rounded once (L30)."""
    d = weight.shape[1]
    step = 64 // weight.itemsize
    for q in range(lo, hi):
        if rows is not None and q + AHEAD < hi:
            _prefetch_row(weight, rows[q + AHEAD], step)
        row = q if rows is None else rows[q]
        squares = np.float64(0.0)
        for c in range(d):
            grad = np.float64(_decayed(values[q, c], weight[row, c], scalars))
            squares += grad * grad
        total[row] = total[row] + weight.dtype.type(squares / np.float64(d))
        scale = np.sqrt(total[row]) + scalars.eps
        for c in range(d):
            grad = _decayed(values[q, c], weight[row, c], scalars)
            weight[row, c] = weight[row, c] - scalars.lr * grad / scale


@kernel
def adam_range(weight: Any, rows: Any, values: Any, first: Any, second: Any, scalars: Any, lo: int, hi: int) -> None:
    """Bias-corrected moments, eps outside the root (L31)."""
    step = 64 // weight.itemsize
    for q in range(lo, hi):
        if rows is not None and q + AHEAD < hi:
            _prefetch_row(weight, rows[q + AHEAD], step)
            _prefetch_row(first, rows[q + AHEAD], step)
            _prefetch_row(second, rows[q + AHEAD], step)
        row = q if rows is None else rows[q]
        for c in range(weight.shape[1]):
            grad = _decayed(values[q, c], weight[row, c], scalars)
            mean = scalars.beta1 * first[row, c] + scalars.rest1 * grad
            square = scalars.beta2 * second[row, c] + scalars.rest2 * (grad * grad)
            first[row, c] = mean
            second[row, c] = square
            length = scalars.lr * (mean / scalars.correction1)
            weight[row, c] = weight[row, c] - length / (np.sqrt(square / scalars.correction2) + scalars.eps)
