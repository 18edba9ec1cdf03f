"""`Expected`, the right value of an output with its tolerance, and the bounds behind tolerances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import ACCUMULATORS, ROUNDOFF

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Expected:
    """
    The right value of an output, and its tolerance.

    Blind elements have a tolerance too wide to tell right from wrong.
    """

    value: Array
    tolerance: Array | float = 0.0
    blind: Array | None = None


def wide(array: Any) -> Any:
    """Return values as float64; None stays None."""
    return None if array is None else np.asarray(array, dtype=np.float64)


# ---- sums ----------------------------------------------------------------------------------------


def gamma(roundings: Any, unit: float) -> Any:
    """Return the relative error of `roundings` roundings by `unit` each: ``n u / (1 - n u)``."""
    error = np.asarray(roundings * unit, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error < 0.5, error / (1 - error), np.inf)


def sum_gamma(terms: Any, accumulator: str, more: int = 0) -> Any:
    """
    Return the relative error of a sum in an accumulator that a backend claims, in any order.

    `more` roundings are not additions. Runs have as many roundings as terms, and the additions of
    runs are in float64.
    """
    dtype, run = ACCUMULATORS[accumulator]
    if not run:
        return gamma(terms + more, ROUNDOFF[dtype])
    return gamma(np.minimum(terms, run) + more, ROUNDOFF[dtype]) + gamma(terms, ROUNDOFF["float64"])


def sum_error(size: Array, relative: Array | float, more: Array | float = 0.0) -> Array:
    """
    Return the error of a sum of products in any order.

    It is ``gamma(n + 4) * A``, where A is the same sum of absolute values. The n additions are n
    roundings; a product, two divisions and the storing of the result are four more (`relative`, of
    `gamma` or `sum_gamma`). `more` is added to elements that have terms. An element without terms
    must be zero.
    """
    error: Array = np.where(size > 0, relative * size + more, 0.0)
    return error


def absolute(case: Case, table: Array | None = None) -> Case:
    """
    Return the lookup whose outputs are the sums of absolute values.

    A maximum keeps its table, which decides the winner. `table` is the one that max_norm has
    scaled; the case is then without it.
    """
    changes: dict[str, Any] = {"grad_out": np.abs(case.grad_out), "max_norm": None if table is not None else case.max_norm}
    if case.mode != "max":
        changes["weight"] = np.abs(case.weight if table is None else table)
    if case.per_sample_weights is not None:
        changes["per_sample_weights"] = np.abs(case.per_sample_weights)
    return case.replace(**changes)


# ---- intervals -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """An interval from `lo` to `hi`, element by element."""

    lo: Array
    hi: Array

    @staticmethod
    def around(value: Array, error: Array) -> Interval:
        """Return the interval of all values within `error` of `value`."""
        return Interval(value - error, value + error)

    def grown(self, relative: float) -> Interval:
        """Return the interval with both ends moved outward by a share of their size."""
        return Interval(self.lo - relative * np.abs(self.lo), self.hi + relative * np.abs(self.hi))

    def squared(self) -> Interval:
        """Return the interval of the squares."""
        low, high = np.abs(self.lo), np.abs(self.hi)
        crosses = (self.lo < 0) & (self.hi > 0)
        return Interval(np.where(crosses, 0.0, np.minimum(low, high)) ** 2, np.maximum(low, high) ** 2)

    def scaled(self, factor: float) -> Interval:
        """Return a multiple of the interval; the factor must not be negative."""
        return Interval(self.lo * factor, self.hi * factor)

    def over(self, positive: Interval) -> Interval:
        """Return the quotient by an interval that is not negative."""
        return Interval(
            self.lo / np.where(self.lo < 0, positive.lo, positive.hi), self.hi / np.where(self.hi < 0, positive.hi, positive.lo)
        )
