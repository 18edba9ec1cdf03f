"""Faults of Bloom lookups: probes, the reserved row, and ids on it."""

from __future__ import annotations

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.right import Array

BOTH = ("bloom.forward", "bloom.backward")


class OneProbeFewer(Mutant):
    """k - 1 probes are made."""

    caught_by = BOTH

    def bloom_rows(self, case: Case, ids: Array) -> Array:
        return super().bloom_rows(case, ids)[:, : max(1, (case.num_hash_functions or 1) - 1)]


class ForwardProbesFewer(Mutant):
    """The last probe is left out of the output."""

    caught_by = ("bloom.forward",)

    def probe_sum(self, case: Case, rows: Array, live: Array) -> Array:
        last = max(1, rows.shape[1] - 1)
        return super().probe_sum(case, rows[:, :last], live[:, :last])


class MeanOfProbes(Mutant):
    """The k rows are averaged, as Spotlight's readme says."""

    origin, caught_by = "synthetic: Spotlight's readme", ("bloom.forward",)

    def probe_sum(self, case: Case, rows: Array, live: Array) -> Array:
        result: Array = super().probe_sum(case, rows, live) / rows.shape[1]
        return result


class GradientShared(Mutant):
    """Each probe is sent 1/k of the gradient."""

    caught_by = ("bloom.backward",)

    def added(self, place: Array, sent: Array, size: int) -> Array:
        return super().added(place, sent / self.hashes, size)

    hashes = 1

    def bloom(self, case: Case) -> Outputs:
        self.hashes = case.num_hash_functions or 1
        return super().bloom(case)


class FirstProbeTrained(Mutant):
    """Only the first probe is sent the gradient."""

    caught_by = ("bloom.backward",)

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        if case.padding_idx is None:
            step = case.num_hash_functions or 1
            rows, sent = rows[::step], sent[::step]
        return super().gradient(case, rows, sent)


class CoincidingOnceForward(Mutant):
    """Two probes of an id that meet in a row read it once."""

    caught_by = ("bloom.forward",)

    def probe_sum(self, case: Case, rows: Array, live: Array) -> Array:
        return super().probe_sum(case, rows, live & first_of_each(rows))


class CoincidingOnceBackward(Mutant):
    """Two probes of an id that meet in a row train it once."""

    caught_by = ("bloom.backward",)

    def bloom(self, case: Case) -> Outputs:
        outputs = super().bloom(case)
        ids = case.ids.ravel()
        rows = self.bloom_rows(case, ids)
        live = self.live(case, ids, rows) & first_of_each(rows)
        sent = np.repeat(case.grad_out.reshape(ids.size, case.weight.shape[1]), rows.shape[1], axis=0)
        return {**outputs, **self.gradient(case, rows[live], sent[live.ravel()])}


def first_of_each(rows: Array) -> Array:
    """Return a mask: true for the first of each id's probes that meet in a row."""
    earlier = np.tril(np.ones((rows.shape[1], rows.shape[1]), dtype=bool), -1)
    first: Array = ~((rows[:, :, None] == rows[:, None, :]) & earlier).any(axis=2)
    return first


# ---- the reserved row ----------------------------------------------------------------------------


class ReservedRowRead(Mutant):
    """Probes of row 0 add what is stored there."""

    caught_by = ("bloom.padding",)

    def probe_sum(self, case: Case, rows: Array, live: Array) -> Array:
        return super().probe_sum(case, rows, np.ones_like(live))


class ReservedRowReadByOthers(Mutant):
    """The padding id gives zero, but other ids add what is stored in row 0."""

    origin, caught_by = "synthetic: Spotlight", ("bloom.padding",)

    def probe_sum(self, case: Case, rows: Array, live: Array) -> Array:
        others = (case.ids.ravel() != case.padding_idx)[:, None] if case.padding_idx is not None else True
        return super().probe_sum(case, rows, live | others)


class ReservedRowTrained(Mutant):
    """Probes of row 0 are trained."""

    caught_by = ("bloom.padding",)

    def bloom(self, case: Case) -> Outputs:
        outputs = super().bloom(case)
        ids = case.ids.ravel()
        rows = self.bloom_rows(case, ids)
        sent = np.repeat(case.grad_out.reshape(ids.size, case.weight.shape[1]), rows.shape[1], axis=0)
        return {**outputs, **self.gradient(case, rows.ravel(), sent)}


class PaddingIdHashed(Mutant):
    """The padding id is hashed like any other."""

    caught_by = ("bloom.padding", "bloom.share_padding_row")

    def bloom_rows(self, case: Case, ids: Array) -> Array:
        beyond = (case.num_embeddings or 0) + 1
        return super().bloom_rows(case if case.padding_idx is None else case.replace(padding_idx=beyond), ids)


class PaddingIsZero(Mutant):
    """The padding id is 0, whatever padding_idx is."""

    origin, caught_by = "synthetic: Spotlight", ("bloom.padding",)

    def bloom_rows(self, case: Case, ids: Array) -> Array:
        return super().bloom_rows(case if case.padding_idx is None else case.replace(padding_idx=0), ids)


class RowZeroAlwaysReserved(Mutant):
    """Row 0 is reserved even without a padding id."""

    caught_by = BOTH

    def live(self, case: Case, ids: Array, rows: Array) -> Array:
        result: Array = rows != 0
        return result


class SharingIgnored(Mutant):
    """share_padding_row is accepted and ignored."""

    caught_by = ("bloom.share_padding_row",)

    def bloom_rows(self, case: Case, ids: Array) -> Array:
        return super().bloom_rows(case.replace(share_padding_row=True), ids)


class AllRowsBesidePadding(Mutant):
    """Other ids are hashed to 1 + h mod m, and rows beyond the last one become the last."""

    caught_by = ("bloom.share_padding_row",)

    def bloom_rows(self, case: Case, ids: Array) -> Array:
        if case.padding_idx is None or case.share_padding_row:
            return super().bloom_rows(case, ids)
        m = len(case.weight)
        rows = np.minimum(1 + self.probes(ids, m, self.seeds[: case.num_hash_functions]), m - 1)
        rows[ids == case.padding_idx] = 0
        result: Array = rows
        return result


class NextRowBesidePadding(Mutant):
    """An id that meets row 0 moves to row 1."""

    caught_by = ("bloom.share_padding_row",)

    def bloom_rows(self, case: Case, ids: Array) -> Array:
        rows = super().bloom_rows(case.replace(share_padding_row=True), ids)
        if case.padding_idx is not None and not case.share_padding_row:
            rows[(ids != case.padding_idx)[:, None] & (rows == 0)] = 1
        return rows


class OffsetsIgnoreProbes(Mutant):
    """Sums of k rows start at every row instead of every k-th row."""

    origin, caught_by = "synthetic: Spotlight's bag=True", ("bloom.forward",)

    def probe_sum(self, case: Case, rows: Array, live: Array) -> Array:
        n, k = rows.shape
        flat, alive = rows.ravel(), live.ravel()
        at = np.minimum(np.arange(n)[:, None] + np.arange(k), max(n * k - 1, 0))
        return super().probe_sum(case, flat[at], alive[at]) if n else super().probe_sum(case, rows, live)


class IdsAsFloat(Mutant):
    """Ids are converted to float32: neighbours above 2**24 become equal."""

    caught_by = ("bloom.forward",)

    def words(self, ids: Array) -> list[Array]:
        return super().words(ids.astype(np.float32).astype(np.int64))


# ---- means and concatenations --------------------------------------------------------------------


class MeanNotDivided(Mutant):
    """A mean of probes is their sum."""

    caught_by = ("bloom_mean.forward",)

    def averaged(self, total: Array, live: Array) -> Array:
        return total


class MeanGradientWhole(Mutant):
    """Each probe of a mean is sent the whole gradient."""

    caught_by = ("bloom_mean.backward",)

    def shared(self, grad: Array, live: Array) -> Array:
        return grad


class MeanOfLiveProbes(Mutant):
    """A mean does not count probes of the reserved row."""

    caught_by = ("bloom_mean.padding",)

    def averaged(self, total: Array, live: Array) -> Array:
        quotient: Array = total / np.maximum(live.sum(axis=1, keepdims=True), 1)
        return quotient


class SlicesReversed(Mutant):
    """Probe j reads and trains slice k - 1 - j."""

    caught_by = ("bloom_concat.forward", "bloom_concat.backward")

    def slices(self, rows: Array) -> Array:
        k = rows.shape[1]
        numbers: Array = rows * k + np.arange(k)[::-1]
        return numbers


class SlicesOfFirstProbe(Mutant):
    """All slices are read from the first probe's row: one hash, whatever k is."""

    caught_by = ("bloom_concat.forward", "bloom_concat.backward")

    def slices(self, rows: Array) -> Array:
        return super().slices(np.broadcast_to(rows[:, :1], rows.shape))


class FirstSliceTrained(Mutant):
    """Every probe trains the first slice of its row."""

    caught_by = ("bloom_concat.backward",)

    def bloom_concat(self, case: Case) -> Outputs:
        outputs = super().bloom_concat(case)
        k = case.num_hash_functions or 1
        first, place = np.unique(outputs["rows"] // k * k, return_inverse=True)
        total = np.zeros((len(first), outputs["values"].shape[1]), dtype=outputs["values"].dtype)
        np.add.at(total, place, outputs["values"])
        return {**outputs, "rows": first, "values": total}


class ReservedSlicesRead(Mutant):
    """Probes of row 0 read the slices that are stored there."""

    caught_by = ("bloom_concat.padding",)

    def bloom_concat(self, case: Case) -> Outputs:
        slices = self.slices(self.bloom_rows(case, case.ids.ravel()))
        stored_there = case.weight.reshape(-1, case.weight.shape[1] // slices.shape[1])[slices]
        return {**super().bloom_concat(case), "out": stored_there.reshape(case.grad_out.shape)}


class WholeRowsTouched(Mutant):
    """All slices of a probed row come back, with zeros where no probe read."""

    caught_by = ("bloom_concat.touched",)

    def bloom_concat(self, case: Case) -> Outputs:
        outputs = super().bloom_concat(case)
        k = case.num_hash_functions or 1
        rows = np.unique(outputs["rows"] // k)
        every = (rows[:, None] * k + np.arange(k)).ravel()
        values = np.zeros((len(every), outputs["values"].shape[1]), dtype=outputs["values"].dtype)
        values[np.searchsorted(every, outputs["rows"])] = outputs["values"]
        return {**outputs, "rows": every, "values": values}
