"""Objects that own a table; each method is one call into `npbloom.ops`."""

from npbloom.layers._table import Layer
from npbloom.layers.bag import ScaledEmbeddingBag
from npbloom.layers.bloom import BloomEmbedding, BloomEmbeddingBag
from npbloom.layers.embedding import ScaledEmbedding, ZeroEmbedding

__all__ = ["BloomEmbedding", "BloomEmbeddingBag", "Layer", "ScaledEmbedding", "ScaledEmbeddingBag", "ZeroEmbedding"]
