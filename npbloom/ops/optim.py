"""RowGrad (or dense gradient) -> table: `sgd_update`, `adagrad_update`, `rowwise_adagrad_update`, `adam_update`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from npbloom import _check, _parallel
from npbloom._kernels import optim as kernels
from npbloom.ops._pairs import Part
from npbloom.ops.scatter import Contributions, Terms
from npbloom.types import ArrayLike, FloatArray, RowGrad

GRAIN = 16384  # table elements to update below which a second thread does not pay
LARGEST_SINGLE = 3.4e38  # what float32 holds without overflow
BLOCK = 65536  # gradient elements that are summed before they are applied: they never leave the second cache


@dataclass(frozen=True)
class Rule:
    """A step that is checked: the kernel, the arrays it writes to, and its scalars."""

    kernel: Callable[..., Any]
    weight: FloatArray  # (rows, d)
    state: tuple[FloatArray | None, ...]
    scalars: Any
    reserved: range  # rows that are never trained
    group: int = 0  # gradient rows that the kernel holds at a time

    def _held(self) -> tuple[FloatArray, ...]:
        """Rows that the kernel computes in."""
        held = np.empty((max(self.group, 1), self.weight.shape[1]), self.weight.dtype)
        return (np.zeros(held.shape), held) if self.group else (held,)

    def _run(self, touched: Any, terms: Terms, held: tuple[FloatArray, ...], lo: int, hi: int) -> None:
        """Step with gradient rows ``[lo, hi)``, given as terms to sum; `touched` None means that they are the table's own."""
        self.kernel(self.weight, touched, *terms, *self.state, *held[:-1], self.scalars, held[-1], lo, hi)

    def apply(self, grad: RowGrad | FloatArray) -> None:
        """Step with a checked gradient."""
        self.prepare(grad)()

    def prepare(self, grad: RowGrad | FloatArray) -> Callable[[], Any]:
        """A step with a checked gradient that is ready to be taken: its memory is there, nothing is written yet (L3)."""
        written = (self.weight, *self.state)
        if isinstance(grad, RowGrad):
            rows, terms = _check.apart(grad.rows, *written), Terms(_check.apart(grad.values, *written))
            spans = [(0, len(grad.values))]
        else:
            rows, terms = None, Terms(_check.apart(grad, *written))
            spans = [(0, self.reserved.start), (self.reserved.stop, len(grad))]
        grain = max(1, GRAIN // self.weight.shape[1])
        parts = [
            (lo + first, hi + first) for first, last in spans for lo, hi in pairwise(_parallel.even_bounds(last - first, grain))
        ]
        free = _parallel.for_each_thread(self._held, len(parts))

        def step(lo: int, hi: int) -> None:
            held = free.pop() if free else self._held()
            self._run(rows, terms, held, lo, hi)
            free.append(held)

        return partial(_parallel.run_queue, [partial(step, lo, hi) for lo, hi in parts])

    def prepare_fused(self, contributions: Contributions) -> Callable[[], Any]:
        """
        As `prepare`, with gradients that are not summed yet; nothing of size (u, d) is ever written (L26).

        The thread that has sorted a part of the pairs steps on it: sums go from registers into the optimizer's arithmetic.
        Gradients with factors of other kinds are summed a block at a time first.
        """
        written = (self.weight, *self.state)
        grad, weights = contributions.grad, contributions.weights
        grad, weights = _check.apart(grad, *written), weights if weights is None else _check.apart(weights, *written)
        if grad is not contributions.grad or weights is not contributions.weights:
            contributions = replace(contributions, grad=grad, weights=weights)
        if contributions.plain:
            return self._prepare_sums(contributions)
        width = contributions.width
        size = max(1, min(BLOCK // width, len(contributions.pairs.pairs)))

        def scratch() -> tuple[Any, Any, Any]:
            return self._held(), np.empty((size, width), self.weight.dtype), np.empty((1, width))

        def step(part: Part) -> None:
            touched = _check.closed(part.touched)
            held, values, acc = own = free.pop() if free else scratch()
            terms = Terms(_check.read_only(values))
            for lo in range(0, touched.size, size):
                hi = min(lo + size, touched.size)
                contributions.sum_into(part, values, acc, lo, hi)
                self._run(touched[lo:hi], terms, held, 0, hi - lo)
            free.append(own)

        tasks = contributions.pairs.tasks(step)
        free = _parallel.for_each_thread(scratch, len(tasks))
        return partial(_parallel.run_queue, tasks)

    def _prepare_sums(self, contributions: Contributions) -> Callable[[], Any]:
        """A step with plain sums, which the kernel takes itself."""

        def step(part: Part) -> None:
            touched = _check.closed(part.touched)
            held = free.pop() if free else self._held()
            self._run(touched, contributions.terms(part), held, 0, touched.size)
            free.append(held)

        tasks = contributions.pairs.tasks(step)
        free = _parallel.for_each_thread(self._held, len(tasks))
        return partial(_parallel.run_queue, tasks)


def _scalar(table: FloatArray, value: float) -> Any:
    """A Python float rounded once to the dtype of the table (L32)."""
    kind = table.dtype.type
    if -LARGEST_SINGLE <= value <= LARGEST_SINGLE:
        return kind(value)
    with np.errstate(over="ignore"):  # takes as long as three scalars
        return kind(value)


def check_gradient(grad: Any, table: FloatArray, reserved: range) -> RowGrad | FloatArray:
    """A RowGrad of this table that names no reserved row, or a dense gradient of its shape, rounded to its dtype."""
    if not isinstance(grad, RowGrad):
        dense = _check.floats(grad, "grad", table.dtype)
        _check.shape(dense, "grad", table.shape)
        return dense
    checked = RowGrad(grad.rows, np.ascontiguousarray(grad.values), grad.num_rows)  # its arrays may have been written to
    if checked.values.dtype != table.dtype:
        raise TypeError(f"`grad` must be {table.dtype}, as the table is, not {checked.values.dtype}; `.astype` converts it.")
    if (checked.num_rows, checked.values.shape[1]) != table.shape:
        raise ValueError(f"`grad` must be of a table of shape {table.shape}, not {(checked.num_rows, checked.values.shape[1])}.")
    at = int(np.searchsorted(checked.rows, reserved.start))
    if at < checked.rows.size and checked.rows[at] in reserved:
        raise ValueError(
            f"`grad` must not name row {checked.rows[at]}, which is reserved for padding and never trained; "
            f"it does at position {at}."
        )
    return checked


def _table(weight: Any, padding_row: int | None) -> tuple[FloatArray, range]:
    """A writable table and its reserved rows: one, or none."""
    table = _check.table(weight)
    _check.writable(table, "weight", "for an update")
    return table, reserved_rows(_check.padding_row(padding_row, table.shape[0], "padding_row"))


def _state(array: Any, name: str, table: FloatArray, shape: tuple[int, ...], *others: tuple[str, FloatArray]) -> FloatArray:
    """State to write to, in memory that neither the table nor other state has."""
    checked = _check.same_kind(array, name, table, shape)
    _check.own_memory(checked, name, ("weight", table), *others)
    return checked


def reserved_rows(padding: int) -> range:
    """The padding row as a range; an empty one for -1."""
    return range(padding, padding + 1) if padding >= 0 else range(0)


def sgd_rule(
    table: FloatArray, lr: float, momentum: float, weight_decay: float, buffer: FloatArray | None, reserved: range
) -> Rule:
    """An SGD step on checked arguments."""
    scalars = kernels.SGD(_scalar(table, lr), _scalar(table, momentum), _scalar(table, weight_decay), weight_decay != 0)
    return Rule(kernels.sgd_range, table, (buffer if momentum != 0 else None,), scalars, reserved)


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
    One step of stochastic gradient descent, in place.

    ``g += weight_decay * w; buf = momentum * buf + g; w -= lr * buf``; without momentum ``w -= lr * g``.

    Parameters
    ----------
    weight : float32 or float64 array, shape (m, d)
        The table, written to.
    grad : RowGrad or float array, shape (m, d)
        A RowGrad updates its rows only, decay and momentum included (L27); a dense gradient all rows but padding.
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
    L28. Arithmetic is done in the dtype of the table, left to right as written; scalars are rounded to it once (L32).

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


def adagrad_rule(table: FloatArray, state_sum: FloatArray, lr: float, eps: float, weight_decay: float, reserved: range) -> Rule:
    """An Adagrad step on checked arguments; a sum of one dimension is row-wise Adagrad's."""
    scalars = kernels.Adagrad(_scalar(table, lr), _scalar(table, weight_decay), _scalar(table, eps), weight_decay != 0)
    rowwise = state_sum.ndim == 1
    kernel = kernels.rowwise_adagrad_range if rowwise else kernels.adagrad_range
    return Rule(kernel, table, (state_sum,), scalars, reserved, kernels.GROUP if rowwise else 0)


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
    One step of Adagrad, in place.

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
    .. [1] J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and stochastic optimization",
       JMLR 12, 2011.

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


def _adagrad(table: FloatArray, total: FloatArray, grad: Any, lr: Any, eps: Any, weight_decay: Any, reserved: range) -> None:
    """The part that both kinds of Adagrad share."""
    rate = _check.at_least_zero(lr, "lr")
    small = _check.at_least_zero(eps, "eps")
    decay = _check.at_least_zero(weight_decay, "weight_decay")
    checked = check_gradient(grad, table, reserved)
    adagrad_rule(table, total, rate, small, decay, reserved).apply(checked)


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
    One step of row-wise Adagrad, in place: one accumulator for each row.

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


def adam_rule(
    table: FloatArray,
    exp_avg: FloatArray,
    exp_avg_sq: FloatArray,
    lr: float,
    step: int,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    reserved: range,
) -> Rule:
    """An Adam step on checked arguments. Powers are Python's: inside Numba ``beta**int`` differs in the last bit (L32)."""
    beta1, beta2 = betas
    numbers = (lr, beta1, 1 - beta1, 1 - beta1**step, beta2, 1 - beta2, 1 - beta2**step, weight_decay, eps)
    scalars = kernels.Adam._make((*(_scalar(table, number) for number in numbers), weight_decay != 0))
    return Rule(kernels.adam_range, table, (exp_avg, exp_avg_sq), scalars, reserved)


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
    One step of Adam, in place; lazy with a RowGrad.

    ``g += weight_decay * w; m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * (g * g);``
    ``w -= lr * (m / (1 - beta1**step)) / (sqrt(v / (1 - beta2**step)) + eps)``.

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
        At least 0; eps is outside the root and after bias correction (torch.optim.SparseAdam adds it before).
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
    >>> adam_update(table, mean, square, [[4.0]], 0.25, 1, eps=0.0)        # the first step has length lr
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


def check_betas(betas: Any) -> tuple[float, float]:
    """Two decays in [0, 1)."""
    try:
        beta1, beta2 = betas
    except (TypeError, ValueError):
        raise ValueError(f"`betas` must be a pair of numbers, not {betas!r}.") from None
    return _check.unit_interval(beta1, "betas[0]"), _check.unit_interval(beta2, "betas[1]")
