"""Points to the nearest of their group's centroids: the inner loop of k-means."""

from __future__ import annotations

import numpy as np

from npbloom._kernels.jit import helper, kernel
from npbloom.types import FloatArray, IntArray

TILE = 512  # centroids whose distances to a point are held at once, in the first cache


@helper
def _distances(points: FloatArray, centroids: FloatArray, i: int, start: int, found: FloatArray) -> None:
    """
    Write the squared distances of a point to the centroids of a tile.

    They are summed column by column, from 0, in the dtype of the points.
    """
    stop = start + found.shape[0]
    found[:] = 0.0
    c = 0
    # Four columns a pass keep the sums in registers; the order stays.
    while c + 4 <= points.shape[1]:
        p0, p1, p2, p3 = points[i, c], points[i, c + 1], points[i, c + 2], points[i, c + 3]
        q0, q1 = centroids[c, start:stop], centroids[c + 1, start:stop]
        q2, q3 = centroids[c + 2, start:stop], centroids[c + 3, start:stop]
        for q in range(found.shape[0]):
            d0, d1, d2, d3 = p0 - q0[q], p1 - q1[q], p2 - q2[q], p3 - q3[q]
            found[q] = (((found[q] + d0 * d0) + d1 * d1) + d2 * d2) + d3 * d3
        c += 4
    while c < points.shape[1]:
        p0, q0 = points[i, c], centroids[c, start:stop]
        for q in range(found.shape[0]):
            d0 = p0 - q0[q]
            found[q] += d0 * d0
        c += 1


@kernel
def nearest_range(
    points: FloatArray,
    groups: IntArray,
    indptr: IntArray,
    centroids: FloatArray,
    codes: IntArray,
    distances: FloatArray,
    scratch: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Find the nearest centroid of each point, and its squared distance.

    Of equally near centroids the first is taken.

    `points` is (n, d), float32, `groups`, `codes` and `distances` (n,). `centroids` is (d, m): a
    column of all of them lies together. A point of group g looks at centroids
    ``[indptr[g], indptr[g + 1])`` only. `scratch` has room for `TILE` distances.
    """
    tile = scratch.view(np.float32)
    for i in range(lo, hi):
        first, last = indptr[groups[i]], indptr[groups[i] + 1]
        at, best = first, np.float32(np.inf)
        for start in range(first, last, TILE):
            found = tile[: min(TILE, last - start)]
            _distances(points, centroids, i, start, found)
            for q in range(found.shape[0]):
                if found[q] < best:
                    best, at = found[q], start + q
        codes[i], distances[i] = at, best
