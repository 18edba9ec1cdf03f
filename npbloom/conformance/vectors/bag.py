"""Golden vectors of bags: one output row for each bag of ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import stored
from npbloom.conformance.cases.structures import Structure
from npbloom.conformance.vectors.build import LARGE, bag, has_odd_divisors, integers, whole, wide
from npbloom.conformance.vectors.source import Array, Source
from npbloom.conformance.vectors.vector import Vector, expect_divided, expect_exact, expect_normed, expect_rounded

MODES = ("sum", "mean", "max")
LAWS = {"sum": "L13", "mean": "L16", "max": "L17"}


def vectors() -> Iterator[Vector]:
    """
    Yield empty bags at every place, padding, last offsets, weights, frequencies and ties.

    Drawn structures and larger cases follow.
    """
    yield from _empty()
    yield from _two_dimensional()
    yield from _last_offset()
    yield from _padding()
    yield from _weights()
    yield from _frequencies()
    yield from _choices()
    yield from _drawn()
    yield from _rounding()
    yield from _large()
    yield from _norms()
    yield from _together()


def _flags(structure: Structure) -> tuple[str, ...]:
    """Return the flags of a structure."""
    ids, padding = structure.fields["ids"], structure.fields["padding_idx"]
    kept = ids.ravel() if padding is None else ids.ravel()[ids.ravel() != padding % structure.rows]
    found = ["Duplicates"] if len(np.unique(kept)) < kept.size else []
    if structure.fields["offsets"] is not None:
        last = structure.fields["include_last_offset"]
        bounds = structure.fields["offsets"] if last else np.append(structure.fields["offsets"], ids.size)
        found += ["EmptyBag"] if (np.diff(bounds) == 0).any() else []
    return (*found, *(["Padding"] if padding is not None else []))


def _exactly(structure: Structure, source: Source, spec: str, note: str, **options: Any) -> Vector:
    """Return a vector in which nothing rounds but the product with a reciprocal."""
    case = whole(structure, source, **options)
    if has_odd_divisors(structure):
        return Vector(case, spec, note, expect_divided(case), (*_flags(structure), "Rounding"))
    return Vector(case, spec, note, expect_exact(case), _flags(structure))


def _empty() -> Iterator[Vector]:
    """Yield empty bags first, in the middle, last, several, all; and no bag at all."""
    source = Source(30)
    ids = integers(2, 0, 2, 1)
    for mode in MODES:
        for offsets in ([0], [0, 2], [0, 0, 2], [0, 2, 2], [0, 2, 4], [0, 0, 0, 3, 3, 4, 4]):
            structure = bag(4, ids, integers(*offsets), mode)
            yield _exactly(structure, source, f"{LAWS[mode]}, L14", f"{mode} of bags that start at {offsets}.")
        structure = bag(4, integers(), integers(0, 0), mode)
        yield _exactly(structure, source, f"{LAWS[mode]}, L14", f"{mode} of two empty bags, no ids.")
        yield _exactly(bag(4, integers(), integers(), mode), source, "L13", f"{mode} of no bags, no ids.")


def _two_dimensional() -> Iterator[Vector]:
    """Yield 2-D ids: one bag a line."""
    source = Source(31)
    for mode in MODES:
        for shape in ((3, 2), (1, 4), (2, 0), (0, 3)):
            structure = bag(4, source.integers(0, 4, shape), None, mode)
            yield _exactly(structure, source, "L13", f"{mode} of the lines of ids of shape {list(shape)}.")
        yield _exactly(bag(4, source.integers(0, 4, (3, 2)), None, mode), source, "L13", f"{mode} in float64.", dtype="float64")


def _last_offset() -> Iterator[Vector]:
    """Yield offsets whose last one starts no bag."""
    source = Source(32)
    for mode in MODES:
        for offsets in ([0, 4], [0, 1, 4], [0, 0, 2, 2, 4, 4]):
            structure = bag(4, integers(3, 1, 1, 0), integers(*offsets), mode, include_last_offset=True)
            yield _exactly(structure, source, "L13", f"{mode} with include_last_offset, {len(offsets) - 1} bags.")


def _padding() -> Iterator[Vector]:
    """
    Yield padding, which sum, count and maximum leave out whatever its row holds.

    It is named from either end; some bags hold padding only.
    """
    source = Source(33)
    ids = integers(1, 3, 3, 0, 1, 3)
    for mode in MODES:
        for padding in (0, 3, -1, -3):
            structure = bag(4, ids, integers(0, 1, 3, 3), mode, padding_idx=padding)
            note = f"{mode} without padding_idx {padding}, whose row is not zero; counts of a mean leave it out."
            yield _exactly(structure, source, f"{LAWS[mode]}, L15", note)
        structure = bag(2, source.integers(0, 2, (5, 3)), None, mode, padding_idx=1)
        yield _exactly(structure, source, f"{LAWS[mode]}, L15", f"{mode} of lines with padding.")
    structure = bag(4, source.integers(0, 4, (769,)), integers(0, 500), "sum", padding_idx=2)
    yield _exactly(structure, source, "L13, L15", "Padding among more than 768 ids.", width=1)


def _weights() -> Iterator[Vector]:
    """Yield a weight for each entry, zero among them."""
    source = Source(34)
    for padding in (None, 2):
        for offsets in ([0, 3], [0, 0, 5], [0]):
            structure = bag(3, integers(2, 0, 2, 1, 0), integers(*offsets), "sum", padding_idx=padding)
            note = "Each row counts by its weight; a weight's gradient is its bag's gradient times its row, 0 for padding."
            yield _exactly(structure, source, "L18", note, weighted=True)
    structure = bag(4, source.integers(0, 4, (2, 3)), None, "sum")
    yield _exactly(structure, source, "L18", "Weights of two lines.", weighted=True)


def _frequencies() -> Iterator[Vector]:
    """Yield gradients divided by the count of the row's own id in the whole batch."""
    source = Source(35)
    for mode in MODES:
        for padding in (None, 1):
            structure = bag(4, integers(2, 1, 2, 0, 2, 1), integers(0, 2, 2), mode, padding_idx=padding, scale_grad_by_freq=True)
            yield _exactly(structure, source, "L11", f"{mode}: ids 0, 1 and 2 occur once, twice and three times.")
    structure = bag(3, integers(2, 0), integers(0, 1), "sum", scale_grad_by_freq=True)
    yield _exactly(structure, source, "L11", "Ids out of order: counts belong to ids, not to positions.")


def _tied(order: list[int]) -> Case:
    """Return a case in which rows 0 and 1 tie in the first column, rows 1 and 2 in the second."""
    weight = stored([[5, -7], [5, -4], [1, -4]], "float32")
    grad_out = stored([[2, 3]], "float32")
    return bag(3, integers(*order), integers(0), "max").case("float32", weight=weight, grad_out=grad_out)


def _choices() -> Iterator[Vector]:
    """Yield cases in which backends may differ: ties and NaN in a maximum."""
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2, 1]):
        case = _tied(order)
        expect = {key: band for key, band in expect_exact(case).items() if key == "out"}
        yield Vector(case, "L17", f"The maximum of tied rows in the order {order}.", expect, ("MaxTie",))
        note = f"Rows {order} tie: the first one gets the gradient."
        yield Vector(case, "L17", note, expect_exact(case), ("MaxTie",), "acceptable")
    weight = stored([[1], [np.nan], [3], [-np.inf]], "float32")
    for order in ([1, 0, 2], [0, 1, 2], [0, 2, 1], [3, 1]):
        structure = bag(4, integers(*order, 0, 2), integers(0, len(order)), "max")
        case = structure.case("float32", weight=weight, grad_out=stored([[1], [2]], "float32"))
        yield Vector(case, "L17", f"Row 1 is NaN, in the order {order}.", expect_exact(case), ("MaxNaN",), "acceptable")


def _drawn() -> Iterator[Vector]:
    """Yield drawn structures that combine options."""
    source = Source(36)
    for number in range(60):
        mode = MODES[number % 3]
        rows = source.integer(2, 6)
        ids = source.integers(0, rows, (source.integer(0, 7),))
        last = number % 5 == 0
        structure = bag(
            rows,
            ids,
            _offsets(source, ids.size, last),
            mode,
            padding_idx=source.choice(None, 0, -1),
            scale_grad_by_freq=number % 4 == 3,
            include_last_offset=last,
        )
        weighted = mode == "sum" and number % 2 == 0
        dtype = "float64" if number % 7 == 6 else "float32"
        width = source.choice(1, 2, 3)
        note = f"{mode} of a structure that the counter drew."
        laws = f"{'L11, ' if number % 4 == 3 else ''}{LAWS[mode]}, L15"
        yield _exactly(structure, source, laws, note, width=width, dtype=dtype, weighted=weighted)


def _offsets(source: Source, size: int, last: bool) -> Array:
    """Return up to four starts in order, empty bags among them."""
    cuts = sorted(source.integers(0, size + 1, (source.integer(0, 4),)).tolist())
    return integers(0, *cuts, *([size] if last else []))


def _rounding() -> Iterator[Vector]:
    """Yield sums, means and weighted sums that round; a maximum does not."""
    source = Source(37)
    for mode in MODES:
        for size in (5, 40):
            structure = bag(6, source.integers(0, 6, (size,)), integers(0, size // 2, size // 2), mode)
            case = wide(structure, source, weighted=mode == "sum")
            yield Vector(case, f"L5, {LAWS[mode]}", f"{mode} of {size} floats.", expect_rounded(case), ("EmptyBag", "Rounding"))


def _large() -> Iterator[Vector]:
    """Yield more bags and rows than a byte counts, and integers that float32 does not hold."""
    source = Source(38)
    for mode in MODES:
        offsets = np.append(np.arange(0, 280), np.full(20, 280))
        structure = bag(300, source.integers(0, 300, (281,)), offsets, mode)
        yield _exactly(structure, source, LAWS[mode], f"{mode} of 300 bags.", width=1)
        structure = bag(4, source.integers(0, 4, (9,)), integers(0, 4, 4), mode)
        note = f"{mode} of integers of more than 24 bits."
        yield _exactly(structure, source, f"L5, {LAWS[mode]}", note, dtype="float64", weighted=mode == "sum", factor=LARGE)


def _norms() -> Iterator[Vector]:
    """Yield bags of rows as they are after scaling by max_norm."""
    source = Source(39)
    for mode in MODES:
        structure = bag(4, integers(1, 0, 1, 2), integers(0, 3), mode, max_norm=1.0)
        case = structure.case(
            "float32",
            weight=stored(source.integers(64, 128, (4, 3)) / np.array([[512], [8], [512], [8]]), "float32"),
            grad_out=stored(np.zeros((2, 3)), "float32"),
        )
        note = f"{mode} with max_norm: row 1 is scaled, once; rows 0 and 2 are short, row 3 is not looked up."
        yield Vector(case, f"L10, {LAWS[mode]}", note, expect_normed(case), ("Duplicates", "Rounding"))


def _together() -> Iterator[Vector]:
    """Yield weights together with frequencies, and a NaN in a sum."""
    source = Source(46)
    for padding in (None, 0):
        structure = bag(3, integers(1, 0, 1, 2, 2, 2), integers(0, 2), "sum", padding_idx=padding, scale_grad_by_freq=True)
        yield _exactly(structure, source, "L11, L18", "Weights, and frequencies.", weighted=True)
    structure = bag(3, integers(1, 0, 1, 2), integers(0, 1), "sum")
    case = whole(structure, source).replace(per_sample_weights=stored(np.ones(4), "float32"))
    yield Vector(case, "L18", "Weights of 1.", expect_exact(case), _flags(structure))
    weight = stored([[1, 2], [np.nan, 3], [5, 4]], "float32")
    for mode in ("sum", "mean"):
        structure = bag(3, integers(0, 1, 2, 2), integers(0, 2), mode)
        case = structure.case("float32", weight=weight, grad_out=stored([[2, 2], [4, 4]], "float32"))
        yield Vector(case, f"{LAWS[mode]}, L33", f"A NaN in a {mode}: it stays in its bag and column.", expect_exact(case))
