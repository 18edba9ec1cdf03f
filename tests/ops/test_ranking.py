"""Scores and ranks: shapes, dtypes and ids are checked, and inputs stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

import npbloom as nb
from npbloom.ops.ranking import count_ranks, score_items, score_pairs
from tests.support._bits import assert_same_bits


def vectors(users: int, items: int, dim: int, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Users as rows, items as columns; read-only, so that a write would raise."""
    rng = np.random.default_rng(users + items + dim)
    drawn = rng.normal(size=(users, dim)).astype(dtype), rng.normal(size=(dim, items)).astype(dtype)
    for array in drawn:
        array.flags.writeable = False
    return drawn


@pytest.mark.parametrize("threads", [1, 3])
def test_a_pair_has_its_score_among_all_items(threads: int) -> None:
    users, items = vectors(40, 300, 7)
    with nb.num_threads(threads):
        scores = score_items(users, items)
        rows, columns = np.divmod(np.arange(40 * 300), 300)
        pairs = score_pairs(users[rows], items.T[columns])
    assert_same_bits(pairs.reshape(40, 300), scores)


def test_the_wider_dtype_is_computed_in() -> None:
    users, items = vectors(3, 4, 5)
    wide = items.astype(np.float64)
    assert score_items(users, items).dtype == np.float32
    assert_same_bits(score_items(users, wide), score_items(users.astype(np.float64), wide))
    assert_same_bits(score_pairs(users, wide.T[:3]), score_pairs(users.astype(np.float64), wide.T[:3]))


def test_vectors_of_different_lengths_are_refused() -> None:
    users, items = vectors(3, 4, 5)
    with pytest.raises(ValueError, match="`items`"):
        score_items(users, items[:-1])
    with pytest.raises(ValueError, match="`items`"):
        score_pairs(users, items.T)


@pytest.mark.parametrize(
    ("items", "offsets", "error", "words"),
    [
        ([0, 4], [0, 1], IndexError, "position 1"),
        ([0, -1], [0, 1], IndexError, "position 1"),
        ([0, 1], [0], ValueError, "`offsets`"),
        ([0, 1], [1, 1], ValueError, "`offsets`"),
    ],
)
def test_test_items_that_do_not_fit_are_refused(items: list[int], offsets: list[int], error: type[Exception], words: str) -> None:
    scores = np.zeros((2, 4))
    with pytest.raises(error, match=words):
        count_ranks(scores, np.array(items), np.array(offsets))


def test_ranks_are_those_of_a_stable_sort() -> None:
    scores = np.random.default_rng(0).integers(0, 5, (6, 20)).astype(np.float64)
    items, offsets = np.tile(np.arange(20), 6), 20 * np.arange(6)
    above, equal, before = count_ranks(scores, items, offsets)
    places = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    np.testing.assert_array_equal((above + before).reshape(6, 20), places)
    np.testing.assert_array_equal(equal.reshape(6, 20), (scores[:, :, None] == scores[:, None]).sum(axis=2) - 1)
