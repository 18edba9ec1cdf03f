"""
Structures of lookups: the rows that ids read, and their bags. All the smallest, and large ones.

Few rows, duplicates, padding, empty bags at every place, and the first and last ids find nearly
all faults. Large uniform random inputs find four in five. `values` fills values in later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import BLOOMS, Case


@dataclass(frozen=True)
class Features:
    """Features of the cases of one check; a feature that is not set does not occur in them."""

    modes: tuple[str, ...] = ("sum",)  # of bags
    padding: bool = False
    frequency: bool = False
    weighted: bool = False
    last_offset: bool = False
    max_norm: bool = False
    unshared: bool = False  # row 0 of a Bloom table belongs to the padding id alone


@dataclass(frozen=True)
class Structure:
    """A case without values: the height of its table, and the fields that name its rows."""

    op: str
    rows: int
    fields: dict[str, Any]

    def case(self, dtype: str, **values: Any) -> Case:
        """Return the case with its values."""
        return Case(self.op, dtype, **self.fields, **values)

    @property
    def slices(self) -> int:
        """Number of slices of a row, of which each probe reads one; 1 if probes read whole rows."""
        return int(self.fields["num_hash_functions"]) if self.op == "bloom_concat" else 1

    @property
    def outputs(self) -> tuple[int, ...]:
        """Leading shape of the output."""
        ids = self.fields["ids"]
        if self.op != "bag":
            return tuple(ids.shape)
        offsets = self.fields.get("offsets")
        if offsets is None:
            return (ids.shape[0],)
        return (len(offsets) - 1 if self.fields["include_last_offset"] and len(offsets) else len(offsets),)


def exhaustive(op: str, features: Features) -> Iterator[Structure]:
    """Yield every structure with at most 3 rows, 3 ids and 2 bags that has the features."""
    if op in BLOOMS:
        yield from _all_blooms(op, features)
        return
    for rows in (1, 2, 3):
        for size in range(4):
            for ids in product(range(rows), repeat=size):
                flat = np.array(ids, dtype=np.int64)
                for fields in _all_options(op, rows, flat, features):
                    yield Structure(op, rows, fields)
    if op == "bag":
        yield from in_two_dimensions(features)


def in_two_dimensions(features: Features) -> Iterator[Structure]:
    """Yield 2-D bags, one in each line: square, not square, and none."""
    for shape in ((2, 3), (3, 2), (2, 2), (1, 3), (3, 1), (0, 2)):
        ids = np.array([2, 0, 1, 1, 2, 0], dtype=np.int64)[: shape[0] * shape[1]].reshape(shape)
        common = {"ids": ids, "padding_idx": 1 if features.padding else None, "scale_grad_by_freq": features.frequency}
        for mode in features.modes:
            more = {"norm_type": 2.0, "mode": mode, "include_last_offset": features.last_offset}
            yield Structure("bag", 3, {**common, **more})


def _all_options(op: str, rows: int, flat: np.ndarray[Any, Any], features: Features) -> Iterator[dict[str, Any]]:
    """Yield every padding, and for bags every mode and partition."""
    # One check of a negative index is enough.
    negative = rows == 2 and not features.frequency and not features.weighted
    paddings: list[int | None] = [*range(rows), *([-1] if negative else [])] if features.padding else [None]
    for padding in paddings:
        common = {"ids": flat, "padding_idx": padding, "scale_grad_by_freq": features.frequency, "norm_type": 2.0}
        if op == "embedding":
            yield common
            continue
        for mode in features.modes:
            for offsets in _all_partitions(flat.size, features.last_offset):
                yield {**common, "mode": mode, "offsets": offsets, "include_last_offset": features.last_offset}


def _all_partitions(size: int, last_offset: bool) -> Iterator[np.ndarray[Any, Any]]:
    """Yield offsets of one and of two bags, and of none if there are no ids."""
    starts: list[list[int]] = [[0], *([0, second] for second in range(size + 1))]
    if size == 0:
        starts.append([])
    for each in starts:
        if last_offset and not each:
            continue  # the last offset would be missing
        yield np.array([*each, size] if last_offset else each, dtype=np.int64)


def _all_blooms(op: str, features: Features) -> Iterator[Structure]:
    """Yield few ids in tiny tables, in which probes collide."""
    for rows, hashes, count in product((2, 3, 5), (1, 2, 3), (4,)):
        for size in range(3):
            for ids in product(range(count), repeat=size):
                for padding in (0, 2) if features.padding else (None,):
                    yield bloom_structure(rows, np.array(ids, dtype=np.int64), count, hashes, padding, not features.unshared, op)


def bloom_structure(
    rows: int, ids: Any, count: int, hashes: int, padding: int | None, share: bool, op: str = "bloom"
) -> Structure:
    """Return a Bloom structure."""
    fields = {
        "ids": ids,
        "num_embeddings": count,
        "num_hash_functions": hashes,
        "padding_idx": padding,
        "share_padding_row": share,
    }
    return Structure(op, rows, fields)


def thresholds(op: str, features: Features, sizes: tuple[int, ...]) -> Iterator[Structure]:
    """
    Yield structures of the sizes at which kernels change their path.

    Most have few distinct ids, so that all of them repeat; one has many.
    """
    for size in sizes:
        ids = np.arange(size, dtype=np.int64) * 7 + size
        yield from _sized(op, features, ids, 5, [0, 1, 1, max(1, size // 2)])
    many = np.arange(300, dtype=np.int64) * 89
    yield from _sized(op, features, many, 281, np.cumsum([0, *([0, 1, 2, 3] * 49)]).tolist())


def small(op: str, features: Features) -> Iterator[Structure]:
    """Yield four ids, for tables of every width at which kernels change their path."""
    yield from _sized(op, features, np.array([2, 4, 1, 2], dtype=np.int64), 5, [0, 1, 1, 3])


def three(op: str, features: Features) -> Iterator[Structure]:
    """Yield three distinct ids; for bags, two bags, the last of which holds one."""
    yield from _sized(op, features, np.array([0, 2, 1], dtype=np.int64), 3, [0, 2])


def verbatim(op: str, features: Features) -> Iterator[Structure]:
    """Yield lookups whose outputs are copies of rows of the table or of the output's gradient."""
    if op in BLOOMS:
        for padding in (0, None) if features.padding else (None,):
            yield bloom_structure(5, np.array([3], dtype=np.int64), 5, 1, padding, not features.unshared, op)
        return
    for ids in (np.arange(4), np.array([2]), np.array([1, 2])):
        yield from _sized(op, features, ids.astype(np.int64), 4, list(range(len(ids))))


def high_rows(op: str, features: Features) -> Iterator[Structure]:
    """Yield a table with more rows than one byte counts, or two bytes, signed or not."""
    ids = np.array([0, 70_000, 127, 128, 3, 255, 256, 32_767, 32_768, 65_535, 65_536, 70_000, 4464], dtype=np.int64)
    yield from _sized(op, features, ids, 70_001, [0, 2, 7])


def _sized(op: str, features: Features, ids: Any, rows: int, offsets: list[int]) -> Iterator[Structure]:
    """Yield the structures with these ids, one for each mode of a bag."""
    padding = 3 if features.padding else None
    if op in BLOOMS:
        for hashes in (4, 1):
            yield bloom_structure(rows, ids, 75_000, hashes, padding, not features.unshared, op)
        return
    fields = {"ids": ids % rows, "padding_idx": padding, "scale_grad_by_freq": features.frequency, "norm_type": 2.0}
    if op == "embedding":
        yield Structure(op, rows, fields)
        return
    starts = np.array(offsets + [ids.size] * features.last_offset, dtype=np.int64)
    for mode in features.modes:
        yield Structure(op, rows, {**fields, "mode": mode, "offsets": starts, "include_last_offset": features.last_offset})
