"""Lookups of each kind of layer, cut where rows come from other ranks or go to them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npbloom import _check
from npbloom.layers import BloomEmbedding, BloomEmbeddingBag
from npbloom.ops._bags import Bags, read_bags
from npbloom.ops._bloom import divisor_of, reserved_row
from npbloom.ops._forward import bag_output, bloom_bag_output, bloom_vectors, gather
from npbloom.ops._ids import check_ids, rows_of
from npbloom.ops._sharded import Terms
from npbloom.types import FloatArray, IntArray, RowArray


class Batch(NamedTuple):
    """Checked ids of a rank, and the rows that they read."""

    shape: tuple[int, ...]  # of the ids
    rows: RowArray  # (n, k)
    bags: Bags | None


def hashed(layer: Any) -> bool:
    """Return True if ids reach rows through hashes."""
    return isinstance(layer, (BloomEmbedding, BloomEmbeddingBag))


def skipped_row(layer: Any) -> int:
    """Return the row that no lookup asks for, since it adds nothing whatever is stored there."""
    return reserved_row(layer.hashing) if hashed(layer) else -1


def untrained_row(layer: Any) -> int:
    """Return the row that has no gradient, or -1."""
    return next(iter(layer.reserved_rows), -1)


def divisor(layer: Any) -> float:
    """Return the divisor of every term of a gradient."""
    return divisor_of(layer.hashing, layer.combine) if hashed(layer) else 1.0


def read(layer: Any, ids: Any, offsets: Any = None, per_sample_weights: Any = None) -> Batch:
    """Check the ids of a lookup, and find their rows."""
    if not layer.bag_arguments:
        for name, value in (("offsets", offsets), ("per_sample_weights", per_sample_weights)):
            if value is not None:
                raise TypeError(f"`{name}` must be left out: a {type(layer).__name__} has no bags.")
        array, bags = check_ids(ids, layer.num_embeddings, "ids"), None
        shape, flat = array.shape, array.reshape(-1)
    else:
        bags = read_bags(
            ids,
            offsets,
            per_sample_weights,
            mode=layer.mode,
            padding=-1 if layer.padding_idx is None else layer.padding_idx,
            include_last_offset=layer.include_last_offset,
            num_embeddings=layer.num_embeddings,
            dtype=layer.dtype,
        )
        shape, flat = bags.shape, bags.ids
    rows = rows_of(flat, layer.hashing) if hashed(layer) else _check.read_only(flat).reshape(-1, 1)
    return Batch(shape, rows, bags)


def look_up(layer: Any, batch: Batch, vectors: FloatArray, places: RowArray) -> tuple[FloatArray, IntArray | None]:
    """
    Return the output of a lookup, and the winners of a maximum.

    Entry (i, j) of the batch reads row ``places[i, j]`` of `vectors` instead of its row.
    """
    bags = batch.bags
    if hashed(layer):
        if bags is None:
            out = bloom_vectors(vectors, len(places), lambda lo, hi: places[lo:hi], layer.hashing, layer.combine)
            return out.reshape((*batch.shape, layer.embedding_dim)), None
        return bloom_bag_output(vectors, bags, places, layer.hashing, layer.combine)
    flat = _check.read_only(places.reshape(-1))
    if bags is None:
        return gather(vectors, flat.reshape(batch.shape)), None
    padded = np.flatnonzero(bags.ids == bags.padding)[:1]
    return bag_output(vectors, bags._replace(ids=flat, padding=int(flat[padded[0]]) if padded.size else -1))


def check_grad(layer: Any, batch: Batch, grad_out: Any) -> FloatArray:
    """Return the gradient of the output of a lookup, (outputs, d)."""
    leading = batch.shape if batch.bags is None else (batch.bags.size,)
    return _check.grad_out(grad_out, leading, layer.embedding_dim, layer.dtype)


def terms_of(layer: Any, batch: Batch, grad: FloatArray, winners: IntArray | None) -> Terms:
    """Return the terms of a gradient in input order, those of the padding row left out."""
    bags, (size, width), slices = batch.bags, batch.rows.shape, layer.num_slices
    output, weights = np.arange(size), None
    if bags is not None:
        output, weights = bags.bag_of(), bags.weights
        if bags.mode == "mean":
            grad = grad / np.maximum(bags.counts(), 1).astype(grad.dtype)[:, None]
        if winners is not None:  # what an entry has not won is a zero: it adds nothing to a sum from +0.0
            grad = np.where(winners[output] == np.arange(size)[:, None], grad[output], grad.dtype.type(0))
            output = np.arange(size)
    probes = np.arange(width) if slices > 1 else 0
    kept = (batch.rows != untrained_row(layer)).reshape(-1)
    keys = (batch.rows.astype(np.int64) * slices + probes).reshape(-1)[kept]
    index = np.broadcast_to(output[:, None] * slices + probes, batch.rows.shape).reshape(-1)[kept]
    if weights is not None:
        weights = np.repeat(weights, width)[kept]
    return Terms(keys, index, grad.reshape(len(grad) * slices, layer.embedding_dim // slices), weights)
