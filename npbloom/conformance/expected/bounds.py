"""`Expected`, the right value of an output with its tolerance, and the bounds that tolerances are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Expected:
    """The right value of an output, how far from it is right too, and which elements say nothing (blind)."""

    value: Array
    tolerance: Array | float = 0.0
    blind: Array | None = None


def wide(array: Any) -> Any:
    """Values as float64; None stays None."""
    return None if array is None else np.asarray(array, dtype=np.float64)


# ---- sums -------------------------------------------------------------------------------------------------------------


def gamma(roundings: Any, unit: float) -> Any:
    """Relative error of that many roundings one after the other, each by `unit` at most: ``n u / (1 - n u)``."""
    error = np.asarray(roundings * unit, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error < 0.5, error / (1 - error), np.inf)


def sum_error(size: Array, terms: int, unit: float, more: Array | float = 0.0) -> Array:
    """
    Error of a sum of products in an accumulator of this unit roundoff, in any order and association.

    It is ``gamma(n + 4) * A``, where A is the same sum of absolute values: a product, two divisions and the storing of the
    result are four roundings beside the n of the additions. `more` is added where there is a term. Where there is none, the
    sum must be zero.
    """
    error: Array = np.where(size > 0, gamma(terms + 4, unit) * size + more, 0.0)
    return error


def absolute(case: Case, table: Array | None = None) -> Case:
    """The lookup whose outputs are the sums of absolute values; a maximum keeps its table, which decides who wins.

    `table` is the one that max_norm has scaled; the case is then without it.
    """
    changes: dict[str, Any] = {"grad_out": np.abs(case.grad_out), "max_norm": None if table is not None else case.max_norm}
    if case.mode != "max":
        changes["weight"] = np.abs(case.weight if table is None else table)
    if case.per_sample_weights is not None:
        changes["per_sample_weights"] = np.abs(case.per_sample_weights)
    return case.replace(**changes)


# ---- intervals --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """From `lo` to `hi`, element by element."""

    lo: Array
    hi: Array

    @staticmethod
    def around(value: Array, error: Array) -> Interval:
        """All that is within `error` of `value`."""
        return Interval(value - error, value + error)

    def grown(self, relative: float) -> Interval:
        """Both ends moved outward by a share of themselves."""
        return Interval(self.lo - relative * np.abs(self.lo), self.hi + relative * np.abs(self.hi))

    def squared(self) -> Interval:
        """The squares."""
        low, high = np.abs(self.lo), np.abs(self.hi)
        crosses = (self.lo < 0) & (self.hi > 0)
        return Interval(np.where(crosses, 0.0, np.minimum(low, high)) ** 2, np.maximum(low, high) ** 2)

    def scaled(self, factor: float) -> Interval:
        """A multiple, with a factor that is not negative."""
        return Interval(self.lo * factor, self.hi * factor)

    def over(self, positive: Interval) -> Interval:
        """The quotient by an interval that is not negative."""
        return Interval(
            self.lo / np.where(self.lo < 0, positive.lo, positive.hi), self.hi / np.where(self.hi < 0, positive.hi, positive.lo)
        )
