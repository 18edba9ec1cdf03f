"""Ranking kernels against NumPy in the same order.

Sizes are small enough to run un-jitted; warnings are errors there too.
"""

from __future__ import annotations

import numpy as np
import pytest

from npbloom._kernels import ranking as kernels
from npbloom.reference.sums import sum_columns


def dot_products(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return dot products in float64 and eight parts, rounded once (L5)."""
    pairs = users.astype(np.float64)[:, :, np.newaxis] * items.astype(np.float64)[np.newaxis]
    columns = np.moveaxis(pairs, 1, -1).reshape(-1, len(items))
    return sum_columns(columns).astype(users.dtype).reshape(len(users), items.shape[1])


def vectors(num_users: int, num_items: int, dim: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Return random vectors, read-only as the kernels get them; the last item equals the first."""
    rng = np.random.default_rng(num_users * num_items + dim)
    users, items = rng.normal(size=(num_users, dim)).astype(dtype), rng.normal(size=(dim, num_items)).astype(dtype)
    items[:, -1] = items[:, 0]
    return users, items


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("num_users", "num_items", "dim"), [(1, 1, 1), (3, 2, 4), (4, 8, 3), (9, 17, 8), (6, 25, 11), (2, 9, 23)]
)
def test_scores_are_sums_in_eight_parts(num_users: int, num_items: int, dim: int, dtype: type) -> None:
    users, items = vectors(num_users, num_items, dim, dtype)
    scores = np.full((num_users, num_items), np.nan, dtype=dtype)
    for lo, hi in ((0, num_users // 2), (num_users // 2, num_users)):
        kernels.score_range(users, items, scores, lo, hi)
    np.testing.assert_array_equal(scores, dot_products(users, items))
    np.testing.assert_array_equal(scores[:, -1], scores[:, 0])  # equal vectors have equal bits in every place


def test_scores_beyond_one_tile_have_the_same_bits() -> None:
    users, items = vectors(5, kernels.TILE + 3, 2, np.float32)
    scores = np.empty((5, kernels.TILE + 3), dtype=np.float32)
    kernels.score_range(users, items, scores, 0, 5)
    np.testing.assert_array_equal(scores, dot_products(users, items))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pair_has_the_bits_of_its_place_among_all(dtype: type) -> None:
    users, items = vectors(4, 7, 6, dtype)
    rows, columns = np.divmod(np.arange(28), 7)
    scores = np.full(28, np.nan, dtype=dtype)
    kernels.pair_range(users[rows], np.ascontiguousarray(items.T[columns]), scores, 0, 20)
    kernels.pair_range(users[rows], np.ascontiguousarray(items.T[columns]), scores, 20, 28)
    np.testing.assert_array_equal(scores.reshape(4, 7), dot_products(users, items))


def test_counts_of_higher_and_equal_scores() -> None:
    nan, low = np.nan, -np.inf
    scores = np.array([[nan, 3.0, 1.0, 3.0, 2.0, 3.0], [nan, low, 0.0, low, low, -1.0]])
    starts, items = np.array([0, 3, 3 + 2]), np.array([4, 3, 2, 3, 5])
    above, equal, before = (np.full(5, -9) for _ in range(3))
    kernels.count_range(scores, starts, items, above, equal, before, 0, 1)
    kernels.count_range(scores, starts, items, above, equal, before, 1, 2)
    np.testing.assert_array_equal(above, [3, 0, 4, 2, 1])
    np.testing.assert_array_equal(equal, [0, 2, 0, 2, 0])
    np.testing.assert_array_equal(before, [0, 1, 0, 1, 0])
