"""Golden vectors of Bloom lookups that average the rows of an id, or take a slice of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.structures import Structure
from npbloom.conformance.vectors.build import bloom, has_odd_divisors, integers, whole, wide
from npbloom.conformance.vectors.source import Source
from npbloom.conformance.vectors.vector import Vector, expect_divided, expect_exact, expect_rounded


def vectors() -> Iterator[Vector]:
    """
    Yield both, from one probe to 24, with a padding id and without.

    Ids of every shape and sums that round follow.
    """
    yield from _probes()
    yield from _padding()
    yield from _shapes()
    yield from _rounding()


def _structure(op: str, structure: Structure) -> Structure:
    """Return the same lookup with another way of combining rows."""
    return replace(structure, op=op)


def _vector(case: Case, structure: Structure, spec: str, note: str, *flags: str) -> Vector:
    """Return a vector that rounds only if a kernel multiplies by a reciprocal."""
    expect = expect_divided if has_odd_divisors(structure) else expect_exact
    return Vector(case, spec, note, expect(case), flags)


def _probes() -> Iterator[Vector]:
    """Yield numbers of probes, and tables of any height."""
    source = Source(48)
    for hashes in (1, 2, 3, 4, 8, 24):
        for rows in (2, 11):
            ids = source.integers(0, 50, (4,))
            mean = _structure("bloom_mean", bloom(rows, ids, 50, hashes))
            yield _vector(whole(mean, source), mean, "L21", f"The mean of {hashes} probes, {rows} rows.")
            concat = _structure("bloom_concat", bloom(rows, ids, 50, hashes))
            note = f"{hashes} slices of two columns, {rows} rows."
            yield _vector(whole(concat, source, 2 * hashes), concat, "L21", note)
    ids = integers(7, 7, 7, 3)
    for op, width in (("bloom_mean", 2), ("bloom_concat", 4)):
        structure = _structure(op, bloom(5, ids, 50, 4))
        yield _vector(whole(structure, source, width), structure, "L7, L21", "An id that occurs three times.", "Duplicates")


def _padding() -> Iterator[Vector]:
    """Yield a reserved row 0, which holds no zeros here."""
    source = Source(49)
    for op, width in (("bloom_mean", 2), ("bloom_concat", 8)):
        for share in (True, False):
            for rows in (2, 5):
                ids = integers(*source.integers(0, 20, (6,)), 7)
                structure = _structure(op, bloom(rows, ids, 20, 4, 7, share))
                others = "others may probe row 0, too" if share else "no other id probes row 0"
                note = f"Padding id 7; {others}."
                yield _vector(whole(structure, source, width), structure, "L21, L22", note, "Padding")


def _shapes() -> Iterator[Vector]:
    """Yield ids of every shape, both dtypes."""
    source = Source(50)
    for shape in ((), (0,), (2, 3), (1, 2, 2)):
        for dtype in ("float32", "float64"):
            for op, width in (("bloom_mean", 3), ("bloom_concat", 6)):
                structure = _structure(op, bloom(9, source.integers(0, 40, shape), 40, 2, 0))
                case = whole(structure, source, width, dtype)
                yield _vector(case, structure, "L4, L21, L22", f"Ids of shape {list(shape)}.", "Padding")


def _rounding() -> Iterator[Vector]:
    """Yield means, and sums of gradients, that round."""
    source = Source(51)
    for hashes in (2, 3):
        for op, width in (("bloom_mean", 3), ("bloom_concat", 3 * hashes)):
            case = wide(_structure(op, bloom(50, source.integers(0, 1000, (20,)), 1000, hashes, 0)), source, width)
            yield Vector(case, "L5, L21", f"Floats, {hashes} probes.", expect_rounded(case), ("Padding", "Rounding"))
