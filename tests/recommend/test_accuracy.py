"""Accuracy on MovieLens 100K: Spotlight's thresholds under its settings; and networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from npbloom import BloomEmbedding
from npbloom.coding import BloomCoder
from npbloom.recommend import (
    ExplicitFactorizationModel,
    ImplicitFactorizationModel,
    ImplicitNetworkModel,
    Interactions,
    mrr_score,
    random_train_test_split,
    read_ratings,
    rmse_score,
)

pytestmark = pytest.mark.movielens100k

SEED = 42


def night(*values: Any) -> Any:
    """Return parameters for a test by night."""
    return pytest.param(*values, marks=pytest.mark.nightly)


@pytest.fixture(scope="module")
def split(movielens_100k: Path) -> tuple[Interactions, Interactions]:
    """Split off a fifth of the ratings for the test."""
    return random_train_test_split(read_ratings(movielens_100k), rng=SEED)


def mean_reciprocal_rank(split: tuple[Interactions, Interactions], loss: str, **layers: Any) -> float:
    """
    Return the score under Spotlight's settings.

    They are 32 dimensions, 10 epochs, batches of 1,024, and Adam at 0.01 with weight decay 1e-6.
    """
    train, test = split
    model = ImplicitFactorizationModel(loss, 32, 10, 1024, 1e-6, 1e-2, "adam", rng=SEED, **layers).fit(train)
    return float(mrr_score(model, test, train).mean())


@pytest.mark.parametrize(
    ("loss", "threshold"), [night("pointwise", 0.05), ("bpr", 0.07), night("hinge", 0.07), ("adaptive_hinge", 0.07)]
)
def test_implicit(split: tuple[Interactions, Interactions], loss: str, threshold: float) -> None:
    assert mean_reciprocal_rank(split, loss) >= threshold


@pytest.mark.parametrize(("ratio", "threshold"), [(0.5, 0.03), night(1.0, 0.04), night(1.5, 0.045), night(2.0, 0.045)])
def test_bloom(split: tuple[Interactions, Interactions], ratio: float, threshold: float) -> None:
    train, _ = split
    sizes = {"user_embeddings": train.num_users, "item_embeddings": train.num_items}
    layers = {
        name: BloomEmbedding(size, 32, compression_ratio=ratio, num_hash_functions=2, rng=SEED + size)
        for name, size in sizes.items()
    }
    assert mean_reciprocal_rank(split, "bpr", **layers) >= threshold - 0.005


@pytest.mark.parametrize(("ratio", "threshold"), [night(1.0, 0.09), night(0.5, 0.065), (0.2, 0.04)])
def test_network(split: tuple[Interactions, Interactions], ratio: float, threshold: float) -> None:
    """
    Training items are put last, since they are a network's input.

    The factorization model of `test_implicit` has 0.086 under this rule.
    """
    train, test = split
    coder = None if ratio == 1.0 else BloomCoder(train.num_items, int(ratio * train.num_items), rng=SEED)
    model = ImplicitNetworkModel(coder=coder, n_iter=20, rng=SEED).fit(train)
    assert mrr_score(model, test, train).mean() >= threshold


@pytest.mark.parametrize("loss", ["regression", night("poisson")])
def test_explicit(split: tuple[Interactions, Interactions], loss: str) -> None:
    train, test = split
    model = ExplicitFactorizationModel(loss, n_iter=10, batch_size=1024, l2=1e-5, learning_rate=1e-3, rng=SEED).fit(train)
    assert rmse_score(model, test) < 1.0
