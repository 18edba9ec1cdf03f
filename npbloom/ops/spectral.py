"""Interactions to vectors of users and items: a truncated SVD by random projection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from npbloom import _check, _parallel
from npbloom._kernels import spectral as kernels
from npbloom.ops.lookup import embedding_bag_forward
from npbloom.types import FloatArray, IntArray

__all__ = [
    "Graph",
    "Space",
    "decompose",
    "degrees",
    "eigen",
    "gram",
    "mean_degree",
    "products",
    "read_graph",
    "spread",
    "times",
]

# Ids whose products are summed before they are added to those of the other blocks.
BLOCK: Final = 4096
# Columns projected onto beside those that are kept (Halko et al. 2011, section 4.2).
OVERSAMPLING: Final = 8
# Multiplications by N N^T that raise the leading singular values above the rest (section 4.5).
POWERS: Final = 8
SWEEPS: Final = 30  # passes of rotations at most; ten are usual
NEGLIGIBLE: Final = 1e-10  # an eigenvalue this small beside the largest is taken as 0

Report = Callable[[], None]


class Graph(NamedTuple):
    """Distinct pairs of a user and an item, listed by user and by item (CSR and CSC)."""

    items_of: IntArray  # items of all users, one user after the other
    item_starts: IntArray  # (num_users + 1,) where each user's items begin
    users_of: IntArray
    user_starts: IntArray  # (num_items + 1,)


class Space(NamedTuple):
    """Singular vectors of the normalised graph."""

    users: FloatArray  # U (num_users, rank), float64
    items: FloatArray  # V (num_items, rank), float64
    values: FloatArray  # S (rank,), falling


def read_graph(users: IntArray, items: IntArray, num_users: int, num_items: int) -> Graph:
    """Return the graph of pairs in any order, duplicates once."""
    pairs = np.sort(users * np.int64(num_items) + items)
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]]
    items_of = pairs % num_items
    owners = pairs // num_items
    del pairs
    item_starts = np.append(0, np.cumsum(np.bincount(owners, minlength=num_users)))
    order = np.argsort(items_of, kind="stable")
    user_starts = np.append(0, np.cumsum(np.bincount(items_of, minlength=num_items)))
    return Graph(items_of, item_starts, owners[order], user_starts)


def degrees(counts: IntArray) -> FloatArray:
    """
    Return the number of neighbours of each id, plus its mean over the ids that have any.

    Without the mean the leading singular vectors are those of small parts that are linked with
    little else, and separate no other ids (Qin and Rohe 2013).
    """
    return counts + mean_degree(counts)


def mean_degree(counts: IntArray) -> float:
    """Return the mean number of neighbours over the ids that have any."""
    return float(counts.sum()) / max(1, int(np.count_nonzero(counts)))


def spread(members: IntArray, starts: IntArray, own: FloatArray, other: FloatArray, vectors: FloatArray) -> FloatArray:
    """
    Multiply by the normalised graph.

    The vectors of each id's neighbours are summed over the roots of both degrees.

    A row of the 0/1 matrix is a bag of neighbours, so that the product is an embedding bag's
    forward.
    """
    table = vectors / np.sqrt(other)[:, np.newaxis]
    sums = embedding_bag_forward(table, members, starts, mode="sum", include_last_offset=True)
    sums /= np.sqrt(own)[:, np.newaxis]
    return sums


def gram(vectors: FloatArray) -> FloatArray:
    """
    Return dot products of all columns with all.

    Rows are summed in blocks of `BLOCK` from left to right, blocks in order.
    """
    size, width = vectors.shape
    blocks = -(-size // BLOCK)
    parts = np.empty((blocks, width, width))

    def work(lo: int, hi: int) -> None:
        for b in range(lo, hi):
            rows = _check.read_only(vectors[b * BLOCK : (b + 1) * BLOCK])
            kernels.product_range(_check.read_only(np.ascontiguousarray(rows.T)), rows, parts[b], 0, width)

    _parallel.run_range(work, blocks, grain=1)
    total = np.zeros((width, width))
    for part in parts:
        total += part
    return total


def times(vectors: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return the product of a tall and a small matrix, each entry summed from left to right."""
    out = np.empty((len(vectors), matrix.shape[1]))
    arrays = (_check.read_only(np.ascontiguousarray(vectors)), _check.read_only(np.ascontiguousarray(matrix)), out)
    _parallel.run_range(kernels.product_range, len(vectors), *arrays, grain=max(1, 2**16 // max(1, matrix.size)))
    return out


def eigen(symmetric: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Return eigenvalues and eigenvectors (columns) of a symmetric matrix.

    Eigenvalues are at least 0, and fall; the matrix must have no negative ones.

    Jacobi's rotations, disjoint pairs at a time in Brent and Luk's order: only sums, products and
    roots of numbers, so that the bits are the same on every processor and for any number of
    threads, which LAPACK does not promise.
    """
    size = len(symmetric) + len(symmetric) % 2  # a row of zeros more makes the pairs come out even
    a = np.zeros((size, size))
    a[: len(symmetric), : len(symmetric)] = symmetric
    v = np.eye(size)
    places = np.arange(size)
    for _ in range(SWEEPS):
        off = np.abs(a - np.diag(np.diag(a))).max(initial=0.0)
        if off <= 1e-15 * np.abs(np.diag(a)).max(initial=0.0):
            break
        for _ in range(size - 1):
            p, q = places[: size // 2], places[: size // 2 - 1 : -1]
            _rotate(a, v, p, q)
            # A round of a tournament: the first stays.
            places = np.concatenate([places[:1], places[-1:], places[1:-1]])
    values = np.maximum(np.diag(a)[: len(symmetric)], 0.0)
    order = np.argsort(-values, kind="stable")
    return values[order], np.ascontiguousarray(v[: len(symmetric), order])


def _rotate(a: FloatArray, v: FloatArray, p: IntArray, q: IntArray) -> None:
    """
    Rotate each of some disjoint pairs of rows and columns so that its entry ``a[p, q]`` vanishes.

    In place.
    """
    apq = a[p, q]
    busy = apq != 0
    p, q, apq = p[busy], q[busy], apq[busy]
    theta = (a[q, q] - a[p, p]) / (2.0 * apq)
    with np.errstate(over="ignore"):
        t = np.where(theta >= 0, 1.0, -1.0) / (np.abs(theta) + np.sqrt(theta * theta + 1.0))
    c = 1.0 / np.sqrt(t * t + 1.0)
    s = t * c
    for matrix in (a, v):
        left, right = matrix[:, p].copy(), matrix[:, q].copy()
        matrix[:, p], matrix[:, q] = c * left - s * right, s * left + c * right
    left, right = a[p].copy(), a[q].copy()
    a[p], a[q] = c[:, None] * left - s[:, None] * right, s[:, None] * left + c[:, None] * right


def _orthonormal(vectors: FloatArray) -> FloatArray:
    """Return orthonormal columns that span the given ones; zeros where they span less."""
    values, rotation = eigen(gram(vectors))
    return times(vectors, rotation * _inverse_roots(values))


def _significant(values: FloatArray) -> npt.NDArray[np.bool_]:
    """Return True for each eigenvalue that rounding alone does not explain."""
    found: npt.NDArray[np.bool_] = values > NEGLIGIBLE * values.max(initial=0.0)
    return found


def _inverse_roots(values: FloatArray) -> FloatArray:
    """Return one over the root of each eigenvalue; 0 for a negligible one."""
    known = _significant(values)
    return np.where(known, 1.0 / np.sqrt(np.where(known, values, 1.0)), 0.0)


def products() -> int:
    """
    Return the number of multiplications by the graph or its transpose in `decompose`.

    It is the number of its reports, too.
    """
    return 2 * POWERS + 2


def decompose(graph: Graph, rank: int, rng: np.random.Generator, report: Report = lambda: None) -> Space:
    """Return the leading singular vectors of the normalised graph (L41)."""
    of_users, of_items = degrees(np.diff(graph.item_starts)), degrees(np.diff(graph.user_starts))

    def to_users(vectors: FloatArray) -> FloatArray:
        report()
        return spread(graph.items_of, graph.item_starts, of_users, of_items, vectors)

    def to_items(vectors: FloatArray) -> FloatArray:
        report()
        return spread(graph.users_of, graph.user_starts, of_items, of_users, vectors)

    basis = to_users(rng.standard_normal((len(graph.user_starts) - 1, rank + OVERSAMPLING)))
    for _ in range(POWERS):
        basis = to_users(_orthonormal(to_items(_orthonormal(basis))))
    basis = _orthonormal(basis)
    short = to_items(basis)  # (Q^T N)^T: its singular vectors are those of N within the span of Q
    values, rotation = eigen(gram(short))
    kept = slice(0, rank)
    users = times(basis, rotation[:, kept])
    items = times(short, (rotation * _inverse_roots(values))[:, kept])
    return Space(users, items, np.where(_significant(values), np.sqrt(values), 0.0)[kept])
