"""Points to codes: Lloyd's k-means without levels (L41)."""

from __future__ import annotations

import numpy as np

from npbloom.types import FloatArray, IntArray

ITERATIONS = 6


def nearest(points: FloatArray, centroids: FloatArray) -> tuple[IntArray, FloatArray]:
    """
    Return the nearest centroid of each point, and its squared distance in the points' dtype.

    Of equally near centroids the first is taken.
    """
    distances = np.zeros((len(points), len(centroids)), dtype=points.dtype)
    for column in range(points.shape[1]):
        distances += (points[:, column, np.newaxis] - centroids[:, column]) ** 2
    codes: IntArray = distances.argmin(axis=1)
    return codes, distances[np.arange(len(points)), codes]


def cluster(points: FloatArray, count: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """
    Run Lloyd's k-means from points drawn without replacement.

    A centroid without points moves to the farthest point.
    """
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
