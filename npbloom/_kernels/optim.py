"""RowGrad -> table: one step of each optimizer over gradient rows, in the table's dtype, left to right as written (L32).

The gradient of table row ``touched[q]`` is the sum of its terms (`rows.gradient_lanes`), taken and applied eight columns at a
time, so that a fused step writes no gradient anywhere; without `sources` it is row q of `grad`, and without `touched` the
table's row is q, too. So `step` and `update` are one kernel, and equal by construction (L26). Scalars come as a named tuple
of the table's dtype: Numba would make ``float32 * 0.1`` a float64. The flag `decays` says whether there is weight decay at
all: a term with coefficient 0 is not computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npbloom._kernels.jit import helper, kernel
from npbloom._kernels.lanes import WIDTH, load, root, store
from npbloom._kernels.rows import begin, gradient_lanes, gradient_one, prefetch_row, whole

AHEAD = 6  # touched rows between asking for table and state and stepping on them
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
def _ask(table: Any, touched: Any, q: int, hi: int) -> None:
    """Ask for the row that is stepped on `AHEAD` rows later; of neighbouring rows the processor asks by itself."""
    if touched is not None:
        prefetch_row(table, touched[min(q + AHEAD, hi - 1)])


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
    acc: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """``buf = momentum * buf + g; w -= lr * buf``, without momentum ``w -= lr * g`` (L28)."""
    d = weight.shape[1]
    for q in range(lo, hi):
        _ask(weight, touched, q, hi)
        if buffer is not None:
            _ask(buffer, touched, q, hi)
        row = _target(touched, q)
        terms = begin(grad, sources, owner, weights, starts, q, acc)
        for c in range(0, whole(d), WIDTH):
            g, w = gradient_lanes(grad, sources, owner, weights, q, terms, acc, weight, c), load(weight, row, c)
            if buffer is None:
                store(weight, row, c, _sgd(w, _decayed(g, w, scalars), scalars))
            else:
                velocity = _momentum(w, load(buffer, row, c), g, scalars)
                store(buffer, row, c, velocity)
                store(weight, row, c, _sgd(w, velocity, scalars))
        for c in range(whole(d), d):
            g1, w1 = gradient_one(grad, sources, owner, weights, q, terms, acc, weight, c), weight[row, c]
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
    acc: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """``sum += g * g; w -= lr * g / (sqrt(sum) + eps)`` (L29)."""
    d = weight.shape[1]
    for q in range(lo, hi):
        _ask(weight, touched, q, hi)
        _ask(total, touched, q, hi)
        row = _target(touched, q)
        terms = begin(grad, sources, owner, weights, starts, q, acc)
        for c in range(0, whole(d), WIDTH):
            g = gradient_lanes(grad, sources, owner, weights, q, terms, acc, weight, c)
            w, squares = _adagrad(load(weight, row, c), load(total, row, c), g, scalars)
            store(total, row, c, squares)
            store(weight, row, c, w)
        for c in range(whole(d), d):
            g1 = gradient_one(grad, sources, owner, weights, q, terms, acc, weight, c)
            weight[row, c], total[row, c] = _adagrad(weight[row, c], total[row, c], g1, scalars)


@helper
def _squares(grads: Any) -> Any:
    """
    Sums of squares of `GROUP` rows, in float64 and in column order (L30).

    A sum in order waits for each addition before the next one: four at a time wait together. 143,691 rows of 64 columns took
    9.9 ms on one thread row by row.
    """
    s0, s1, s2, s3 = np.float64(0.0), np.float64(0.0), np.float64(0.0), np.float64(0.0)
    for c in range(grads.shape[1]):
        s0 += np.float64(grads[0, c]) * np.float64(grads[0, c])
        s1 += np.float64(grads[1, c]) * np.float64(grads[1, c])
        s2 += np.float64(grads[2, c]) * np.float64(grads[2, c])
        s3 += np.float64(grads[3, c]) * np.float64(grads[3, c])
    return s0, s1, s2, s3


@helper
def _rowwise(w: Any, grad: Any, scale: Any, scalars: Any) -> Any:
    """New weights (L30)."""
    return w - grad * scalars.lr / scale


@kernel
def rowwise_adagrad_range(
    weight: Any, touched: Any, grad: Any, sources: Any, owner: Any, weights: Any, starts: Any, total: Any, grads: Any,
    scalars: Any, acc: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """``sum_r += mean(g * g); w -= lr * g / (sqrt(sum_r) + eps)``, the mean in float64, rounded once (L30).

    Gradients of a group of rows wait in `grads` (GROUP, d) until their sums of squares are known.
    """
    d = weight.shape[1]
    for group in range(lo, hi, GROUP):
        size = min(GROUP, hi - group)
        for r in range(GROUP):
            q = group + min(r, size - 1)  # rows that a last group lacks are its last one again, and not used
            _ask(weight, touched, q, hi)
            row = _target(touched, q)
            terms = begin(grad, sources, owner, weights, starts, q, acc)
            for c in range(0, whole(d), WIDTH):
                g = gradient_lanes(grad, sources, owner, weights, q, terms, acc, weight, c)
                store(grads, r, c, _decayed(g, load(weight, row, c), scalars))
            for c in range(whole(d), d):
                g1 = gradient_one(grad, sources, owner, weights, q, terms, acc, weight, c)
                grads[r, c] = _decayed(g1, weight[row, c], scalars)
        squares = _squares(grads)
        for r in range(size):
            row = _target(touched, group + r)
            square = squares[0] if r == 0 else (squares[1] if r == 1 else (squares[2] if r == 2 else squares[3]))
            total[row] = total[row] + weight.dtype.type(square / np.float64(d))
            scale = root(total[row]) + scalars.eps
            for c in range(0, whole(d), WIDTH):
                store(weight, row, c, _rowwise(load(weight, row, c), load(grads, r, c), scale, scalars))
            for c in range(whole(d), d):
                weight[row, c] = _rowwise(weight[row, c], grads[r, c], scale, scalars)


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
    scalars: Any, acc: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """Bias-corrected moments, eps outside the root (L31)."""
    d = weight.shape[1]
    for q in range(lo, hi):
        _ask(weight, touched, q, hi)
        _ask(first, touched, q, hi)
        _ask(second, touched, q, hi)
        row = _target(touched, q)
        terms = begin(grad, sources, owner, weights, starts, q, acc)
        for c in range(0, whole(d), WIDTH):
            g = gradient_lanes(grad, sources, owner, weights, q, terms, acc, weight, c)
            w, mean, square = _adam(load(weight, row, c), load(first, row, c), load(second, row, c), g, scalars)
            store(first, row, c, mean)
            store(second, row, c, square)
            store(weight, row, c, w)
        for c in range(whole(d), d):
            g1 = gradient_one(grad, sources, owner, weights, q, terms, acc, weight, c)
            w1, mean1, square1 = _adam(weight[row, c], first[row, c], second[row, c], g1, scalars)
            first[row, c], second[row, c], weight[row, c] = mean1, square1, w1
