"""RowGrad to table: optimizer updates in the table's dtype, left to right as written (L32).

Nothing is written to: every function returns a tuple of the arrays that its fast twin writes, the
table first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.reference import _inputs
from npbloom.reference.sums import sum_columns
from npbloom.types import FloatArray, IntArray, RowGrad


@np.errstate(all="ignore")
def sgd_update(
    weight: FloatArray,
    grad: Any,
    lr: float,
    *,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    momentum_buffer: FloatArray | None = None,
    padding_row: int | None = None,
) -> tuple[FloatArray, ...]:
    """
    Return the arrays after SGD (L28).

    These are ``(weight,)``, with momentum ``(weight, momentum_buffer)``.
    """
    weight, rows, g = _begin(weight, grad, weight_decay, padding_row)
    real = weight.dtype.type
    if momentum == 0:
        weight[rows] -= real(lr) * g
        return (weight,)
    if momentum_buffer is None:
        raise ValueError("`momentum_buffer` must be given with momentum.")
    buffer = np.array(momentum_buffer)
    buffer[rows] = real(momentum) * buffer[rows] + g
    weight[rows] -= real(lr) * buffer[rows]
    return weight, buffer


@np.errstate(all="ignore")
def adagrad_update(
    weight: FloatArray,
    state_sum: FloatArray,
    grad: Any,
    lr: float,
    *,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    padding_row: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """
    Return the arrays after Adagrad (L29): ``(weight, state_sum)``; `lr` is the effective rate.
    """
    weight, rows, g = _begin(weight, grad, weight_decay, padding_row)
    real = weight.dtype.type
    state_sum = np.array(state_sum)
    state_sum[rows] += g * g
    weight[rows] -= real(lr) * g / (np.sqrt(state_sum[rows]) + real(eps))
    return weight, state_sum


@np.errstate(all="ignore")
def rowwise_adagrad_update(
    weight: FloatArray,
    state_sum: FloatArray,
    grad: Any,
    lr: float,
    *,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    padding_row: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """
    Return the arrays after row-wise Adagrad (L30): ``(weight, state_sum)``.

    The mean of squares is rounded, then added in the table's dtype.
    """
    weight, rows, g = _begin(weight, grad, weight_decay, padding_row)
    real = weight.dtype.type
    state_sum = np.array(state_sum)
    total = sum_columns(np.square(g, dtype=np.float64))
    state_sum[rows] += (total / g.shape[1]).astype(weight.dtype)
    weight[rows] -= real(lr) * g / (np.sqrt(state_sum[rows]) + real(eps))[:, None]
    return weight, state_sum


@np.errstate(all="ignore")
def adam_update(
    weight: FloatArray,
    exp_avg: FloatArray,
    exp_avg_sq: FloatArray,
    grad: Any,
    lr: float,
    step: int,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    padding_row: int | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """
    Return the arrays after Adam (L31), lazy with a RowGrad.

    These are ``(weight, exp_avg, exp_avg_sq)``; `step` counts from 1.
    """
    weight, rows, g = _begin(weight, grad, weight_decay, padding_row)
    real = weight.dtype.type
    beta1, beta2 = (float(beta) for beta in betas)
    exp_avg, exp_avg_sq = np.array(exp_avg), np.array(exp_avg_sq)
    exp_avg[rows] = real(beta1) * exp_avg[rows] + real(1 - beta1) * g
    exp_avg_sq[rows] = real(beta2) * exp_avg_sq[rows] + real(1 - beta2) * (g * g)
    root = np.sqrt(exp_avg_sq[rows] / real(1 - beta2 ** int(step)))
    weight[rows] -= real(lr) * (exp_avg[rows] / real(1 - beta1 ** int(step))) / (root + real(eps))
    return weight, exp_avg, exp_avg_sq


def _begin(
    weight: FloatArray, grad: Any, weight_decay: float, padding_row: int | None
) -> tuple[FloatArray, IntArray, FloatArray]:
    """
    Return a copy of the table, the rows to update, and their gradients with weight decay.

    Decay is skipped at 0 (L27, L32).
    """
    weight = np.array(weight)
    padding = _inputs.padding_row(padding_row, len(weight), "padding_row")
    if isinstance(grad, RowGrad):
        if (grad.num_rows, grad.values.shape[1]) != weight.shape:
            raise ValueError(f"`grad` must fit a table of shape {weight.shape}.")
        if padding in grad.rows:
            raise ValueError(f"`grad` must not name the padding row, {padding} (L9).")
        rows, g = grad.rows, grad.values.astype(weight.dtype)
    else:
        dense = _inputs.floats(grad, weight.shape, weight.dtype, "grad")
        rows = np.flatnonzero(np.arange(len(weight)) != padding)
        g = dense[rows]
    return weight, rows, g + weight.dtype.type(weight_decay) * weight[rows] if weight_decay != 0 else g
