"""Base of both factorization models: two tables of vectors, two of biases, and their scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from npbloom import _check
from npbloom.layers import BloomEmbedding, ScaledEmbedding, ZeroEmbedding
from npbloom.ops import ranking
from npbloom.recommend._recommender import Scorer, finite
from npbloom.recommend._serving import Serving
from npbloom.recommend.interactions import Interactions
from npbloom.types import FloatArray, IntArray, Rng

Embeddings = ScaledEmbedding | ZeroEmbedding | BloomEmbedding


class FactorizationModel(Serving):
    """
    A model that scores a pair by the dot product of two vectors plus two biases.

    Scores are summed in the dtype of the tables, column by column, with the user's and the item's
    bias last. So a pair has the same bits when it is scored alone, in an array, and in an
    evaluation of all users.
    """

    _losses: ClassVar[dict[str, Callable[..., Any]]]
    _more: ClassVar[tuple[str, ...]] = ()  # names of what `_more_layers` makes
    _settings: ClassVar[tuple[str, ...]] = ("loss", "embedding_dim", "n_iter", "batch_size", "l2", "learning_rate", "optimizer")

    def _configure(
        self,
        *,
        loss: str,
        embedding_dim: int,
        n_iter: int,
        batch_size: int,
        l2: float,
        learning_rate: float,
        optimizer: str,
        user_embeddings: Embeddings | None,
        item_embeddings: Embeddings | None,
        rng: Rng,
    ) -> None:
        """
        Check and keep the hyperparameters.

        The first `fit` makes the tables, since the interactions say how many ids there are.
        """
        self.loss = _check.choice(loss, "loss", tuple(self._losses))
        self.embedding_dim = _check.positive_int(embedding_dim, "embedding_dim")
        self._configure_training(
            n_iter=n_iter, batch_size=batch_size, l2=l2, learning_rate=learning_rate, optimizer=optimizer, rng=rng
        )
        given = {"user_embeddings": user_embeddings, "item_embeddings": item_embeddings}
        self.layers = {name: _check_layer(layer, name) for name, layer in given.items() if layer is not None}
        if len(self.layers) == 2:
            users, items = self.layers.values()
            if users is items:
                raise ValueError("`user_embeddings` and `item_embeddings` must be two layers, not one given twice.")
            if users.embedding_dim != items.embedding_dim:
                raise ValueError(
                    "`user_embeddings` and `item_embeddings` must have one `embedding_dim`, "
                    f"not {users.embedding_dim} and {items.embedding_dim}."
                )
        for layer in self.layers.values():
            self.embedding_dim = layer.embedding_dim

    def _make_layers(self, interactions: Interactions) -> dict[str, Any]:
        """Return tables for all users and items; keep the tables that the user gave."""
        padding, layers = interactions.padding_idx, dict(self.layers)
        for kind, size in (("user", interactions.num_users), ("item", interactions.num_items)):
            layer = layers.get(f"{kind}_embeddings")
            if layer is None:
                layer = ScaledEmbedding(size, self.embedding_dim, padding_idx=padding, rng=self._rng)
            elif layer.num_embeddings < size:
                raise ValueError(f"`{kind}_embeddings` has {layer.num_embeddings} ids, and there are {size} {kind}s.")
            layers[f"{kind}_embeddings"] = layer
            layers[f"{kind}_biases"] = ZeroEmbedding(size, 1, padding_idx=padding, dtype=layer.dtype)
        layers.update(self._more_layers(interactions))
        return layers

    def _more_layers(self, interactions: Interactions) -> dict[str, Any]:
        """Return further layers to train, and set values that depend on the first interactions."""
        return {}

    def _lookup(self, users: IntArray, items: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return vectors of users (n, d), vectors of their items (n, w, d), and scores (n, w)."""
        user_vectors = self.layers["user_embeddings"].forward(users)
        item_vectors = self.layers["item_embeddings"].forward(items)
        scores = np.einsum("nd,nwd->nw", user_vectors, item_vectors)
        scores += self.layers["user_biases"].forward(users)
        scores += self.layers["item_biases"].forward(items)[..., 0]
        return user_vectors, item_vectors, scores

    def _descend(
        self, users: IntArray, items: IntArray, user_vectors: FloatArray, item_vectors: FloatArray, grad: FloatArray
    ) -> None:
        """Update each table once; `grad` (n, w) is the gradient with respect to the scores."""
        user_grad = np.einsum("nw,nwd->nd", grad, item_vectors)
        item_grad = grad[..., np.newaxis] * user_vectors[:, np.newaxis]
        self._update("user_embeddings", users, user_grad)
        self._update("item_embeddings", items, item_grad)
        self._update("user_biases", users, grad.sum(axis=1, keepdims=True))
        self._update("item_biases", items, grad[..., np.newaxis])

    def _update(self, name: str, ids: IntArray, grad_out: FloatArray) -> None:
        """
        Update one table once.

        An id that occurs more than once moves once, by the sum of its gradients (L26).
        """
        assert self._steps is not None
        self._steps.update(self.layers[name], ids, grad_out)

    # ---- scores ----------------------------------------------------------------------------------

    def _constant(self) -> float:
        """Return the number that is added to every score."""
        return 0.0

    def _user_vectors(self, users: IntArray) -> FloatArray:
        """
        Return vectors whose dot products with item vectors are scores, shape (n, d + 2).

        The bias and a 1 follow the embedding.
        """
        vectors = self.layers["user_embeddings"].forward(users)
        biases = self.layers["user_biases"].forward(users) + vectors.dtype.type(self._constant())
        return np.concatenate([vectors, biases, np.ones_like(biases)], axis=1)

    def _item_vectors(self, items: IntArray) -> FloatArray:
        """Return the item vectors that belong to `_user_vectors`, shape (n, d + 2)."""
        biases = self.layers["item_biases"].forward(items)
        return np.concatenate([self.layers["item_embeddings"].forward(items), np.ones_like(biases), biases], axis=1)

    def _all_items(self) -> FloatArray:
        """Return the vectors of all items as columns, shape (d + 2, num_items)."""
        return np.ascontiguousarray(self._item_vectors(np.arange(self.num_items)).T)

    def _score(self, users: IntArray, columns: FloatArray) -> FloatArray:
        """Return scores (n, num_items) of all items; `columns` comes from `_all_items`."""
        return ranking.score_items(self._user_vectors(users), columns)

    def _scorer(self, users: IntArray) -> Scorer:
        """
        Return a function from users to scores of all items.

        Finite vectors give finite scores, except where a sum overflows.
        """
        columns = self._all_items()
        finite(columns, self._user_vectors(users))
        return lambda block: self._score(block, columns)

    def _score_user(self, user: int) -> FloatArray:
        """Return the score of each item for a user."""
        scores: FloatArray = self._score(np.array([user]), self._all_items())[0]
        return scores

    def _score_pairs(self, users: IntArray, items: IntArray) -> FloatArray:
        """Return the score of each pair."""
        return ranking.score_pairs(self._user_vectors(users), self._item_vectors(items))

    @classmethod
    def _made_again(cls, settings: dict[str, Any], layers: dict[str, Any], rng: Rng, description: dict[str, Any]) -> Self:
        """Return a model on these embeddings; biases must fit the numbers of users and items."""
        if layers.keys() != {"user_embeddings", "item_embeddings", "user_biases", "item_biases", *cls._more}:
            raise ValueError("its layers are not those of such a model")
        for kind in ("user", "item"):
            _check.shape(layers[f"{kind}_biases"].weight, f"{kind}_biases", (description[f"num_{kind}s"], 1))
        make: Callable[..., Self] = cls
        return make(**settings, **{name: layers[name] for name in ("user_embeddings", "item_embeddings")}, rng=rng)


def _check_layer(layer: Any, name: str) -> Embeddings:
    """Return the layer, or raise a TypeError if it does not look up single ids."""
    if not isinstance(layer, Embeddings):
        raise TypeError(f"`{name}` must be a ScaledEmbedding, ZeroEmbedding or BloomEmbedding, not {type(layer).__name__}.")
    return layer
