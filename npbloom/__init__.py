"""
Embedding layers for recommender models, above all Bloom embeddings: many ids hashed by murmurhash3 into a small table.

Pure arrays, explicit forward and backward, kernels that touch only the rows a batch looked up, small optimizers.
"""

from npbloom import checkpoint, coding, hashing, layers, ops, optimizers, reference
from npbloom._parallel import get_num_threads, num_threads, set_num_threads
from npbloom.layers import BloomEmbedding, BloomEmbeddingBag, ScaledEmbedding, ScaledEmbeddingBag, ZeroEmbedding
from npbloom.optimizers import SGD, Adagrad, Adam, RowWiseAdagrad
from npbloom.types import HashSpec, RowGrad

__version__ = "0.1.0"

__all__ = [
    "Adagrad",
    "Adam",
    "BloomEmbedding",
    "BloomEmbeddingBag",
    "HashSpec",
    "RowGrad",
    "RowWiseAdagrad",
    "SGD",
    "ScaledEmbedding",
    "ScaledEmbeddingBag",
    "ZeroEmbedding",
    "checkpoint",
    "coding",
    "get_num_threads",
    "hashing",
    "layers",
    "num_threads",
    "ops",
    "optimizers",
    "reference",
    "set_num_threads",
]
