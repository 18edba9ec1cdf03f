"""Kernels of k-means and of the decomposition.

Kernels match the reference bit for bit; levels are compared with brute force.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.ops import clusters, spectral
from npbloom.reference import clusters as reference
from npbloom.reference import spectral as spectral_reference
from tests.support._bits import assert_same_bits


@pytest.fixture(autouse=True)
def one_thread():
    """Run in one thread.

    Un-jitted, NumPy's scalars warn where IEEE 754 has an answer; `errstate` holds for one thread
    only.
    """
    with nb.num_threads(1), np.errstate(all="ignore"):
        yield


def points(seed: int, size: int, dim: int, distinct: int) -> np.ndarray:
    """Return random points, many of them equal where `distinct` is small, so that distances tie."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((distinct, dim)).astype(np.float32)[rng.integers(0, distinct, size)]


@pytest.mark.parametrize("dim", [1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("count", [1, 7, 600])
def test_the_nearest_centroid_and_its_distance(dim, count):
    """Search across tiles of 512 centroids.

    Of equally near centroids the first is taken, within a tile and across.
    """
    some, centroids = points(0, 40, dim, 30), points(1, count, dim, max(1, count // 3))
    found = clusters.nearest(some, np.zeros(40, dtype=np.int64), np.array([0, count]), centroids)
    assert_same_bits(found, reference.nearest(some, centroids))


def test_a_point_looks_at_the_centroids_of_its_group_only():
    some, centroids, groups = points(2, 60, 5, 60), points(3, 20, 5, 20), np.arange(60) % 3
    starts = np.array([0, 9, 10, 20])
    codes, distances = clusters.nearest(some, groups, starts, centroids)
    for g in range(3):
        expected = reference.nearest(some[groups == g], centroids[starts[g] : starts[g + 1]])
        assert_same_bits((codes[groups == g] - starts[g], distances[groups == g]), expected)


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 4), st.integers(1, 40), st.integers(1, 12))
def test_k_means_is_the_reference_s(seed, size, dim, distinct, count):
    some = points(seed, size, dim, distinct)
    before = some.copy()
    found = clusters.cluster(some, count, np.random.default_rng(seed))
    expected = reference.cluster(some, count, np.random.default_rng(seed))
    event(f"rows for all: {count >= size}; fewer places than centroids: {len(np.unique(some, axis=0)) < count}")
    assert_same_bits(found, expected)
    assert_same_bits(some, before)


@pytest.mark.parametrize(
    ("sizes", "total"), [([5, 3, 2], 10), ([5, 3, 2], 3), ([1, 1, 98], 20), ([7], 4), ([3, 3, 3], 5), ([2, 90, 2], 60)]
)
def test_shares_of_a_total(sizes, total):
    found = clusters.shares(np.array(sizes), total)
    assert found.sum() == total
    assert (found >= 1).all()
    assert (found <= sizes).all()
    assert np.abs(found - np.array(sizes) * total / sum(sizes)).max() <= max(1, len(sizes) - 1)


@pytest.mark.parametrize("distinct", [1, 40, 2000])
def test_levels_come_near_brute_force(distinct):
    """Include points of which all or most are equal, so that a group cannot be split."""
    some = points(4, 2000, 3, distinct)
    errors = {}
    for name, limits in {"brute": {}, "levels": {"brute_force": 1000, "most_pairs": 2000}}.items():
        codes, centroids = clusters.cluster(some, 200, np.random.default_rng(0), **limits)
        assert codes.min() >= 0
        assert codes.max() < len(centroids) <= 200
        assert len(np.unique(codes)) == min(200, distinct) or name == "levels"
        errors[name] = float(((some - centroids[codes]) ** 2).sum())
    assert errors["levels"] <= 1.6 * errors["brute"] + 1e-9


@pytest.mark.parametrize("size", [1, 2, 5, 12])
@pytest.mark.parametrize("rank", [0, 1, 12])
def test_eigenvalues_and_vectors(size, rank):
    half = np.random.default_rng(size).standard_normal((size, min(rank, size)))
    matrix = half @ half.T
    values, vectors = spectral.eigen(matrix)
    np.testing.assert_allclose(values, np.maximum(np.linalg.eigvalsh(matrix)[::-1], 0), atol=1e-12 * max(1, values[0]))
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, matrix, atol=1e-12 * max(1, values[0]))
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(size), atol=1e-13)


def test_sums_over_many_ids_go_block_by_block(monkeypatch):
    monkeypatch.setattr(spectral, "BLOCK", 4)
    vectors = np.random.default_rng(0).standard_normal((11, 3))
    expected = np.zeros((3, 3))
    for rows in (vectors[:4], vectors[4:8], vectors[8:]):
        expected += np.cumsum(rows[:, :, np.newaxis] * rows[:, np.newaxis], axis=0)[-1]
    assert_same_bits(spectral.gram(vectors), expected)
    small = np.random.default_rng(1).standard_normal((3, 2))
    assert_same_bits(spectral.times(vectors, small), np.cumsum(vectors[:, :, np.newaxis] * small, axis=1)[:, -1])


@pytest.mark.parametrize("shape", [(12, 9), (9, 12), (30, 4)])
def test_singular_vectors_of_a_small_graph(shape):
    """Ask for more columns than the graph has: the decomposition is exact."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, shape[0], 60), rng.integers(0, shape[1], 60)
    graph = spectral.read_graph(users, items, *shape)
    space = spectral.decompose(graph, 12, np.random.default_rng(1))
    matrix = spectral_reference.normalised(users, items, *shape)
    np.testing.assert_allclose(space.users @ np.diag(space.values) @ space.items.T, matrix, atol=1e-9)
    exact = np.zeros(12)
    exact[: min(shape)] = np.linalg.svd(matrix)[1]
    np.testing.assert_allclose(space.values, exact, atol=1e-6)
