"""What both factorization models share: two tables of vectors, two of biases, and scores from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from npbloom import _check
from npbloom.layers import BloomEmbedding, ScaledEmbedding, ZeroEmbedding
from npbloom.ops import ranking
from npbloom.recommend._recommender import Recommender, Scorer, finite
from npbloom.recommend.interactions import Interactions
from npbloom.types import FloatArray, IntArray, Rng

Embeddings = ScaledEmbedding | ZeroEmbedding | BloomEmbedding


class FactorizationModel(Recommender):
    """Scores that are dot products of a user's and an item's vector plus their biases; trained by minibatches.

    Scores are summed in the dtype of the tables, column by column, user's bias and item's bias last, so that a pair has the same
    bits alone, in an array, and in an evaluation of all users.
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
        """Check and keep the hyperparameters; tables are made by the first `fit`, which knows how many users there are."""
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
        """Tables for all users and items, but those that were given."""
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
        """Whatever else is trained; also the place to set what the first interactions decide."""
        return {}

    def _lookup(self, users: IntArray, items: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Vectors of users (n, d) and of each user's items (n, w, d), and their scores (n, w)."""
        user_vectors = self.layers["user_embeddings"].forward(users)
        item_vectors = self.layers["item_embeddings"].forward(items)
        scores = np.einsum("nd,nwd->nw", user_vectors, item_vectors)
        scores += self.layers["user_biases"].forward(users)
        scores += self.layers["item_biases"].forward(items)[..., 0]
        return user_vectors, item_vectors, scores

    def _descend(
        self, users: IntArray, items: IntArray, user_vectors: FloatArray, item_vectors: FloatArray, grad: FloatArray
    ) -> None:
        """One step of each table; `grad` (n, w) is the gradient of the scores of the users' items (n, w)."""
        user_grad = np.einsum("nw,nwd->nd", grad, item_vectors)
        item_grad = grad[..., np.newaxis] * user_vectors[:, np.newaxis]
        self._update("user_embeddings", users, user_grad)
        self._update("item_embeddings", items, item_grad)
        self._update("user_biases", users, grad.sum(axis=1, keepdims=True))
        self._update("item_biases", items, grad[..., np.newaxis])

    def _update(self, name: str, ids: IntArray, grad_out: FloatArray) -> None:
        """One step of one table: an id that occurs more than once is moved once, by the sum of its gradients (L26)."""
        assert self._steps is not None
        self._steps.update(self.layers[name], ids, grad_out)

    # ---- scores -----------------------------------------------------------------------------------------------------

    def _constant(self) -> float:
        """What every score has added to it."""
        return 0.0

    def _user_vectors(self, users: IntArray) -> FloatArray:
        """Vectors whose dot products with those of items are scores: the bias and a 1 follow the embedding."""
        vectors = self.layers["user_embeddings"].forward(users)
        biases = self.layers["user_biases"].forward(users) + vectors.dtype.type(self._constant())
        return np.concatenate([vectors, biases, np.ones_like(biases)], axis=1)

    def _item_vectors(self, items: IntArray) -> FloatArray:
        """The items' side of `_user_vectors`."""
        biases = self.layers["item_biases"].forward(items)
        return np.concatenate([self.layers["item_embeddings"].forward(items), np.ones_like(biases), biases], axis=1)

    def _all_items(self) -> FloatArray:
        """Vectors of all items, (d + 2, num_items): an item is a column."""
        return np.ascontiguousarray(self._item_vectors(np.arange(self.num_items)).T)

    def _score(self, users: IntArray, columns: FloatArray) -> FloatArray:
        """Scores of all items for some users, (n, num_items); `columns` from `_all_items`."""
        return ranking.score_items(self._user_vectors(users), columns)

    def _scorer(self, users: IntArray) -> Scorer:
        """Vectors are finite where scores are, but for sums that overflow."""
        columns = self._all_items()
        finite(columns, self._user_vectors(users))
        return lambda block: self._score(block, columns)

    def _score_user(self, user: int) -> FloatArray:
        """The score of each item for a user."""
        scores: FloatArray = self._score(np.array([user]), self._all_items())[0]
        return scores

    def _score_pairs(self, users: IntArray, items: IntArray) -> FloatArray:
        """The score of each pair."""
        return ranking.score_pairs(self._user_vectors(users), self._item_vectors(items))

    @classmethod
    def _made_again(cls, settings: dict[str, Any], layers: dict[str, Any], rng: Rng, description: dict[str, Any]) -> Self:
        """On the embeddings; biases must fit the numbers of users and items."""
        if layers.keys() != {"user_embeddings", "item_embeddings", "user_biases", "item_biases", *cls._more}:
            raise ValueError("its layers are not those of such a model")
        for kind in ("user", "item"):
            _check.shape(layers[f"{kind}_biases"].weight, f"{kind}_biases", (description[f"num_{kind}s"], 1))
        make: Callable[..., Self] = cls
        return make(**settings, **{name: layers[name] for name in ("user_embeddings", "item_embeddings")}, rng=rng)


def _check_layer(layer: Any, name: str) -> Embeddings:
    """A layer that looks single ids up."""
    if not isinstance(layer, Embeddings):
        raise TypeError(f"`{name}` must be a ScaledEmbedding, ZeroEmbedding or BloomEmbedding, not {type(layer).__name__}.")
    return layer
