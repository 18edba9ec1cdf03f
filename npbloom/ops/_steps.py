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
from npbloom._kernels.segments import Segments
from npbloom.ops._backward import Contributions
from npbloom.ops._pairs import SortedPairs
from npbloom.types import FloatArray, IntArray, RowGrad

GRAIN = 16384  # table elements to update below which a second thread does not pay
LARGEST_SINGLE = 3.4e38  # what float32 holds without overflow
# Gradient elements that are summed before they are applied: they never leave the second cache.
BLOCK = 65536


@dataclass(frozen=True)
class Rule:
    """Checked step: the kernel, the arrays it writes to, and its scalars."""

    kernel: Callable[..., Any]
    weight: FloatArray  # (rows, d)
    state: tuple[FloatArray | None, ...]
    scalars: Any
    reserved: range  # rows that are never trained

    def _scratch(self) -> FloatArray:
        """Return room for a gradient row."""
        return np.empty((1, self.weight.shape[1]), self.weight.dtype)

    def _run(
        self,
        rows: IntArray | None,
        grad: FloatArray,
        segments: Segments | None,
        grad_row: FloatArray,
        lo: int,
        hi: int,
    ) -> None:
        """Step with gradient rows ``[lo, hi)``, with arguments in the order of the kernels."""
        self.kernel(self.weight, rows, grad, segments, *self.state, self.scalars, grad_row, lo, hi)

    def apply(self, grad: RowGrad | FloatArray) -> None:
        """Step with a checked gradient."""
        self.prepare(grad)()

    def prepare(self, grad: RowGrad | FloatArray) -> Callable[[], Any]:
        """Return a step with a checked gradient, with its memory taken and nothing written (L3)."""
        written = (self.weight, *self.state)
        if isinstance(grad, RowGrad):
            rows, values = _check.apart(grad.rows, *written), _check.apart(grad.values, *written)
            spans = [(0, len(grad.values))]
        else:
            rows, values = None, _check.apart(grad, *written)
            spans = [(0, self.reserved.start), (self.reserved.stop, len(grad))]
        grain = max(1, GRAIN // self.weight.shape[1])
        parts = [
            (lo + first, hi + first) for first, last in spans for lo, hi in pairwise(_parallel.even_bounds(last - first, grain))
        ]
        free = _parallel.for_each_thread(self._scratch, len(parts))

        def step(lo: int, hi: int) -> None:
            scratch = free.pop() if free else self._scratch()
            self._run(rows, values, None, scratch, lo, hi)
            free.append(scratch)

        return partial(_parallel.run_tasks, [partial(step, lo, hi) for lo, hi in parts])

    def prepare_fused(self, contributions: Contributions) -> Callable[[], Any]:
        """
        Return a step as `prepare` does, with gradients that are not summed yet (L26).

        Nothing of size (u, d) is written.

        The thread that has sorted a part of the pairs steps on it: sums go from registers into the
        optimizer's arithmetic. Gradients that are no plain sums are summed a block at a time first.
        """
        written = (self.weight, *self.state)
        grad, weights = contributions.grad, contributions.weights
        grad, weights = (
            _check.apart(grad, *written),
            weights if weights is None else _check.apart(weights, *written),
        )
        if grad is not contributions.grad or weights is not contributions.weights:
            contributions = replace(contributions, grad=grad, weights=weights)
        if contributions.plain:
            return self._prepare_sums(contributions)
        width = contributions.width
        size = max(1, min(BLOCK // width, len(contributions.pairs.pairs)))

        def memory() -> tuple[FloatArray, FloatArray]:
            return self._scratch(), np.empty((size, width), self.weight.dtype)

        def step(part: SortedPairs) -> None:
            rows = _check.closed(part.rows)
            scratch, values = own = free.pop() if free else memory()
            grad = _check.read_only(values)
            for lo in range(0, rows.size, size):
                hi = min(lo + size, rows.size)
                contributions.sum_into(part, values, lo, hi)
                self._run(rows[lo:hi], grad, None, scratch, 0, hi - lo)
            free.append(own)

        tasks = contributions.pairs.tasks(step)
        free = _parallel.for_each_thread(memory, len(tasks))
        return partial(_parallel.run_tasks, tasks)

    def _prepare_sums(self, contributions: Contributions) -> Callable[[], Any]:
        """Return a step with plain sums, which the kernel computes itself."""

        def step(part: SortedPairs) -> None:
            rows, segments = _check.closed(part.rows), contributions.segments(part)
            scratch = free.pop() if free else self._scratch()
            self._run(rows, contributions.grad, segments, scratch, 0, rows.size)
            free.append(scratch)

        tasks = contributions.pairs.tasks(step)
        free = _parallel.for_each_thread(self._scratch, len(tasks))
        return partial(_parallel.run_tasks, tasks)


def _scalar(table: FloatArray, value: float) -> Any:
    """Return a Python float rounded once to the dtype of the table (L32)."""
    kind = table.dtype.type
    if -LARGEST_SINGLE <= value <= LARGEST_SINGLE:
        return kind(value)
    with np.errstate(over="ignore"):  # takes as long as three scalars
        return kind(value)


def sgd_rule(
    table: FloatArray,
    lr: float,
    momentum: float,
    weight_decay: float,
    buffer: FloatArray | None,
    reserved: range,
) -> Rule:
    """Return an SGD step on checked arguments."""
    scalars = kernels.SGD(_scalar(table, lr), _scalar(table, momentum), _scalar(table, weight_decay), weight_decay != 0)
    return Rule(kernels.sgd_range, table, (buffer if momentum != 0 else None,), scalars, reserved)


def adagrad_rule(table: FloatArray, state_sum: FloatArray, lr: float, eps: float, weight_decay: float, reserved: range) -> Rule:
    """
    Return an Adagrad step on checked arguments.

    A sum of one dimension is row-wise Adagrad's.
    """
    scalars = kernels.Adagrad(_scalar(table, lr), _scalar(table, weight_decay), _scalar(table, eps), weight_decay != 0)
    rowwise = state_sum.ndim == 1
    kernel = kernels.rowwise_adagrad_range if rowwise else kernels.adagrad_range
    return Rule(kernel, table, (state_sum,), scalars, reserved)


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
    """
    Return an Adam step on checked arguments.

    Powers are Python's: inside Numba ``beta**int`` differs in the last bit (L32).
    """
    beta1, beta2 = betas
    numbers = (lr, beta1, 1 - beta1, 1 - beta1**step, beta2, 1 - beta2, 1 - beta2**step, weight_decay, eps)
    scalars = kernels.Adam._make((*(_scalar(table, number) for number in numbers), weight_decay != 0))
    return Rule(kernels.adam_range, table, (exp_avg, exp_avg_sq), scalars, reserved)


def check_gradient(grad: Any, table: FloatArray, reserved: range) -> RowGrad | FloatArray:
    """
    Return a checked RowGrad of this table, or a dense gradient of its shape, in its dtype.

    A RowGrad names no reserved row.
    """
    if not isinstance(grad, RowGrad):
        dense = _check.floats(grad, "grad", table.dtype)
        _check.shape(dense, "grad", table.shape)
        return dense
    # Its arrays may have been written to.
    checked = RowGrad(grad.rows, np.ascontiguousarray(grad.values), grad.num_rows)
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
    """Return the padding row as a range; an empty one for -1."""
    return range(padding, padding + 1) if padding >= 0 else range(0)


def check_betas(betas: Any) -> tuple[float, float]:
    """Check two decays in [0, 1)."""
    try:
        beta1, beta2 = betas
    except (TypeError, ValueError):
        raise ValueError(f"`betas` must be a pair of numbers, not {betas!r}.") from None
    return _check.unit_interval(beta1, "betas[0]"), _check.unit_interval(beta2, "betas[1]")
