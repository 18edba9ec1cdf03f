"""
Training, scores, and the choice of hyperparameters: the same for every method, with the same
budget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.accuracy_study.models import Factorization
from benchmarks.smaller.catalogue import METHODS
from benchmarks.smaller.methods import DIM, Sizes, codes_of
from npbloom import ScaledEmbedding, ZeroEmbedding
from npbloom.recommend import Interactions
from npbloom.recommend.evaluation import _ranks

LEARNING_RATE = 0.01
DECAYS = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4)
FIRST = DECAYS.index(3e-5)
MOST_EPOCHS, STEP, PATIENCE = 80, 4, 5  # scored every fourth epoch; five scores without a better one end a run


class OnLayers(Factorization):  # type: ignore[misc]
    """BPR over two layers of any kind, including vectors from several tables."""

    def __init__(self, users: Any, items: Any, **settings: Any) -> None:
        super().__init__({}, 1.0, **settings)
        self._given = users, items

    def _make_layers(self, interactions: Interactions) -> dict[str, Any]:
        layers: dict[str, Any] = {}
        sizes = interactions.num_users, interactions.num_items
        for side, layer, size in zip(("user", "item"), self._given, sizes, strict=True):
            layers[f"{side}_embeddings"] = layer
            layers[f"{side}_biases"] = ZeroEmbedding(size, 1, padding_idx=0)
        return layers


def make(method: str, sizes: Sizes, l2: float, seed: int) -> OnLayers:
    """Return a model that is not trained yet."""
    rng = np.random.default_rng(seed)
    users, items = METHODS[method](sizes, rng)
    return OnLayers(users, items, l2=l2, learning_rate=LEARNING_RATE, rng=rng)


def begun(method: str, sizes: Sizes, seed: int) -> OnLayers:
    """Return a model of a method before its first step, with biases of zero."""
    model = make(method, sizes, 0.0, seed)
    model._begin(sizes.train)
    return model


def decomposition(sizes: Sizes, power: float, seed: int, rank: int = DIM) -> OnLayers:
    """
    Return U S V^T, with the items' degrees put back to some power: the model before any training.
    """
    codes = codes_of(Sizes(sizes.train, (), sizes.ratio), 1, np.random.default_rng(seed), rank)
    degrees = codes.item_counts + codes.item_counts[codes.item_counts > 0].mean()
    items = codes.item_vectors * (degrees**power)[:, np.newaxis].astype(np.float32)
    layers = (ScaledEmbedding(*map(int, each.shape), padding_idx=0, weight=each) for each in (codes.user_vectors, items))
    model = OnLayers(*layers)
    model._begin(sizes.train)  # biases of zeros, no step
    return model


def ranks(model: Any, train: Interactions, test: Interactions) -> np.ndarray:
    """
    Return the rank of each user's test item, from 1 on.

    Training items rank last; ties share their mean.
    """
    found = _ranks(model, test, train)
    return found.above + 1.0 + found.equal / 2.0


def values(places: np.ndarray) -> dict[str, np.ndarray]:
    """Return the value of each user's rank under every score."""
    gain = 1.0 / np.log2(1.0 + places)
    return {"hit": (places <= 100).astype(float), "mrr": 1.0 / places, "ndcg10": np.where(places <= 10, gain, 0.0), "gain": gain}


def scores(places: np.ndarray) -> dict[str, float]:
    """
    Return means over users: hit rate at 100, mean reciprocal rank, and NDCG at 10.

    `gain` is NDCG without a cutoff; hyperparameters are chosen by it.
    """
    return {name: float(own.mean()) for name, own in values(places).items()}


def best_epochs(model: Any, train: Interactions, test: Interactions) -> tuple[int, float]:
    """Return the number of epochs after which the gain is highest, and that gain."""
    best, at, waited = -1.0, 0, 0
    for epoch in range(STEP, MOST_EPOCHS + 1, STEP):
        model.n_iter = STEP
        model.fit(train)
        gain = scores(ranks(model, train, test))["gain"]
        if gain > best:
            best, at, waited = gain, epoch, 0
        else:
            waited += 1
            if waited == PATIENCE:
                break
    return at, best


def choose(build: Callable[[float], Any], train: Interactions, test: Interactions) -> dict[str, Any]:
    """
    Choose the weight decay by a walk over `DECAYS` while it gains, and the epochs by early
    stopping.
    """
    tried: dict[int, tuple[int, float]] = {}

    def judge(place: int) -> float:
        if not 0 <= place < len(DECAYS):
            return -1.0
        if place not in tried:
            tried[place] = best_epochs(build(DECAYS[place]), train, test)
        return tried[place][1]

    place = FIRST
    for direction in (-1, 1):
        while judge(place + direction) > judge(place):
            place += direction
        if place != FIRST:
            break
    return {"l2": DECAYS[place], "epochs": tried[place][0], "tried": {f"{DECAYS[at]:g}": found for at, found in tried.items()}}
