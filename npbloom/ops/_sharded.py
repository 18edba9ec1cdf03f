"""Places and sums of rows that other processes own, for tables that are cut into blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npbloom import _check
from npbloom.ops._backward import Contributions
from npbloom.ops._pairs import split_pairs
from npbloom.types import FloatArray, IntArray, RowArray


class Terms(NamedTuple):
    """Terms of a gradient: term t adds ``grad[places[t]]``, times its weight, to ``keys[t]``."""

    keys: RowArray  # (terms,) rows, or slices where probes are concatenated; in input order
    places: IntArray  # (terms,) never falls
    grad: FloatArray  # (outputs, width)
    weights: FloatArray | None  # (terms,)


def block_bounds(rows: int, size: int) -> IntArray:
    """Return where the block of each rank begins, and the end: heights differ by at most 1."""
    return np.array([rank * rows // size for rank in range(size + 1)], dtype=np.int64)


def distinct_places(rows: RowArray, num_rows: int, reserved: int) -> tuple[IntArray, RowArray]:
    """
    Return the distinct rows, increasing, and the place of each of `rows` among them.

    Without a reserved row places count from 0. The reserved row is left out and has place 0; then
    places of others count from 1.
    """
    column = rows.reshape(-1, 1)
    pairs = split_pairs(lambda lo, hi: column[lo:hi], column.size, 1, num_rows, work=0, reserved=reserved)
    places = np.zeros(column.size, rows.dtype)
    found = [np.empty(0, np.int64)]
    first = 0 if reserved < 0 else 1
    for part in pairs.sort_and(lambda part: part):
        numbers = np.arange(first, first + part.rows.size, dtype=rows.dtype)
        places[part.indices[part.indptr[0] : part.indptr[-1]]] = np.repeat(numbers, np.diff(part.indptr))
        first += part.rows.size
        found.append(part.rows)
    return np.concatenate(found), places.reshape(rows.shape)


def owned_contributions(terms: Terms, height: int, divisor: float, by_frequency: bool) -> Contributions:
    """Return the sums of terms that reached the owner of their rows, in the order of the terms."""
    column = terms.keys.reshape(-1, 1)
    weighted = terms.weights is not None
    pairs = split_pairs(
        lambda lo, hi: column[lo:hi],
        column.size,
        1,
        max(height, 1),
        work=terms.grad.shape[1],
        bag_of=None if weighted else terms.places,
    )
    options: dict[str, Any] = {"bag_of": terms.places, "weights": terms.weights} if weighted else {}
    return Contributions(pairs, _check.read_only(terms.grad), height, divisor=divisor, by_frequency=by_frequency, **options)
