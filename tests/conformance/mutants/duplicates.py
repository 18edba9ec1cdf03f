"""Faults of sums: ids that repeat, rows that a gradient names, frequencies."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.floats import stored
from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.right import Array

BACKWARD = ("embedding.backward", "bag.sum_backward", "bloom.backward")
FREQUENCY = ("embedding.scale_grad_by_freq", "bag.scale_grad_by_freq")
TOUCHED = ("embedding.touched", "bag.touched", "bloom.touched")


class LastWriteWins(Mutant):
    """`grad[rows] += values` keeps the last contribution to each row."""

    origin, caught_by = "numpy#23176", BACKWARD

    def added(self, place: Array, sent: Array, size: int) -> Array:
        total = np.zeros((size, sent.shape[1]))
        total[place] = sent
        return total


class FirstWriteWins(Mutant):
    """The first contribution to each row is kept."""

    caught_by = BACKWARD

    def added(self, place: Array, sent: Array, size: int) -> Array:
        total = np.zeros((size, sent.shape[1]))
        total[place[::-1]] = sent[::-1]
        return total


class NeighboursMerged(Mutant):
    """Duplicates are merged if they are neighbours; otherwise the last one is kept."""

    origin, caught_by = "tenstorrent/tt-metal#6232", BACKWARD

    def added(self, place: Array, sent: Array, size: int) -> Array:
        total = np.zeros((size, sent.shape[1]))
        for at in range(len(place)):
            before = total[place[at]] if at and place[at] == place[at - 1] else 0
            total[place[at]] = before + sent[at]
        return total


class Averaged(Mutant):
    """Contributions to a row are averaged."""

    caught_by = BACKWARD

    def added(self, place: Array, sent: Array, size: int) -> Array:
        return super().added(place, sent, size) / np.maximum(np.bincount(place, minlength=size), 1)[:, None]


class AtMostTwo(Mutant):
    """A third occurrence of an id is lost."""

    caught_by = (*BACKWARD, "embedding.split_batch", "bag.split_batch", "bloom.split_batch")

    def added(self, place: Array, sent: Array, size: int) -> Array:
        earlier = np.array([np.count_nonzero(place[:at] == row) for at, row in enumerate(place)], dtype=int)
        return super().added(place[earlier < 2], sent[earlier < 2], size)


class LastIdLost(Mutant):
    """The loop over ids ends one early."""

    caught_by = BACKWARD

    def added(self, place: Array, sent: Array, size: int) -> Array:
        return super().added(place[:-1], sent[:-1], size)


class SetOfIds(Mutant):
    """An id that is twice in a bag counts once."""

    caught_by = ("bag.sum", "bag.mean")

    def kept(self, case: Case, ids: Array) -> Array:
        kept = super().kept(case, ids)
        starts = self.starts(case, ids.size) if case.op == "bag" else [0, ids.size]
        for lo, hi in pairwise(starts):
            first = np.zeros(hi - lo, dtype=bool)
            first[np.unique(ids[lo:hi], return_index=True)[1]] = True
            kept[lo:hi] &= first
        return kept


# ---- rows that are named -------------------------------------------------------------------------


class ZerosDropped(Mutant):
    """Rows whose gradient is zero are not named."""

    caught_by = TOUCHED

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        outputs = super().gradient(case, rows, sent)
        some = (outputs["values"] != 0).any(axis=1)
        return {"rows": outputs["rows"][some], "values": outputs["values"][some]}


class RowsUnsorted(Mutant):
    """Rows come in the order in which they first occur."""

    caught_by = TOUCHED

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        outputs = super().gradient(case, rows, sent)
        order = np.argsort(np.unique(rows, return_index=True)[1])
        return {"rows": outputs["rows"][order], "values": outputs["values"][order]}


class RowsRepeated(Mutant):
    """Every occurrence is named: the gradient is not coalesced."""

    origin, caught_by = "dgl#2030", TOUCHED

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        order = np.argsort(rows, kind="stable")
        return {"rows": rows[order], "values": stored(sent[order], case.dtype)}


class PaddingNamed(Mutant):
    """The padding row is named, with a gradient of zero."""

    caught_by = TOUCHED

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        outputs = super().gradient(case, rows, sent)
        row = 0 if case.op == "bloom" else self.padding_row(case)
        if case.padding_idx is None or row in outputs["rows"]:
            return outputs
        at = np.searchsorted(outputs["rows"], row)
        return {"rows": np.insert(outputs["rows"], at, row), "values": np.insert(outputs["values"], at, 0, axis=0)}


class AllRowsNamed(Mutant):
    """Every row of the table is named."""

    caught_by = TOUCHED

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        outputs = super().gradient(case, rows, sent)
        dense = np.zeros_like(case.weight)
        dense[outputs["rows"]] = outputs["values"]
        return {"rows": np.arange(len(dense)), "values": dense}


# ---- frequencies ---------------------------------------------------------------------------------


class WrongCount(Mutant):
    """The k-th distinct row is divided by the count of the k-th id of the sorted batch."""

    origin, caught_by = "pytorch#190063", FREQUENCY

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        counts = super().frequencies(case, touched, place)
        result: Array = counts[np.sort(place)[: len(touched)]]
        return result


class FrequencyIgnored(Mutant):
    """scale_grad_by_freq is accepted and ignored."""

    origin, caught_by = "pytorch#190061", (*FREQUENCY, "bag.scale_max_by_freq")

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        return np.ones(len(touched))


class FrequencyIgnoredInMax(Mutant):
    """scale_grad_by_freq is ignored in a maximum."""

    origin, caught_by = "synthetic: torch refuses it", ("bag.scale_max_by_freq",)

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        return np.ones(len(touched)) if case.mode == "max" else super().frequencies(case, touched, place)


class FrequencyIgnoredWithWeights(Mutant):
    """scale_grad_by_freq is ignored if entries have weights."""

    caught_by = ("bag.combined_by_freq",)

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        counts = super().frequencies(case, touched, place)
        return counts if case.per_sample_weights is None else np.ones(len(touched))


class FrequencyOfDistinct(Mutant):
    """Every row is divided by the number of distinct ids."""

    caught_by = FREQUENCY

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        return np.full(len(touched), max(1, len(touched)))


class FrequencyOfAll(Mutant):
    """Every row is divided by the number of ids."""

    caught_by = FREQUENCY

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        return np.full(len(touched), max(1, len(place)))


class RootOfFrequency(Mutant):
    """Rows are divided by the root of their count."""

    origin, caught_by = "pytorch#84491", FREQUENCY

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        return np.sqrt(super().frequencies(case, touched, place))


class FrequencyTwice(Mutant):
    """Rows are divided by their count twice."""

    caught_by = FREQUENCY

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        return super().frequencies(case, touched, place) ** 2


class FrequencyInBag(Mutant):
    """Ids are counted in their own bag only."""

    caught_by = ("bag.scale_grad_by_freq",)

    def bag(self, case: Case) -> Outputs:
        if not case.scale_grad_by_freq or case.mode == "max":
            return super().bag(case)
        plain = case.replace(scale_grad_by_freq=None)
        entries = self.entries(case, case.ids.ravel())
        pairs = np.stack([entries.bags, entries.ids])
        count = np.array([np.count_nonzero((pairs == pair[:, None]).all(axis=0)) for pair in pairs.T]).reshape(-1, 1)
        sent = self.sent(plain, case.weight[entries.ids], entries) / np.maximum(count, 1)
        return {**super().bag(plain), **self.gradient(plain, entries.ids[entries.kept], sent[entries.kept])}


class FrequencyOfWins(Mutant):
    """A maximum's gradient is divided by how often the row won, not by how often it occurs."""

    caught_by = ("bag.scale_max_by_freq",)

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        counts = super().frequencies(case, touched, place)
        if case.mode != "max":
            return counts
        entries = self.entries(case, case.ids.ravel())
        winners = entries.ids[np.unique(self.wins(case.weight[entries.ids], entries)[2])]
        result: Array = np.maximum(np.array([np.count_nonzero(winners == row) for row in touched]), 1)
        return result
