"""Explicit forward and backward on plain arrays: check, allocate, run kernels."""

from npbloom.ops.hashing import hash_rows
from npbloom.ops.lookup import bloom_bag_forward, bloom_forward, embedding_bag_forward, embedding_forward
from npbloom.ops.optim import adagrad_update, adam_update, rowwise_adagrad_update, sgd_update
from npbloom.ops.scatter import (
    bloom_backward,
    bloom_bag_backward,
    bloom_bag_backward_weights,
    embedding_backward,
    embedding_bag_backward,
    embedding_bag_backward_weights,
)
from npbloom.types import HashSpec, RowGrad

__all__ = [
    "HashSpec",
    "RowGrad",
    "adagrad_update",
    "adam_update",
    "bloom_backward",
    "bloom_bag_backward",
    "bloom_bag_backward_weights",
    "bloom_bag_forward",
    "bloom_forward",
    "embedding_backward",
    "embedding_bag_backward",
    "embedding_bag_backward_weights",
    "embedding_bag_forward",
    "embedding_forward",
    "hash_rows",
    "rowwise_adagrad_update",
    "sgd_update",
]
