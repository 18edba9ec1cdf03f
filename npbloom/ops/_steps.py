"""Optimizer steps on checked arguments: a kernel, the arrays it writes to, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from npbloom import _check, _parallel
from npbloom._kernels import optim as kernels
from npbloom.ops._backward import Contributions, Terms
from npbloom.ops._pairs import Part
from npbloom.types import FloatArray, RowGrad

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

        return partial(_parallel.run_tasks, [partial(step, lo, hi) for lo, hi in parts])

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
        return partial(_parallel.run_tasks, tasks)

    def _prepare_sums(self, contributions: Contributions) -> Callable[[], Any]:
        """A step with plain sums, which the kernel takes itself."""

        def step(part: Part) -> None:
            touched = _check.closed(part.touched)
            held = free.pop() if free else self._held()
            self._run(touched, contributions.terms(part), held, 0, touched.size)
            free.append(held)

        tasks = contributions.pairs.tasks(step)
        free = _parallel.for_each_thread(self._held, len(tasks))
        return partial(_parallel.run_tasks, tasks)


def _scalar(table: FloatArray, value: float) -> Any:
    """A Python float rounded once to the dtype of the table (L32)."""
    kind = table.dtype.type
    if -LARGEST_SINGLE <= value <= LARGEST_SINGLE:
        return kind(value)
    with np.errstate(over="ignore"):  # takes as long as three scalars
        return kind(value)


def sgd_rule(
    table: FloatArray, lr: float, momentum: float, weight_decay: float, buffer: FloatArray | None, reserved: range
) -> Rule:
    """An SGD step on checked arguments."""
    scalars = kernels.SGD(_scalar(table, lr), _scalar(table, momentum), _scalar(table, weight_decay), weight_decay != 0)
    return Rule(kernels.sgd_range, table, (buffer if momentum != 0 else None,), scalars, reserved)


def adagrad_rule(table: FloatArray, state_sum: FloatArray, lr: float, eps: float, weight_decay: float, reserved: range) -> Rule:
    """An Adagrad step on checked arguments; a sum of one dimension is row-wise Adagrad's."""
    scalars = kernels.Adagrad(_scalar(table, lr), _scalar(table, weight_decay), _scalar(table, eps), weight_decay != 0)
    rowwise = state_sum.ndim == 1
    kernel = kernels.rowwise_adagrad_range if rowwise else kernels.adagrad_range
    return Rule(kernel, table, (state_sum,), scalars, reserved, kernels.GROUP if rowwise else 0)


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


def reserved_rows(padding: int) -> range:
    """The padding row as a range; an empty one for -1."""
    return range(padding, padding + 1) if padding >= 0 else range(0)


def check_betas(betas: Any) -> tuple[float, float]:
    """Two decays in [0, 1)."""
    try:
        beta1, beta2 = betas
    except (TypeError, ValueError):
        raise ValueError(f"`betas` must be a pair of numbers, not {betas!r}.") from None
    return _check.unit_interval(beta1, "betas[0]"), _check.unit_interval(beta2, "betas[1]")
