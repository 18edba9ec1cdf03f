"""Rows to vectors: gathers, bags and Bloom sums in textbook NumPy.

Sums of rows are taken in runs of sixteen (L5).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npbloom.reference import _inputs
from npbloom.reference.hashing import hash_rows
from npbloom.reference.sums import sum_columns, sum_terms
from npbloom.types import FloatArray, HashSpec, IntArray


@np.errstate(all="ignore")
def embedding_forward(weight: FloatArray, ids: Any, *, max_norm: float | None = None, norm_type: float = 2) -> Any:
    """
    Return rows of the table, bits copied (L4).

    With `max_norm`, return a pair: those rows, and the table with rows scaled (L10).
    """
    weight = np.asarray(weight)
    ids = _inputs.ids(ids, len(weight))
    if max_norm is None:
        return weight.take(ids, axis=0)
    weight = _renormalized(weight, ids, max_norm, norm_type)
    return weight.take(ids, axis=0), weight


@np.errstate(all="ignore")
def embedding_bag_forward(
    weight: FloatArray,
    indices: Any,
    offsets: Any = None,
    per_sample_weights: Any = None,
    *,
    mode: str = "mean",
    padding_idx: int | None = None,
    include_last_offset: bool = False,
    max_norm: float | None = None,
    norm_type: float = 2,
) -> Any:
    """
    Return the sum, mean or max of the rows of every bag (L13 to L18).

    With `max_norm`, return a pair: the bags, and the table (L10).

    A maximum is a selection, so it copies the bits of the first maximal entry.
    """
    weight = np.asarray(weight)
    indices = _inputs.ids(indices, len(weight), "indices")
    bounds = _inputs.bag_bounds(indices, offsets, include_last_offset)
    weights = entry_weights(per_sample_weights, indices, mode, weight.dtype)
    counted = indices.ravel() != _inputs.padding_row(padding_idx, len(weight))
    table = weight if max_norm is None else _renormalized(weight, indices, max_norm, norm_type)
    out = _reduced(table[indices.ravel()], bounds, counted, mode, weights).astype(weight.dtype)
    return out if max_norm is None else (out, table)


@np.errstate(all="ignore")
def bloom_forward(weight: FloatArray, ids: Any, hashing: HashSpec, *, combine: str = "sum") -> FloatArray:
    """
    Return the sum, mean or concatenation of the k rows that an id reads (L21).

    It is a sum, so -0.0 becomes +0.0 (L5).
    """
    weight = np.asarray(weight)
    ids = _inputs.ids(ids, hashing.num_embeddings)
    return bloom_vectors(weight, ids.ravel(), hashing, combine).reshape(*ids.shape, weight.shape[1])


@np.errstate(all="ignore")
def bloom_bag_forward(
    weight: FloatArray,
    indices: Any,
    hashing: HashSpec,
    offsets: Any = None,
    per_sample_weights: Any = None,
    *,
    mode: str = "mean",
    include_last_offset: bool = False,
    combine: str = "sum",
) -> FloatArray:
    """
    Return the sum, mean or max of the Bloom vectors of every bag (L23b).

    An id whose probes all meet the reserved row is an entry like others: it counts in a mean, and
    is 0 in a max.
    """
    weight = np.asarray(weight)
    indices = _inputs.ids(indices, hashing.num_embeddings, "indices")
    bounds = _inputs.bag_bounds(indices, offsets, include_last_offset)
    weights = entry_weights(per_sample_weights, indices, mode, weight.dtype)
    vectors = bloom_vectors(weight, indices.ravel(), hashing, combine)
    return _reduced(vectors, bounds, not_padding(indices, hashing), mode, weights).astype(weight.dtype)


# ---- what forward and backward share -------------------------------------------------------------


def entry_weights(per_sample_weights: Any, indices: IntArray, mode: str, dtype: Any) -> FloatArray | None:
    """
    Return weights of the entries, flat, rounded to the table's dtype.

    Only a sum takes them (L18).
    """
    _inputs.choice(mode, "mode", "sum", "mean", "max")
    if per_sample_weights is None:
        return None
    if mode != "sum":
        raise ValueError(f"`per_sample_weights` must be None for mode {mode!r}.")
    return _inputs.floats(per_sample_weights, indices.shape, dtype, "per_sample_weights").ravel()


def not_padding(indices: IntArray, hashing: HashSpec) -> Any:
    """Return True for each entry that is not the padding id, flat."""
    return np.ones(indices.size, bool) if hashing.padding_idx is None else indices.ravel() != hashing.padding_idx


def bags_of(bounds: IntArray) -> IntArray:
    """Return the bag of every entry."""
    return np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))


def counts_of(bounds: IntArray, counted: Any) -> IntArray:
    """Return the number of entries of every bag that count (L16)."""
    return np.bincount(bags_of(bounds)[counted], minlength=len(bounds) - 1)


def winners(vectors: FloatArray, bounds: IntArray, counted: Any) -> IntArray:
    """
    Return the entry whose value is the maximum, by bag and dimension.

    It is the first one, or the first NaN.

    -1 if none (L17).
    """
    found = np.full((len(bounds) - 1, vectors.shape[1]), -1)
    for bag in range(len(found)):
        entries = np.arange(bounds[bag], bounds[bag + 1])[counted[bounds[bag] : bounds[bag + 1]]]
        if len(entries):
            # Argmax, too, stops at the first NaN.
            found[bag] = entries[vectors[entries].argmax(axis=0)]
    return found


def probe_slices(dim: int, hashing: HashSpec, combine: str) -> list[slice]:
    """
    Return the columns that probe j reads.

    These are all columns, or the j-th part in a concatenation (L21).
    """
    _inputs.choice(combine, "combine", "sum", "mean", "concat")
    k = hashing.num_hash_functions
    if combine != "concat":
        return [slice(0, dim)] * k
    if dim % k:
        raise ValueError(f"`combine='concat'` needs {k} hash functions to divide the dimension, {dim}.")
    return [slice(j * dim // k, (j + 1) * dim // k) for j in range(k)]


def bloom_vectors(weight: FloatArray, ids: IntArray, hashing: HashSpec, combine: str) -> FloatArray:
    """
    Return the vector of every id, in the table's dtype.

    A probe of the reserved row adds nothing (L22).
    """
    rows = hash_rows(ids, hashing)
    n, k = rows.shape
    live = rows != 0 if hashing.padding_idx is not None else np.ones(rows.shape, bool)
    if combine == "concat":
        total = np.zeros((n, weight.shape[1]), weight.dtype)
        for j, columns in enumerate(probe_slices(weight.shape[1], hashing, combine)):
            total[live[:, j], columns] += weight[rows[live[:, j], j], columns]
        return total
    _inputs.choice(combine, "combine", "sum", "mean", "concat")
    sums = sum_terms(weight[rows.ravel()], np.repeat(np.arange(n), k), n, live.ravel())
    return (sums / k if combine == "mean" else sums).astype(weight.dtype)


def _reduced(vectors: FloatArray, bounds: IntArray, counted: Any, mode: str, weights: FloatArray | None) -> FloatArray:
    """
    Return one vector a bag: a sum or mean, not yet rounded, or a maximum as it is.

    Zero where nothing counts (L14).
    """
    if mode == "max":
        found = winners(vectors, bounds, counted)
        out = np.zeros(found.shape, dtype=vectors.dtype)
        bag, column = np.nonzero(found >= 0)
        out[bag, column] = vectors[found[bag, column], column]
        return out
    terms = vectors if weights is None else weights[:, None] * vectors
    total = sum_terms(terms, bags_of(bounds), len(bounds) - 1, counted)
    return total / np.maximum(counts_of(bounds, counted), 1)[:, None] if mode == "mean" else total


def _renormalized(weight: FloatArray, ids: IntArray, max_norm: float, norm_type: float) -> FloatArray:
    """
    Return a copy of the table with every looked-up row longer than `max_norm` scaled once (L10).
    """
    weight = weight.copy()
    for row in np.unique(ids):
        values = weight[row].astype(np.float64)
        norm = _norm(values, float(norm_type))
        if norm > max_norm:  # false for NaN
            weight[row] = (values * (max_norm / (norm + 1e-7))).astype(weight.dtype)
    return weight


def _norm(values: FloatArray, p: float) -> float:
    """
    Return the p-norm in float64.

    Infinite where a power is too large for a float.
    """
    sizes = np.abs(values)
    if p == math.inf:
        return float(sizes.max())
    if p == 1:
        return _sum(sizes)
    if p == 2:
        return float(np.sqrt(_sum(sizes * sizes)))
    return _power(_sum(np.array([_power(size, p) for size in sizes.tolist()])), 1 / p)


def _sum(terms: FloatArray) -> float:
    """Return the sum of one row's terms."""
    return float(sum_columns(terms[None])[0])


def _power(base: float, exponent: float) -> float:
    """Return C's pow of a base >= 0 or NaN, which is inf where Python raises."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
