"""Output gradients to RowGrad: contributions, added up in runs of sixteen (L5, L24)."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.reference import _inputs
from npbloom.reference.hashing import hash_rows
from npbloom.reference.lookup import (
    bags_of,
    bloom_vectors,
    counts_of,
    entry_weights,
    not_padding,
    probe_slices,
    winners,
)
from npbloom.reference.sums import sum_columns, sum_terms
from npbloom.types import FloatArray, HashSpec, IntArray, RowGrad


@np.errstate(all="ignore")
def embedding_backward(
    ids: Any, grad_out: Any, num_rows: int, *, padding_idx: int | None = None, scale_grad_by_freq: bool = False
) -> RowGrad:
    """
    Return the gradient of `embedding_forward`: every id sends its output gradient to its row.

    Padding sends none (L9).
    """
    ids = _inputs.ids(ids, num_rows)
    grad_out = _inputs.floats(grad_out, (*ids.shape, -1), None, "grad_out")
    grad_out = grad_out.reshape(ids.size, grad_out.shape[-1])
    kept = ids.ravel() != _inputs.padding_row(padding_idx, num_rows)
    return _summed(ids.ravel()[kept], grad_out[kept], num_rows, scale_grad_by_freq)


@np.errstate(all="ignore")
def embedding_bag_backward(
    weight: FloatArray,
    indices: Any,
    grad_out: Any,
    offsets: Any = None,
    per_sample_weights: Any = None,
    *,
    mode: str = "mean",
    padding_idx: int | None = None,
    include_last_offset: bool = False,
    scale_grad_by_freq: bool = False,
) -> RowGrad:
    """
    Return the gradient of `embedding_bag_forward`.

    Every entry's row gets ``(G_b / count_b) * w_i``; a maximum's gradient goes to its winner.

    With `scale_grad_by_freq` each of these is divided by the occurrences of its id in the batch,
    not by its wins (L11).
    """
    weight = np.asarray(weight)
    indices = _inputs.ids(indices, len(weight), "indices")
    bounds = _inputs.bag_bounds(indices, offsets, include_last_offset)
    weights = entry_weights(per_sample_weights, indices, mode, weight.dtype)
    grad_out = _inputs.floats(grad_out, (len(bounds) - 1, weight.shape[1]), weight.dtype, "grad_out")
    flat = indices.ravel()
    counted = flat != _inputs.padding_row(padding_idx, len(weight))
    sent = _sent(weight[flat], grad_out, bounds, counted, mode, weights)
    return _summed(flat[counted], sent[counted], len(weight), scale_grad_by_freq)


@np.errstate(all="ignore")
def embedding_bag_backward_weights(
    weight: FloatArray,
    indices: Any,
    grad_out: Any,
    offsets: Any = None,
    *,
    padding_idx: int | None = None,
    include_last_offset: bool = False,
) -> FloatArray:
    """
    Return the gradient of `per_sample_weights`, an array like `indices` (L18).

    It is the bag's gradient times the entry's row.
    """
    weight = np.asarray(weight)
    indices = _inputs.ids(indices, len(weight), "indices")
    bounds = _inputs.bag_bounds(indices, offsets, include_last_offset)
    grad_out = _inputs.floats(grad_out, (len(bounds) - 1, weight.shape[1]), weight.dtype, "grad_out")
    counted = indices.ravel() != _inputs.padding_row(padding_idx, len(weight))
    return _products(weight[indices.ravel()], grad_out, bounds, counted).reshape(indices.shape)


@np.errstate(all="ignore")
def bloom_backward(ids: Any, grad_out: Any, hashing: HashSpec, *, combine: str = "sum") -> RowGrad:
    """
    Return the gradient of `bloom_forward`.

    Every probe gets the output's gradient (over k in a mean), in order (i, j).

    The reserved row is left out (L22). In a concatenation the rows are slices ``r * k + j`` of d /
    k columns (L21).
    """
    ids = _inputs.ids(ids, hashing.num_embeddings)
    grad_out = _inputs.floats(grad_out, (*ids.shape, -1), None, "grad_out")
    grad_out = grad_out.reshape(ids.size, grad_out.shape[-1])
    return _to_probes(ids.ravel(), grad_out, hashing, combine)


@np.errstate(all="ignore")
def bloom_bag_backward(
    weight: FloatArray,
    indices: Any,
    grad_out: Any,
    hashing: HashSpec,
    offsets: Any = None,
    per_sample_weights: Any = None,
    *,
    mode: str = "mean",
    include_last_offset: bool = False,
    combine: str = "sum",
) -> RowGrad:
    """
    Return the gradient of `bloom_bag_forward` (L23b).

    Every id gets ``(G_b / count_b) * w_i``, and passes it on to its probes.
    """
    weight = np.asarray(weight)
    indices = _inputs.ids(indices, hashing.num_embeddings, "indices")
    bounds = _inputs.bag_bounds(indices, offsets, include_last_offset)
    weights = entry_weights(per_sample_weights, indices, mode, weight.dtype)
    grad_out = _inputs.floats(grad_out, (len(bounds) - 1, weight.shape[1]), weight.dtype, "grad_out")
    vectors = bloom_vectors(weight, indices.ravel(), hashing, combine)
    sent = _sent(vectors, grad_out, bounds, not_padding(indices, hashing), mode, weights)
    return _to_probes(indices.ravel(), sent, hashing, combine)


@np.errstate(all="ignore")
def bloom_bag_backward_weights(
    weight: FloatArray,
    indices: Any,
    grad_out: Any,
    hashing: HashSpec,
    offsets: Any = None,
    *,
    include_last_offset: bool = False,
    combine: str = "sum",
) -> FloatArray:
    """
    Return the gradient of `per_sample_weights`, like `indices` (L23b).

    It is the bag's gradient times the entry's vector.
    """
    weight = np.asarray(weight)
    indices = _inputs.ids(indices, hashing.num_embeddings, "indices")
    bounds = _inputs.bag_bounds(indices, offsets, include_last_offset)
    grad_out = _inputs.floats(grad_out, (len(bounds) - 1, weight.shape[1]), weight.dtype, "grad_out")
    vectors = bloom_vectors(weight, indices.ravel(), hashing, combine)
    return _products(vectors, grad_out, bounds, not_padding(indices, hashing)).reshape(indices.shape)


def _sent(
    vectors: FloatArray, grad_out: FloatArray, bounds: IntArray, counted: Any, mode: str, weights: FloatArray | None
) -> FloatArray:
    """
    Return the gradient of every entry, (n, d).

    It is a share of its bag's gradient, or for a maximum what the entry won of it.
    """
    if mode == "max":
        sent = np.zeros(vectors.shape, grad_out.dtype)
        found = winners(vectors, bounds, counted)
        bag, column = np.nonzero(found >= 0)
        sent[found[bag, column], column] = grad_out[bag, column]
        return sent
    if mode == "mean":
        grad_out = grad_out / np.maximum(counts_of(bounds, counted), 1).astype(grad_out.dtype)[:, None]
    sent = grad_out[bags_of(bounds)]
    return sent if weights is None else sent * weights[:, None]


def _products(vectors: FloatArray, grad_out: FloatArray, bounds: IntArray, counted: Any) -> FloatArray:
    """
    Return the dot product of every entry's vector with its bag's gradient.

    It is summed in float64 and rounded once.
    """
    terms = grad_out[bags_of(bounds)].astype(np.float64) * vectors
    return np.where(counted, sum_columns(terms), 0).astype(grad_out.dtype)


def _to_probes(ids: IntArray, sent: FloatArray, hashing: HashSpec, combine: str) -> RowGrad:
    """Pass the gradient of every id on to its probes in order (i, j), without the reserved row."""
    m, k = hashing.num_rows, hashing.num_hash_functions
    columns = probe_slices(sent.shape[1], hashing, combine)
    rows = hash_rows(ids, hashing)
    kept = rows.ravel() != 0 if hashing.padding_idx is not None else np.ones(rows.size, bool)
    if combine == "mean":
        sent = sent / sent.dtype.type(k)
    if combine == "concat":
        rows, m = rows * k + np.arange(k), m * k
    parts = np.stack([sent[:, part] for part in columns], axis=1)
    parts = parts.reshape(-1, parts.shape[2])
    return _summed(rows.ravel()[kept], parts[kept], m, False)


def _summed(rows: IntArray, contributions: FloatArray, num_rows: int, by_frequency: bool) -> RowGrad:
    """
    Add up the contributions of every distinct row in input order, and round.

    If asked to, divide each by the row's count first.
    """
    touched, place, count = np.unique(rows, return_inverse=True, return_counts=True)
    if by_frequency:
        contributions = contributions / count.astype(contributions.dtype)[place, None]
    total = sum_terms(contributions, place, len(touched))
    return RowGrad(touched, total.astype(contributions.dtype), num_rows)
