"""
Faults of memory: caches, buffers, writes to inputs, chance, and sizes that change a kernel's path.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.right import Array

DETERMINISM = ("embedding.determinism", "bag.determinism", "bloom.determinism")
ALIASING = ("embedding.aliasing", "bag.aliasing", "bloom.aliasing")
BACKWARD = ("embedding.backward", "bag.sum_backward", "bloom.backward")


class CachedByIds(Mutant):
    """Answers are cached by ids and shape: another table gets the old answer."""

    caught_by = DETERMINISM

    def __init__(self) -> None:
        self._kept: dict[Any, Outputs] = {}

    def run(self, case: Case) -> Outputs:
        arrays = {name: array.tobytes() for name, array in case.arrays().items() if name not in ("weight", "grad_out")}
        key = repr(
            (arrays, {name: value for name, value in case.given().items() if name not in case.arrays()}, case.weight.shape)
        )
        return {name: array.copy() for name, array in self._kept.setdefault(key, super().run(case)).items()}


class CachedByPlace(Mutant):
    """Rows of ids are cached by the first id and the number of ids."""

    caught_by = ("embedding.forward", "bag.sum")

    def __init__(self) -> None:
        self._kept: dict[Any, Array] = {}

    def in_range(self, ids: Array, bound: int) -> Array:
        return self._kept.setdefault((ids[:1].tobytes(), ids.size, bound), super().in_range(ids, bound)).copy()


class BufferReused(Mutant):
    """Outputs of one shape share one array."""

    caught_by = DETERMINISM

    def __init__(self) -> None:
        self._buffers: dict[Any, Array] = {}

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        buffer = self._buffers.setdefault((outputs["out"].shape, case.dtype), outputs["out"])
        buffer[...] = outputs["out"]
        return {**outputs, "out": buffer}


class LastBitByChance(Mutant):
    """The last bit of the gradient depends on chance, as with atomics."""

    caught_by = DETERMINISM

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        noise = np.spacing(outputs["values"]) * self._rng.integers(0, 2, outputs["values"].shape)
        return {**outputs, "values": outputs["values"] + noise.astype(outputs["values"].dtype)}


class SometimesLost(Mutant):
    """One batch in fifty loses its first contribution: a race."""

    caught_by = BACKWARD

    def __init__(self) -> None:
        self._count = 0

    def added(self, place: Array, sent: Array, size: int) -> Array:
        self._count += 1
        return super().added(place, sent * (np.arange(len(sent)) > 0)[:, None] if self._count % 50 == 0 else sent, size)


class OutputIsTable(Mutant):
    """An output that is consecutive rows of the table is a view of them."""

    caught_by = ALIASING

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "out": view_of(case.weight, outputs["out"])}


class GradientIsInput(Mutant):
    """A gradient that is consecutive rows of grad_out is a view of them."""

    caught_by = ALIASING

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "values": view_of(case.grad_out.reshape(-1, case.weight.shape[1]), outputs["values"])}


def view_of(source: Array, wanted: Array) -> Array:
    """
    Return a view of the rows of `source` that equal `wanted`; without such rows, `wanted` itself.
    """
    flat = wanted.reshape(-1, source.shape[1])
    for start in range(len(source) - len(flat) + 1):
        if len(flat) and np.array_equal(source[start : start + len(flat)], flat):
            return source[start : start + len(flat)].reshape(wanted.shape)
    return wanted


class ScalesInput(Mutant):
    """The caller's gradient is multiplied in place."""

    origin, caught_by = "synthetic: thinc's HashEmbed", ("embedding.backward", "bag.sum_backward", "bloom.backward")

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        outputs = super().gradient(case, rows, sent)
        case.grad_out[...] *= 0.5
        return outputs


class SortsOffsets(Mutant):
    """The caller's ids are sorted bag by bag."""

    caught_by = ("bag.sum", "bag.max")

    def bag(self, case: Case) -> Outputs:
        outputs = super().bag(case)
        if case.offsets is not None and len(case.offsets):
            case.ids[case.offsets[0] : None if len(case.offsets) == 1 else case.offsets[1]].sort()
        return outputs


# ---- sizes at which a kernel changes its path ----------------------------------------------------


class Beyond767(Mutant):
    """The last gradient is lost in batches of more than 767."""

    caught_by = BACKWARD

    def added(self, place: Array, sent: Array, size: int) -> Array:
        end = len(place) - (len(place) > 767)
        return super().added(place[:end], sent[:end], size)


class OneOverThirtyTwo(Mutant):
    """The last gradient is lost if it is left alone after blocks of 32."""

    caught_by = BACKWARD

    def added(self, place: Array, sent: Array, size: int) -> Array:
        end = len(place) - (len(place) % 32 == 1 and len(place) > 32)
        return super().added(place[:end], sent[:end], size)


class TailOfFour(Mutant):
    """Columns after the last multiple of four lose the first contribution."""

    caught_by = BACKWARD

    def added(self, place: Array, sent: Array, size: int) -> Array:
        total = super().added(place, sent, size)
        whole = sent.shape[1] // 4 * 4
        total[:, whole:] = super().added(place[1:], sent[1:], size)[:, whole:]
        return total


class BeyondEightColumns(Mutant):
    """Columns after the eighth get the gradient of earlier ones."""

    caught_by = BACKWARD

    def added(self, place: Array, sent: Array, size: int) -> Array:
        total = super().added(place, sent, size)
        if total.shape[1] > 8:
            total[:, 8:] = total[:, : total.shape[1] - 8] if total.shape[1] <= 16 else total[:, 7:-1]
        return total


class BeyondHundredColumns(Mutant):
    """Rows of more than a hundred columns are read with the last column missing."""

    caught_by = ("embedding.forward", "bag.sum", "bloom.forward")

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        if case.weight.shape[1] > 100:
            outputs["out"][..., -1] = 0
        return outputs


class RowsInOneByte(Mutant):
    """Rows are counted in one byte: in high tables the gradient of a row goes to a lower one."""

    caught_by = BACKWARD

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        return super().gradient(case, rows % 256, sent)


class RowsInTwoBytes(Mutant):
    """Rows are kept in 16 bits."""

    caught_by = ("embedding.forward", "embedding.backward", "bag.sum", "bag.sum_backward")

    def in_range(self, ids: Array, bound: int) -> Array:
        return super().in_range(ids, bound) % 65536


class ManyRows(Mutant):
    """The last row is lost if more than 256 are touched."""

    caught_by = BACKWARD

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        outputs = super().gradient(case, rows, sent)
        if len(outputs["rows"]) <= 256:
            return outputs
        return {"rows": outputs["rows"][:-1], "values": outputs["values"][:-1]}


class ManyBags(Mutant):
    """The last bag of more than a hundred is zero."""

    caught_by = ("bag.sum", "bag.mean", "bag.max")

    def bag(self, case: Case) -> Outputs:
        outputs = super().bag(case)
        if len(outputs["out"]) > 100:
            outputs["out"][-1] = 0
        return outputs


class LongBags(Mutant):
    """The last entry of a bag of more than 255 is lost."""

    caught_by = ("bag.sum", "bag.mean")

    def summed(self, terms: Array, bags: Array, number: int) -> Array:
        total = super().summed(terms, bags, number)
        for bag in np.flatnonzero(np.bincount(bags, minlength=number) > 255):
            total[bag] -= terms[np.flatnonzero(bags == bag)[-1]]
        return total
