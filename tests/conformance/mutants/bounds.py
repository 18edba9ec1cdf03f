"""Faults of bounds: ids out of range, and offsets that are no partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.floats import stored
from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.right import Array, Entries

BOUNDS = ("embedding.out_of_bounds", "bag.out_of_bounds", "bloom.out_of_bounds")
BAGS = ("bag.sum", "bag.mean", "bag.max")


class WrapsNegative(Mutant):
    """A negative id counts from the end."""

    origin, caught_by = "synthetic: NumPy's indexing", BOUNDS

    def in_range(self, ids: Array, bound: int) -> Array:
        return super().in_range(np.where((ids < 0) & (ids >= -bound), ids + bound, ids), bound)


class Clips(Mutant):
    """An id out of range is the nearest one in range."""

    origin, caught_by = "sparkinfer#154", BOUNDS

    def in_range(self, ids: Array, bound: int) -> Array:
        return np.clip(ids, 0, bound - 1)


class ReadsZeros(Mutant):
    """An id out of range reads zeros."""

    origin, caught_by = "tensorflow#5847", ("embedding.out_of_bounds",)

    def embedding(self, case: Case) -> Outputs:
        valid = (case.ids >= 0) & (case.ids < len(case.weight))
        outputs = super().embedding(case.replace(ids=np.where(valid, case.ids, 0)))
        return {**outputs, "out": np.where(valid[..., None], outputs["out"], 0)}


class Dropped(Mutant):
    """An entry out of range is left out of its bag."""

    origin, caught_by = "tensorflow#27033", ("bag.out_of_bounds",)

    def in_range(self, ids: Array, bound: int) -> Array:
        return np.clip(ids, 0, bound - 1)

    def kept(self, case: Case, ids: Array) -> Array:
        flat = case.ids.ravel()
        inside: Array = (flat >= 0) & (flat < len(case.weight)) & super().kept(case, ids)
        return inside


class OnePast(Mutant):
    """The id just past the last one is let through, and reads the last row."""

    caught_by = BOUNDS

    def in_range(self, ids: Array, bound: int) -> Array:
        return super().in_range(np.where(ids == bound, bound - 1, ids), bound)


class FirstIdOnly(Mutant):
    """Only the first id is checked."""

    caught_by = BOUNDS

    def in_range(self, ids: Array, bound: int) -> Array:
        super().in_range(ids[:1], bound)
        return np.clip(ids, 0, bound - 1)


class OnlyAbove(Mutant):
    """Ids are compared with the number of rows, but not with 0."""

    caught_by = BOUNDS

    def in_range(self, ids: Array, bound: int) -> Array:
        return super().in_range(np.maximum(ids, 0), bound)


class ThirtyTwoBits(Mutant):
    """Ids are cut to 32 bits before they are checked."""

    caught_by = BOUNDS

    def in_range(self, ids: Array, bound: int) -> Array:
        return super().in_range(ids.astype(np.int32).astype(np.int64), bound)


class WritesBeforeItRaises(Mutant):
    """Rows are scaled to max_norm one by one, up to the id that does not exist."""

    origin, caught_by = "synthetic: torch 2.13", ("embedding.out_of_bounds", "bag.out_of_bounds")

    def in_range(self, ids: Array, bound: int) -> Array:
        return ids

    def renormalized(self, case: Case, ids: Array) -> Array:
        if case.max_norm is not None and ids.size and not (ids.min() >= 0 and ids.max() < len(case.weight)):
            row = int(ids[0])
            super().in_range(ids[:1], len(case.weight))
            case.weight[row] *= 0.5
        super().in_range(ids, len(case.weight))
        return super().renormalized(case, ids)


def without(right: Entries, lost: Callable[[Entries], Array]) -> Entries:
    """Return the entries without those for which `lost` is true."""
    kept = right.kept & ~lost(right)
    return Entries(right.ids, right.bags, kept, np.bincount(right.bags[kept], minlength=right.number), right.weights)


# ---- bags ----------------------------------------------------------------------------------------


class LastBagDropped(Mutant):
    """The last bag is left empty."""

    caught_by = BAGS

    def entries(self, case: Case, ids: Array) -> Entries:
        return without(super().entries(case, ids), lambda right: right.bags == right.number - 1)


class EndsEarly(Mutant):
    """The last entry of every bag but the last is left out."""

    caught_by = BAGS

    def entries(self, case: Case, ids: Array) -> Entries:
        return without(super().entries(case, ids), lambda right: np.append(right.bags[1:] != right.bags[:-1], False)[: ids.size])


class EmptyMerges(Mutant):
    """An empty bag takes the first entry of the next, as with `np.add.reduceat`."""

    origin, caught_by = "pytorch#4169", BAGS

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        out = super().reduced(case, vectors, entries)
        if case.offsets is not None:
            offsets = case.offsets[: entries.number]
            for bag in range(entries.number - 1):
                if offsets[bag] == offsets[bag + 1] < len(vectors):
                    out[bag] = vectors[offsets[bag]]
        return out


class LastOffsetIgnored(Mutant):
    """include_last_offset is accepted and ignored: the last offset starts one more bag."""

    origin, caught_by = "pytorch#190060", ("bag.include_last_offset",)

    def starts(self, case: Case, size: int) -> Array:
        return super().starts(case.replace(include_last_offset=False), size)


class LastOffsetInMax(Mutant):
    """With include_last_offset a maximum misses its last bag."""

    origin, caught_by = "pytorch#106374", ("bag.include_last_offset",)

    def maximum(self, vectors: Array, entries: Entries) -> Array:
        out = super().maximum(vectors, entries)
        if self.last and len(out):
            out[-1] = 0
        return out

    last = False

    def bag(self, case: Case) -> Outputs:
        self.last = bool(case.include_last_offset)
        return super().bag(case)


class Leaks(Mutant):
    """A bag reads the first entry of the next one, too."""

    caught_by = (*BAGS, "bag.loop_of_lookups")

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        out = super().reduced(case, vectors, entries)
        starts = np.searchsorted(entries.bags, np.arange(1, entries.number))
        for bag, start in enumerate(starts):
            if start < len(vectors) and entries.kept[start]:
                out[bag] = np.maximum(out[bag], vectors[start]) if case.mode == "max" else out[bag] + vectors[start]
        return out


class ColumnsAreBags(Mutant):
    """Ids in two dimensions are read down the columns."""

    caught_by = ("bag.sum", "bag.mean", "bag.max", "bag.sum_backward")

    def bag(self, case: Case) -> Outputs:
        if case.ids.ndim == 1:
            return super().bag(case)
        weights = case.per_sample_weights
        turned: dict[str, Any] = {"ids": case.ids.T.reshape(case.ids.shape)}
        if weights is not None:
            turned["per_sample_weights"] = weights.T.reshape(weights.shape)
        return super().bag(case.replace(**turned))


class AnyOffsets(Mutant):
    """Offsets are sorted and cut to size instead of checked."""

    caught_by = ("bag.invalid_offsets",)

    def starts(self, case: Case, size: int) -> Array:
        if case.ids.ndim == 2:
            return super().starts(case, size)
        offsets = np.sort(np.clip(case.offsets, 0, size)).astype(np.int64)
        starts = np.append(offsets, size)
        starts[:1] = 0
        return starts[: max(1, len(case.grad_out) + 1)]


class EarlyEnd(Mutant):
    """A last offset before the end is accepted, and later entries belong to the last bag."""

    origin, caught_by = "synthetic: torch 2.13", ("bag.invalid_offsets",)

    def is_partition(self, offsets: Array, size: int, last: bool) -> bool:
        return super().is_partition(offsets, size, False)

    def starts(self, case: Case, size: int) -> Array:
        starts = super().starts(case, size).copy()
        starts[-1:] = size
        return starts


class StartsAnywhere(Mutant):
    """Offsets need not start at 0: earlier entries are in no bag."""

    caught_by = ("bag.invalid_offsets",)

    def starts(self, case: Case, size: int) -> Array:
        if case.ids.ndim == 2 or not len(case.offsets):
            return super().starts(case, size)
        return super().starts(case.replace(offsets=np.append(0, case.offsets[1:])), size)


class DecreasingOffsets(Mutant):
    """Offsets that decrease give empty bags."""

    caught_by = ("bag.invalid_offsets",)

    def starts(self, case: Case, size: int) -> Array:
        if case.ids.ndim == 2:
            return super().starts(case, size)
        inside = case.offsets.size and case.offsets.min() >= 0 and case.offsets.max() <= size
        return super().starts(case.replace(offsets=np.maximum.accumulate(case.offsets)) if inside else case, size)


class NoOffsetsNoBags(Mutant):
    """Without an offset all ids are in no bag."""

    caught_by = ("bag.invalid_offsets",)

    def bag(self, case: Case) -> Outputs:
        if case.ids.ndim == 1 and not len(case.offsets):
            none = {"out": stored(np.zeros((0, case.weight.shape[1])), case.dtype)}
            return {**none, "rows": np.zeros(0, dtype=np.int64), "values": none["out"]}
        return super().bag(case)


class WeightsInMean(Mutant):
    """Weights of a mean are accepted and ignored."""

    caught_by = ("bag.weights_refused",)

    def refuse(self, case: Case) -> None:
        """Accept weights of a mean."""

    def bag(self, case: Case) -> Outputs:
        return super().bag(case if case.mode == "sum" else case.replace(per_sample_weights=None))
