"""Interactions to vectors: a truncated SVD of the normalised graph, with dense matrices (L41)."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.types import FloatArray

POWERS, OVERSAMPLING = 8, 8


def normalised(user_ids: Any, item_ids: Any, num_users: int, num_items: int) -> FloatArray:
    """
    Return N, the 0/1 matrix of users and items over the roots of both degrees.

    The mean degree is added to each degree.
    """
    met = np.zeros((num_users, num_items))
    met[user_ids, item_ids] = 1
    of_users, of_items = met.sum(axis=1), met.sum(axis=0)
    rows, columns = (np.sqrt(degrees + degrees[degrees > 0].mean()) for degrees in (of_users, of_items))
    found: FloatArray = met / rows[:, np.newaxis] / columns
    return found


def _basis(vectors: FloatArray) -> FloatArray:
    """Return orthonormal columns that span the space of the given ones."""
    left, values, _ = np.linalg.svd(vectors, full_matrices=False)
    return left[:, values > 1e-5 * values[0]]


def decompose(matrix: FloatArray, rank: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """
    Return U, S and V of the matrix within the span that the subspace iteration finds.

    Columns in the drawn order.
    """
    rng = np.random.default_rng(seed)
    basis = matrix @ rng.standard_normal((matrix.shape[1], rank + OVERSAMPLING))
    for _ in range(POWERS):
        basis = matrix @ _basis(matrix.T @ _basis(basis))
    basis = _basis(basis)
    left, values, right = np.linalg.svd(basis.T @ matrix, full_matrices=False)
    users, items, kept = (np.zeros((len(part), rank)) for part in (matrix, matrix.T, np.zeros(1)))
    size = min(rank, int((values > 1e-5 * values[0]).sum()))
    users[:, :size], items[:, :size], kept[0, :size] = (basis @ left)[:, :size], right.T[:, :size], values[:size]
    order = np.random.default_rng(seed).permutation(rank)
    return users[:, order], kept[0, order], items[:, order]
