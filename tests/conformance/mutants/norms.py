"""Faults of max_norm: the rows that are scaled, and their factors."""

from __future__ import annotations

import numpy as np

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import stored
from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.right import Array

NORMS = ("embedding.max_norm", "bag.max_norm")


class ScaledByOccurrence(Mutant):
    """A row is scaled once for each occurrence, every time by its first norm."""

    caught_by = NORMS

    def renormalized(self, case: Case, ids: Array) -> Array:
        table = super().renormalized(case, ids)
        if case.max_norm is None:
            return table
        rows, count = np.unique(ids, return_counts=True)
        factor = np.ones(len(table))
        before = self.norms(case.weight.astype(np.float64), case.norm_type or 2.0)
        factor[rows] = np.where(before[rows] > case.max_norm, (case.max_norm / before[rows]) ** (count - 1), 1)
        return stored(table * factor[:, None], case.dtype)


class SortsIds(Mutant):
    """The caller's ids are sorted in place."""

    origin, caught_by = "pytorch#943", NORMS

    def rows_to_scale(self, case: Case, ids: Array) -> Array:
        case.ids.ravel()[:] = np.sort(ids)
        return super().rows_to_scale(case, ids)


class NeverScaled(Mutant):
    """max_norm is accepted and ignored."""

    origin, caught_by = "pytorch#1057", NORMS

    def rows_to_scale(self, case: Case, ids: Array) -> Array:
        return ids[:0]


class NormTypeForgotten(Mutant):
    """The norm is the Euclidean one, whatever norm_type is."""

    caught_by = NORMS

    def norms(self, values: Array, p: float) -> Array:
        return super().norms(values, 2.0)


class InfinityIsLargePower(Mutant):
    """The infinity norm is the sum of absolute values."""

    caught_by = NORMS

    def norms(self, values: Array, p: float) -> Array:
        return super().norms(values, 1.0 if p == np.inf else p)


class RootForgotten(Mutant):
    """The sum of squares is compared with the limit."""

    caught_by = NORMS

    def norms(self, values: Array, p: float) -> Array:
        return super().norms(values, p) ** (2 if p == 2 else 1)


class SignedNorm(Mutant):
    """The 1-norm adds values up with their signs."""

    caught_by = NORMS

    def norms(self, values: Array, p: float) -> Array:
        return np.abs(values.sum(axis=1)) if p == 1 else super().norms(values, p)


class AllRowsScaled(Mutant):
    """Rows that were not looked up are scaled, too."""

    caught_by = NORMS

    def rows_to_scale(self, case: Case, ids: Array) -> Array:
        return np.arange(len(case.weight))


class FirstRowScaled(Mutant):
    """Only the first row that is too long is scaled."""

    caught_by = NORMS

    def rows_to_scale(self, case: Case, ids: Array) -> Array:
        rows = super().rows_to_scale(case, ids)
        norms = self.norms(case.weight[rows].astype(np.float64), case.norm_type or 2.0)
        return rows[np.flatnonzero(norms > (case.max_norm or 0))[:1]]


class ShortRowsGrow(Mutant):
    """Every row looked up is given the norm of the limit."""

    caught_by = NORMS

    def renormalized(self, case: Case, ids: Array) -> Array:
        if case.max_norm is None:
            return super().renormalized(case, ids)
        table, rows = case.weight.copy(), self.rows_to_scale(case, ids)
        norms = self.norms(table[rows].astype(np.float64), case.norm_type or 2.0)
        table[rows] = stored(table[rows] * self.factor(case, norms)[:, None], case.dtype)
        result: Array = table
        return result


class UnitNorm(Mutant):
    """A row that is too long is given the norm 1."""

    caught_by = NORMS

    def factor(self, case: Case, norms: Array) -> Array:
        factor: Array = 1 / (norms + 1e-7)
        return factor


class LargeEps(Mutant):
    """The constant that is added to the norm is 1e-3."""

    caught_by = NORMS

    def factor(self, case: Case, norms: Array) -> Array:
        factor: Array = np.float64(case.max_norm or 0) / (norms + 1e-3)
        return factor


class TableKept(Mutant):
    """The output is scaled, and the table stays as it was."""

    caught_by = ("embedding.max_norm",)

    def embedding(self, case: Case) -> dict[str, Array]:
        outputs = super().embedding(case)
        return {**outputs, "weight": case.weight.copy()} if "weight" in outputs else outputs


class OutputUnscaled(Mutant):
    """The table is scaled, but the output holds the unscaled rows."""

    caught_by = ("embedding.max_norm",)

    def looked_up(self, case: Case, table: Array, ids: Array) -> Array:
        return super().looked_up(case, case.weight, ids)


class BagUnscaled(Mutant):
    """A bag adds the unscaled rows."""

    caught_by = ("bag.max_norm",)

    def bag(self, case: Case) -> dict[str, Array]:
        outputs = super().bag(case)
        return {**outputs, "out": super().bag(case.replace(max_norm=None))["out"]} if case.max_norm is not None else outputs


class ScaledInPlace(Mutant):
    """The caller's table is scaled in place."""

    caught_by = NORMS

    def renormalized(self, case: Case, ids: Array) -> Array:
        table = super().renormalized(case, ids)
        case.weight[...] = table
        return table
