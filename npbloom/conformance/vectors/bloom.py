"""Golden vectors of Bloom lookups: many ids in a small table, reached through murmurhash3."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from npbloom import reference
from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.structures import Structure
from npbloom.conformance.expected.lookup import spec_of
from npbloom.conformance.vectors.build import LARGE, bloom, integers, whole, wide
from npbloom.conformance.vectors.source import Source
from npbloom.conformance.vectors.vector import Vector, expect_exact, expect_rounded


def vectors() -> Iterator[Vector]:
    """Yield heights, numbers of probes, padding, ids at both ends, 64-bit ids."""
    yield from _heights()
    yield from _probes()
    yield from _padding()
    yield from _shapes()
    yield from _wide_ids()
    yield from _rounding()
    yield from _large()


def _vector(case: Case, spec: str, note: str, *flags: str) -> Vector:
    """Return a vector without rounding; probes that coincide are flagged."""
    rows = np.sort(reference.hash_rows(np.asarray(case.ids).ravel(), spec_of(case)), axis=-1)
    counted = rows[(rows > 0).all(axis=1)] if case.padding_idx is not None else rows
    if (np.diff(counted, axis=-1) == 0).any():
        flags = ("CoincidingProbes", *flags)
    return Vector(case, spec, note, expect_exact(case), flags)


def _heights() -> Iterator[Vector]:
    """Yield tables whose heights are no powers of two, and a few that are."""
    source = Source(40)
    for rows in (1, 2, 3, 5, 7, 12, 16, 100, 101, 200):
        ids = source.integers(0, 1000, (8,))
        yield _vector(whole(bloom(rows, ids, 1000, 4), source), "L20, L21", f"1,000 ids in {rows} rows, no padding id.")


def _probes() -> Iterator[Vector]:
    """Yield numbers of probes from one to all 24."""
    source = Source(41)
    for hashes in (1, 2, 3, 5, 8, 24):
        case = whole(bloom(11, source.integers(0, 50, (5,)), 50, hashes), source)
        yield _vector(case, "L21", f"{hashes} probes of an id.")
    ends = integers(0, 2**31 - 1, 1, 2**31 - 2, 2**30)
    yield _vector(whole(bloom(13, ends, 2**31, 4), source), "L20", "Ids at both ends of 31 bits.")
    case = whole(bloom(5, integers(7, 7, 7, 3), 50, 4), source)
    yield _vector(case, "L7, L21", "An id that occurs three times.", "Duplicates")


def _padding() -> Iterator[Vector]:
    """Yield a reserved row 0, which holds no zeros here."""
    source = Source(42)
    for padding in (0, 7, 19):
        for share in (True, False):
            for rows in (2, 5, 31):
                ids = np.append(source.integers(0, 20, (6,)), padding)
                others = "others may probe row 0, too, which adds zero" if share else "no other id probes row 0"
                note = f"Padding id {padding}; {others}."
                yield _vector(whole(bloom(rows, ids, 20, 4, padding, share), source), "L22", note, "Padding")
    case = whole(bloom(5, integers(3, 3), 20, 4, 3), source)
    yield _vector(case, "L22", "Padding only: zeros, and no gradient.", "Duplicates", "Padding")


def _shapes() -> Iterator[Vector]:
    """Yield ids of every shape, both dtypes, widths around those of vector registers."""
    source = Source(43)
    for shape in ((), (0,), (2, 3), (2, 0), (1, 2, 2)):
        for dtype in ("float32", "float64"):
            case = whole(bloom(9, source.integers(0, 40, shape), 40, 3, 0), source, 2, dtype)
            yield _vector(case, "L4, L22", f"Ids of shape {list(shape)}.", "Padding")
    for width in (1, 3, 4, 8, 17):
        yield _vector(whole(bloom(9, source.integers(0, 40, (4,)), 40, 4), source, width), "L21", f"Width {width}.")
    case = whole(bloom(3, source.integers(0, 40, (769,)), 40, 4, 0), source, 1)
    yield _vector(case, "L7", "More than 768 ids in three rows.", "Duplicates", "Padding")


def _wide_ids() -> Iterator[Vector]:
    """Yield layers of more than 2**31 ids, which hash all of them as eight bytes."""
    source = Source(44)
    for padding in (None, 0):
        ids = integers(0, 1, 2**31 - 1, 2**31, 2**32, 2**62 + 5, 2**63 - 1)
        structure = bloom(13, ids, 2**63, 4, padding)
        wide_structure = Structure("bloom64", structure.rows, structure.fields)
        case = whole(wide_structure, source)
        yield _vector(case, "L20", "64-bit ids, as eight little-endian bytes.", *(["Padding"] if padding is not None else []))


def _rounding() -> Iterator[Vector]:
    """Yield sums that round."""
    source = Source(45)
    for hashes in (2, 4, 24):
        case = wide(bloom(50, source.integers(0, 1000, (20,)), 1000, hashes, 0), source)
        yield Vector(case, "L5, L21", f"Sums of {hashes} floats.", expect_rounded(case), ("Padding", "Rounding"))


def _large() -> Iterator[Vector]:
    """Yield more rows than a byte counts, and integers that float32 does not hold."""
    source = Source(47)
    yield _vector(
        whole(bloom(400, source.integers(0, 9999, (250,)), 9999, 3), source, 1), "L21", "More than 256 rows are probed."
    )
    case = whole(bloom(7, source.integers(0, 99, (5,)), 99, 3), source, 2, "float64", factor=LARGE)
    yield _vector(case, "L5, L21", "Sums of more than 24 bits.")
