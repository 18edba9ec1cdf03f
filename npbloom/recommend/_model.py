"""What both factorization models share: two tables of vectors, two of biases, an optimizer, and scores from them."""

from __future__ import annotations

import os
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, Self

import numpy as np
from tqdm import tqdm

from npbloom import _check, _parallel
from npbloom._kernels import ranking as kernels
from npbloom.layers import BloomEmbedding, ScaledEmbedding, ZeroEmbedding
from npbloom.optimizers import SGD, Adagrad, Adam, Optimizer, RowWiseAdagrad
from npbloom.recommend import _saved
from npbloom.recommend._labels import Label, Labels, check_labels
from npbloom.recommend.interactions import Interactions, check_range
from npbloom.types import ArrayLike, FloatArray, IntArray, Rng

Embeddings = ScaledEmbedding | ZeroEmbedding | BloomEmbedding
OPTIMIZERS: Final[dict[str, Callable[..., Optimizer]]] = {
    "adam": Adam,
    "adagrad": Adagrad,
    "sgd": SGD,
    "rowwise_adagrad": RowWiseAdagrad,
}
PAIRS = 65536  # pairs scored at once, so that memory stays bounded


class FactorizationModel(ABC):
    """Scores that are dot products of a user's and an item's vector plus their biases; trained by minibatches."""

    _losses: ClassVar[dict[str, Callable[..., Any]]]
    _settings: ClassVar[tuple[str, ...]] = ("loss", "embedding_dim", "n_iter", "batch_size", "l2", "learning_rate", "optimizer")

    history: list[dict[str, float]]
    num_users: int
    num_items: int
    padding_idx: int | None

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
        self.n_iter = _check.positive_int(n_iter, "n_iter")
        self.batch_size = _check.positive_int(batch_size, "batch_size")
        self.l2 = _check.at_least_zero(l2, "l2")
        self.learning_rate = _check.at_least_zero(learning_rate, "learning_rate")
        self.optimizer = _check.choice(optimizer, "optimizer", tuple(OPTIMIZERS))
        self._rng = _check.generator(rng)
        given = {"user_embeddings": user_embeddings, "item_embeddings": item_embeddings}
        self.layers: dict[str, Any] = {name: _check_layer(layer, name) for name, layer in given.items() if layer is not None}
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
        self.history = []
        self._steps: Optimizer | None = None

    # ---- training ---------------------------------------------------------------------------------------------------

    def fit(self, interactions: Interactions, verbose: bool = False) -> Self:
        """
        Train for `n_iter` epochs of shuffled minibatches; again: go on from there.

        Parameters
        ----------
        interactions : Interactions
            What to learn from: two users at least. Calls after the first must name users and items alike.
        verbose : bool, default False
            Show a progress bar for each epoch, on a terminal only.

        Returns
        -------
        FactorizationModel
            The model itself.

        Raises
        ------
        TypeError, ValueError
            The interactions do not fit the model.

        Notes
        -----
        Optimizer state is kept between calls; `history` grows by one entry an epoch: ``loss``, the mean over all
        interactions, each at the time of its step, and ``seconds``. Moments and weight decay act on touched rows only (L27).
        """
        hidden = None if _check.flag(verbose, "verbose") else True  # None: tqdm hides the bar unless on a terminal
        self._prepare(interactions)
        for _ in range(self.n_iter):
            start = time.perf_counter()
            order = self._rng.permutation(len(interactions))
            total = 0.0
            bar = tqdm(total=len(order), desc=f"epoch {len(self.history) + 1}", leave=False, disable=hidden)
            with bar, np.errstate(over="ignore", invalid="ignore"):  # a training that diverges shows in `history`
                for batch in np.split(order, range(self.batch_size, len(order), self.batch_size)):
                    total += self._step(interactions, batch) * len(batch)
                    bar.update(len(batch))
            self.history.append({"loss": total / len(order), "seconds": time.perf_counter() - start})
        return self

    @abstractmethod
    def _step(self, interactions: Interactions, batch: IntArray) -> float:
        """One step on some interactions; the mean loss before it."""

    @abstractmethod
    def _check_data(self, interactions: Interactions) -> None:
        """What the loss asks of the interactions."""

    def _prepare(self, interactions: Interactions) -> None:
        """Check the interactions; on the first call make the tables and the optimizer."""
        if not isinstance(interactions, Interactions):
            raise TypeError(f"`interactions` must be Interactions, not {type(interactions).__name__}.")
        if not len(interactions):
            raise ValueError("`interactions` must not be empty.")
        self._check_data(interactions)
        if self._steps is not None:
            self._check_known(interactions)
        else:
            users = len(np.unique(interactions.user_ids))
            if users < 2:
                raise ValueError(f"`interactions` must be of at least 2 users, not {users}: there is nobody to learn from.")
            self._make_tables(interactions)
        self._remember(interactions)

    def _make_tables(self, interactions: Interactions) -> None:
        """Tables for all users and items, but those that were given, and their optimizer."""
        padding = interactions.padding_idx
        check_range(interactions.user_ids, interactions.num_users, padding, "user_ids")  # their arrays can be written into
        check_range(interactions.item_ids, interactions.num_items, padding, "item_ids")
        layers = dict(self.layers)
        for kind, size in (("user", interactions.num_users), ("item", interactions.num_items)):
            layer = layers.get(f"{kind}_embeddings")
            if layer is None:
                layer = ScaledEmbedding(size, self.embedding_dim, padding_idx=padding, rng=self._rng)
            elif layer.num_embeddings < size:
                raise ValueError(f"`{kind}_embeddings` has {layer.num_embeddings} ids, and there are {size} {kind}s.")
            layers[f"{kind}_embeddings"] = layer
            layers[f"{kind}_biases"] = ZeroEmbedding(size, 1, padding_idx=padding, dtype=layer.dtype)
        layers.update(self._more_layers(interactions))
        self._steps = self._make_optimizer(layers)
        self.layers, self.padding_idx = layers, padding
        self.num_users, self.num_items = interactions.num_users, interactions.num_items
        self._users, self._items = interactions._users, interactions._items
        self._seen: IntArray = np.empty(0, dtype=np.int64)

    def _more_layers(self, interactions: Interactions) -> dict[str, Any]:
        """Whatever else is trained; also the place to set what the first interactions decide."""
        return {}

    def _make_optimizer(self, layers: dict[str, Any]) -> Optimizer:
        """The optimizer of all tables."""
        return OPTIMIZERS[self.optimizer](list(layers.values()), lr=self.learning_rate, weight_decay=self.l2)

    def _check_known(self, interactions: Interactions, name: str = "interactions") -> None:
        """The model must know all users and items, by the same labels."""
        for kind, ids, size, known, labels in (
            ("user", interactions.user_ids, self.num_users, self._users, interactions._users),
            ("item", interactions.item_ids, self.num_items, self._items, interactions._items),
        ):
            if not labels.agrees_with(known):
                raise ValueError(f"`{name}` numbers {kind}s otherwise than the interactions that the model was fitted on.")
            if len(ids) and not (ids.min() >= 0 and ids.max() < size):
                raise ValueError(f"`{name}` has {kind} ids from {ids.min()} to {ids.max()}, and the model {size} {kind}s.")
            if self.padding_idx is not None and (ids == self.padding_idx).any():
                raise ValueError(f"`{name}` has {kind} {self.padding_idx}, which is padding to the model.")

    def _remember(self, interactions: Interactions) -> None:
        """Keep the pairs of all interactions the model was fitted on, each once."""
        pairs = interactions.user_ids * self.num_items + interactions.item_ids
        self._seen = np.union1d(self._seen, pairs)

    @property
    def fitted(self) -> Interactions:
        """The pairs of user and item that the model was fitted on, each once; saved with the model."""
        self._check_fitted()
        return Interactions(
            *(self._seen // self.num_items, self._seen % self.num_items, None, None, self.num_users, self.num_items),
            user_labels=self._users.values,
            item_labels=self._items.values,
            padding_idx=self.padding_idx,
        )

    def _check_fitted(self) -> None:
        """A ValueError before the first `fit`."""
        if self._steps is None:
            raise ValueError("The model must be fitted first: call `fit`.")

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

    def _link(self, scores: FloatArray) -> FloatArray:
        """Scores to predictions."""
        return scores

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
        vectors = self._user_vectors(users)
        dtype = np.result_type(vectors, columns)
        scores = np.empty((len(users), columns.shape[1]), dtype)
        _parallel.run_range(
            kernels.score_range, len(users), vectors.astype(dtype), columns.astype(dtype, copy=False), scores, grain=1
        )
        return scores

    def predict(self, user_ids: ArrayLike, item_ids: ArrayLike | None = None) -> FloatArray:
        """
        Predictions for one user and all items, or for pairs.

        Parameters
        ----------
        user_ids : int or int array
            The users, by number. Without `item_ids` one user.
        item_ids : int array, optional
            The items, by number; as many as users, or any number for one user.

        Returns
        -------
        float array
            Without `item_ids` one prediction for each item, shape (num_items,); else one for each pair.

        Raises
        ------
        TypeError, ValueError, IndexError
            The ids are not integers, do not fit each other, or are out of range; or the model is not fitted.

        Notes
        -----
        Scores are summed in the dtype of the tables, column by column, user's bias and item's bias last, so that a pair has
        the same bits alone, in an array, and in an evaluation of all users.
        """
        self._check_fitted()
        users = _ids(user_ids, self.num_users, "user_ids")
        if item_ids is None:
            if users.size != 1:
                raise ValueError(f"`user_ids` must be one user where `item_ids` is not given, not {users.size}.")
            return self._link(self._score(users.reshape(1), self._all_items())[0])
        items = _ids(item_ids, self.num_items, "item_ids")
        if users.size == 1:
            users = np.broadcast_to(users.reshape(()), items.shape)
        if users.shape != items.shape:
            raise ValueError(f"`item_ids` must have the shape of `user_ids`, {users.shape}, not {items.shape}.")
        flat_users, flat_items = users.reshape(-1), items.reshape(-1)
        blocks = [slice(start, start + PAIRS) for start in range(0, max(1, users.size), PAIRS)]
        scores = [self._score_pairs(flat_users[block], flat_items[block]) for block in blocks]
        return self._link(np.concatenate(scores).reshape(items.shape))

    def _score_pairs(self, users: IntArray, items: IntArray) -> FloatArray:
        """The score of each pair."""
        user_vectors, item_vectors = self._user_vectors(users), self._item_vectors(items)
        dtype = np.result_type(user_vectors, item_vectors)
        scores = np.empty(len(users), dtype)
        _parallel.run_range(
            kernels.pair_range, len(users), user_vectors.astype(dtype, copy=False), item_vectors.astype(dtype, copy=False), scores
        )
        return scores

    def recommend(self, user_label: Label, n: int = 10, exclude: Interactions | None = None) -> list[Label]:
        """
        The items with the highest scores for a user, best first.

        Parameters
        ----------
        user_label : int or str
            The user, by the file's own id.
        n : int, default 10
            How many; fewer are returned where there are not so many items.
        exclude : Interactions, optional
            Items that the user has met here are left out. `fitted` holds what the model was fitted on.

        Returns
        -------
        list of int or str
            Items by the file's own ids. Of equal scores the lower number comes first; padding never comes.

        Raises
        ------
        TypeError, ValueError
            The user is unknown, `n` is less than 1, `exclude` numbers users or items otherwise, the model is not fitted, or
            its scores are not numbers any more.
        """
        self._check_fitted()
        user, count = self._users.number(user_label), _check.positive_int(n, "n")
        scores = self._score(np.array([user]), self._all_items())[0]
        if np.isnan(scores).any():
            raise ValueError("The model's scores are not numbers: its training diverged; a lower learning rate may help.")
        wanted = np.ones(self.num_items, dtype=bool)
        if self.padding_idx is not None:
            wanted[self.padding_idx] = False
        if exclude is not None:
            self._check_known(exclude, "exclude")
            wanted[exclude.item_ids[exclude.user_ids == user]] = False
        items = np.flatnonzero(wanted)
        best = np.argsort(-scores[items], kind="stable")[:count]
        return self._items.names(items[best])

    def save(self, path: str | os.PathLike[str], *, with_optimizer: bool = True) -> None:
        """
        Write the model to one safetensors file.

        Parameters
        ----------
        path : str or path-like
            The file.
        with_optimizer : bool, default True
            Also write the optimizer's state and the generator's, so that `fit` goes on after `load` as if nothing had happened.
            Without them the file is smaller (a third, with Adam).

        Raises
        ------
        TypeError, ValueError, OSError
            The model is not fitted, or the file cannot be written.

        Notes
        -----
        Tables and state are tensors; hyperparameters, labels, history and the pairs the model was fitted on (so that they can be
        left out of recommendations) are JSON in the file's metadata. Nothing is pickled.
        """
        self._check_fitted()
        optimizer = self._steps if _check.flag(with_optimizer, "with_optimizer") else None
        generator = None if optimizer is None else _saved.pack_generator(self._rng)
        _saved.write(path, self.layers, optimizer, {**self._description(), "generator": generator})

    def _description(self) -> dict[str, Any]:
        """All but tables, state and generator, for JSON."""
        return {
            "model": type(self).__name__,
            "settings": {name: getattr(self, name) for name in self._settings},
            "num_users": self.num_users,
            "num_items": self.num_items,
            "padding_idx": self.padding_idx,
            "user_labels": _saved.pack_labels(self._users.values),
            "item_labels": _saved.pack_labels(self._items.values),
            "seen": _saved.pack_numbers(self._seen),
            "history": self.history,
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """
        Read a model that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file.

        Returns
        -------
        FactorizationModel
            The model, which predicts with the same bits.

        Raises
        ------
        OSError
            The file is missing or cannot be read.
        ValueError
            The file is damaged, or holds something else than such a model.
        """
        description, layers, optimizer = _saved.read(path)
        kinds = {kind.__name__: kind for kind in FactorizationModel.__subclasses__()}
        kind = kinds.get(str(description.get("model")))
        if kind is None or not issubclass(kind, cls):
            raise ValueError(f"{path} holds a model of the kind {description.get('model')!r}, not {cls.__name__}.")
        try:
            return kind._restored(description, layers, optimizer)
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: its description of the model does not fit ({error}).") from None

    @classmethod
    def _restored(cls, description: dict[str, Any], layers: dict[str, Any], optimizer: Optimizer | None) -> Self:
        """A model from `_description`, its layers, and an optimizer or none."""
        given = {name: layers[name] for name in ("user_embeddings", "item_embeddings")}
        generator = description["generator"]
        rng = None if generator is None else _saved.unpack_generator(generator)
        make: Callable[..., Self] = cls
        model = make(**description["settings"], **given, rng=rng)
        model.layers = layers
        model.history = [{name: float(entry[name]) for name in ("loss", "seconds")} for entry in description["history"]]
        model.num_users, model.num_items = description["num_users"], description["num_items"]
        model.padding_idx = description["padding_idx"]
        for kind, size in (("user", model.num_users), ("item", model.num_items)):
            _check.shape(layers[f"{kind}_biases"].weight, f"{kind}_biases", (size, 1))
            values = check_labels(_saved.unpack_labels(description[f"{kind}_labels"]), f"{kind}_labels", size, model.padding_idx)
            setattr(model, f"_{kind}s", Labels(values, size, model.padding_idx, kind))
        model._seen = _saved.unpack_numbers(description["seen"])
        if not ((model._seen >= 0) & (model._seen < model.num_users * model.num_items)).all():
            raise ValueError("it names pairs of other users or items")
        model._steps = model._make_optimizer(layers) if optimizer is None else optimizer
        return model


def _check_layer(layer: Any, name: str) -> Embeddings:
    """A layer that looks single ids up."""
    if not isinstance(layer, Embeddings):
        raise TypeError(f"`{name}` must be a ScaledEmbedding, ZeroEmbedding or BloomEmbedding, not {type(layer).__name__}.")
    return layer


def _ids(value: Any, size: int, name: str) -> IntArray:
    """Ids in range (L2)."""
    ids = _check.ids(value, name)
    bad = np.flatnonzero((ids < 0) | (ids >= size))
    if bad.size:
        raise _check.outside(int(bad[0]), ids, size, name)
    return ids
