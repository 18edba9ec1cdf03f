"""Faults of padding: rows that must not train, and entries that must not count."""

from __future__ import annotations

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from tests.conformance.mutants.bounds import without
from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.right import Array, Entries

BOTH = ("embedding.padding", "bag.padding")


class PaddingIgnored(Mutant):
    """padding_idx is accepted and ignored."""

    origin, caught_by = "pytorch#103023", BOTH

    def padding_row(self, case: Case) -> int:
        return -1


class NegativePaddingIgnored(Mutant):
    """A negative padding_idx names no row."""

    caught_by = BOTH

    def padding_row(self, case: Case) -> int:
        return -1 if case.padding_idx is None else case.padding_idx


class PaddingZeroIgnored(Mutant):
    """`if padding_idx:` takes row 0 for no padding."""

    caught_by = BOTH

    def padding_row(self, case: Case) -> int:
        return super().padding_row(case) or -1


class RowZeroUntrained(Mutant):
    """Row 0 is taken for padding if there is none."""

    caught_by = ("embedding.backward", "bag.sum_backward", "embedding.permutation", "bag.permutation")

    def padding_row(self, case: Case) -> int:
        return 0 if case.padding_idx is None else super().padding_row(case)


class PaddingBeyond768(Mutant):
    """Padding is trained in batches of more than 768 ids."""

    origin, caught_by = "pytorch#28716", ("embedding.padding",)

    def kept(self, case: Case, ids: Array) -> Array:
        return super().kept(case, ids) | (ids.size > 768)


class FirstPaddingOnly(Mutant):
    """Only the first occurrence of the padding id is masked."""

    caught_by = BOTH

    def kept(self, case: Case, ids: Array) -> Array:
        kept = super().kept(case, ids)
        kept[np.flatnonzero(~kept)[1:]] = True
        return kept


class PaddingZeroedInForward(Mutant):
    """The padding row is read as zeros, whatever is stored."""

    origin, caught_by = "pytorch#53368", ("embedding.padding",)

    def looked_up(self, case: Case, table: Array, ids: Array) -> Array:
        return np.where(self.kept(case, ids)[:, None], table[ids], table.dtype.type(0))


class PaddingWritten(Mutant):
    """The padding row of the caller's table is set to zero."""

    origin, caught_by = "pytorch#46585", ("embedding.padding",)

    def renormalized(self, case: Case, ids: Array) -> Array:
        if case.padding_idx is not None:
            case.weight[self.padding_row(case)] = 0
        return super().renormalized(case, ids)


class IndexLost(Mutant):
    """The first id that is not padding loses its gradient if the batch has padding."""

    origin, caught_by = "pytorch#27731", ("embedding.padding",)

    def kept(self, case: Case, ids: Array) -> Array:
        kept = super().kept(case, ids)
        if not kept.all():
            kept[np.flatnonzero(kept)[:1]] = False
        return kept


class PaddingCountsInMean(Mutant):
    """Padding is left out of the sum of a mean, but counted."""

    origin, caught_by = "pytorch#3194", ("bag.padding",)

    def counts(self, bags: Array, kept: Array, number: int) -> Array:
        return np.bincount(bags, minlength=number)


class PaddingInForward(Mutant):
    """Padding is left out of a bag's gradient only."""

    caught_by = ("bag.padding",)

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        whole = np.ones_like(entries.kept)
        counts = np.bincount(entries.bags, minlength=entries.number)
        return super().reduced(case, vectors, Entries(entries.ids, entries.bags, whole, counts, entries.weights))


class PaddingInBackward(Mutant):
    """Padding is left out of a bag, and trained."""

    caught_by = ("bag.padding",)

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        outputs = super().gradient(case, rows, sent)
        padding = self.padding_row(case)
        if case.op == "bag" and padding in case.ids and padding >= 0:
            at = np.searchsorted(outputs["rows"], padding)
            total = case.grad_out.sum(axis=0, dtype=np.float64).astype(outputs["values"].dtype)
            return {"rows": np.insert(outputs["rows"], at, padding), "values": np.insert(outputs["values"], at, total, axis=0)}
        return outputs


class PaddingIsZeroInMax(Mutant):
    """Padding counts as zeros in a maximum."""

    caught_by = ("bag.padding",)

    def maximum(self, vectors: Array, entries: Entries) -> Array:
        out = super().maximum(vectors, entries)
        padded = np.bincount(entries.bags[~entries.kept], minlength=entries.number) > 0
        return np.where(padded[:, None], np.maximum(out, 0), out)


class OnlyPaddingIsNaN(Mutant):
    """A mean of nothing but padding divides zero by zero."""

    caught_by = ("bag.padding",)

    def divided(self, total: Array, entries: Entries) -> Array:
        padded = (entries.counts == 0) & (np.bincount(entries.bags, minlength=entries.number) > 0)
        return np.where(padded[:, None], np.nan, super().divided(total, entries))


class PaddingOfSecondBag(Mutant):
    """Padding is looked for in the first bag only."""

    caught_by = ("bag.padding",)

    def kept(self, case: Case, ids: Array) -> Array:
        kept = super().kept(case, ids)
        if case.op == "bag" and case.offsets is not None and len(case.offsets) > 1:
            kept[case.offsets[1] :] = True
        return kept


class PaddingWeightTrained(Mutant):
    """The weight of a padding entry gets a gradient."""

    caught_by = ("bag.per_sample_weights",)

    def weight_gradient(self, case: Case, vectors: Array, entries: Entries) -> Array:
        whole = np.ones_like(entries.kept)
        return super().weight_gradient(case, vectors, Entries(entries.ids, entries.bags, whole, entries.counts, entries.weights))


class PaddingLosesItsBag(Mutant):
    """A bag that contains padding is zero."""

    caught_by = ("bag.padding",)

    def entries(self, case: Case, ids: Array) -> Entries:
        return without(super().entries(case, ids), lambda right: np.isin(right.bags, right.bags[~right.kept]))


class PaddingUnscaled(Mutant):
    """max_norm leaves the padding row alone."""

    caught_by = ("embedding.max_norm", "bag.max_norm", "embedding.combined", "bag.combined")

    def rows_to_scale(self, case: Case, ids: Array) -> Array:
        return super().rows_to_scale(case, ids[self.kept(case, ids)])


class PaddingShiftsCounts(Mutant):
    """Padding is left out of the ids, but not of the counts of frequencies."""

    caught_by = ("embedding.scale_grad_by_freq", "bag.scale_grad_by_freq", "embedding.combined_by_freq")

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        counts = np.unique(case.ids, return_counts=True)[1]
        return counts[: len(touched)]
