"""Backends that are right in another way than npbloom: none of them may ever fail."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from npbloom.conformance.cases.backend import Backend, Unsupported
from npbloom.conformance.cases.case import Case, Outputs, copied, rows_shape
from npbloom.conformance.cases.floats import stored
from tests.conformance.mutants.orders import (
    STORAGE,
    BrainSums,
    DividesFirst,
    Fused,
    Half,
    HalfSums,
    Pairwise,
    Profile,
    Reciprocal,
    Reversed,
    Shuffled,
    Storage,
    WideOfHalf,
    claims,
)
from tests.conformance.mutants.right import Array, Entries, Right
from tests.conformance.mutants.right_updates import UPDATES

# ---- other forms of answers ----------------------------------------------------------------------


class Dense(Right):
    """A backend with gradients of the table's shape."""

    name = "dense"

    def run(self, case: Case) -> Outputs:
        return _dense(case, super().run(case))


def _dense(case: Case, outputs: Outputs) -> Outputs:
    """Return the outputs with the gradient as one array."""
    if case.op == "hash" or "values" not in outputs:
        return outputs
    dense = np.zeros(rows_shape(case), dtype=outputs["values"].dtype)
    dense[outputs["rows"]] = outputs["values"]
    others = {key: value for key, value in outputs.items() if key not in ("rows", "values")}
    return {**others, "grad_weight": dense.reshape(case.weight.shape)}


class BothGradients(Right):
    """A backend with gradients in both forms."""

    name = "both-gradients"

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**_dense(case, outputs), **outputs}


class NotCoalesced(Right):
    """
    A backend with one gradient row for each contribution, in input order.

    It declines `touched` by name.
    """

    name = "not-coalesced"
    profile: ClassVar[Profile] = STORAGE  # a row's parts are rounded before they are added
    omits: ClassVar[dict[str, str]] = {
        f"{op}.touched": "gradients are not coalesced" for op in ("embedding", "bag", "bloom", "bloom_concat")
    }

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        if case.scale_grad_by_freq:
            sent = sent / np.bincount(rows, minlength=len(case.weight))[rows, None]
        return {"rows": rows, "values": stored(sent, case.dtype)}


class ReadOnly(Right):
    """A backend that returns read-only arrays."""

    name = "read-only"

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        for array in outputs.values():
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        return outputs


class Strided(Right):
    """A backend that returns every second element of larger arrays."""

    name = "strided"

    def run(self, case: Case) -> Outputs:
        return {key: _strided(value) if isinstance(value, np.ndarray) else value for key, value in super().run(case).items()}


def _strided(array: Array) -> Array:
    """Return the same numbers with others between them."""
    wide = np.full((*array.shape, 2), 77, dtype=array.dtype)
    wide[..., 0] = array
    return wide[..., 0]


class Fortran(Right):
    """A backend that returns column-major arrays."""

    name = "fortran"

    def run(self, case: Case) -> Outputs:
        return {
            key: np.asfortranarray(value) if isinstance(value, np.ndarray) else value for key, value in super().run(case).items()
        }


class BigEndian(Right):
    """A backend that returns arrays of the other byte order."""

    name = "big-endian"

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {
            key: value.astype(value.dtype.newbyteorder(">")) if isinstance(value, np.ndarray) else value
            for key, value in outputs.items()
        }


class WideAnswers(Right):
    """A backend that returns float64 for every table, unrounded, and rows in 32 bits."""

    name = "wide-answers"

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {key: _widened(value) for key, value in outputs.items()}


def _widened(value: Any) -> Any:
    """Return floats as float64 and rows as int32."""
    if isinstance(value, dict):
        return {name: _widened(array) for name, array in value.items()}
    return value.astype(np.float64 if value.dtype.kind == "f" else np.int32)


class UnsignedRows(Right):
    """A backend that returns rows as unsigned numbers."""

    name = "unsigned-rows"

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "rows": outputs["rows"].astype(np.uint32)} if "rows" in outputs else outputs


class MoreKeys(Right):
    """A backend that returns keys of its own beside the expected ones."""

    name = "more-keys"

    def run(self, case: Case) -> Outputs:
        return {**super().run(case), "seconds": np.array(0.1), "kernel": "gather"}


class KeepsInputs(Right):
    """A backend that keeps its inputs and answers a repeated case from memory."""

    name = "keeps-inputs"

    def __init__(self) -> None:
        self._last: tuple[str, Outputs] | None = None

    def run(self, case: Case) -> Outputs:
        key = repr(case)
        if self._last is None or self._last[0] != key:
            self._last = key, super().run(case)
        outputs: Outputs = copied(self._last[1])
        return outputs


class Isolated(Right):
    """A backend that runs in a child process."""

    name, in_process = "isolated", False


# ---- policies and partial offers -----------------------------------------------------------------


class LastTie(Right):
    """A backend that sends the gradient to the last of equal maxima, as its policy says."""

    name = "last-tie"
    policy: ClassVar[dict[str, str]] = {"max_tie": "last", "invalid_offsets": "raise"}

    def winner(self, members: Array) -> Array:
        last: Array = len(members) - 1 - members[::-1].argmax(axis=0)
        return np.where(np.isnan(members).any(axis=0), members.argmax(axis=0), last)


class SharedTies(Storage):
    """A backend that shares the gradient among equal maxima, as its policy allows."""

    name = "shared-ties"
    policy: ClassVar[dict[str, str]] = {"max_tie": "any"}

    def sent(self, case: Case, vectors: Array, entries: Entries) -> Array:
        if case.mode != "max":
            return super().sent(case, vectors, entries)
        ties = (vectors == self.maximum(vectors, entries)[entries.bags]) & entries.kept[:, None]
        count = np.zeros((entries.number, vectors.shape[1]), dtype=self.accumulator)
        np.add.at(count, entries.bags, ties)
        share = case.grad_out[entries.bags].astype(self.accumulator) / np.maximum(count, 1)[entries.bags]
        sent: Array = np.where(ties, share, self.accumulator(0))
        return sent


class MaskedPadding(Right):
    """A backend that reads the padding row as zeros, as its policy says."""

    name = "masked-padding"
    policy: ClassVar[dict[str, str]] = {"padding_forward": "zero"}

    def looked_up(self, case: Case, table: Array, ids: Array) -> Array:
        return np.where(self.kept(case, ids)[:, None], table[ids], table.dtype.type(0))


class NanByOrder(Right):
    """A backend whose maxima treat a NaN by its place, as its policy says."""

    name = "nan-by-order"
    policy: ClassVar[dict[str, str]] = {"max_nan": "by-order"}

    def winner(self, members: Array) -> Array:
        best = np.zeros(members.shape[1], dtype=int)
        columns = np.arange(members.shape[1])
        for at in range(1, len(members)):
            best = np.where(members[at] > members[best, columns], at, best)
        return best


class WeightedMean(Right):
    """A backend whose weights of a mean have their own meaning, as its policy says."""

    name = "weighted-mean"
    policy: ClassVar[dict[str, str]] = {"mean_weights": "any"}

    def refuse(self, case: Case) -> None:
        """Accept weights of a mean."""


class Unchecked(Right):
    """A backend that reads some row for ids out of range, as its policy says."""

    name = "unchecked"
    policy: ClassVar[dict[str, str]] = {"out_of_bounds": "undefined"}

    def in_range(self, ids: Array, bound: int) -> Array:
        return np.clip(ids, 0, bound - 1)


class HashOnly(Right):
    """A backend that offers hashing only."""

    name = "hash-only"

    def run(self, case: Case) -> Outputs:
        if case.op != "hash":
            raise Unsupported("hashing only")
        return super().run(case)


class SingleOnly(Right):
    """A backend that offers float32 and sums only."""

    name = "single-only"
    profile: ClassVar[Profile] = claims("float32", "float32")
    accumulator: Any = np.float32

    def run(self, case: Case) -> Outputs:
        if case.dtype != "float32" or case.mode in ("mean", "max") or case.op in ("adam", "sgd"):
            raise Unsupported("sums in float32 only")
        return super().run(case)


class OneDimension(Right):
    """A backend for ids in one dimension and Euclidean norms only."""

    name = "one-dimension"

    def run(self, case: Case) -> Outputs:
        if case.ids is not None and case.ids.ndim != 1:
            raise Unsupported("ids have one dimension")
        if case.max_norm is not None and case.norm_type != 2.0:
            raise Unsupported("the Euclidean norm only")
        return super().run(case)


# ---- norms ---------------------------------------------------------------------------------------


class SingleNorms(Right):
    """A backend with norms in the table's dtype."""

    name = "single-norms"

    def norms(self, values: Array, p: float) -> Array:
        real = self.real
        sizes = np.abs(values).astype(real)
        if p == np.inf:
            largest: Array = sizes.max(axis=1)
            return largest
        norms: Array = np.power(np.power(sizes, real(p)).sum(axis=1, dtype=real), real(1 / p))
        return norms

    def factor(self, case: Case, norms: Array) -> Array:
        factor: Array = self.real(case.max_norm) / (norms + self.real(1e-7))
        return factor

    real: Any = np.float32

    def run(self, case: Case) -> Outputs:
        self.real = np.float64 if case.dtype == "float64" else np.float32
        return super().run(case)


class HalfNorms(SingleNorms):
    """A backend with norms in float16."""

    name = "half-norms"
    profile: ClassVar[Profile] = claims("float32", "float16")
    accumulator: Any = np.float32

    def run(self, case: Case) -> Outputs:
        return Right.run(self, case)

    real: Any = np.float16


VARIANTS: tuple[Backend, ...] = tuple(
    each()
    for each in (
        *(Right, Storage, Reversed, Shuffled, Pairwise, Fused, Reciprocal, DividesFirst),
        *(Half, HalfSums, BrainSums, WideOfHalf),
        *(Dense, BothGradients, NotCoalesced, ReadOnly, Strided, Fortran, BigEndian, WideAnswers, UnsignedRows, MoreKeys),
        *(KeepsInputs, Isolated, LastTie, SharedTies, MaskedPadding, NanByOrder, WeightedMean, Unchecked),
        *(HashOnly, SingleOnly, OneDimension, SingleNorms, HalfNorms, *UPDATES),
    )
)
