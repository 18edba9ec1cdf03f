"""Small interactions and models for the tests of recommenders."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.optimizers import BY_NAME
from npbloom.recommend import ExplicitFactorizationModel, ImplicitFactorizationModel, Interactions

IMPLICIT = ("bpr", "log_bpr", "pointwise", "hinge", "adaptive_hinge")
EXPLICIT = ("regression", "poisson", "logistic")
OPTIMIZERS = tuple(BY_NAME)


def two_tastes(count: int = 400, padding: int | None = None, seed: int = 0) -> Interactions:
    """
    Return interactions in which even users like even items, and odd users odd ones.

    Liked items are rated 5. Others are rated 1 and are rare.
    """
    rng = np.random.default_rng(seed)
    first = 0 if padding is None else 1
    users = rng.integers(first, 12, count)
    likes = rng.random(count) < 0.9
    items = rng.integers(first, 10, count) * 2 + (users + ~likes) % 2
    return Interactions(users, items, np.where(likes, 5.0, 1.0), num_users=12, num_items=22, padding_idx=padding)


def make(loss: str, **settings: Any) -> Any:
    """Return a model of either kind, by its loss."""
    kind: Any = ImplicitFactorizationModel if loss in IMPLICIT else ExplicitFactorizationModel
    return kind(**{"loss": loss, "embedding_dim": 4, "n_iter": 2, "batch_size": 64, "rng": 0, **settings})


def tables(model: Any) -> dict[str, np.ndarray]:
    """Return copies of all tables of a model."""
    return {name: layer.weight.copy() for name, layer in model.layers.items()}


def same_tables(first: Any, second: Any) -> bool:
    """Return True if two models have the same tables, bit for bit."""
    one, two = tables(first), tables(second)
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)
