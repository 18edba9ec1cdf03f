"""Faults of bags: empty ones, means, maxima and weights."""

from __future__ import annotations

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.floats import stored
from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.right import Array, Entries

MAX = ("bag.max",)


class EmptyIsNaN(Mutant):
    """The mean of an empty bag is NaN."""

    origin, caught_by = "pytorch#11739", ("bag.mean",)

    def divided(self, total: Array, entries: Entries) -> Array:
        quotient: Array = total / entries.counts[:, None]
        return quotient


class EmptyIsPrevious(Mutant):
    """An empty bag keeps the sum of the one before."""

    caught_by = ("bag.sum", "bag.mean", "bag.max")

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        out = super().reduced(case, vectors, entries)
        for bag in range(1, entries.number):
            if entries.counts[bag] == 0:
                out[bag] = out[bag - 1]
        return out


class EmptyIsUnwritten(Mutant):
    """An empty bag's output is unwritten memory."""

    caught_by = ("bag.sum", "bag.mean", "bag.max")

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        return np.where(entries.counts[:, None] == 0, 1e-3, super().reduced(case, vectors, entries))


class EmptyIsMinusInfinity(Mutant):
    """The maximum of an empty bag is minus infinity."""

    caught_by = MAX

    def maximum(self, vectors: Array, entries: Entries) -> Array:
        return np.where(entries.counts[:, None] == 0, -np.inf, super().maximum(vectors, entries))


class EmptyMaxTrains(Mutant):
    """The gradient of an empty bag's maximum goes to row 0."""

    caught_by = ("bag.max_backward",)

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        if case.mode == "max":
            empty = self.entries(case, case.ids.ravel()).counts == 0
            rows = np.append(rows, np.zeros(np.count_nonzero(empty), dtype=rows.dtype))
            sent = np.concatenate([sent, case.grad_out[empty]])
        return super().gradient(case, rows, sent)


class EmptyBatchRaises(Mutant):
    """A batch without ids raises."""

    origin, caught_by = "synthetic: thinc's HashEmbed", ("embedding.shapes", "bag.sum", "bloom.forward")

    def in_range(self, ids: Array, bound: int) -> Array:
        if not ids.size:
            raise NameError("name 'grad' is not defined")
        return super().in_range(ids, bound)


class NoColumnsNoBags(Mutant):
    """Ids in two dimensions without columns have no bags."""

    caught_by = ("bag.no_columns",)

    def starts(self, case: Case, size: int) -> Array:
        return np.zeros(1, dtype=np.int64) if case.ids.ndim == 2 and not size else super().starts(case, size)


class EmptyBatchLosesShape(Mutant):
    """A batch without ids gives an array without columns."""

    caught_by = ("bag.sum",)

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        out = super().reduced(case, vectors, entries)
        return out if len(vectors) else out[:, :0]


# ---- means ---------------------------------------------------------------------------------------


class MeanOfWidth(Mutant):
    """A mean divides by the longest bag's number of entries."""

    caught_by = ("bag.mean", "bag.mean_backward")

    def divided(self, total: Array, entries: Entries) -> Array:
        return total / max(1, int(entries.counts.max(initial=0)))


class MeanIsSum(Mutant):
    """A mean is not divided."""

    caught_by = ("bag.mean",)

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        return super().reduced(case.replace(mode="sum") if case.mode == "mean" else case, vectors, entries)


class MeanGradientIsSum(Mutant):
    """Every entry of a mean is sent its bag's whole gradient."""

    origin, caught_by = "FlagGems#3900", ("bag.mean_backward",)

    def sent(self, case: Case, vectors: Array, entries: Entries) -> Array:
        return super().sent(case.replace(mode="sum") if case.mode == "mean" else case, vectors, entries)


class SumGradientIsMean(Mutant):
    """Every entry of a sum is sent its share of the bag's gradient."""

    origin, caught_by = "FlagGems#3900", ("bag.sum_backward",)

    def sent(self, case: Case, vectors: Array, entries: Entries) -> Array:
        return super().sent(case.replace(mode="mean") if case.mode == "sum" else case, vectors, entries)


class MeanPlusTiny(Mutant):
    """A mean divides by n + 1e-6, which is never zero."""

    caught_by = ("bag.mean", "bag.mean_backward")

    def divided(self, total: Array, entries: Entries) -> Array:
        quotient: Array = total / (entries.counts + 1e-6)[:, None]
        return quotient


class OneEntryIsCopied(Mutant):
    """A mean of two entries or more divides by a count that is one too small."""

    caught_by = ("bag.mean",)

    def divided(self, total: Array, entries: Entries) -> Array:
        result: Array = total / np.maximum(entries.counts - 1, 1)[:, None]
        return result


# ---- maxima --------------------------------------------------------------------------------------


class MaxFromZero(Mutant):
    """A maximum starts at zero."""

    caught_by = MAX

    def maximum(self, vectors: Array, entries: Entries) -> Array:
        return np.maximum(super().maximum(vectors, entries), 0)


class MaxFromTiny(Mutant):
    """A maximum starts at the smallest positive float, which is not the lowest."""

    caught_by = MAX

    def maximum(self, vectors: Array, entries: Entries) -> Array:
        out = super().maximum(vectors, entries)
        return np.where(entries.counts[:, None] > 0, np.maximum(out, np.finfo(vectors.dtype).tiny), out)


class MaxOfAbsolute(Mutant):
    """The entry of the largest absolute value wins."""

    caught_by = ("bag.max", "bag.max_backward")

    def winner(self, members: Array) -> Array:
        return super().winner(np.abs(members))


class WholeRowWins(Mutant):
    """The entry that wins the first dimension wins all."""

    caught_by = ("bag.max", "bag.max_backward")

    def winner(self, members: Array) -> Array:
        return np.repeat(super().winner(members)[:1], members.shape[1])


class LastTieWins(Mutant):
    """Among equal maxima the last takes the gradient."""

    caught_by = ("bag.max_tie",)

    def winner(self, members: Array) -> Array:
        last: Array = len(members) - 1 - members[::-1].argmax(axis=0)
        return np.where(np.isnan(members).any(axis=0), members.argmax(axis=0), last)


class AllTiesWin(Mutant):
    """All equal maxima take the whole gradient."""

    caught_by = ("bag.max_tie", "bag.max_backward")

    def sent(self, case: Case, vectors: Array, entries: Entries) -> Array:
        if case.mode != "max":
            return super().sent(case, vectors, entries)
        best = self.maximum(vectors, entries)
        return np.where(vectors == best[entries.bags], case.grad_out[entries.bags], 0)


class TiesShare(Mutant):
    """Equal maxima share the gradient, although the policy gives it to one of them."""

    caught_by = ("bag.max_tie",)

    def sent(self, case: Case, vectors: Array, entries: Entries) -> Array:
        if case.mode != "max":
            return super().sent(case, vectors, entries)
        ties = (vectors == self.maximum(vectors, entries)[entries.bags]) & entries.kept[:, None]
        count = np.zeros((entries.number, vectors.shape[1]))
        np.add.at(count, entries.bags, ties)
        return np.where(ties, case.grad_out[entries.bags] / np.maximum(count, 1)[entries.bags], 0)


class MaxGetsMeanGradient(Mutant):
    """The gradient of a maximum is that of a mean."""

    origin, caught_by = "FlagGems#5220", ("bag.max_backward",)

    def sent(self, case: Case, vectors: Array, entries: Entries) -> Array:
        return super().sent(case.replace(mode="mean") if case.mode == "max" else case, vectors, entries)


class NaNLost(Mutant):
    """A maximum passes over NaN."""

    origin, caught_by = "tensorflow#127626", ("bag.max_nan",)

    def winner(self, members: Array) -> Array:
        result: Array = np.where(np.isnan(members), -np.inf, members).argmax(axis=0)
        return result


class NaNByOrder(Mutant):
    """A NaN wins or loses by its place, because comparisons with it are false."""

    origin, caught_by = "tvm#19755", ("bag.max_nan",)

    def winner(self, members: Array) -> Array:
        best = np.zeros(members.shape[1], dtype=int)
        columns = np.arange(members.shape[1])
        for at in range(1, len(members)):
            best = np.where(~(members[best, columns] >= members[at]), at, best)
        return best


class MaxGradientByEntry(Mutant):
    """The winner's place in its bag is taken for its place in the batch."""

    caught_by = ("bag.max_backward",)

    def sent(self, case: Case, vectors: Array, entries: Entries) -> Array:
        if case.mode != "max":
            return super().sent(case, vectors, entries)
        bag, column, entry = self.wins(vectors, entries)
        sent = np.zeros(vectors.shape)
        np.add.at(sent, (entry - np.searchsorted(entries.bags, bag), column), case.grad_out[bag, column])
        return sent


# ---- weights -------------------------------------------------------------------------------------


class WeightsIgnoredInForward(Mutant):
    """Weights scale the gradient only."""

    caught_by = ("bag.weighted_sum",)

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        return super().reduced(case, vectors, Entries(entries.ids, entries.bags, entries.kept, entries.counts, None))


class WeightsIgnoredInBackward(Mutant):
    """Weights scale the output only."""

    caught_by = ("bag.weighted_sum",)

    def sent(self, case: Case, vectors: Array, entries: Entries) -> Array:
        return super().sent(case, vectors, Entries(entries.ids, entries.bags, entries.kept, entries.counts, None))


class WeightsNormalised(Mutant):
    """Weights are divided by their sum."""

    caught_by = ("bag.weighted_sum", "bag.unit_weights")

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        out = super().reduced(case, vectors, entries)
        if entries.weights is None:
            return out
        total = np.bincount(entries.bags, weights=entries.weights, minlength=entries.number)
        return out / np.where(total == 0, 1, total)[:, None]


class WeightsOfTheBag(Mutant):
    """Weights are read by their place in the bag, not in the batch."""

    caught_by = ("bag.weighted_sum",)

    def entries(self, case: Case, ids: Array) -> Entries:
        right = super().entries(case, ids)
        if right.weights is not None:
            right.weights = right.weights[np.arange(ids.size) - np.searchsorted(right.bags, right.bags)]
        return right


class WeightsShiftWithLastOffset(Mutant):
    """With include_last_offset the weights are read one entry late."""

    caught_by = ("bag.combined",)

    def entries(self, case: Case, ids: Array) -> Entries:
        right = super().entries(case, ids)
        if right.weights is not None and case.include_last_offset:
            right.weights = np.roll(right.weights, -1)
        return right


class AbsoluteWeights(Mutant):
    """Negative weights lose their sign."""

    caught_by = ("bag.weighted_sum",)

    def entries(self, case: Case, ids: Array) -> Entries:
        right = super().entries(case, ids)
        if right.weights is not None:
            right.weights = np.abs(right.weights)
        return right


class UnitWeightsTwice(Mutant):
    """A shortcut for weights that are all 1 counts every entry twice."""

    caught_by = ("bag.unit_weights",)

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        out = super().reduced(case, vectors, entries)
        return out * 2 if entries.weights is not None and len(entries.weights) > 1 and (entries.weights == 1).all() else out


class WeightGradientOfNextBag(Mutant):
    """The gradient of a weight uses the output's gradient of the next bag."""

    caught_by = ("bag.per_sample_weights",)

    def weight_gradient(self, case: Case, vectors: Array, entries: Entries) -> Array:
        bags = np.minimum(entries.bags + 1, entries.number - 1)
        return super().weight_gradient(case, vectors, Entries(entries.ids, bags, entries.kept, entries.counts, entries.weights))


class WeightGradientAfterUpdate(Mutant):
    """The gradient of a weight uses the table after the step of a fused kernel."""

    origin, caught_by = "torchrec#4602", ("bag.per_sample_weights",)

    def weight_gradient(self, case: Case, vectors: Array, entries: Entries) -> Array:
        moved = vectors - 0.125 * self.sent(case, vectors, entries)
        return super().weight_gradient(case, moved, entries)


class WeightGradientWeighted(Mutant):
    """The gradient of a weight is multiplied by the weight."""

    caught_by = ("bag.per_sample_weights",)

    def weight_gradient(self, case: Case, vectors: Array, entries: Entries) -> Array:
        return super().weight_gradient(case, vectors * (1 if entries.weights is None else entries.weights[:, None]), entries)


class WeightGradientSorted(Mutant):
    """Gradients of weights come back in the order of the sorted ids."""

    caught_by = ("bag.per_sample_weights",)

    def weight_gradient(self, case: Case, vectors: Array, entries: Entries) -> Array:
        flat = super().weight_gradient(case, vectors, entries).ravel()
        return flat[np.argsort(entries.ids, kind="stable")].reshape(case.ids.shape)


class WeightGradientOfZero(Mutant):
    """An entry of weight 0 is skipped, and its weight gets no gradient."""

    caught_by = ("bag.per_sample_weights",)

    def weight_gradient(self, case: Case, vectors: Array, entries: Entries) -> Array:
        right = super().weight_gradient(case, vectors, entries)
        return stored(np.where(case.per_sample_weights == 0, 0, right), case.dtype)
