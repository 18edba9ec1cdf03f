"""Base of all recommenders: training by minibatches, labels, predictions, and files."""

from __future__ import annotations

import os
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import numpy as np
from tqdm import tqdm

from npbloom import _check
from npbloom.ops._ids import check_ids
from npbloom.optimizers import BY_NAME, Optimizer
from npbloom.recommend import _saved
from npbloom.recommend._labels import Label, Labels, check_labels
from npbloom.recommend.interactions import Interactions, check_range
from npbloom.types import ArrayLike, FloatArray, IntArray, Rng

PAIRS = 65536  # pairs scored at once, so that memory stays bounded

Scorer = Callable[[IntArray], FloatArray]


class Recommender(ABC):
    """A model that is trained on interactions and scores all items for every user."""

    _settings: ClassVar[tuple[str, ...]]  # hyperparameters that a file keeps

    layers: dict[str, Any]
    history: list[dict[str, float]]
    num_users: int
    num_items: int
    padding_idx: int | None

    def _configure_training(
        self, *, n_iter: int, batch_size: int, l2: float, learning_rate: float, optimizer: str, rng: Rng
    ) -> None:
        """Check and keep the settings of training."""
        self.n_iter = _check.positive_int(n_iter, "n_iter")
        self.batch_size = _check.positive_int(batch_size, "batch_size")
        self.l2 = _check.at_least_zero(l2, "l2")
        self.learning_rate = _check.at_least_zero(learning_rate, "learning_rate")
        self.optimizer = _check.choice(optimizer, "optimizer", tuple(BY_NAME))
        self._rng = _check.generator(rng)
        self.layers = {}
        self.history = []
        self._steps: Optimizer | None = None

    def __repr__(self) -> str:
        """Return the constructor call without layers, and the state of training."""
        words = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._settings)
        state = (
            "not fitted"
            if self._steps is None
            else f"{len(self.history)} epochs, {self.num_users} users x {self.num_items} items"
        )
        return f"{type(self).__name__}({words})  # {state}"

    # ---- training --------------------------------------------------------------------------------

    def fit(self, interactions: Interactions, verbose: bool = False) -> Self:
        """
        Train for `n_iter` epochs of shuffled minibatches; further calls continue the training.

        Parameters
        ----------
        interactions : Interactions
            Interactions to learn from, of at least two users. Later calls must use the same
            numbers and labels of users and items.
        verbose : bool, default False
            Show a progress bar for each epoch, on a terminal only.

        Returns
        -------
        Recommender
            The model itself.

        Raises
        ------
        TypeError, ValueError
            The interactions do not fit the model.

        Notes
        -----
        Optimizer state is kept between calls. `history` gets one entry an epoch: ``loss`` is the
        mean over all examples, each at the time of its step, and ``seconds`` is the time taken.
        Moments and weight decay act on touched rows only (L27).
        """
        if not isinstance(interactions, Interactions):
            raise TypeError(f"`interactions` must be Interactions, not {type(interactions).__name__}.")
        hidden = None if _check.flag(verbose, "verbose") else True  # None: tqdm hides the bar unless on a terminal
        self._prepare(interactions)
        examples = self._examples(interactions)
        for _ in range(self.n_iter):
            start = time.perf_counter()
            order = self._rng.permutation(examples)
            total = 0.0
            bar = tqdm(total=len(order), desc=f"epoch {len(self.history) + 1}", leave=False, disable=hidden)
            with bar, np.errstate(over="ignore", invalid="ignore"):  # divergence shows in `history`
                for batch in np.split(order, range(self.batch_size, len(order), self.batch_size)):
                    total += self._step(interactions, batch) * len(batch)
                    bar.update(len(batch))
            self.history.append({"loss": total / len(order), "seconds": time.perf_counter() - start})
        return self

    def _examples(self, interactions: Interactions) -> int:
        """Return the number of examples; by default each interaction is one."""
        return len(interactions)

    @abstractmethod
    def _step(self, interactions: Interactions, batch: IntArray) -> float:
        """Run one step on a batch of examples; return the mean loss before the step."""

    @abstractmethod
    def _check_data(self, interactions: Interactions) -> None:
        """Check what this model needs of the interactions; two users are checked elsewhere."""

    def _prepare(self, interactions: Interactions) -> None:
        """Check the interactions; on the first call make the layers and the optimizer."""
        if not len(interactions):
            raise ValueError("`interactions` must not be empty.")
        self._check_data(interactions)
        if self._steps is not None:
            self._check_known(interactions)
        else:
            users = len(np.unique(interactions.user_ids))
            if users < 2:
                raise ValueError(f"`interactions` must be of at least 2 users, not {users}: there is nobody to learn from.")
            self._begin(interactions)
        self._remember(interactions)

    def _begin(self, interactions: Interactions) -> None:
        """Make the layers of all users and items, and their optimizer."""
        padding = interactions.padding_idx
        check_range(interactions.user_ids, interactions.num_users, padding, "user_ids")  # users can write into the arrays
        check_range(interactions.item_ids, interactions.num_items, padding, "item_ids")
        layers = self._make_layers(interactions)
        self._steps = self._make_optimizer(layers)
        self.layers, self.padding_idx = layers, padding
        self.num_users, self.num_items = interactions.num_users, interactions.num_items
        self._users, self._items = interactions._users, interactions._items
        self._seen: IntArray = np.empty(0, dtype=np.int64)

    @abstractmethod
    def _make_layers(self, interactions: Interactions) -> dict[str, Any]:
        """Return all layers to train, by name."""

    def _make_optimizer(self, layers: dict[str, Any]) -> Optimizer:
        """Return the optimizer of all layers."""
        make: Callable[..., Optimizer] = BY_NAME[self.optimizer]
        return make(list(layers.values()), lr=self.learning_rate, weight_decay=self.l2)

    def _check_known(self, interactions: Interactions, name: str = "interactions") -> None:
        """Check that the model knows all users and items, by the same labels."""
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
        self._seen = distinct(pairs, self._seen)

    @property
    def fitted(self) -> Interactions:
        """Pairs of user and item that the model was fitted on, each once; saved with the model."""
        self._check_fitted()
        return Interactions(
            *(self._seen // self.num_items, self._seen % self.num_items, None, None, self.num_users, self.num_items),
            user_labels=self._users.values,
            item_labels=self._items.values,
            padding_idx=self.padding_idx,
        )

    def _check_fitted(self) -> None:
        """Raise a ValueError before the first `fit`."""
        if self._steps is None:
            raise ValueError("The model must be fitted first: call `fit`.")

    # ---- scores ----------------------------------------------------------------------------------

    @abstractmethod
    def _scorer(self, users: IntArray) -> Scorer:
        """
        Return a function from some of these users to new rows of scores of all items.

        Raise a ValueError if the scores are not finite.
        """

    @abstractmethod
    def _score_pairs(self, users: IntArray, items: IntArray) -> FloatArray:
        """Return the score of each pair."""

    @abstractmethod
    def _score_user(self, user: int) -> FloatArray:
        """Return the score of each item for a user, finite or not."""

    def _link(self, scores: FloatArray) -> FloatArray:
        """Return the predictions that belong to scores."""
        return scores

    def predict(self, user_ids: ArrayLike, item_ids: ArrayLike | None = None) -> FloatArray:
        """
        Predict scores or ratings for one user and all items, or for pairs.

        Parameters
        ----------
        user_ids : int or int array
            Row numbers of the users. Without `item_ids` exactly one user.
        item_ids : int array, optional
            Row numbers of the items: as many as users, or any number for one user.

        Returns
        -------
        float array
            Without `item_ids` one prediction for each item, shape (num_items,). Else one for each
            pair, in the shape of `item_ids`.

        Raises
        ------
        TypeError, ValueError, IndexError
            The ids are not integers, do not fit each other, or are out of range; or the model is
            not fitted.
        """
        self._check_fitted()
        users = check_ids(user_ids, self.num_users, "user_ids")
        if item_ids is None:
            if users.size != 1:
                raise ValueError(f"`user_ids` must be one user where `item_ids` is not given, not {users.size}.")
            return self._link(self._score_user(int(users.item())))
        items = check_ids(item_ids, self.num_items, "item_ids")
        if users.size == 1:
            users = np.broadcast_to(users.reshape(()), items.shape)
        if users.shape != items.shape:
            raise ValueError(f"`item_ids` must have the shape of `user_ids`, {users.shape}, not {items.shape}.")
        flat_users, flat_items = users.reshape(-1), items.reshape(-1)
        blocks = [slice(start, start + PAIRS) for start in range(0, max(1, users.size), PAIRS)]
        scores = [self._score_pairs(flat_users[block], flat_items[block]) for block in blocks]
        return self._link(np.concatenate(scores).reshape(items.shape))

    def recommend(self, user_label: Label, n: int = 10, exclude: Interactions | None = None) -> list[Label]:
        """
        Return the items with the highest scores for a user, best first.

        Parameters
        ----------
        user_label : int or str
            The user's label, which is the file's own id.
        n : int, default 10
            Number of items; fewer are returned if there are not so many.
        exclude : Interactions, optional
            Items that the user has met in these interactions are left out. `fitted` holds the
            pairs of the training.

        Returns
        -------
        list of int or str
            Labels of the items. Of equal scores the lower row number comes first; padding is never
            recommended.

        Raises
        ------
        TypeError, ValueError
            The user is unknown, `n` is less than 1, `exclude` does not fit the model's users
            or items, the model is not fitted, or its scores are not numbers any more.
        """
        self._check_fitted()
        user, count = self._users.number(user_label), _check.positive_int(n, "n")
        scores = self._score_user(user)
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
            Also write the state of the optimizer and of the generator, so that `fit` after `load`
            gives the same bits as without saving. Without them the file is smaller (by a third,
            with Adam).

        Raises
        ------
        TypeError, ValueError, OSError
            The model is not fitted, or the file cannot be written.

        Notes
        -----
        Tables and optimizer state are tensors. Hyperparameters, labels, history and the pairs of
        the training are JSON in the file's metadata. Nothing is pickled.
        """
        self._check_fitted()
        optimizer = self._steps if _check.flag(with_optimizer, "with_optimizer") else None
        generator = None if optimizer is None else _saved.pack_generator(self._rng)
        _saved.write(path, self.layers, optimizer, {**self._description(), "generator": generator})

    def _description(self) -> dict[str, Any]:
        """Return everything except tables, state and generator, for JSON."""
        return {
            "model": type(self).__name__,
            "settings": {name: getattr(self, name) for name in self._settings},
            "num_users": self.num_users,
            "num_items": self.num_items,
            "padding_idx": self.padding_idx,
            "user_labels": _saved.pack_labels(self._users.values),
            "item_labels": _saved.pack_labels(self._items.values),
            "seen": _saved.pack_numbers(self._seen, sum(layer.nbytes for layer in self.layers.values())),
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
        Recommender
            The model, which predicts with the same bits.

        Raises
        ------
        OSError
            The file is missing or cannot be read.
        ValueError
            The file is damaged, or holds something other than such a model.
        """
        description, layers, optimizer = _saved.read(path)
        kinds = {kind.__name__: kind for kind in _kinds(cls)}
        kind = kinds.get(str(description.get("model")))
        if kind is None:
            raise ValueError(f"{path} holds a model of the kind {description.get('model')!r}, not {cls.__name__}.")
        try:
            model: Self = kind._restored(description, layers, optimizer)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: its description of the model does not fit ({error}).") from None
        return model

    @classmethod
    def _restored(cls, description: dict[str, Any], layers: dict[str, Any], optimizer: Optimizer | None) -> Self:
        """Return a model from `_description`, its layers, and an optimizer or None."""
        generator = description["generator"]
        rng = None if generator is None else _saved.unpack_generator(generator)
        model = cls._made_again(description["settings"], layers, rng, description)
        model.layers = layers
        model.history = [{name: float(entry[name]) for name in ("loss", "seconds")} for entry in description["history"]]
        model.num_users, model.num_items = description["num_users"], description["num_items"]
        model.padding_idx = description["padding_idx"]
        for kind, size in (("user", model.num_users), ("item", model.num_items)):
            values = check_labels(description[f"{kind}_labels"], f"{kind}_labels", size, model.padding_idx)
            setattr(model, f"_{kind}s", Labels(values, size, model.padding_idx, kind))
        model._seen = _saved.unpack_numbers(description["seen"], sum(layer.nbytes for layer in layers.values()))
        if not ((model._seen >= 0) & (model._seen < model.num_users * model.num_items)).all():
            raise ValueError("it names pairs of other users or items")
        model._steps = model._make_optimizer(layers) if optimizer is None else optimizer
        return model

    @classmethod
    @abstractmethod
    def _made_again(cls, settings: dict[str, Any], layers: dict[str, Any], rng: Rng, description: dict[str, Any]) -> Self:
        """
        Return a model of these settings on these layers.

        Raise a KeyError, TypeError or ValueError if they do not fit.
        """


def _kinds(cls: type[Recommender]) -> Iterator[type[Any]]:
    """Yield a class and all classes derived from it."""
    yield cls
    for kind in cls.__subclasses__():
        yield from _kinds(kind)


def distinct(*arrays: IntArray) -> IntArray:
    """
    Return all values once, in increasing order.

    For 100,000 pairs sorting takes 0.4 ms; `np.unique`, which hashes, takes 9 ms.
    """
    values: IntArray = np.sort(np.concatenate(arrays))
    first = np.append(True, values[1:] != values[:-1])[: len(values)]
    found: IntArray = values[first]
    return found


def finite(*arrays: FloatArray) -> None:
    """Raise a ValueError if a value is not finite: no rank could be trusted."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("The model's scores are not finite: its training diverged; a lower learning rate may help.")


def load_model(path: str | os.PathLike[str]) -> Recommender:
    """
    Read a model of any kind that `save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    ImplicitFactorizationModel or ExplicitFactorizationModel
        The model, which predicts with the same bits.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        The file is damaged, or holds no recommender model.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from npbloom.recommend import ImplicitFactorizationModel
    >>> model = ImplicitFactorizationModel(n_iter=1, rng=0).fit(Interactions([0, 1], [0, 1]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.safetensors")
    ...     model.save(path)
    ...     same = load_model(path)
    >>> np.array_equal(same.predict(0), model.predict(0))
    True
    """
    return Recommender.load(path)
