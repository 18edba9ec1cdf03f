"""
Layers and optimizers of every kind: built from drawn cases, and listed by name for tests that loop
over all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import npbloom as nb
from tests.support.strategies import Bags, Bloom, Lookup

ROWS, DIM = 7, 4
OPTIMIZERS = {
    "SGD": lambda layers: nb.SGD(layers, lr=0.5),
    "SGD with momentum": lambda layers: nb.SGD(layers, lr=0.5, momentum=0.9, weight_decay=0.1),
    "Adagrad": lambda layers: nb.Adagrad(layers, lr=0.5),
    "Adagrad with decays": lambda layers: nb.Adagrad(layers, 0.5, lr_decay=0.3, weight_decay=0.1, initial_accumulator_value=0.2),
    "RowWiseAdagrad": lambda layers: nb.RowWiseAdagrad(layers, lr=0.5, weight_decay=0.1),
    "Adam": lambda layers: nb.Adam(layers, lr=0.5),
    "Adam with decay": lambda layers: nb.Adam(layers, lr=0.5, betas=(0.5, 0.9), weight_decay=0.1),
}


def embedding(case: Lookup, **options: Any) -> nb.ScaledEmbedding:
    """Return a plain layer on a copy of the case's table."""
    m, d = case.weight.shape
    return nb.ScaledEmbedding(m, d, padding_idx=case.padding_idx, weight=case.weight.copy(), **options)


def bag(case: Bags, **options: Any) -> nb.ScaledEmbeddingBag | nb.BloomEmbeddingBag:
    """Return a bag layer on a copy of the case's table, hashed if the case is."""
    m, d = case.weight.shape
    options = {"mode": case.mode, "include_last_offset": case.partition.include_last_offset, **options}
    if case.hashing is None:
        return nb.ScaledEmbeddingBag(m, d, padding_idx=case.padding_idx, weight=case.weight.copy(), **options)
    return nb.BloomEmbeddingBag(case.hashing.num_embeddings, d, weight=case.weight.copy(), **hashing(case), **options)


def hashing(case: Bags | Bloom) -> dict[str, Any]:
    """Return the case's HashSpec as arguments of a layer."""
    spec = case.hashing
    return {
        "num_rows": spec.num_rows,
        "num_hash_functions": spec.num_hash_functions,
        "padding_idx": spec.padding_idx,
        "share_padding_row": spec.share_padding_row,
        "hash_table": spec.table,
        "combine": case.combine,
    }


def bloom(case: Bloom, **options: Any) -> nb.BloomEmbedding:
    """Return a Bloom layer on a copy of the case's table."""
    arguments = {**hashing(case), **options}
    return nb.BloomEmbedding(case.hashing.num_embeddings, case.weight.shape[1], weight=case.weight.copy(), **arguments)


def bag_arguments(case: Bags) -> dict[str, Any]:
    """Return offsets and weights of a case, by name."""
    return {"offsets": case.partition.offsets, "per_sample_weights": case.per_sample_weights}


def table(rows: int = ROWS, dim: int = DIM, dtype: Any = np.float32) -> np.ndarray:
    """Return a table of distinct eighths."""
    return np.arange(1, 1 + rows * dim, dtype=dtype).reshape(rows, dim) / 8


def gradient(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """Return a gradient of quarters that differ from entry to entry."""
    return (np.arange(1, 1 + int(np.prod(shape)), dtype=dtype) % 23 / 4 - 2).reshape(shape)


LAYERS: dict[str, Callable[..., Any]] = {
    "ScaledEmbedding": lambda **options: nb.ScaledEmbedding(ROWS, DIM, **{"weight": table(), **options}),
    "ZeroEmbedding": lambda **options: nb.ZeroEmbedding(ROWS, DIM, **{"weight": table(), **options}),
    "ScaledEmbeddingBag": lambda **options: nb.ScaledEmbeddingBag(ROWS, DIM, **{"weight": table(), **options}),
    "BloomEmbedding": lambda **options: nb.BloomEmbedding(ROWS, DIM, num_rows=5, **{"weight": table(5), **options}),
    "BloomEmbeddingBag": lambda **options: nb.BloomEmbeddingBag(ROWS, DIM, num_rows=5, **{"weight": table(5), **options}),
}


def is_bag(layer: Any) -> bool:
    """Return True if a layer looks up bags."""
    return isinstance(layer, nb.ScaledEmbeddingBag | nb.BloomEmbeddingBag)


def bag_offsets(shape: tuple[int, ...]) -> list[int] | None:
    """Return offsets of one bag for 1-D indices, or None for 2-D ones."""
    return None if len(shape) == 2 else [0]


def bag_count(shape: tuple[int, ...]) -> int:
    """Return the number of bags that `bag_offsets` makes."""
    return shape[0] if len(shape) == 2 else 1


# ---- everything that takes ids ------------------------------------------------------------------


@dataclass(frozen=True)
class Taker:
    """
    Public call that takes ids in ``[0, ROWS)``.

    ``call(ids, shape)`` returns everything that it returns or writes.
    """

    name: str
    argument: str  # name of the ids in messages
    any_shape: bool  # bags take 1-D and 2-D only
    call: Callable[[Any, tuple[int, ...]], Any]


def _forward(name: str, **options: Any) -> Callable[..., Any]:
    """Return a call for the output of a layer, and its table."""

    def call(ids: Any, shape: tuple[int, ...]) -> Any:
        layer = LAYERS[name](**options)
        out = layer.forward(ids, bag_offsets(shape)) if is_bag(layer) else layer.forward(ids)
        return out, layer.weight

    return call


def _backward(name: str) -> Callable[..., Any]:
    """Return a call for the gradient of a layer's table."""

    def call(ids: Any, shape: tuple[int, ...]) -> Any:
        layer = LAYERS[name]()
        if is_bag(layer):
            return layer.backward(ids, gradient((bag_count(shape), DIM)), bag_offsets(shape), sparse=True)
        return layer.backward(ids, gradient((*shape, DIM)), sparse=True)

    return call


def _update(name: str) -> Callable[..., Any]:
    """Return a call for a layer's table and an optimizer's state after an update."""

    def call(ids: Any, shape: tuple[int, ...]) -> Any:
        layer = LAYERS[name]()
        optimizer = nb.Adagrad(layer)
        if is_bag(layer):
            optimizer.update(layer, ids, gradient((bag_count(shape), DIM)), offsets=bag_offsets(shape))
        else:
            optimizer.update(layer, ids, gradient((*shape, DIM)))
        return layer.weight, optimizer.state(layer)["sum"]

    return call


def _weights(name: str) -> Callable[..., Any]:
    """Return a call for the gradient of per-sample weights."""

    def call(ids: Any, shape: tuple[int, ...]) -> Any:
        return LAYERS[name](mode="sum").backward_per_sample_weights(ids, gradient((bag_count(shape), DIM)), bag_offsets(shape))

    return call


def _takers() -> list[Taker]:
    """Return every method and function with ids among its arguments."""
    takers = []
    for name in LAYERS:
        argument, any_shape = ("indices", False) if name.endswith("Bag") else ("ids", True)
        for kind, make in (("forward", _forward), ("backward", _backward), ("update", _update)):
            takers.append(Taker(f"{name}.{kind}", argument, any_shape, make(name)))
        if not any_shape:
            takers.append(Taker(f"{name}.backward_per_sample_weights", argument, False, _weights(name)))
    takers.append(Taker("ScaledEmbedding.forward, max_norm", "ids", True, _forward("ScaledEmbedding", max_norm=1.0)))
    takers.append(Taker("ScaledEmbeddingBag.forward, max_norm", "indices", False, _forward("ScaledEmbeddingBag", max_norm=1.0)))
    spec = nb.HashSpec(ROWS, 5, padding_idx=0)
    functions: dict[str, Callable[[Any, tuple[int, ...]], Any]] = {
        "ops.embedding_forward": lambda ids, shape: nb.ops.embedding_forward(table(), ids),
        "ops.embedding_backward": lambda ids, shape: nb.ops.embedding_backward(ids, gradient((*shape, DIM)), ROWS),
        "ops.hash_rows": lambda ids, shape: nb.ops.hash_rows(ids, spec),
        "ops.bloom_forward": lambda ids, shape: nb.ops.bloom_forward(table(5), ids, spec),
        "ops.bloom_backward": lambda ids, shape: nb.ops.bloom_backward(ids, gradient((*shape, DIM)), spec),
        "BloomEmbedding.hash_rows": lambda ids, shape: LAYERS["BloomEmbedding"]().hash_rows(ids),
        "BloomEmbedding.forward": lambda ids, shape: LAYERS["BloomEmbedding"]().forward(ids),
    }
    takers += [Taker(name, "ids", True, call) for name, call in functions.items()]
    return takers


TAKERS = _takers()
