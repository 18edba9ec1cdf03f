"""Interactions to rows: learned codes by textbook methods (L41)."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.reference.clusters import cluster
from npbloom.reference.hashing import hash_rows
from npbloom.reference.spectral import decompose, normalised
from npbloom.types import FloatArray, HashSpec, IntArray


def hash_table(
    vectors: FloatArray, known: IntArray, num_rows: int, num_hashes: int, padding: int | None, rng: np.random.Generator
) -> IntArray:
    """
    Return rows of each id, (num_ids, num_hashes).

    A known id has the row of the nearest centroid in each slice, any other the rows of the hash.
    """
    first = 0 if padding is None else 1
    table = first + hash_rows(np.arange(len(vectors)), HashSpec(len(vectors), num_rows - first, num_hashes))
    for j, points in enumerate(np.split(vectors[known].astype(np.float32), num_hashes, axis=1)):
        if (points != points[0]).any():
            table[known, j] = first + cluster(points, num_rows - first, rng)[0]
    if padding is not None:
        table[padding] = 0
    return table


def learned_hash_tables(
    user_ids: Any,
    item_ids: Any,
    *,
    num_users: int,
    num_items: int,
    user_rows: int,
    item_rows: int,
    rank: int = 32,
    num_hashes: int = 4,
    user_padding: int | None = None,
    item_padding: int | None = None,
    rng: np.random.Generator,
) -> tuple[IntArray, IntArray]:
    """Return rows for users and items, computed from their interactions (L41)."""
    users, items = np.asarray(user_ids), np.asarray(item_ids)
    kept = (users != (-1 if user_padding is None else user_padding)) & (items != (-1 if item_padding is None else item_padding))
    users, items = users[kept], items[kept]
    seeds = rng.integers(2**63, size=3)
    left, values, right = decompose(normalised(users, items, num_users, num_items), rank, int(seeds[0]))
    sizes = (
        (num_hashes, user_padding, np.random.default_rng(seeds[1])),
        (num_hashes, item_padding, np.random.default_rng(seeds[2])),
    )
    return (
        hash_table(left * np.sqrt(values), np.unique(users), user_rows, *sizes[0]),
        hash_table(right * np.sqrt(values), np.unique(items), item_rows, *sizes[1]),
    )
