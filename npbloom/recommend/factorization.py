"""Factorization models, `ImplicitFactorizationModel` and `ExplicitFactorizationModel`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Self, final

import numpy as np

from npbloom import _check
from npbloom.layers import ZeroEmbedding
from npbloom.optimizers import Optimizer
from npbloom.recommend import losses
from npbloom.recommend._model import Embeddings, FactorizationModel
from npbloom.recommend.interactions import Interactions
from npbloom.types import FloatArray, IntArray, Rng

DEFAULT_NEGATIVES = 5


@final
class ImplicitFactorizationModel(FactorizationModel):
    r"""
    Factorization for implicit feedback, which ranks items a user has met above random items.

    The score of user u and item i is :math:`p_u \cdot q_i + b_u + c_i`.

    Parameters
    ----------
    loss : {"bpr", "log_bpr", "pointwise", "hinge", "adaptive_hinge"}
        See `npbloom.recommend.losses`.
    embedding_dim : int, default 32
        Length of the vectors :math:`p_u` and :math:`q_i`. If a layer is given, the length is the
        layer's and this argument is ignored (L34 names this exception).
    n_iter : int, default 10
        Epochs of one `fit`.
    batch_size : int, default 1024
        Interactions in one step.
    l2 : float, default 0.0
        Weight decay, on the rows that a step touches (L27).
    learning_rate : float, default 1e-2
        The optimizer's rate.
    optimizer : str, a key of `npbloom.optimizers.BY_NAME`
        One optimizer for all tables.
    user_embeddings, item_embeddings : ScaledEmbedding, ZeroEmbedding or BloomEmbedding, optional
        Tables of the vectors, of the same dimension; by default ScaledEmbedding. Biases are
        ZeroEmbedding, one for each id.
    num_negative_samples : int, default 5
        Number of items drawn for each interaction by the adaptive hinge, which takes the one with
        the highest score. The other losses draw one item, and refuse any number here but the
        default.
    rng : numpy.random.Generator or int, optional
        Source of initial values, order and negatives. The same seed gives the same model, bit for
        bit.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range, or the layers differ in dimension.

    Notes
    -----
    Negatives are drawn uniformly from all items, including those that the user has met, as in
    Spotlight. Padding is never drawn. Each interaction has its own negatives, scored for its own
    user; Spotlight's reshape mixes users. Rows of the item table that occur as positives and as
    negatives are updated once a step, with the sum of their gradients.

    Examples
    --------
    >>> met = Interactions([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5], user_labels=["ann", "bob"])
    >>> model = ImplicitFactorizationModel(n_iter=200, batch_size=2, rng=0).fit(met)
    >>> sorted(model.recommend("ann", n=3))
    [0, 1, 2]
    """

    _losses: ClassVar[dict[str, Callable[..., Any]]] = {
        "bpr": losses.bpr,
        "log_bpr": losses.log_bpr,
        "pointwise": losses.pointwise,
        "hinge": losses.hinge,
        "adaptive_hinge": losses.hinge,  # of the highest negative, which `_step` chooses
    }
    _settings = (*FactorizationModel._settings, "num_negative_samples")

    def __init__(
        self,
        loss: str = "bpr",
        embedding_dim: int = 32,
        n_iter: int = 10,
        batch_size: int = 1024,
        l2: float = 0.0,
        learning_rate: float = 1e-2,
        optimizer: str = "adam",
        user_embeddings: Embeddings | None = None,
        item_embeddings: Embeddings | None = None,
        num_negative_samples: int = DEFAULT_NEGATIVES,
        rng: Rng = None,
    ) -> None:
        """Check the arguments; the first `fit` makes the tables."""
        self._configure(
            loss=loss,
            embedding_dim=embedding_dim,
            n_iter=n_iter,
            batch_size=batch_size,
            l2=l2,
            learning_rate=learning_rate,
            optimizer=optimizer,
            user_embeddings=user_embeddings,
            item_embeddings=item_embeddings,
            rng=rng,
        )
        self.num_negative_samples = _check.positive_int(num_negative_samples, "num_negative_samples")
        if loss != "adaptive_hinge" and self.num_negative_samples != DEFAULT_NEGATIVES:
            raise ValueError(f"`num_negative_samples` is for the loss 'adaptive_hinge'; {loss!r} draws one for each interaction.")

    def _check_data(self, interactions: Interactions) -> None:
        """Raise a ValueError if there is no second item to draw."""
        first = 0 if interactions.padding_idx is None else 1
        if interactions.num_items - first < 2:
            raise ValueError("`interactions` must be with at least 2 items, not 1: there is none to prefer it to.")

    def _step(self, interactions: Interactions, batch: IntArray) -> float:
        """Draw negatives, compare, update each table once; return the loss before the update."""
        users, positives = interactions.user_ids[batch], interactions.item_ids[batch]
        drawn = self.num_negative_samples if self.loss == "adaptive_hinge" else 1
        first = 0 if self.padding_idx is None else 1
        negatives = self._rng.integers(first, self.num_items, size=(len(batch), drawn))
        items = np.concatenate([positives[:, np.newaxis], negatives], axis=1)
        user_vectors, item_vectors, scores = self._lookup(users, items)
        if drawn > 1:  # of each interaction's own negatives the highest
            pair = np.zeros((len(batch), 2), dtype=np.int64)
            pair[:, 1] = 1 + scores[:, 1:].argmax(axis=1)
            items, scores = np.take_along_axis(items, pair, axis=1), np.take_along_axis(scores, pair, axis=1)
            item_vectors = item_vectors[np.arange(len(batch))[:, np.newaxis], pair]
        loss, grad_positive, grad_negative = self._losses[self.loss](scores[:, 0], scores[:, 1])
        self._descend(users, items, user_vectors, item_vectors, np.stack([grad_positive, grad_negative], axis=1))
        return float(loss)


@final
class ExplicitFactorizationModel(FactorizationModel):
    r"""
    Factorization for ratings.

    The score of user u and item i is :math:`s = p_u \cdot q_i + b_u + c_i + \mu` with a global
    intercept :math:`\mu`.

    Parameters
    ----------
    loss : {"regression", "poisson", "logistic"}
        See `npbloom.recommend.losses`. Predictions are :math:`s`, :math:`e^s` and
        :math:`\sigma(s)`.
    embedding_dim : int, default 32
        Length of the vectors :math:`p_u` and :math:`q_i`. If a layer is given, the length is the
        layer's and this argument is ignored (L34 names this exception).
    n_iter : int, default 10
        Epochs of one `fit`.
    batch_size : int, default 1024
        Interactions in one step.
    l2 : float, default 0.0
        Weight decay, on the rows that a step touches (L27).
    learning_rate : float, default 1e-2
        The optimizer's rate.
    optimizer : str, a key of `npbloom.optimizers.BY_NAME`
        One optimizer for all tables.
    user_embeddings, item_embeddings : ScaledEmbedding, ZeroEmbedding or BloomEmbedding, optional
        Tables of the vectors, of the same dimension; by default ScaledEmbedding. Biases are
        ZeroEmbedding, one for each id.
    rng : numpy.random.Generator or int, optional
        Source of initial values and order. The same seed gives the same model, bit for bit.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range, or the layers differ in dimension.

    Notes
    -----
    The start of the intercept comes from the interactions of the first `fit`:

    - regression: the mean rating;
    - poisson: the logarithm of the mean rating, where the mean is taken as at least 1e-6;
    - logistic: the log odds of (p + 1) / (N + 2), with p of N ratings above 0.

    The intercept is trained: a table of one row, under the same optimizer, is added to the start.
    So weight decay draws the intercept to its start, not to 0. Spotlight has no intercept: with
    Adam on touched rows only, biases alone are slow to learn a mean of 3.5.

    Examples
    --------
    >>> rated = Interactions([0, 0, 1, 1], [0, 1, 0, 1], ratings=[5, 1, 5, 2])
    >>> model = ExplicitFactorizationModel(n_iter=500, embedding_dim=4, rng=0).fit(rated)
    >>> model.predict([0, 0, 1, 1], [0, 1, 0, 1]).round()
    array([5., 1., 5., 2.], dtype=float32)
    """

    _losses: ClassVar[dict[str, Callable[..., Any]]] = {
        "regression": losses.regression,
        "poisson": losses.poisson,
        "logistic": losses.logistic,
    }
    _more: ClassVar[tuple[str, ...]] = ("intercept",)

    def __init__(
        self,
        loss: str = "regression",
        embedding_dim: int = 32,
        n_iter: int = 10,
        batch_size: int = 1024,
        l2: float = 0.0,
        learning_rate: float = 1e-2,
        optimizer: str = "adam",
        user_embeddings: Embeddings | None = None,
        item_embeddings: Embeddings | None = None,
        rng: Rng = None,
    ) -> None:
        """Check the arguments; the first `fit` makes the tables."""
        self._configure(
            loss=loss,
            embedding_dim=embedding_dim,
            n_iter=n_iter,
            batch_size=batch_size,
            l2=l2,
            learning_rate=learning_rate,
            optimizer=optimizer,
            user_embeddings=user_embeddings,
            item_embeddings=item_embeddings,
            rng=rng,
        )
        self._intercept_start = 0.0

    @property
    def intercept(self) -> float:
        """Current value of the global intercept."""
        return self._constant()

    def _check_data(self, interactions: Interactions) -> None:
        """Raise a ValueError without ratings, or for negative ratings under a loss of counts."""
        if interactions.ratings is None:
            raise ValueError("`interactions` must have ratings: this model learns nothing else.")
        if self.loss == "poisson":
            negative = np.flatnonzero(interactions.ratings < 0)
            if negative.size:
                at = int(negative[0])
                raise ValueError(
                    f"`ratings` must be at least 0 for 'poisson', not {interactions.ratings[at]:g} at position {at}."
                )

    def _more_layers(self, interactions: Interactions) -> dict[str, Any]:
        """Return the table of one row that is added to the intercept's start; set that start."""
        self._intercept_start = _first_intercept(self.loss, _ratings(interactions))
        return {"intercept": ZeroEmbedding(1, 1, dtype=np.float64)}

    def _constant(self) -> float:
        """Return the intercept."""
        return self._intercept_start + float(self.layers["intercept"].weight[0, 0])

    def _link(self, scores: FloatArray) -> FloatArray:
        """Return the ratings that belong to scores."""
        if self.loss == "poisson":
            with np.errstate(over="ignore"):
                return np.exp(scores)
        return losses.sigmoid(scores) if self.loss == "logistic" else scores

    def _step(self, interactions: Interactions, batch: IntArray) -> float:
        """Predict, compare, and update each table once; return the loss before the update."""
        users, items = interactions.user_ids[batch], interactions.item_ids[batch, np.newaxis]
        user_vectors, item_vectors, scores = self._lookup(users, items)
        scores += scores.dtype.type(self._constant())
        loss, grad = self._losses[self.loss](scores[:, 0], _ratings(interactions)[batch])
        self._descend(users, items, user_vectors, item_vectors, grad[:, np.newaxis])
        return float(loss)

    def _descend(
        self, users: IntArray, items: IntArray, user_vectors: FloatArray, item_vectors: FloatArray, grad: FloatArray
    ) -> None:
        """Update the intercept too."""
        super()._descend(users, items, user_vectors, item_vectors, grad)
        self._update("intercept", np.zeros(len(grad), dtype=np.int64), grad)

    def _description(self) -> dict[str, Any]:
        """Add the intercept's start."""
        return {**super()._description(), "intercept_start": self._intercept_start}

    @classmethod
    def _restored(cls, description: dict[str, Any], layers: dict[str, Any], optimizer: Optimizer | None) -> Self:
        """Restore the intercept's start too."""
        model = super()._restored(description, layers, optimizer)
        model._intercept_start = float(description["intercept_start"])
        return model


def _ratings(interactions: Interactions) -> FloatArray:
    """Return ratings that `_check_data` has found."""
    assert interactions.ratings is not None
    return interactions.ratings


def _first_intercept(loss: str, ratings: FloatArray) -> float:
    """Return the start of the intercept."""
    if loss == "regression":
        return float(ratings.mean())
    if loss == "poisson":
        return math.log(max(float(ratings.mean()), 1e-6))
    share = (float((ratings > 0).sum()) + 1.0) / (len(ratings) + 2.0)
    return math.log(share / (1.0 - share))
