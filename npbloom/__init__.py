"""
Embedding layers for recommender models on NumPy arrays.

Bloom embeddings are the main ones: murmurhash3 maps many ids to the rows of a small table. Forward
and backward are explicit, kernels touch only the rows that a batch looks up, and optimizers are
small.
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

if not TYPE_CHECKING:  # type checkers must report a missing name, not see `Any`

    def __getattr__(name: str) -> Any:
        """Import a subpackage that `import npbloom` leaves out, when it is asked for.

        These are ``nb.recommend``, ``nb.conformance``, ``nb.distributed`` and ``nb.interop``.
        """
        import importlib
        import sys

        if name in ("conformance", "distributed", "interop", "recommend"):
            return importlib.import_module(f"npbloom.{name}")
        raise AttributeError(f"module 'npbloom' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
