"""The catalogue of checks; importing this package fills the registry."""

from npbloom.conformance.checks import bag, bloom, combined, embedding, hashing, metamorphic, optim

__all__ = ["bag", "bloom", "combined", "embedding", "hashing", "metamorphic", "optim"]
