"""
Embedding layers for recommender models, above all Bloom embeddings: many ids hashed by murmurhash3 into a small table.

Pure arrays, explicit forward and backward, kernels that touch only the rows a batch looked up, small optimizers.
"""

from npbloom import _startup  # noqa: F401 (first: Control-C during the other imports)

# isort: split
from typing import TYPE_CHECKING, Any

from npbloom import checkpoint, coding, hashing, layers, ops, optimizers, reference
from npbloom._threads import get_num_threads, num_threads, set_num_threads
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

if not TYPE_CHECKING:  # a checker is to find a name that is not there, not `Any`

    def __getattr__(name: str) -> Any:
        """Import what `import npbloom` leaves out when it is asked for: ``nb.recommend``, ``nb.conformance``, ``nb.interop``."""
        import importlib
        import sys

        if name in ("conformance", "interop", "recommend"):
            return importlib.import_module(f"npbloom.{name}")
        raise AttributeError(f"module 'npbloom' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
