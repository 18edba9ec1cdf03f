"""Right backends that add in another order or another accumulator."""

from __future__ import annotations

from typing import Any, ClassVar
from zlib import crc32

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.floats import to_bfloat16
from tests.conformance.mutants.right import Array, Entries, Right

Profile = dict[str, dict[str, str]]


def claims(accumulator: str, *dtypes: str) -> Profile:
    """Return a profile with one accumulator for all sums."""
    return {dtype: {"forward": accumulator, "backward": accumulator} for dtype in dtypes}


STORAGE: Profile = {**claims("float32", "float32"), **claims("float64", "float64")}


# ---- other orders of sums ------------------------------------------------------------------------


class Ordered(Right):
    """Sums in the table's dtype, term by term in the order of `order`."""

    profile: ClassVar[Profile] = STORAGE

    def run(self, case: Case) -> Outputs:
        self.accumulator = np.float64 if case.dtype == "float64" else np.float32
        return super().run(case)

    def order(self, place: Array, terms: Array) -> Array:
        """Return the order in which terms are added."""
        return np.arange(len(place))

    def added(self, place: Array, sent: Array, size: int) -> Array:
        order = self.order(place, sent)
        return super().added(place[order], sent[order], size)

    def summed(self, terms: Array, bags: Array, number: int) -> Array:
        order = self.order(bags, terms)
        return super().summed(terms[order], bags[order], number)


class Storage(Ordered):
    """Sums in the table's dtype, in input order."""

    name = "storage"


class Reversed(Ordered):
    """Sums from the last term to the first."""

    name = "reversed"

    def order(self, place: Array, terms: Array) -> Array:
        return np.arange(len(place))[::-1]


class Shuffled(Ordered):
    """Sums in a random order that is the same for the same batch."""

    name = "shuffled"

    def order(self, place: Array, terms: Array) -> Array:
        return np.random.default_rng(crc32(place.tobytes() + terms.tobytes())).permutation(len(place))


class Pairwise(Ordered):
    """Sums of neighbours, then of their sums: a tree, as on SIMD and GPUs."""

    name = "pairwise"

    def added(self, place: Array, sent: Array, size: int) -> Array:
        total = np.zeros((size, sent.shape[1]), dtype=self.accumulator)
        for row in range(size):
            terms = sent[place == row].astype(self.accumulator)
            while len(terms) > 1:
                odd = terms[len(terms) // 2 * 2 :]
                terms = np.concatenate([terms[: len(terms) // 2 * 2 : 2] + terms[1::2], odd])
            total[row] = terms.sum(axis=0)
        return total

    def summed(self, terms: Array, bags: Array, number: int) -> Array:
        return self.added(bags, terms, number)


class Fused(Storage):
    """Products added with one rounding, as by fused multiply-add."""

    name = "fused-multiply-add"

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        if entries.weights is None:
            return super().reduced(case, vectors, entries)
        total = np.zeros((entries.number, vectors.shape[1]), dtype=self.accumulator)
        for at in np.flatnonzero(entries.kept):
            bag = entries.bags[at]
            product = vectors[at].astype(np.longdouble) * np.longdouble(entries.weights[at])
            total[bag] = (product + total[bag]).astype(self.accumulator)
        return total

    def weight_gradient(self, case: Case, vectors: Array, entries: Entries) -> Array:
        total = np.zeros(len(vectors), dtype=self.accumulator)
        for column in range(vectors.shape[1]):
            product = vectors[:, column].astype(np.longdouble) * case.grad_out[entries.bags, column]
            total = (product + total).astype(self.accumulator)
        return np.where(entries.kept, total, 0).reshape(case.ids.shape)


class Reciprocal(Storage):
    """Means and frequencies that multiply by a rounded reciprocal."""

    name = "reciprocal"

    def divided(self, total: Array, entries: Entries) -> Array:
        means: Array = total * (self.accumulator(1) / np.maximum(entries.counts, 1).astype(self.accumulator))[:, None]
        return means

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        right = super().frequencies(case, touched, place).astype(self.accumulator)
        counts: Array = self.accumulator(1) / (self.accumulator(1) / right)
        return counts


class DividesFirst(Storage):
    """Means and frequencies that divide each term before the sum."""

    name = "divides-first"

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        if case.mode != "mean":
            return super().reduced(case, vectors, entries)
        shares = vectors.astype(self.accumulator) / np.maximum(entries.counts, 1)[entries.bags, None].astype(self.accumulator)
        return super().reduced(case.replace(mode="sum"), shares, entries)

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        if not case.scale_grad_by_freq:
            return super().gradient(case, rows, sent)
        count = np.bincount(rows, minlength=len(case.weight))[rows].astype(self.accumulator)
        return super().gradient(case.replace(scale_grad_by_freq=False), rows, sent.astype(self.accumulator) / count[:, None])


# ---- tables of 16 bits ---------------------------------------------------------------------------


class Half(Right):
    """Tables of float16 and bfloat16 with sums in float32."""

    name = "half"
    profile: ClassVar[Profile] = claims("float32", "float16", "bfloat16")
    accumulator: Any = np.float32


class HalfSums(Right):
    """Tables of float16 with sums in float16."""

    name = "half-sums"
    profile: ClassVar[Profile] = claims("float16", "float16")
    accumulator: Any = np.float16


class BrainSums(Right):
    """Tables of bfloat16 with every operation rounded to bfloat16."""

    name = "brain-sums"
    profile: ClassVar[Profile] = claims("bfloat16", "bfloat16")
    accumulator: Any = np.float32

    def added(self, place: Array, sent: Array, size: int) -> Array:
        total = np.zeros((size, sent.shape[1]), dtype=np.float32)
        for row, term in zip(place, to_bfloat16(sent), strict=True):
            total[row] = to_bfloat16(total[row] + term)
        return total

    def summed(self, terms: Array, bags: Array, number: int) -> Array:
        return self.added(bags, terms, number)

    def divided(self, total: Array, entries: Entries) -> Array:
        return to_bfloat16(super().divided(total, entries))

    def weight_gradient(self, case: Case, vectors: Array, entries: Entries) -> Array:
        total = np.zeros(len(vectors), dtype=np.float32)
        for column in range(vectors.shape[1]):
            total = to_bfloat16(total + to_bfloat16(vectors[:, column] * case.grad_out[entries.bags, column]))
        return np.where(entries.kept, total, 0).reshape(case.ids.shape)

    def probe_sum(self, case: Case, rows: Array, live: Array) -> Array:
        total = np.zeros((len(rows), case.weight.shape[1]), dtype=np.float32)
        for probe in range(rows.shape[1]):
            total = to_bfloat16(total + np.where(live[:, probe, None], case.weight[rows[:, probe]], 0))
        return total


class WideOfHalf(Half):
    """Tables of float16 and bfloat16 with answers in float32."""

    name = "wide-of-half"

    def run(self, case: Case) -> Outputs:
        if case.op in ("hash", "sgd", "adagrad", "rowwise_adagrad", "adam"):
            return super().run(case)
        changes = {name: getattr(case, name).astype(np.float32) for name in ("weight", "grad_out")}
        if case.per_sample_weights is not None:
            changes["per_sample_weights"] = case.per_sample_weights.astype(np.float32)
        return super().run(case.replace(dtype="float32", **changes))
