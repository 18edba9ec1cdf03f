"""RowGrad -> table: one step of each optimizer over gradient rows, in the table's dtype, left to right as written (L32).

The gradient of table row ``touched[q]`` is the sum of its terms (`rows.sum_row`), held in the first cache while it is applied
eight columns at a time, so that a fused step writes nothing of size (u, d); without `sources` it is row q of `grad`, and
without `touched` the table's row is q, too. So `step` and `update` are one kernel, and equal by construction (L26). Scalars
come as a named tuple of the table's dtype: Numba would make ``float32 * 0.1`` a float64. The flag `decays` says whether there
is weight decay at all: a term with coefficient 0 is not computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npbloom._kernels.jit import helper, kernel, prefetch
from npbloom._kernels.lanes import WIDTH, load, load_wide, root, store
from npbloom._kernels.rows import sum_row, whole

AHEAD = 16  # touched rows between asking for table and state and stepping on them
GROUP = 4  # rows whose sums of squares go on side by side


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
def _decayed(grad: Any, w: Any, scalars: Any) -> Any:
    """The gradient with weight decay, where there is any."""
    if scalars.decays:
        return grad + w * scalars.weight_decay
    return grad


@helper
def _target(touched: Any, q: int) -> Any:
    """The table's row of gradient row q."""
    return q if touched is None else touched[q]


@helper
def _later(touched: Any, q: int, hi: int) -> Any:
    """
    The table's row that is stepped on `AHEAD` rows later.

    It is asked for a line at a time, between the columns of this one: 143,891 rows of 64 columns, whose gradients began 16
    bytes into a line, took Adagrad 10.0 ms with sorting on one thread where all requests came at once, and 7.9 ms so.
    """
    return _target(touched, min(q + AHEAD, hi - 1))


@helper
def _gradient(grad: Any, sources: Any, owner: Any, weights: Any, starts: Any, q: int, held: Any, r: int) -> None:
    """The gradient of touched row q in the table's dtype into row r of `held`: the sum of its terms, or row q of `grad`."""
    if sources is None:
        for c in range(0, whole(grad.shape[1]), WIDTH):
            store(held, r, c, load(grad, q, c))
        for c in range(whole(grad.shape[1]), grad.shape[1]):
            held[r, c] = grad[q, c]
    else:
        sum_row(grad, sources, owner, weights, None, starts[q], starts[q + 1], None, held, r)


@helper
def _sgd(w: Any, grad: Any, scalars: Any) -> Any:
    """New weights (L28)."""
    return w - grad * scalars.lr


@helper
def _momentum(w: Any, buffer: Any, grad: Any, scalars: Any) -> Any:
    """The new momentum buffer (L28)."""
    return buffer * scalars.momentum + _decayed(grad, w, scalars)


@kernel
def sgd_range(
    weight: Any, touched: Any, grad: Any, sources: Any, owner: Any, weights: Any, starts: Any, buffer: Any, scalars: Any,
    held: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """``buf = momentum * buf + g; w -= lr * buf``, without momentum ``w -= lr * g`` (L28)."""
    d = weight.shape[1]
    for q in range(lo, hi):
        row, later = _target(touched, q), _later(touched, q, hi)
        _gradient(grad, sources, owner, weights, starts, q, held, 0)
        for c in range(0, whole(d), WIDTH):
            prefetch(weight, later, c)
            if buffer is not None:
                prefetch(buffer, later, c)
            g, w = load(held, 0, c), load(weight, row, c)
            if buffer is None:
                store(weight, row, c, _sgd(w, _decayed(g, w, scalars), scalars))
            else:
                velocity = _momentum(w, load(buffer, row, c), g, scalars)
                store(buffer, row, c, velocity)
                store(weight, row, c, _sgd(w, velocity, scalars))
        for c in range(whole(d), d):
            g1, w1 = held[0, c], weight[row, c]
            if buffer is None:
                weight[row, c] = _sgd(w1, _decayed(g1, w1, scalars), scalars)
            else:
                velocity1 = _momentum(w1, buffer[row, c], g1, scalars)
                buffer[row, c] = velocity1
                weight[row, c] = _sgd(w1, velocity1, scalars)


@helper
def _adagrad(w: Any, total: Any, grad: Any, scalars: Any) -> Any:
    """New weights and new sum of squares (L29)."""
    grad = _decayed(grad, w, scalars)
    total = total + grad * grad
    return w - grad * scalars.lr / (root(total) + scalars.eps), total


@kernel
def adagrad_range(
    weight: Any, touched: Any, grad: Any, sources: Any, owner: Any, weights: Any, starts: Any, total: Any, scalars: Any,
    held: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """``sum += g * g; w -= lr * g / (sqrt(sum) + eps)`` (L29)."""
    d = weight.shape[1]
    for q in range(lo, hi):
        row, later = _target(touched, q), _later(touched, q, hi)
        _gradient(grad, sources, owner, weights, starts, q, held, 0)
        for c in range(0, whole(d), WIDTH):
            prefetch(weight, later, c)
            prefetch(total, later, c)
            g = load(held, 0, c)
            w, squares = _adagrad(load(weight, row, c), load(total, row, c), g, scalars)
            store(total, row, c, squares)
            store(weight, row, c, w)
        for c in range(whole(d), d):
            weight[row, c], total[row, c] = _adagrad(weight[row, c], total[row, c], held[0, c], scalars)


@helper
def _squares(squares: Any) -> Any:
    """
    Sums of `GROUP` rows of squares, in column order (L30).

    A sum in order waits for each addition before the next one: four at a time wait together.
    """
    s0, s1, s2, s3 = np.float64(0.0), np.float64(0.0), np.float64(0.0), np.float64(0.0)
    for c in range(squares.shape[1]):
        s0 += squares[0, c]
        s1 += squares[1, c]
        s2 += squares[2, c]
        s3 += squares[3, c]
    return s0, s1, s2, s3


@helper
def _rowwise(w: Any, grad: Any, scale: Any, scalars: Any) -> Any:
    """New weights (L30)."""
    return w - grad * scalars.lr / scale


@kernel
def rowwise_adagrad_range(
    weight: Any, touched: Any, grad: Any, sources: Any, owner: Any, weights: Any, starts: Any, total: Any, squares: Any,
    scalars: Any, held: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """``sum_r += mean(g * g); w -= lr * g / (sqrt(sum_r) + eps)``, the mean in float64, rounded once (L30).

    Gradients of a group of rows wait in `held` and their squares in `squares`, both (GROUP, d), until these are summed.
    """
    d = weight.shape[1]
    for group in range(lo, hi, GROUP):
        size = min(GROUP, hi - group)
        for r in range(size):
            q = group + r
            row, later = _target(touched, q), _later(touched, q, hi)
            _gradient(grad, sources, owner, weights, starts, q, held, r)
            for c in range(0, whole(d), WIDTH):
                prefetch(weight, later, c)
                g = _decayed(load(held, r, c), load(weight, row, c), scalars)
                store(held, r, c, g)
                wide = load_wide(held, r, c)
                store(squares, r, c, wide * wide)
            for c in range(whole(d), d):
                g1 = _decayed(held[r, c], weight[row, c], scalars)
                held[r, c] = g1
                squares[r, c] = np.float64(g1) * np.float64(g1)
        sums = _squares(squares)  # rows that a last group lacks hold what an earlier one left, and are not used
        for r in range(size):
            row = _target(touched, group + r)
            square = sums[0] if r == 0 else (sums[1] if r == 1 else (sums[2] if r == 2 else sums[3]))
            total[row] = total[row] + weight.dtype.type(square / np.float64(d))
            scale = root(total[row]) + scalars.eps
            for c in range(0, whole(d), WIDTH):
                store(weight, row, c, _rowwise(load(weight, row, c), load(held, r, c), scale, scalars))
            for c in range(whole(d), d):
                weight[row, c] = _rowwise(weight[row, c], held[r, c], scale, scalars)


@helper
def _adam(w: Any, mean: Any, square: Any, grad: Any, scalars: Any) -> Any:
    """New weights and moments (L31)."""
    grad = _decayed(grad, w, scalars)
    mean = mean * scalars.beta1 + grad * scalars.rest1
    square = square * scalars.beta2 + (grad * grad) * scalars.rest2
    length = (mean / scalars.correction1) * scalars.lr
    return w - length / (root(square / scalars.correction2) + scalars.eps), mean, square


@kernel
def adam_range(
    weight: Any, touched: Any, grad: Any, sources: Any, owner: Any, weights: Any, starts: Any, first: Any, second: Any,
    scalars: Any, held: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """Bias-corrected moments, eps outside the root (L31)."""
    d = weight.shape[1]
    for q in range(lo, hi):
        row, later = _target(touched, q), _later(touched, q, hi)
        _gradient(grad, sources, owner, weights, starts, q, held, 0)
        for c in range(0, whole(d), WIDTH):
            prefetch(weight, later, c)
            prefetch(first, later, c)
            prefetch(second, later, c)
            g = load(held, 0, c)
            w, mean, square = _adam(load(weight, row, c), load(first, row, c), load(second, row, c), g, scalars)
            store(first, row, c, mean)
            store(second, row, c, square)
            store(weight, row, c, w)
        for c in range(whole(d), d):
            w1, mean1, square1 = _adam(weight[row, c], first[row, c], second[row, c], held[0, c], scalars)
            first[row, c], second[row, c], weight[row, c] = mean1, square1, w1
