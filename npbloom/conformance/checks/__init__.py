"""All checks; importing this package fills the registry."""

from npbloom.conformance.checks import bag, bloom, embedding, hashing, metamorphic, optim

__all__ = ["bag", "bloom", "embedding", "hashing", "metamorphic", "optim"]
