"""
Golden vectors that must be refused: ids out of range, offsets that are no partition.

Each has a valid twin beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import stored
from npbloom.conformance.cases.structures import Structure
from npbloom.conformance.vectors.build import bag, bloom, embedding, integers, whole
from npbloom.conformance.vectors.source import Array, Source
from npbloom.conformance.vectors.vector import Vector, expect_exact

# As 32-bit numbers, some of them are in range.
FAR = (2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63))


def vectors() -> Iterator[Vector]:
    """Yield invalid ids, padding ids, offsets, and weights that do not fit the mode."""
    yield from _ids()
    yield from _padding_ids()
    yield from _offsets()
    yield from _mean_weights()


def _ids() -> Iterator[Vector]:
    """
    Yield one id out of range: at the start, in the middle, at the end, far away.

    Some tables have max_norm; an error must come before any scaling.
    """
    source = Source(60)
    twins: list[tuple[Structure, int]] = [
        (embedding(4, integers(0, 3, 1)), 4),
        (embedding(4, integers(0, 3, 1), max_norm=0.5), 4),
        (bag(4, integers(0, 3, 1), integers(0, 1), "sum"), 4),
        (bag(4, integers(0, 3, 1), integers(0, 1), "max"), 4),
        (bag(4, integers(0, 3, 1), integers(0, 1), "mean", padding_idx=3), 4),
        (bloom(5, integers(0, 11, 1), 12, 2), 12),
        (bloom(5, integers(0, 11, 1), 12, 2, 0), 12),
    ]
    for structure, bound in twins:
        valid = whole(structure, source)
        if structure.fields.get("max_norm") is None:
            yield Vector(valid, "L2", "Valid: the twin of the cases after it.", expect_exact(valid))
        for place, bad in [(place, bad) for place in (0, 1, 2) for bad in (-1, bound)] + [(1, bad) for bad in FAR]:
            ids: Array = valid.ids.copy()
            ids[place] = bad
            note = f"Id {bad} at position {place}: not in [0, {bound})."
            yield Vector(valid.replace(ids=ids), "L2, L3", note, flags=("OutOfBounds",), result="invalid")


def _padding_ids() -> Iterator[Vector]:
    """
    Yield a padding id beyond either end.

    npbloom refuses it when a layer is made. Others may refuse it later, or never.
    """
    source = Source(61)
    for padding in (4, -5):
        for structure in (embedding(4, integers(0, 3, 1)), bag(4, integers(0, 3, 1), integers(0, 1), "sum")):
            case = whole(structure, source).replace(padding_idx=padding)
            note = f"padding_idx {padding} of four rows."
            yield Vector(case, "L9", note, flags=("OutOfBounds", "Padding"), result="acceptable")


def _bags(offsets: Array, mode: str, bags: int, last: bool) -> Case:
    """Return four ids with offsets that may be no partition."""
    structure = bag(3, integers(0, 1, 2, 1), offsets, mode, include_last_offset=last)
    values = {"weight": np.eye(3), "grad_out": np.ones((bags, 3))}
    return structure.case("float32", **{name: stored(array, "float32") for name, array in values.items()})


def _offsets() -> Iterator[Vector]:
    """Yield offsets that start late, decrease, run over, end early, are negative or missing."""
    for mode in ("sum", "mean", "max"):
        for offsets, why, last in (
            ([1, 2], "start at 1", False),
            ([0, 3, 2], "decrease", False),
            ([0, 5], "run beyond the four ids", False),
            ([0, -1], "are negative", False),
            ([], "are missing for four ids", False),
            ([0, 2, 3], "end before the last of four ids", True),
            ([0, 2, 5], "end beyond the four ids", True),
            ([], "are missing, the last one included", True),
        ):
            case = _bags(integers(*offsets), mode, max(1, len(offsets) - last), last)
            yield Vector(case, "L13", f"Offsets that {why}.", flags=("InvalidOffsets",), result="invalid")


def _mean_weights() -> Iterator[Vector]:
    """Yield weights for a mean or a maximum, where they have no meaning."""
    weights = stored([2.0, 1.0, 0.5, 1.0], "float32")
    for mode in ("mean", "max"):
        case = _bags(integers(0, 2), mode, 2, last=False).replace(per_sample_weights=weights)
        yield Vector(case, "L18", f"Weights with mode {mode}.", flags=("MeanWeights",), result="acceptable")
