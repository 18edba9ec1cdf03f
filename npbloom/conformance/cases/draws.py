"""
Structures that Hypothesis draws: each is decoded from bytes; zeros give the simplest choices.

Each structure is one draw, not one for each of its numbers, because draws are slow. Hypothesis
also tends to copy parts of earlier draws; with many draws, two in five examples would hardly
differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from npbloom.conformance.cases.case import BLOOMS
from npbloom.conformance.cases.structures import Features, Structure, bloom_structure

T = TypeVar("T")
LENGTH = 120  # bytes; reads beyond them give zero


class Choices:
    """Numbers read from bytes one after the other."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)

    def below(self, bound: int) -> int:
        """Return a number in ``[0, bound)``; 0 for bytes that are 0."""
        number = 0
        for _ in range(1 if bound <= 32 else 2 if bound <= 2**12 else 4):
            number = number << 8 | next(self._bytes, 0)
        return number % bound

    def one_of(self, items: Sequence[T]) -> T:
        """Return one of the items; the first for a byte that is 0."""
        return items[self.below(len(items))]

    def flag(self) -> bool:
        """Return True for about every second byte."""
        return bool(self.below(2))


def read_from_bytes(read: Callable[[Choices], T]) -> st.SearchStrategy[T]:
    """Return a strategy that draws bytes and decodes them with a function."""
    return st.binary(min_size=LENGTH, max_size=LENGTH).map(lambda data: read(Choices(data)))


def drawn(op: str, features: Features, most: int = 12) -> st.SearchStrategy[Structure]:
    """
    Return a strategy of structures with up to `most` ids.

    They have few rows most of the time, frequent ids, the first and last ids, padding, and empty
    bags anywhere.
    """
    return read_from_bytes(lambda choices: structure(choices, op, features, most))


def structure(choices: Choices, op: str, features: Features, most: int = 12) -> Structure:
    """Return the structure that the choices encode."""
    if op in BLOOMS:
        return _bloom(choices, op, features, most)
    rows = choices.one_of([1, 2, 3, 4, 7, 16])
    size = choices.below(most + 1)
    padding = choices.below(2 * rows) - rows if features.padding else None
    ids = _ids(choices, size, [0, rows - 1] if padding is None else [padding % rows, 0, rows - 1], (rows,))
    fields: dict[str, Any] = {
        "padding_idx": padding,
        "scale_grad_by_freq": features.frequency,
        "norm_type": choices.one_of([2.0, 1.0, np.inf, 3.0]) if features.max_norm else 2.0,
    }
    if op == "embedding":
        return Structure(op, rows, {**fields, "ids": ids.reshape(_shape(choices, size))})
    fields |= {"mode": choices.one_of(features.modes), "include_last_offset": features.last_offset}
    if size and choices.below(4) == 3:
        lines = choices.one_of([each for each in (1, 2, 3, size) if size % each == 0])
        return Structure(op, rows, {**fields, "ids": ids.reshape(lines, size // lines)})
    cuts = sorted(choices.below(size + 1) for _ in range(choices.below(5)))
    offsets = [0, *cuts] if size or cuts or features.last_offset or choices.flag() else []
    if features.last_offset:
        offsets.append(size)
    return Structure(op, rows, {**fields, "ids": ids, "offsets": np.array(offsets, dtype=np.int64)})


def _ids(choices: Choices, size: int, favourites: list[int], bounds: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return ids, each one of the favourites, or any number below one of the bounds."""
    kinds = [favourites, *([bound] for bound in bounds), *([bound] for bound in bounds)]
    ids = []
    for _ in range(size):
        kind = choices.one_of(kinds)
        ids.append(choices.one_of(kind) if kind is favourites else choices.below(kind[0]))
    return np.array(ids, dtype=np.int64)


def _shape(choices: Choices, size: int) -> tuple[int, ...]:
    """Return a shape of one dimension, or of two."""
    return (size // 2, 2) if size and size % 2 == 0 and choices.flag() else (size,)


def _bloom(choices: Choices, op: str, features: Features, most: int) -> Structure:
    """
    Return a Bloom structure.

    The height of its table is rarely a power of two, at which all remainders would agree.
    """
    rows = choices.one_of([2, 3, 5, 7, 12, 100, 1000, 1021])
    count = choices.one_of([1, 5, 40, 1000, 2**20, 2**31])
    padding = choices.one_of([0, count - 1, choices.below(count)]) if features.padding else None
    size = choices.below(most + 1)
    ids = _ids(choices, size, [0, count - 1] if padding is None else [padding, 0, count - 1], (min(count, 9), count))
    hashes = choices.one_of([1, 2, 3, 4, 5, 8, 24])
    return bloom_structure(rows, ids.reshape(_shape(choices, size)), count, hashes, padding, not features.unshared, op)
