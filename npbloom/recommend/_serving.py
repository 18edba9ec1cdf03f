"""Vectors of a trained factorization, and what can be asked of them: best items, similar items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from npbloom import _check
from npbloom.ops import ranking
from npbloom.ops._ids import check_ids
from npbloom.recommend._labels import Label
from npbloom.recommend._recommender import Recommender, distinct, finite
from npbloom.recommend.interactions import Interactions
from npbloom.types import ArrayLike, FloatArray, IntArray

BLOCK = 2**22  # scores held at once: 16 MB of float32
TINY = 1e-30  # length of a vector below which it has no direction


class Vectors(NamedTuple):
    """
    Vectors of all users and items, whose dot products rank.

    Parameters
    ----------
    users : float array, shape (num_users, d + 1)
        The user's embedding, and a 1.
    items : float array, shape (num_items, d + 1)
        The item's embedding, and its bias.

    Examples
    --------
    >>> vectors = Vectors(np.array([[1.0, 2.0, 1.0]]), np.array([[3.0, 0.0, 0.5], [0.0, 1.0, 2.0]]))
    >>> vectors.users @ vectors.items.T
    array([[3.5, 4. ]])
    """

    users: FloatArray
    items: FloatArray


class Serving(Recommender):
    """A recommender whose scores are dot products of vectors of users and items."""

    def vectors(self) -> Vectors:
        """
        Return vectors of all users and items, for an index of nearest neighbours.

        Returns
        -------
        Vectors
            ``users`` (num_users, d + 1) and ``items`` (num_items, d + 1), new arrays. Their dot
            products rank items for a user as `recommend` does: they differ from `predict` by the
            user's bias and the intercept, which are the same for all items.

        Raises
        ------
        ValueError
            The model is not fitted.

        Notes
        -----
        Row `padding_idx`, if there is one, is no user and no item: leave it out of an index.
        Codes and hashes are resolved, so a vector takes ``4 * (d + 1)`` bytes.

        Examples
        --------
        >>> from npbloom.recommend import ImplicitFactorizationModel
        >>> model = ImplicitFactorizationModel(n_iter=1, rng=0).fit(Interactions([0, 1], [0, 1]))
        >>> users, items = model.vectors()
        >>> users.shape, items.shape
        ((2, 33), (2, 33))
        """
        self._check_fitted()
        users = self.layers["user_embeddings"].forward(np.arange(self.num_users))
        items, biases = self._items_and_biases()
        return Vectors(
            np.concatenate([users, np.ones((len(users), 1), users.dtype)], axis=1), np.concatenate([items, biases], axis=1)
        )

    def _items_and_biases(self) -> tuple[FloatArray, FloatArray]:
        """Return the embeddings (num_items, d) and the biases (num_items, 1) of all items."""
        ids = np.arange(self.num_items)
        return self.layers["item_embeddings"].forward(ids), self.layers["item_biases"].forward(ids)

    def similar(self, item_label: Label, n: int = 10) -> list[tuple[Label, float]]:
        """
        Return the items whose vectors point in the direction of an item's vector.

        Parameters
        ----------
        item_label : int or str
            The item's label, which is the file's own id.
        n : int, default 10
            Number of items; fewer are returned if there are not so many.

        Returns
        -------
        list of (int or str, float)
            Labels and cosines, best first, without the item itself. Of equal cosines the lower row
            number comes first. Biases do not count: a popular item is not similar to all.

        Raises
        ------
        TypeError, ValueError
            The item is unknown, `n` is less than 1, the model is not fitted, or its vectors are not
            numbers any more.

        Examples
        --------
        >>> from npbloom.recommend import ImplicitFactorizationModel
        >>> met = Interactions([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5])
        >>> model = ImplicitFactorizationModel(n_iter=200, batch_size=2, rng=0).fit(met)
        >>> sorted(label for label, cosine in model.similar(0, n=2))
        [1, 2]
        """
        self._check_fitted()
        item, count = self._items.number(item_label), _check.positive_int(n, "n")
        met = np.array([item])
        return self._best(self._cosines(met), met, count)

    def _best(self, scores: FloatArray, met: IntArray, count: int) -> list[tuple[Label, float]]:
        """Return labels and scores of the best items not met, by scores (1, num_items)."""
        scores[0, met] = -np.inf
        if self.padding_idx is not None:
            scores[0, self.padding_idx] = -np.inf
        found, best = ranking.top_k(scores, min(count, self.num_items))
        there = found[0] >= 0
        return list(zip(self._items.names(found[0][there]), best[0][there].tolist(), strict=True))

    def _cosines(self, items: IntArray) -> FloatArray:
        """Return the cosines of some items with all items, shape (len(items), num_items)."""
        vectors = self._items_and_biases()[0].astype(np.float64)
        finite(vectors)
        vectors /= np.maximum(np.sqrt(np.einsum("nd,nd->n", vectors, vectors)), TINY)[:, np.newaxis]
        return ranking.score_items(vectors[items], np.ascontiguousarray(vectors.T))

    def top_k(self, user_ids: ArrayLike, k: int = 10, exclude: Interactions | None = None) -> tuple[IntArray, FloatArray]:
        """
        Return the k items with the highest scores for each of many users, exactly.

        Parameters
        ----------
        user_ids : int array, shape (n,)
            Row numbers of the users.
        k : int, default 10
            Number of items for each user.
        exclude : Interactions, optional
            Pairs to leave out, such as `fitted`.

        Returns
        -------
        tuple of (int64 array, float array)
            Row numbers of the items, best first, and their predictions; both (n, k). Where a user
            has fewer items left, the rest are -1 and -inf. Of equal scores the lower row number
            comes first.

        Raises
        ------
        TypeError, ValueError, IndexError
            The ids are not integers or out of range, `k` is less than 1, `exclude` does not fit the
            model, or its scores are not numbers any more.

        Notes
        -----
        Scores and lists are made on all threads, a block of users at a time, so the matrix of all
        users and items is never in memory. The lists are those of `recommend`.

        Examples
        --------
        >>> from npbloom.recommend import ImplicitFactorizationModel
        >>> met = Interactions([0, 0, 1, 1], [0, 1, 2, 3])
        >>> model = ImplicitFactorizationModel(n_iter=200, batch_size=2, rng=0).fit(met)
        >>> np.sort(model.top_k([0, 1], 2)[0], axis=1)
        array([[0, 1],
               [2, 3]])
        """
        self._check_fitted()
        users, count = check_ids(user_ids, self.num_users, "user_ids"), _check.positive_int(k, "k")
        if users.ndim != 1:
            raise ValueError(f"`user_ids` must have one dimension, not {users.ndim}.")
        met = np.empty(0, dtype=np.int64)
        if exclude is not None:
            self._check_known(exclude, "exclude")
            met = distinct(exclude.user_ids * self.num_items + exclude.item_ids)
        score = self._scorer(np.unique(users))
        found = np.full((len(users), count), -1, dtype=np.int64)
        scores = np.full((len(users), count), -np.inf, dtype=self.layers["user_embeddings"].dtype)
        step = max(1, BLOCK // self.num_items)
        for first in range(0, len(users), step):
            block = slice(first, first + step)
            rows = score(users[block])
            for row, user in zip(rows, users[block].tolist(), strict=True):
                near = slice(*np.searchsorted(met, [user * self.num_items, (user + 1) * self.num_items]))
                row[met[near] - user * self.num_items] = -np.inf
            if self.padding_idx is not None:
                rows[:, self.padding_idx] = -np.inf
            width = min(count, self.num_items)
            found[block, :width], scores[block, :width] = ranking.top_k(rows, width)
        return found, np.where(found < 0, -np.inf, self._link(scores))

    def fold_in(self, item_ids: ArrayLike) -> FloatArray:
        r"""
        Return a vector for a user the model has not met, from the items of that user.

        Items stay as they are. With item vectors :math:`q_i`, n items met and G the mean of
        :math:`q_i q_i^T` over all items, the vector solves
        :math:`(\sum_{met} q_i q_i^T + n G + I)\, p = \sum_{met} q_i`: near 1 on items met, near 0
        on others [1]_.

        Parameters
        ----------
        item_ids : int array, shape (n,)
            Row numbers of the user's items; repeated ones count once.

        Returns
        -------
        float array, shape (d + 1,)
            The vector and a 1, as a row of ``vectors().users``: dot products with
            ``vectors().items`` rank. Without items it is zero, and the item biases rank alone.

        Raises
        ------
        TypeError, ValueError, IndexError
            The ids are not integers, are out of range or padding, or the model is not fitted, or
            its vectors are not numbers any more.

        Notes
        -----
        Nothing is written to. It takes one product over all item vectors and a system of d
        equations.

        References
        ----------
        .. [1] Hu, Koren and Volinsky (2008), Collaborative filtering for implicit feedback
           datasets, ICDM.

        Examples
        --------
        >>> from npbloom.recommend import ImplicitFactorizationModel
        >>> met = Interactions([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5])
        >>> model = ImplicitFactorizationModel(n_iter=200, batch_size=2, rng=0).fit(met)
        >>> scores = model.vectors().items @ model.fold_in([0, 1])
        >>> bool(scores[2] > scores[3:].max())
        True
        """
        self._check_fitted()
        items = check_ids(item_ids, self.num_items, "item_ids")
        if items.ndim != 1:
            raise ValueError(f"`item_ids` must have one dimension, not {items.ndim}.")
        return self._folded(items, self._items_and_biases()[0])

    def _folded(self, items: IntArray, vectors: FloatArray) -> FloatArray:
        """Return the vector of a user who has met some items, among the vectors of all."""
        if self.padding_idx is not None and (items == self.padding_idx).any():
            raise ValueError(f"`item_ids` must not hold the padding id {self.padding_idx}.")
        finite(vectors)
        wide = vectors.astype(np.float64)
        mine = wide[np.unique(items)]
        system = mine.T @ mine + len(mine) / len(wide) * (wide.T @ wide) + np.eye(wide.shape[1])
        return np.append(np.linalg.solve(system, mine.sum(axis=0)), 1.0).astype(vectors.dtype)

    def recommend_for(self, item_labels: Sequence[Label], n: int = 10) -> list[tuple[Label, float]]:
        """
        Return the items with the highest scores for somebody new who likes some items.

        Parameters
        ----------
        item_labels : sequence of int or str
            Labels of the items that the user likes.
        n : int, default 10
            Number of items; fewer are returned if there are not so many.

        Returns
        -------
        list of (int or str, float)
            Labels and scores of `fold_in`'s vector, best first, without the items given.

        Raises
        ------
        TypeError, ValueError
            An item is unknown, `n` is less than 1, or the model is not fitted.

        Examples
        --------
        >>> from npbloom.recommend import ImplicitFactorizationModel
        >>> met = Interactions([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5])
        >>> model = ImplicitFactorizationModel(n_iter=200, batch_size=2, rng=0).fit(met)
        >>> [label for label, score in model.recommend_for([0, 1], n=1)]
        [2]
        """
        self._check_fitted()
        count = _check.positive_int(n, "n")
        items = self._numbers(item_labels)
        vectors, biases = self._items_and_biases()
        user = self._folded(items, vectors)
        scores = ranking.score_items(user[np.newaxis], np.ascontiguousarray(np.concatenate([vectors, biases], axis=1).T))
        return self._best(scores, items, count)

    def _numbers(self, labels: Sequence[Label]) -> IntArray:
        """Return the row numbers of items."""
        return np.array([self._items.number(label) for label in labels], dtype=np.int64)

    def closest(self, item_labels: Sequence[Label], among: Sequence[Label]) -> list[Label]:
        """
        Return for each item the closest of others by cosine, as a reason to recommend it.

        Parameters
        ----------
        item_labels : sequence of int or str
            Labels of items.
        among : sequence of int or str
            Labels to choose from, at least one.

        Returns
        -------
        list of int or str
            One of `among` for each item.

        Raises
        ------
        TypeError, ValueError
            An item is unknown, `among` is empty, or the model is not fitted.

        Examples
        --------
        >>> from npbloom.recommend import ImplicitFactorizationModel
        >>> met = Interactions([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5])
        >>> model = ImplicitFactorizationModel(n_iter=200, batch_size=2, rng=0).fit(met)
        >>> model.closest([2, 5], among=[0, 3])
        [0, 3]
        """
        self._check_fitted()
        items, others = self._numbers(item_labels), self._numbers(among)
        if not len(others):
            raise ValueError("`among` must not be empty.")
        return self._items.names(others[self._cosines(others)[:, items].argmax(axis=0)])
