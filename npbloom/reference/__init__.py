"""The specification in textbook NumPy: twins of `npbloom.ops` and `npbloom.hashing`.

They share no code with them. Nothing here writes to an argument: forward with `max_norm` returns
``(out, weight)``, and every `*_update` a tuple of the arrays that its fast twin writes, the table
first. Speed is no aim; order and rounding of every operation are (L5, L32).
"""

from npbloom.reference.hashing import hash_keys, hash_rows, murmurhash3_32, murmurhash3_x64_128
from npbloom.reference.lookup import bloom_bag_forward, bloom_forward, embedding_bag_forward, embedding_forward
from npbloom.reference.optim import adagrad_update, adam_update, rowwise_adagrad_update, sgd_update
from npbloom.reference.scatter import (
    bloom_backward,
    bloom_bag_backward,
    bloom_bag_backward_weights,
    embedding_backward,
    embedding_bag_backward,
    embedding_bag_backward_weights,
)

__all__ = [
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
    "hash_keys",
    "hash_rows",
    "murmurhash3_32",
    "murmurhash3_x64_128",
    "rowwise_adagrad_update",
    "sgd_update",
]
