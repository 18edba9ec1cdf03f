"""
The two models of the study.

Training goes in stages, so that one run is judged after several numbers of epochs.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.accuracy_study.composites import Composite
from benchmarks.accuracy_study.methods import FACTORIZATION, Sizes, full
from npbloom import ZeroEmbedding
from npbloom.coding import BloomCoder
from npbloom.recommend import ImplicitFactorizationModel, ImplicitNetworkModel, Interactions
from npbloom.recommend.evaluation import _ranks

DIM = 32
HIDDEN = 128

CODED: dict[str, tuple[int, bool]] = {  # bits an item; True if co-occurring items share bits
    "one hash": (1, False),
    "Bloom, k=2": (2, False),
    "Bloom, k=3": (3, False),
    "Bloom, k=4": (4, False),
    "CBE, k=2": (2, True),
    "CBE, k=4": (4, True),
}
POPULAR = ", popularity"  # the same network with the items' frequency in the ranking, weight 1
NETWORK = ("full", *(f"{name}{ending}" for name in CODED for ending in ("", POPULAR)))


def trained_as(method: str) -> str:
    """Return the name of the method that a model of this method is trained as."""
    return method.removesuffix(POPULAR)


class Factorization(ImplicitFactorizationModel):  # type: ignore[misc]  # final to users; here tables of more than one part
    """BPR factorization over vectors of any kind."""

    def __init__(self, kinds: dict[str, str], ratio: float, **settings: Any) -> None:
        super().__init__("bpr", DIM, **settings)
        self.kinds, self.ratio = kinds, ratio

    def _make_layers(self, interactions: Interactions) -> dict[str, Any]:
        layers: dict[str, Any] = {}
        ids = {"user": interactions.user_ids, "item": interactions.item_ids}
        for side, size in (("user", interactions.num_users), ("item", interactions.num_items)):
            counts = np.bincount(ids[side], minlength=size)
            make = FACTORIZATION[self.kinds[side]]
            layers[f"{side}_embeddings"] = make(Sizes(size, DIM, 1.0 if make is full else self.ratio, counts), self._rng)
            layers[f"{side}_biases"] = ZeroEmbedding(size, 1, padding_idx=0)
        return layers

    def _make_optimizer(self, layers: dict[str, Any]) -> Any:
        tables: dict[str, Any] = {}
        for name, layer in layers.items():
            tables |= (
                {f"{name}.{part}": own for part, own in layer.parts.items()} if isinstance(layer, Composite) else {name: layer}
            )
        return super()._make_optimizer(tables)

    def _update(self, name: str, ids: np.ndarray, grad_out: np.ndarray) -> None:
        layer = self.layers[name]
        if isinstance(layer, Composite):
            layer.update(self._steps, ids, grad_out)
        else:
            super()._update(name, ids, grad_out)


def make(kind: str, method: str, side: str, ratio: float, train: Interactions, settings: dict[str, Any], seed: int) -> Any:
    """Return a model that is not trained yet."""
    rng = np.random.default_rng(seed)
    if kind == "factorization":
        kinds = {"user": method if side == "users and items" else "full", "item": method}
        return Factorization(kinds, ratio, rng=rng, **settings)
    coder = None
    if method != "full":
        k, cooccurring = CODED[method]
        coder = BloomCoder(train.num_items, int(ratio * train.num_items), k, rng=rng)
        if cooccurring:
            order = np.argsort(train.user_ids, kind="stable")
            starts = np.unique(train.user_ids[order], return_index=True)[1]
            coder = coder.with_cooccurrence(train.item_ids[order], starts, rng)
    return ImplicitNetworkModel(HIDDEN, coder, rng=rng, **settings)


class Popularity:
    """Baseline that scores an item by its number of training interactions, for every user."""

    def __init__(self, train: Interactions) -> None:
        self.counts = np.bincount(train.item_ids, minlength=train.num_items).astype(np.float32)

    def predict(self, user: int) -> np.ndarray:
        """Return the same scores for every user."""
        return self.counts


def score(model: Any, train: Interactions, test: Interactions) -> dict[str, float]:
    """
    Return hit rate at 100, mean reciprocal rank, and the mean of 1 / log2(1 + rank).

    Training items rank last.
    """
    ranks = _ranks(model, test, train)
    places = ranks.above + 1.0 + ranks.equal / 2.0
    return {
        "hit": float((ranks.above + ranks.before < 100).mean()),
        "mrr": float((1.0 / places).mean()),
        "ndcg": float((1.0 / np.log2(1.0 + places)).mean()),
    }


def parameters(model: Any) -> dict[str, int]:
    """Return the number of trained parameters of each table."""
    return {name: int(layer.num_parameters) for name, layer in model.layers.items()}


def train_for(model: Any, train: Interactions, epochs: int) -> float:
    """
    Train for more epochs, and return the CPU seconds of this process, all of its threads included.
    """
    model.n_iter = epochs
    start = time.process_time()
    model.fit(train)
    return time.process_time() - start


def sample(test: Interactions, users: int | None) -> Interactions:
    """
    Return the interactions of a fixed sample of the users, or all if there are few.

    Validation need not rank for all users.
    """
    if users is None or len(test) <= users:
        return test
    chosen = np.random.default_rng(0).choice(len(test), users, replace=False)
    return test.select(np.sort(chosen))
