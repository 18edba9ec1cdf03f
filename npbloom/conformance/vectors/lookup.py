"""Golden vectors of plain lookups: one row for each id."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import stored
from npbloom.conformance.cases.structures import Structure
from npbloom.conformance.vectors.build import LARGE, embedding, has_odd_divisors, integers, whole, wide, zeroed
from npbloom.conformance.vectors.source import Array, Source
from npbloom.conformance.vectors.vector import (
    Band,
    Vector,
    exact,
    expect_divided,
    expect_exact,
    expect_normed,
    expect_rounded,
)


def vectors() -> Iterator[Vector]:
    """Yield shapes, repeats, padding, frequencies, bits, norms, sums that round."""
    yield from _shapes()
    yield from _repeats()
    yield from _padding()
    yield from _frequencies()
    yield from _raw_bits()
    yield from _norms()
    yield from _rounding()
    yield from _large()


def _shapes() -> Iterator[Vector]:
    """Yield ids of every shape, both dtypes."""
    source = Source(20)
    for dtype in ("float32", "float64"):
        for shape in ((), (1,), (0,), (0, 3), (2, 0), (2, 3), (2, 1, 3)):
            case = whole(embedding(4, source.integers(0, 4, shape)), source, 3, dtype)
            yield Vector(case, "L4", f"Ids of shape {list(shape)}.", expect_exact(case))


def _repeats() -> Iterator[Vector]:
    """Yield widths around those of vector registers, and many occurrences of few rows."""
    source = Source(21)
    for width in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17):
        case = whole(embedding(5, source.integers(0, 5, (9,))), source, width)
        yield Vector(case, "L7", f"Nine ids in five rows, width {width}.", expect_exact(case), ("Duplicates",))
    for size in (767, 768, 769, 1025):
        case = whole(embedding(3, source.integers(0, 3, (size,))), source, 1)
        note = f"{size} ids in three rows: kernels change their path at such sizes."
        yield Vector(case, "L7", note, expect_exact(case), ("Duplicates",))


def _padding() -> Iterator[Vector]:
    """Yield a padding row, named from either end."""
    source = Source(22)
    ids = integers(0, 3, 1, 3, 0, 2)
    for padding in (0, 3, 1, -1, -4):
        structure = embedding(4, ids, padding)
        case = zeroed(whole(structure, source), padding)
        yield Vector(case, "L9", f"padding_idx {padding} has no gradient.", expect_exact(case), ("Duplicates", "Padding"))
        case = whole(structure, source)
        note = f"padding_idx {padding} is read as it is stored, and has no gradient."
        yield Vector(case, "L9", note, expect_exact(case), ("Padding", "PaddingForward"), "acceptable")
    case = zeroed(whole(embedding(4, source.integers(0, 4, (769,)), 2), source, 1), 2)
    yield Vector(case, "L9", "Padding among more than 768 ids.", expect_exact(case), ("Duplicates", "Padding"))


def _frequencies() -> Iterator[Vector]:
    """Yield gradients divided by the count of an id."""
    source = Source(23)
    structures = [
        (embedding(4, integers(0, 1, 1, 3, 3, 3), None, True), "Counts 1, 2 and 3."),
        (embedding(4, integers(3, 0, 3, 1), -1, True), "The padding id occurs twice, which counts for nobody."),
        (embedding(2, integers([0, 1], [1, 1]), None, True), "Counts are of the whole batch, not of a line of it."),
    ]
    for structure, note in structures:
        case = whole(structure, source)
        flags: tuple[str, ...] = ("Duplicates",)
        if structure.fields["padding_idx"] is not None:
            case, flags = zeroed(case, structure.fields["padding_idx"]), ("Duplicates", "Padding")
        divided = has_odd_divisors(structure)
        expect = expect_divided(case) if divided else expect_exact(case)
        yield Vector(case, "L11", note, expect, (*flags, "Rounding") if divided else flags)


def _raw_bits() -> Iterator[Vector]:
    """Yield bits that arithmetic would change."""
    for dtype, words in (
        ("float32", [[0x00000000, 0x80000000, 0x00000001, 0x80000001], [0x7F800000, 0xFF800000, 0x7FC00123, 0x3EAAAAAB]]),
        ("float64", [[0, 1 << 63, 1, (1 << 63) + 1], [0x7FF << 52, 0xFFF << 52, (0x7FF8 << 48) + 0x123, 0x3FD5555555555555]]),
    ):
        weight = np.array(words, dtype="u4" if dtype == "float32" else "u8").view(dtype)
        ids = integers(1, 0, 1)
        case = embedding(2, ids).case(dtype, weight=weight, grad_out=stored(np.zeros((3, 4)), dtype))
        yield Vector(case, "L5", "Zeros of both signs, subnormals, infinities, a NaN with a payload.", _bits(case), ("RawBits",))


def _bits(case: Case) -> dict[str, Band]:
    """Return the rows themselves as bands, and no gradient."""
    rows = case.weight[case.ids]
    zeros = exact(np.zeros(case.weight.shape), case.dtype)
    return {"out": Band(rows, rows, bits=True), "grad_weight": zeros}


def _norms() -> Iterator[Vector]:
    """Yield rows well above and well below a limit, looked up several times."""
    source = Source(24)
    ids = integers(1, 0, 1, 3, 1)
    for norm_type in (2.0, 1.0, np.inf):
        for limit in (1.0, 0.5):
            weight = _rows_of_two_sizes(source, limit)
            structure = embedding(5, ids, norm_type=norm_type, max_norm=limit)
            case = structure.case("float32", weight=weight, grad_out=stored(np.zeros((5, 4)), "float32"))
            note = f"Rows longer than {limit} in the {norm_type:g}-norm are scaled once, in the table; no other row moves."
            yield Vector(case, "L10", note, expect_normed(case), ("Duplicates", "Rounding"))
    case = _norm_of_padding(source)
    yield Vector(case, "L10", "The padding row is scaled, too.", expect_normed(case), ("Padding", "PaddingForward"), "acceptable")


def _rows_of_two_sizes(source: Source, limit: float) -> Array:
    """
    Return rows 1 and 3 far longer than the limit and row 0 far shorter, in any norm.

    Rows 2 and 4 are longer, too. The rows have four columns.
    """
    weight = source.integers(64, 128, (5, 4)) * source.signs((5, 4)) / 64.0 * limit
    weight[[1, 3]] *= 8
    weight[0] /= 16
    return stored(weight, "float32")


def _norm_of_padding(source: Source) -> Case:
    """Return a case with a long padding row."""
    structure: Structure = embedding(5, integers(1, 3), 3, max_norm=1.0)
    weight = _rows_of_two_sizes(source, 1.0)
    return structure.case("float32", weight=weight, grad_out=stored(np.zeros((2, 4)), "float32"))


def _rounding() -> Iterator[Vector]:
    """Yield gradients whose sums round."""
    source = Source(25)
    for size in (2, 9, 100):
        case = wide(embedding(3, source.integers(0, 3, (size,))), source)
        note = f"Sums of about {size // 3 + 1} floats each."
        yield Vector(case, "L5, L7", note, expect_rounded(case), ("Duplicates", "Rounding"))


def _large() -> Iterator[Vector]:
    """Yield more rows than a byte counts, and integers that float32 does not hold."""
    source = Source(26)
    case = whole(embedding(300, np.append(source.integers(0, 300, (80,)), np.arange(20, 300))), source, 1)
    yield Vector(case, "L7", "More than 256 rows are looked up.", expect_exact(case), ("Duplicates",))
    case = whole(embedding(4, source.integers(0, 4, (9,))), source, 2, "float64", factor=LARGE)
    yield Vector(case, "L5, L7", "Sums of more than 24 bits.", expect_exact(case), ("Duplicates",))
