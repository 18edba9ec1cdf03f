"""Inputs, structure first: which ids meet which rows in which bags. All of the smallest ones, and drawn ones.

Few rows, duplicates, padding, empty bags at every place and ids at both ends find nearly all faults; big uniform random
inputs find four in five. Values are filled in later (`_values`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from npbloom.conformance._case import Case


@dataclass(frozen=True)
class Features:
    """What the cases of one check have: nothing that is not named here occurs in them."""

    modes: tuple[str, ...] = ("sum",)  # of bags
    padding: bool = False
    frequency: bool = False
    weighted: bool = False
    last_offset: bool = False
    max_norm: bool = False
    unshared: bool = False  # Bloom tables whose row 0 no other id may probe


@dataclass(frozen=True)
class Structure:
    """A case without values: the height and width of its table, and the fields that say who reads what."""

    op: str
    rows: int
    fields: dict[str, Any]

    def case(self, dtype: str, **values: Any) -> Case:
        """The case with its values."""
        return Case(self.op, dtype, **self.fields, **values)

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
    """Every structure with at most 3 rows, 3 ids and 2 bags that has the features."""
    if op == "bloom":
        yield from _all_blooms(features)
        return
    for rows in (1, 2, 3):
        for size in range(4):
            for ids in product(range(rows), repeat=size):
                flat = np.array(ids, dtype=np.int64)
                for fields in _all_options(op, rows, flat, features):
                    yield Structure(op, rows, fields)


def _all_options(op: str, rows: int, flat: np.ndarray[Any, Any], features: Features) -> Iterator[dict[str, Any]]:
    """Every padding, and for bags every mode and partition."""
    paddings: list[int | None] = [*range(rows), -1] if features.padding else [None]
    for padding in paddings:
        common = {"ids": flat, "padding_idx": padding, "scale_grad_by_freq": features.frequency, "norm_type": 2.0}
        if op == "embedding":
            yield common
            continue
        for mode in features.modes:
            for offsets in _all_partitions(flat.size, features.last_offset):
                yield {**common, "mode": mode, "offsets": offsets, "include_last_offset": features.last_offset}


def _all_partitions(size: int, last_offset: bool) -> Iterator[np.ndarray[Any, Any]]:
    """Offsets of one and of two bags; of none where there is nothing to hold."""
    starts: list[list[int]] = [[0], *([0, second] for second in range(size + 1))]
    if size == 0:
        starts.append([])
    for each in starts:
        if last_offset and not each:
            continue  # the last entry would be missing
        yield np.array([*each, size] if last_offset else each, dtype=np.int64)


def _all_blooms(features: Features) -> Iterator[Structure]:
    """Few ids in tiny tables, where probes must collide."""
    for rows, hashes, count in product((2, 3, 5), (1, 2, 3), (4,)):
        for size in range(3):
            for ids in product(range(count), repeat=size):
                for padding in (0, 2) if features.padding else (None,):
                    yield _bloom(rows, np.array(ids, dtype=np.int64), count, hashes, padding, not features.unshared)


def _bloom(rows: int, ids: Any, count: int, hashes: int, padding: int | None, share: bool) -> Structure:
    """A Bloom structure."""
    fields = {
        "ids": ids,
        "num_embeddings": count,
        "num_hash_functions": hashes,
        "padding_idx": padding,
        "share_padding_row": share,
    }
    return Structure("bloom", rows, fields)


@st.composite
def drawn(draw: st.DrawFn, op: str, features: Features, most: int = 12) -> Structure:
    """A structure with up to `most` ids: few rows most of the time, hot ids, both ends, padding, empty bags anywhere."""
    if op == "bloom":
        return draw(_drawn_bloom(features, most))
    rows = draw(st.sampled_from([1, 2, 3, 4, 7, 16]))
    size = draw(st.integers(0, most))
    padding = draw(st.integers(-rows, rows - 1)) if features.padding else None
    favourites = [0, rows - 1] if padding is None else [padding % rows, 0, rows - 1]
    one = st.sampled_from(favourites) | st.integers(0, rows - 1)
    ids = np.array(draw(st.lists(one, min_size=size, max_size=size)), dtype=np.int64)
    fields: dict[str, Any] = {
        "padding_idx": padding,
        "scale_grad_by_freq": features.frequency,
        "norm_type": draw(st.sampled_from([2.0, 1.0, np.inf, 3.0])) if features.max_norm else 2.0,
    }
    if op == "embedding":
        shape = (size // 2, 2) if size and size % 2 == 0 and draw(st.booleans()) else (size,)
        return Structure(op, rows, {**fields, "ids": ids.reshape(shape)})
    fields["mode"] = draw(st.sampled_from(features.modes))
    fields["include_last_offset"] = features.last_offset
    if size and size % 3 == 0 and draw(st.integers(0, 3)) == 0:
        return Structure(op, rows, {**fields, "ids": ids.reshape(3, size // 3)})
    cuts = draw(st.lists(st.integers(0, size), max_size=4))
    offsets = [0, *sorted(cuts)] if size or cuts or features.last_offset or draw(st.booleans()) else []
    if features.last_offset:
        offsets.append(size)
    return Structure(op, rows, {**fields, "ids": ids, "offsets": np.array(offsets, dtype=np.int64)})


@st.composite
def _drawn_bloom(draw: st.DrawFn, features: Features, most: int) -> Structure:
    """A Bloom structure whose tables are no powers of two most of the time: there all remainders would agree."""
    rows = draw(st.sampled_from([2, 3, 5, 7, 12, 100, 1000, 1021]))
    count = draw(st.sampled_from([1, 5, 40, 1000, 2**20, 2**31]))
    padding = None
    if features.padding:
        padding = draw(st.sampled_from([0, count - 1]) | st.integers(0, count - 1))
    favourites = [0, count - 1] if padding is None else [padding, 0, count - 1]
    one = st.sampled_from(favourites) | st.integers(0, min(count - 1, 8)) | st.integers(0, count - 1)
    ids = np.array(draw(st.lists(one, max_size=most)), dtype=np.int64)
    shape = (ids.size // 2, 2) if ids.size and ids.size % 2 == 0 and draw(st.booleans()) else ids.shape
    hashes = draw(st.sampled_from([1, 2, 3, 4, 5, 8, 24]))
    return _bloom(rows, ids.reshape(shape), count, hashes, padding, not features.unshared)


def thresholds(op: str, features: Features, sizes: tuple[int, ...]) -> Iterator[Structure]:
    """Sizes at which kernels change their path: mostly few distinct ids so that everything repeats, and one of many."""
    for size in sizes:
        ids = np.arange(size, dtype=np.int64) * 7 + size
        yield from _sized(op, features, ids, 5, [0, 1, 1, size // 2])
    many = np.arange(300, dtype=np.int64) * 89
    yield from _sized(op, features, many, 281, np.cumsum([0, *([0, 1, 2, 3] * 49)]).tolist())


def small(op: str, features: Features) -> Iterator[Structure]:
    """Four ids, for tables of every width at which kernels change their path."""
    yield from _sized(op, features, np.array([2, 4, 1, 2], dtype=np.int64), 5, [0, 1, 1, 3])


def high_rows(op: str, features: Features) -> Iterator[Structure]:
    """A table too high for rows of one byte, or of two, signed or not."""
    ids = np.array([0, 70_000, 127, 128, 3, 255, 256, 32_767, 32_768, 65_535, 65_536, 70_000, 4464], dtype=np.int64)
    yield from _sized(op, features, ids, 70_001, [0, 2, 7])


def _sized(op: str, features: Features, ids: Any, rows: int, offsets: list[int]) -> Iterator[Structure]:
    """The structures with these ids, one for each mode of a bag."""
    padding = 3 if features.padding else None
    if op == "bloom":
        yield _bloom(rows, ids, 75_000, 4, padding, not features.unshared)
        return
    fields = {"ids": ids % rows, "padding_idx": padding, "scale_grad_by_freq": features.frequency, "norm_type": 2.0}
    if op == "embedding":
        yield Structure(op, rows, fields)
        return
    starts = np.array(offsets + [ids.size] * features.last_offset, dtype=np.int64)
    for mode in features.modes:
        yield Structure(op, rows, {**fields, "mode": mode, "offsets": starts, "include_last_offset": features.last_offset})
