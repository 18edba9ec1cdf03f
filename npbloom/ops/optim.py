"""RowGrad or dense gradient to table: one step of SGD, Adagrad, row-wise Adagrad and Adam."""

from __future__ import annotations

from typing import Any

from npbloom import _check
from npbloom.ops._steps import adagrad_rule, adam_rule, check_betas, check_gradient, reserved_rows, sgd_rule
from npbloom.types import ArrayLike, FloatArray, RowGrad

__all__ = ["adagrad_update", "adam_update", "rowwise_adagrad_update", "sgd_update"]


def sgd_update(
    weight: FloatArray,
    grad: RowGrad | ArrayLike,
    lr: float,
    *,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    momentum_buffer: FloatArray | None = None,
    padding_row: int | None = None,
) -> None:
    r"""
    Take one step of stochastic gradient descent, in place.

    ``g += weight_decay * w; buf = momentum * buf + g; w -= lr * buf``; without momentum ``w -= lr *
    g``.

    Parameters
    ----------
    weight : float32 or float64 array, shape (m, d)
        The table, written to.
    grad : RowGrad or float array, shape (m, d)
        A RowGrad updates its rows only, decay and momentum included (L27); a dense gradient all
        rows but padding.
    lr : float
        Learning rate, at least 0.
    momentum, weight_decay : float, default 0
        At least 0. A term with coefficient 0 is not computed.
    momentum_buffer : array like weight, optional
        Written to; needed where momentum is not 0.
    padding_row : int, optional
        A row that is never trained; a RowGrad that names it is a ValueError (L9).

    Returns
    -------
    None
        `weight` and `momentum_buffer` are written to.

    Raises
    ------
    TypeError, IndexError, ValueError
        An argument does not fit; nothing is written then (L3).

    Notes
    -----
    L28. Arithmetic is done in the dtype of the table, left to right as written; scalars are rounded
    to it once (L32).

    Examples
    --------
    >>> table = np.array([[1.0], [1.0]])
    >>> sgd_update(table, RowGrad(np.array([1]), np.array([[2.0]]), 2), 0.25)
    >>> table
    array([[1. ],
           [0.5]])
    """
    table, reserved = _table(weight, padding_row)
    rate = _check.at_least_zero(lr, "lr")
    momentum = _check.at_least_zero(momentum, "momentum")
    decay = _check.at_least_zero(weight_decay, "weight_decay")
    buffer = None
    if momentum != 0:
        if momentum_buffer is None:
            raise ValueError(f"`momentum_buffer` must be given where momentum is {momentum:g}: an array like the table.")
        buffer = _state(momentum_buffer, "momentum_buffer", table, table.shape)
    checked = check_gradient(grad, table, reserved)
    sgd_rule(table, rate, momentum, decay, buffer, reserved).apply(checked)


def adagrad_update(
    weight: FloatArray,
    state_sum: FloatArray,
    grad: RowGrad | ArrayLike,
    lr: float,
    *,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    padding_row: int | None = None,
) -> None:
    r"""
    Take one step of Adagrad, in place.

    ``g += weight_decay * w; sum += g * g; w -= lr * g / (sqrt(sum) + eps)``.

    Parameters
    ----------
    weight : float32 or float64 array, shape (m, d)
        The table, written to.
    state_sum : array like weight
        Sums of squared gradients, written to.
    grad : RowGrad or float array, shape (m, d)
        As in `sgd_update`.
    lr : float
        The effective rate, at least 0: a caller with `lr_decay` applies it.
    eps, weight_decay : float
        At least 0; eps is outside the root.
    padding_row : int, optional
        A row that is never trained.

    Returns
    -------
    None
        `weight` and `state_sum` are written to.

    Raises
    ------
    TypeError, IndexError, ValueError
        An argument does not fit; nothing is written then (L3).

    Notes
    -----
    L29, torch's variant. Arithmetic: L32.

    References
    ----------
    .. [1] J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and
       stochastic optimization", JMLR 12, 2011.

    Examples
    --------
    >>> table, total = np.array([[1.0]]), np.array([[9.0]])
    >>> adagrad_update(table, total, [[4.0]], 0.5, eps=0.0)       # 1 - 0.5 * 4 / sqrt(9 + 16)
    >>> table, total
    (array([[0.6]]), array([[25.]]))
    """
    table, reserved = _table(weight, padding_row)
    total = _state(state_sum, "state_sum", table, table.shape)
    _adagrad(table, total, grad, lr, eps, weight_decay, reserved)


def rowwise_adagrad_update(
    weight: FloatArray,
    state_sum: FloatArray,
    grad: RowGrad | ArrayLike,
    lr: float,
    *,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    padding_row: int | None = None,
) -> None:
    r"""
    Take one step of row-wise Adagrad, in place: one accumulator for each row.

    ``g += weight_decay * w; sum_r += mean(g * g); w -= lr * g / (sqrt(sum_r) + eps)``.

    Parameters
    ----------
    weight : float32 or float64 array, shape (m, d)
        The table, written to.
    state_sum : array, shape (m,), dtype of weight
        Sums of mean squared gradients, written to.
    grad : RowGrad or float array, shape (m, d)
        As in `sgd_update`.
    lr : float
        Learning rate, at least 0.
    eps, weight_decay : float
        At least 0; eps is outside the root.
    padding_row : int, optional
        A row that is never trained.

    Returns
    -------
    None
        `weight` and `state_sum` are written to.

    Raises
    ------
    TypeError, IndexError, ValueError
        An argument does not fit; nothing is written then (L3).

    Notes
    -----
    L30, FBGEMM's exact variant. The mean is taken in float64 and rounded once; the rest is L32.

    Examples
    --------
    >>> table, total = np.array([[1.0, 1.0]]), np.zeros(1)
    >>> rowwise_adagrad_update(table, total, [[1.0, 7.0]], 0.5, eps=0.0)      # mean(1, 49) = 25
    >>> table, total
    (array([[0.9, 0.3]]), array([25.]))
    """
    table, reserved = _table(weight, padding_row)
    total = _state(state_sum, "state_sum", table, table.shape[:1])
    _adagrad(table, total, grad, lr, eps, weight_decay, reserved)


def adam_update(
    weight: FloatArray,
    exp_avg: FloatArray,
    exp_avg_sq: FloatArray,
    grad: RowGrad | ArrayLike,
    lr: float,
    step: int,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    padding_row: int | None = None,
) -> None:
    r"""
    Take one step of Adam, in place; lazy with a RowGrad.

    ``g += weight_decay * w; m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * (g *
    g);`` ``w -= lr * (m / (1 - beta1**step)) / (sqrt(v / (1 - beta2**step)) + eps)``.

    Parameters
    ----------
    weight : float32 or float64 array, shape (m, d)
        The table, written to.
    exp_avg, exp_avg_sq : arrays like weight
        First and second moments, written to.
    grad : RowGrad or float array, shape (m, d)
        As in `sgd_update`; moments of rows that a RowGrad does not name do not decay (L27).
    lr : float
        Learning rate, at least 0.
    step : int
        Number of this step, from 1.
    betas : pair of float
        Decays of the moments, each in [0, 1).
    eps, weight_decay : float
        At least 0; eps is outside the root and after bias correction (torch.optim.SparseAdam adds
        it before).
    padding_row : int, optional
        A row that is never trained.

    Returns
    -------
    None
        `weight`, `exp_avg` and `exp_avg_sq` are written to.

    Raises
    ------
    TypeError, IndexError, ValueError
        An argument does not fit; nothing is written then (L3).

    Notes
    -----
    L31. Arithmetic: L32.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> table, mean, square = np.array([[1.0]]), np.zeros((1, 1)), np.zeros((1, 1))
    >>> adam_update(table, mean, square, [[4.0]], 0.25, 1, eps=0.0)  # the first step has length lr
    >>> table.round(12)
    array([[0.75]])
    """
    table, reserved = _table(weight, padding_row)
    first = _state(exp_avg, "exp_avg", table, table.shape)
    second = _state(exp_avg_sq, "exp_avg_sq", table, table.shape, ("exp_avg", first))
    rate = _check.at_least_zero(lr, "lr")
    pair = check_betas(betas)
    number = _check.positive_int(step, "step")
    small = _check.at_least_zero(eps, "eps")
    decay = _check.at_least_zero(weight_decay, "weight_decay")
    checked = check_gradient(grad, table, reserved)
    adam_rule(table, first, second, rate, number, pair, small, decay, reserved).apply(checked)


def _table(weight: Any, padding_row: int | None) -> tuple[FloatArray, range]:
    """Return a writable table and its reserved rows: one, or none."""
    table = _check.table(weight)
    _check.writable(table, "weight", "for an update")
    return table, reserved_rows(_check.padding_row(padding_row, table.shape[0], "padding_row"))


def _state(array: Any, name: str, table: FloatArray, shape: tuple[int, ...], *others: tuple[str, FloatArray]) -> FloatArray:
    """Return state to write to, in memory that neither the table nor other state has."""
    checked = _check.same_kind(array, name, table, shape)
    _check.own_memory(checked, name, ("weight", table), *others)
    return checked


def _adagrad(table: FloatArray, total: FloatArray, grad: Any, lr: Any, eps: Any, weight_decay: Any, reserved: range) -> None:
    """Take the step of both kinds of Adagrad."""
    rate = _check.at_least_zero(lr, "lr")
    small = _check.at_least_zero(eps, "eps")
    decay = _check.at_least_zero(weight_decay, "weight_decay")
    checked = check_gradient(grad, table, reserved)
    adagrad_rule(table, total, rate, small, decay, reserved).apply(checked)
