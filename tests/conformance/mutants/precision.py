"""Faults of precision: accumulators narrower than claimed, and lost bits."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.floats import stored, to_bfloat16
from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.right import Array, Entries

FLOAT32: dict[str, dict[str, str]] = {"float32": {"forward": "float32", "backward": "float32"}}
SUMS = ("embedding.backward", "bag.sum", "bag.sum_backward", "bloom.forward", "bloom.backward")
PRECISION = ("embedding.precision", "bag.precision")


def one_by_one(place: Array, terms: Array, size: int, rounded: Any) -> Array:
    """Return the sums by place, rounded after every addition."""
    total = np.zeros((size, terms.shape[1]), dtype=np.float32)
    for at, row in enumerate(place):
        total[row] = rounded(total[row] + rounded(terms[at]))
    return total


class BrainSums(Mutant):
    """Sums are kept in bfloat16, although the profile claims float32."""

    origin, caught_by = "tenstorrent/tt-metal#53386", PRECISION
    profile: ClassVar = FLOAT32

    def added(self, place: Array, sent: Array, size: int) -> Array:
        return one_by_one(place, sent, size, lambda values: to_bfloat16(np.asarray(values, dtype=np.float32)))

    def summed(self, terms: Array, bags: Array, number: int) -> Array:
        return self.added(bags, terms, number)


class HalfSums(Mutant):
    """Sums are kept in float16, although the profile claims float32."""

    origin, caught_by = "mxnet#17703", PRECISION
    profile: ClassVar = FLOAT32

    def added(self, place: Array, sent: Array, size: int) -> Array:
        return one_by_one(place, sent, size, lambda values: np.asarray(values, dtype=np.float16).astype(np.float32))

    def summed(self, terms: Array, bags: Array, number: int) -> Array:
        return self.added(bags, terms, number)


class HalfPairs(Mutant):
    """Rows are added in pairs in float16 before they meet a float32 accumulator."""

    origin, caught_by = "torchrec#3730", ("bag.sum", "bag.mean")
    profile: ClassVar = FLOAT32

    def summed(self, terms: Array, bags: Array, number: int) -> Array:
        return super().summed(terms.astype(np.float16), bags, number)


class SingleForward(Mutant):
    """Outputs are added up in float32, although the profile claims float64."""

    caught_by = ("bag.sum", "bloom.forward", "bag.precision")

    def summed(self, terms: Array, bags: Array, number: int) -> Array:
        total = np.zeros((number, terms.shape[1]), dtype=np.float32)
        np.add.at(total, bags, terms.astype(np.float32))
        return total

    def probe_sum(self, case: Case, rows: Array, live: Array) -> Array:
        total: Array = np.where(live[..., None], case.weight[rows], 0).astype(np.float32).sum(axis=1, dtype=np.float32)
        return total


class SingleBackward(Mutant):
    """Gradients are added up in float32, although the profile claims float64."""

    caught_by = ("embedding.backward", "bag.sum_backward", "bloom.backward")

    def added(self, place: Array, sent: Array, size: int) -> Array:
        total = np.zeros((size, sent.shape[1]), dtype=np.float32)
        np.add.at(total, place, sent.astype(np.float32))
        return total


class DoubleIsSingle(Mutant):
    """Arithmetic on float64 tables is in float32."""

    origin, caught_by = "synthetic: JAX without x64", ("embedding.forward", *SUMS)

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {
            key: _single(array) if key in ("out", "values") and case.dtype == "float64" else array
            for key, array in outputs.items()
        }


def _single(array: Array) -> Array:
    """Return the array rounded to float32, as float64."""
    return array.astype(np.float32).astype(np.float64)


class TensorFloat(Mutant):
    """Rows are read with ten bits of mantissa."""

    caught_by = ("embedding.raw_bits", "bag.sum", "bloom.forward")

    def run(self, case: Case) -> Outputs:
        if case.op == "hash" or case.weight is None or case.dtype != "float32":
            return super().run(case)
        return super().run(case.replace(weight=(case.weight.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)))


class WeightsRounded(Mutant):
    """Weights of entries are rounded to float16."""

    caught_by = ("bag.weighted_sum",)

    def entries(self, case: Case, ids: Array) -> Entries:
        right = super().entries(case, ids)
        if right.weights is not None:
            right.weights = right.weights.astype(np.float16).astype(right.weights.dtype)
        return right


class GradientRounded(Mutant):
    """The output's gradient is rounded to bfloat16."""

    caught_by = ("embedding.backward", "bag.sum_backward", "bloom.backward")

    def added(self, place: Array, sent: Array, size: int) -> Array:
        return super().added(place, to_bfloat16(sent.astype(np.float32)), size)


class QuotientRounded(Mutant):
    """Means are multiplied by a float16 reciprocal."""

    caught_by = ("bag.mean", "bag.mean_backward")

    def divided(self, total: Array, entries: Entries) -> Array:
        return total * (np.float16(1) / np.maximum(entries.counts, 1).astype(np.float16)).astype(np.float64)[:, None]


class DotRounded(Mutant):
    """Gradients of weights are dot products in float16."""

    caught_by = ("bag.per_sample_weights",)

    def weight_gradient(self, case: Case, vectors: Array, entries: Entries) -> Array:
        return super().weight_gradient(case, vectors.astype(np.float16).astype(np.float64), entries)


# ---- raw bits ------------------------------------------------------------------------------------


class NaNPayloadLost(Mutant):
    """Every NaN becomes the standard one."""

    caught_by = ("embedding.raw_bits",)

    def looked_up(self, case: Case, table: Array, ids: Array) -> Array:
        rows = super().looked_up(case, table, ids)
        return np.where(np.isnan(rows), np.array(np.nan, dtype=rows.dtype), rows)


class NegativeZeroLost(Mutant):
    """Rows are added to zeros: -0.0 becomes +0.0."""

    caught_by = ("embedding.raw_bits",)

    def looked_up(self, case: Case, table: Array, ids: Array) -> Array:
        result: Array = super().looked_up(case, table, ids) + table.dtype.type(0)
        return result


class SubnormalsFlushed(Mutant):
    """Subnormals are flushed to zero."""

    origin, caught_by = "jax#26668", ("embedding.raw_bits",)

    def looked_up(self, case: Case, table: Array, ids: Array) -> Array:
        rows = super().looked_up(case, table, ids)
        return np.where(np.abs(rows) < np.finfo(rows.dtype).tiny, np.copysign(table.dtype.type(0), rows), rows)


class NaNIsZero(Mutant):
    """NaN is read as zero."""

    caught_by = ("embedding.raw_bits",)

    def looked_up(self, case: Case, table: Array, ids: Array) -> Array:
        return np.nan_to_num(super().looked_up(case, table, ids), posinf=np.inf, neginf=-np.inf)


class InfinityIsLargest(Mutant):
    """Infinities are cut to the largest float."""

    caught_by = ("embedding.raw_bits",)

    def looked_up(self, case: Case, table: Array, ids: Array) -> Array:
        largest = np.finfo(table.dtype).max
        return np.clip(super().looked_up(case, table, ids), -largest, largest)


class GatherByProduct(Mutant):
    """Rows are read by a product with a one-hot matrix: NaN and infinity reach all of them."""

    caught_by = ("embedding.raw_bits",)

    def looked_up(self, case: Case, table: Array, ids: Array) -> Array:
        return stored(np.eye(len(table))[ids] @ table.astype(np.float64), case.dtype)
