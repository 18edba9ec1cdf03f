"""Points to codes: k-means in many groups at once, by levels where brute force takes too long."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from npbloom import _check, _parallel
from npbloom._kernels import clusters as kernels
from npbloom.types import IntArray

__all__ = ["cluster", "lloyd", "nearest", "shares"]

Points = npt.NDArray[np.float32]

ITERATIONS: Final = 6  # of Lloyd's
BRUTE_FORCE: Final = 2**25  # distances an iteration up to which all points look at all centroids
MOST_PAIRS: Final = 2**22  # distances an iteration of a group, where there are groups
GRAIN: Final = 2**16  # distances below which a second thread does not pay


def nearest(points: Points, groups: IntArray, starts: IntArray, centroids: Points) -> tuple[IntArray, Points]:
    """
    Return the nearest centroid of each point, and its squared distance.

    Of equally near centroids the first is taken.

    Group g has the centroids ``[starts[g], starts[g + 1])``, at least one.
    """
    codes, distances = (np.empty(len(points), dtype=np.int64), np.empty(len(points), dtype=np.float32))
    arrays = (
        *(_check.read_only(array) for array in (np.ascontiguousarray(points), groups, starts)),
        _check.read_only(np.ascontiguousarray(centroids.T)),
        *(codes, distances),
    )
    # Distances, point by point: groups are of unequal size.
    work = np.append(0, np.cumsum(np.diff(starts)[groups]))
    bounds = _parallel.balanced_bounds(work, GRAIN, _parallel.PIECES)
    _parallel.run_range(kernels.nearest_range, bounds, *arrays, scratch=[((kernels.TILE // 2,), np.float64)])
    return codes, distances


def shares(sizes: IntArray, total: int) -> IntArray:
    """
    Split a total in proportion to sizes: each share is at least 1 and at most its size.

    The largest remainders round up.
    """
    exact = sizes * (total / max(1, int(sizes.sum())))
    found: IntArray = np.clip(np.floor(exact).astype(np.int64), 1, sizes)
    missing = total - int(found.sum())
    while missing:
        room = np.flatnonzero(found < sizes) if missing > 0 else np.flatnonzero(found > 1)
        if not len(room):
            break
        order = np.argsort(-np.sign(missing) * (exact - found)[room], kind="stable")
        chosen = room[order[: abs(missing)]]
        found[chosen] += np.sign(missing)
        missing = total - int(found.sum())
    return found


def lloyd(points: Points, groups: IntArray, counts: IntArray, rng: np.random.Generator) -> tuple[IntArray, Points]:
    """
    Run k-means in each group, from some of its points; return codes and centroids.

    Centroids are numbered through all groups.

    `counts` has how many centroids a group gets: at least 1, at most its points.
    """
    starts = np.append(0, np.cumsum(counts))
    order = np.lexsort((rng.random(len(points)), groups))  # the points of each group, shuffled
    begins = np.append(0, np.cumsum(np.bincount(groups, minlength=len(counts))))[:-1]
    owner = np.repeat(np.arange(len(counts)), counts)
    centroids = points[order[begins[owner] + np.arange(int(starts[-1])) - starts[owner]]]
    for _ in range(ITERATIONS):
        codes, distances = nearest(points, groups, starts, centroids)
        centroids = _means(points, codes, centroids)
        _refill(points, groups, codes, distances, owner, centroids)
    return nearest(points, groups, starts, centroids)[0], centroids


def _means(points: Points, codes: IntArray, centroids: Points) -> Points:
    """
    Return the mean of each centroid's points, summed in float64 in their order.

    A centroid without points stays.
    """
    members = np.bincount(codes, minlength=len(centroids))
    found = centroids.copy()
    for column in range(points.shape[1]):
        sums = np.bincount(codes, weights=points[:, column], minlength=len(centroids))
        np.divide(sums, members, out=found[:, column], where=members > 0, casting="same_kind")
    return found


def _refill(points: Points, groups: IntArray, codes: IntArray, distances: Points, owner: IntArray, centroids: Points) -> None:
    """
    Move each centroid without points to one of the points farthest from theirs in its group.

    The centroids are changed in place.
    """
    empty = np.flatnonzero(np.bincount(codes, minlength=len(centroids)) == 0)
    if not len(empty):
        return
    needed = np.bincount(owner[empty], minlength=int(groups.max()) + 1)
    far = np.flatnonzero((needed[groups] > 0) & (distances > 0))
    far = far[np.lexsort((-distances[far], groups[far]))]
    firsts = np.searchsorted(groups[far], np.arange(len(needed)))
    # Of each among the empty ones of its group.
    rank = np.arange(len(empty)) - np.searchsorted(owner[empty], owner[empty])
    at = firsts[owner[empty]] + rank
    found = at < np.append(firsts[1:], len(far))[owner[empty]]
    centroids[empty[found]] = points[far[at[found]]]


def cluster(
    points: Points,
    count: int,
    rng: np.random.Generator,
    *,
    brute_force: int = BRUTE_FORCE,
    most_pairs: int = MOST_PAIRS,
) -> tuple[IntArray, Points]:
    """
    Return codes of points (n, d), each in ``[0, count)``, and the centroids, by k-means.

    There are at most `count` centroids, (count, d).

    With more than `brute_force` distances an iteration, points are split into groups of at most
    `most_pairs` first, and each group gets its share of the centroids.
    """
    if count >= len(points):
        return np.arange(len(points)), points.copy()
    groups = np.zeros(len(points), dtype=np.int64)
    if len(points) * count > brute_force:
        groups = _split(points, count, rng, most_pairs)
    return lloyd(points, groups, shares(np.bincount(groups), count), rng)


def _split(points: Points, count: int, rng: np.random.Generator, most_pairs: int) -> IntArray:
    """
    Return groups of points small enough for a quick k-means, numbered without gaps.

    Larger groups are split by k-means.
    """
    groups = np.zeros(len(points), dtype=np.int64)
    # Groups that k-means does not take apart: their points are equal.
    whole = np.zeros(1, dtype=bool)
    while True:
        sizes = np.bincount(groups)
        counts = shares(sizes, count)
        large = (sizes * counts > most_pairs) & ~whole
        if not large.any():
            return groups
        members = np.flatnonzero(large[groups])
        places = np.cumsum(large) - 1  # of each large group among the large ones
        parts = np.ceil(np.sqrt(counts[large])).astype(np.int64)
        found = lloyd(points[members], places[groups[members]], parts, rng)[0]
        merged = np.where(large, 0, np.arange(len(sizes)))[groups]
        merged[members] = len(sizes) + found
        before, (names, groups) = groups, np.unique(merged, return_inverse=True)
        sizes_now = np.bincount(groups)
        parent = np.zeros(len(names), dtype=np.int64)
        parent[groups] = before
        whole = whole[parent] | (large[parent] & (sizes_now == sizes[parent]))
