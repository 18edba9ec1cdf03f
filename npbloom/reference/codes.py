"""Who met what -> rows: learned codes as textbooks have them, with dense matrices and without levels (L41)."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.reference.hashing import hash_rows
from npbloom.types import FloatArray, HashSpec, IntArray

POWERS, OVERSAMPLING, ITERATIONS = 8, 8, 6


def normalised(user_ids: Any, item_ids: Any, num_users: int, num_items: int) -> FloatArray:
    """N: the 0/1 matrix of users and items over the roots of both degrees, each with the mean degree added."""
    met = np.zeros((num_users, num_items))
    met[user_ids, item_ids] = 1
    of_users, of_items = met.sum(axis=1), met.sum(axis=0)
    rows, columns = (np.sqrt(degrees + degrees[degrees > 0].mean()) for degrees in (of_users, of_items))
    found: FloatArray = met / rows[:, np.newaxis] / columns
    return found


def _basis(vectors: FloatArray) -> FloatArray:
    """Orthonormal columns that span what the given ones span."""
    left, values, _ = np.linalg.svd(vectors, full_matrices=False)
    return left[:, values > 1e-5 * values[0]]


def decompose(matrix: FloatArray, rank: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """U, S and V of the matrix within the span that the subspace iteration finds; columns in the drawn order."""
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


def nearest(points: FloatArray, centroids: FloatArray) -> tuple[IntArray, FloatArray]:
    """The nearest centroid of each point, of equally near ones the first, and its squared distance in the points' dtype."""
    distances = np.zeros((len(points), len(centroids)), dtype=points.dtype)
    for column in range(points.shape[1]):
        distances += (points[:, column, np.newaxis] - centroids[:, column]) ** 2
    codes: IntArray = distances.argmin(axis=1)
    return codes, distances[np.arange(len(points)), codes]


def cluster(points: FloatArray, count: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Lloyd's k-means from points drawn without replacement; a centroid without points moves to the farthest point."""
    if count >= len(points):
        return np.arange(len(points)), points
    centroids = points[np.argsort(rng.random(len(points)))[:count]]
    for _ in range(ITERATIONS):
        codes, distances = nearest(points, centroids)
        far = iter([i for i in np.argsort(-distances, kind="stable") if distances[i] > 0])
        for c in range(count):
            members = points[codes == c]
            if len(members):
                centroids[c] = np.cumsum(members.astype(np.float64), axis=0)[-1] / len(members)
        for c in range(count):
            if not (codes == c).any() and (at := next(far, None)) is not None:
                centroids[c] = points[at]
    return nearest(points, centroids)[0], centroids


def hash_table(
    vectors: FloatArray, known: IntArray, num_rows: int, num_hashes: int, padding: int | None, rng: np.random.Generator
) -> IntArray:
    """Rows of each id, (num_ids, num_hashes): the nearest centroid in each slice, or the hash's."""
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
    """Rows for users and items that who met what decides (L41)."""
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
