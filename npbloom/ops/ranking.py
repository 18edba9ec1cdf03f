"""Vectors to scores to ranks: dot products in one fixed order, and counts of better scores."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from npbloom import _check, _parallel
from npbloom._kernels import ranking as kernels
from npbloom.ops._ids import check_ids
from npbloom.types import FloatArray, IntArray

__all__ = ["count_ranks", "score_items", "score_pairs", "top_k"]

GRAIN: Final = 2**16  # multiplications below which a second thread does not pay


def score_items(users: FloatArray, items: FloatArray) -> FloatArray:
    """
    Score all items for each user, in the wider of both dtypes.

    Each score is a sum over the columns in eight parts (L5), so equal vectors get equal bits.

    Parameters
    ----------
    users : float32 or float64 array, shape (n, d)
        A user is a row.
    items : float32 or float64 array, shape (d, m)
        An item is a column.

    Returns
    -------
    array, shape (n, m)
        ``out[b, q] = sum_c users[b, c] * items[c, q]``, new memory.

    Raises
    ------
    ValueError
        Vectors of users and items differ in length.

    Examples
    --------
    >>> score_items(np.array([[1.0, 2.0]]), np.array([[3.0, 0.0], [4.0, 5.0]]))
    array([[11., 10.]])
    """
    dtype = np.result_type(users, items)
    _check.shape(items, "items", (users.shape[1], *items.shape[1:]))
    scores = np.empty((len(users), items.shape[1]), dtype)
    arrays = (_read(users, dtype), _read(items, dtype), scores)
    grain = max(1, GRAIN // max(1, items.size))
    _parallel.run_range(kernels.score_range, len(users), *arrays, grain=grain)
    return scores


def score_pairs(users: FloatArray, items: FloatArray) -> FloatArray:
    """
    Score pairs of a user and an item, with the bits that `score_items` has for them.

    Parameters
    ----------
    users, items : float32 or float64 arrays, shape (n, d)
        Row i of both is pair i.

    Returns
    -------
    array, shape (n,)
        ``out[i] = sum_c users[i, c] * items[i, c]``, in the wider of both dtypes.

    Raises
    ------
    ValueError
        The shapes differ.

    Examples
    --------
    >>> score_pairs(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    array([11.])
    """
    dtype = np.result_type(users, items)
    _check.shape(items, "items", users.shape)
    scores = np.empty(len(users), dtype)
    arrays = (_read(users, dtype), _read(items, dtype), scores)
    _parallel.run_range(kernels.pair_range, len(users), *arrays)
    return scores


def count_ranks(scores: FloatArray, items: IntArray, offsets: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """
    Count for each test item the scores above its own, and those that equal it.

    Parameters
    ----------
    scores : float32 or float64 array, shape (n, m)
        A row for each user. NaN marks what is no item.
    items : int64 array, shape (t,)
        Test items of all users, each in ``[0, m)``, one user after the other.
    offsets : int64 array, shape (n,)
        Where each user's test items start.

    Returns
    -------
    tuple of three int64 arrays, shape of items
        Items with a higher score; other items with the same score; those of the latter that have a
        lower number.

    Raises
    ------
    IndexError, ValueError
        `items` or `offsets` do not fit `scores`.

    Examples
    --------
    >>> count_ranks(np.array([[0.5, 2.0, 0.5]]), np.array([2]), np.array([0]))
    (array([1]), array([1]), array([1]))
    """
    tested = check_ids(items, scores.shape[1], "items")
    starts = _check.offsets(offsets, tested, False)
    _check.shape(starts, "offsets", (len(scores) + 1,))
    above, equal, before = (np.empty(tested.size, dtype=np.int64) for _ in range(3))
    arrays = (_read(scores, scores.dtype), starts, tested, above, equal, before)
    _parallel.run_range(kernels.count_range, len(scores), *arrays, grain=1)
    return above, equal, before


def top_k(scores: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """
    Find the k highest scores of each row, highest first.

    Parameters
    ----------
    scores : float32 or float64 array, shape (n, m)
        A row for each user. NaN and -inf mark what is not to be found.
    k : int
        Length of a list, at most m.

    Returns
    -------
    tuple of (int64 array, float array), shape (n, k)
        Columns and their scores. Of equal scores the lower column comes first. If a row has fewer
        than k scores, the rest are -1 and -inf.

    Raises
    ------
    TypeError, ValueError
        `k` is not a whole number from 1 to m.

    Notes
    -----
    A row is read once, and a list is kept sorted: for random scores it changes about
    ``k * log(m / k)`` times. Rows are independent, and so the result does not depend on the number
    of threads.

    Examples
    --------
    >>> top_k(np.array([[0.5, 2.0, 0.5, 1.0]]), 3)
    (array([[1, 3, 0]]), array([[2. , 1. , 0.5]]))
    """
    count = _check.positive_int(k, "k")
    if count > scores.shape[1]:
        raise ValueError(f"`k` must be at most the number of scores in a row, {scores.shape[1]}, not {count}.")
    found = np.full((len(scores), count), -1, dtype=np.int64)
    best = np.full((len(scores), count), -np.inf, dtype=scores.dtype)
    _parallel.run_range(kernels.top_range, len(scores), _read(scores, scores.dtype), found, best, grain=1)
    return found, best


def _read(vectors: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    """
    Return vectors to read only, C-contiguous, in this dtype.

    Kernels are compiled for such arrays.
    """
    return _check.read_only(np.ascontiguousarray(vectors, dtype))
