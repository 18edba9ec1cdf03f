"""Scores of models: ranks of test items among all items, and errors of predicted ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from npbloom import _check
from npbloom.ops import ranking
from npbloom.recommend._recommender import Recommender, Scorer, finite
from npbloom.recommend.interactions import Interactions
from npbloom.types import ArrayLike, FloatArray, IntArray

BLOCK = 2**22  # scores held at once: 16 MB of float32


@dataclass(frozen=True)
class _Ranks:
    """Ranks of every user's test items, users in order: `starts` bounds each user's items."""

    starts: IntArray
    above: IntArray  # items with a higher score
    equal: IntArray  # other items with the same score
    before: IntArray  # of these, those with a lower number
    competitors: int

    def mean_per_user(self, values: FloatArray) -> npt.NDArray[np.float64]:
        """Return the mean over each user's test items."""
        return np.add.reduceat(values, self.starts[:-1]) / np.diff(self.starts) if len(values) else np.empty(0)

    def hits(self, k: int) -> IntArray:
        """
        Return the number of each user's test items among the first k.

        Of equal scores the lower item number comes first.
        """
        found = (self.above + self.before < k).astype(np.int64)
        return np.add.reduceat(found, self.starts[:-1]) if len(found) else np.empty(0, dtype=np.int64)

    def any_hit(self, k: int) -> npt.NDArray[np.float64]:
        """Return 1 for each user with a test item among the first k, else 0."""
        return (self.hits(k) > 0).astype(np.float64)

    def reciprocal(self) -> npt.NDArray[np.float64]:
        """Return the mean of 1 / rank over each user's items; ties share their average rank."""
        return self.mean_per_user(1.0 / (self.above + 1.0 + self.equal / 2.0))

    def gains(self, k: int) -> npt.NDArray[np.float64]:
        """Return each user's normalised discounted cumulative gain at k."""
        place = self.above + self.before
        gains = np.where(place < k, 1.0 / np.log2(2.0 + place), 0.0)
        sizes = np.diff(self.starts)
        best = np.cumsum(1.0 / np.log2(2.0 + np.arange(min(k, sizes.max(initial=0)))))  # gains if all items come first
        found: npt.NDArray[np.float64] = self.mean_per_user(gains) * sizes / best[np.minimum(sizes, k) - 1]
        return found


class RankingScores(NamedTuple):
    """
    Scores of one ranking, with one value for each user with test interactions, by user id.

    Parameters
    ----------
    mrr : float64 array
        Scores as in `mrr_score`.
    hit_rate : float64 array
        Scores as in `hit_rate_score`.
    ndcg : float64 array
        Scores as in `ndcg_score`.

    Examples
    --------
    >>> scores = RankingScores(np.array([0.5, 1.0]), np.array([1.0, 1.0]), np.array([0.0, 1.0]))
    >>> float(scores.mrr.mean())
    0.75
    """

    mrr: npt.NDArray[np.float64]
    hit_rate: npt.NDArray[np.float64]
    ndcg: npt.NDArray[np.float64]


def mrr_score(model: Any, test: Interactions, train: Interactions | None = None) -> npt.NDArray[np.float64]:
    """
    Return the mean reciprocal rank of each user's test items.

    Parameters
    ----------
    model : ImplicitFactorizationModel, ExplicitFactorizationModel or ImplicitNetworkModel
        A fitted model, or any object whose ``predict(user_id)`` gives a score for each item. Such
        an object is called once for each user.
    test : Interactions
        Pairs to find.
    train : Interactions, optional
        Pairs from before: these items are put last, all with the same score.

    Returns
    -------
    float64 array
        One value for each user with test interactions, by increasing user id: the mean, over the
        user's distinct test items, of 1 / rank among all items. Equal scores share their average
        rank. The padding item has no rank.

    Raises
    ------
    TypeError, ValueError, IndexError
        The interactions do not fit the model, or its scores are not numbers.

    Notes
    -----
    The definition is Spotlight's: a test item that is also in `train` is last. Scores are computed
    in blocks of users, so the matrix of all users and items is never in memory.

    Examples
    --------
    >>> class Known:
    ...     def predict(self, user_id):
    ...         return np.array([0.1, 0.4, 0.2, 0.3])
    >>> mrr_score(Known(), Interactions([0, 0], [1, 2], num_items=4))        # ranks 1 and 3
    array([0.66666667])
    >>> train = Interactions([0], [1], num_items=4)
    >>> mrr_score(Known(), Interactions([0], [2], num_items=4), train)
    array([0.5])
    """
    return _ranks(model, test, train).reciprocal()


def precision_recall_score(
    model: Any, test: Interactions, train: Interactions | None = None, k: int | Sequence[int] = 10
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """
    Return precision and recall of the k items with the highest scores.

    Parameters
    ----------
    model : ImplicitFactorizationModel, ExplicitFactorizationModel or ImplicitNetworkModel
        A model as in `mrr_score`.
    test : Interactions
        Pairs to find.
    train : Interactions, optional
        Pairs whose items are put last.
    k : int or sequence of int, default 10
        Length of the list. Several lengths give one column each.

    Returns
    -------
    tuple of (float64 array, float64 array)
        Precision and recall, of shape (users,), or (users, len(k)) for several lengths. One value
        for each user with test interactions, by increasing user id. Precision is the share of the
        first k items that are test items; recall is the share of the user's distinct test items
        that are among the first k. With fewer items than k, precision divides by the number of
        items.

    Raises
    ------
    TypeError, ValueError, IndexError
        `k` is less than 1, the interactions do not fit the model, or its scores are not numbers.

    Notes
    -----
    The definition is Spotlight's. Of equal scores the lower item number comes first.

    Examples
    --------
    >>> class Known:
    ...     def predict(self, user_id):
    ...         return np.array([0.1, 0.4, 0.2, 0.3])
    >>> precision_recall_score(Known(), Interactions([0, 0, 0], [0, 1, 2], num_items=4), k=2)
    (array([0.5]), array([0.33333333]))
    """
    lengths = [_check.positive_int(length, "k") for length in (k if isinstance(k, (Sequence, np.ndarray)) else [k])]
    ranks = _ranks(model, test, train)
    hits = np.stack([ranks.hits(length) for length in lengths], axis=1)
    precision = hits / np.array([min(length, ranks.competitors) for length in lengths])
    recall = hits / np.diff(ranks.starts)[:, np.newaxis]
    return (precision, recall) if isinstance(k, (Sequence, np.ndarray)) else (precision[:, 0], recall[:, 0])


def hit_rate_score(model: Any, test: Interactions, train: Interactions | None = None, k: int = 100) -> npt.NDArray[np.float64]:
    """
    Return 1 for each user with a test item among the k highest scores, and 0 for the others.

    Parameters
    ----------
    model : ImplicitFactorizationModel, ExplicitFactorizationModel or ImplicitNetworkModel
        A model as in `mrr_score`.
    test : Interactions
        Pairs to find.
    train : Interactions, optional
        Pairs whose items are put last.
    k : int, default 100
        Length of the list.

    Returns
    -------
    float64 array
        1 or 0 for each user with test interactions, by increasing user id. The mean is the hit
        rate.

    Raises
    ------
    TypeError, ValueError, IndexError
        `k` is less than 1, the interactions do not fit the model, or its scores are not numbers.

    Examples
    --------
    >>> class Known:
    ...     def predict(self, user_id):
    ...         return np.array([0.1, 0.4, 0.2, 0.3])
    >>> hit_rate_score(Known(), Interactions([0, 1, 1], [2, 0, 3], num_items=4), k=2)
    array([0., 1.])
    """
    length = _check.positive_int(k, "k")
    return _ranks(model, test, train).any_hit(length)


def ndcg_score(model: Any, test: Interactions, train: Interactions | None = None, k: int = 10) -> npt.NDArray[np.float64]:
    r"""
    Return the normalised discounted cumulative gain of the k items with the highest scores.

    A test item at place p counts :math:`1 / \log_2(1 + p)` for p up to k. The sum is divided by the
    largest possible sum.

    Parameters
    ----------
    model : ImplicitFactorizationModel, ExplicitFactorizationModel or ImplicitNetworkModel
        A model as in `mrr_score`.
    test : Interactions
        Pairs to find; all count the same.
    train : Interactions, optional
        Pairs whose items are put last.
    k : int, default 10
        Length of the list.

    Returns
    -------
    float64 array
        One value in [0, 1] for each user with test interactions, by increasing user id.

    Raises
    ------
    TypeError, ValueError, IndexError
        `k` is less than 1, the interactions do not fit the model, or its scores are not numbers.

    Notes
    -----
    Of equal scores the lower item number comes first, as in `hit_rate_score`.

    Examples
    --------
    >>> class Known:
    ...     def predict(self, user_id):
    ...         return np.array([0.1, 0.4, 0.2, 0.3])
    >>> test = Interactions([0, 1, 1], [2, 1, 3], num_items=4)
    >>> ndcg_score(Known(), test)           # user 0: place 3; user 1: places 1 and 2, the best
    array([0.5, 1. ])
    """
    length = _check.positive_int(k, "k")
    return _ranks(model, test, train).gains(length)


def ranking_scores(
    model: Any,
    test: Interactions,
    train: Interactions | None = None,
    *,
    hit_rate_k: int = 100,
    ndcg_k: int = 10,
    progress: bool = False,
) -> RankingScores:
    """
    Compute the scores of `mrr_score`, `hit_rate_score` and `ndcg_score` from one ranking.

    Parameters
    ----------
    model : ImplicitFactorizationModel, ExplicitFactorizationModel or ImplicitNetworkModel
        A model as in `mrr_score`.
    test : Interactions
        Pairs to find.
    train : Interactions, optional
        Pairs whose items are put last.
    hit_rate_k, ndcg_k : int, default 100 and 10
        Lengths of the lists.
    progress : bool, default False
        Show a progress bar, on a terminal only.

    Returns
    -------
    RankingScores
        ``mrr``, ``hit_rate`` and ``ndcg``, a float64 array each.

    Raises
    ------
    TypeError, ValueError, IndexError
        A length is less than 1, the interactions do not fit the model, or its scores are not
        numbers.

    Examples
    --------
    >>> class Known:
    ...     def predict(self, user_id):
    ...         return np.array([0.1, 0.4, 0.2, 0.3])
    >>> scores = ranking_scores(Known(), Interactions([0, 1], [3, 2], num_items=4), hit_rate_k=2)
    >>> scores.mrr, scores.hit_rate, scores.ndcg
    (array([0.5       , 0.33333333]), array([1., 0.]), array([0.63092975, 0.5       ]))
    """
    short, long = _check.positive_int(ndcg_k, "ndcg_k"), _check.positive_int(hit_rate_k, "hit_rate_k")
    ranks = _ranks_shown(model, test, train, progress)
    return RankingScores(ranks.reciprocal(), ranks.any_hit(long), ranks.gains(short))


def rmse_score(model: Any, test: Interactions) -> float:
    """
    Return the root of the mean squared error of predicted ratings.

    Parameters
    ----------
    model : ExplicitFactorizationModel
        A fitted model, or any object whose ``predict(user_ids, item_ids)`` gives a rating for each
        pair.
    test : Interactions
        Pairs with ratings.

    Returns
    -------
    float
        The error, in units of the ratings.

    Raises
    ------
    TypeError, ValueError, IndexError
        There are no ratings, or the interactions do not fit the model.

    Examples
    --------
    >>> class Constant:
    ...     def predict(self, user_ids, item_ids):
    ...         return np.full(len(user_ids), 3.0)
    >>> rmse_score(Constant(), Interactions([0, 1], [0, 0], ratings=[2, 4]))
    1.0
    """
    _check_interactions(test, "test")
    if test.ratings is None or not len(test):
        raise ValueError("`test` must have ratings to compare predictions with.")
    predictions = np.asarray(model.predict(test.user_ids, test.item_ids))
    _check.shape(predictions, "predictions", test.user_ids.shape)
    return float(np.sqrt(np.mean((test.ratings - predictions) ** 2)))


# ---- ranks ---------------------------------------------------------------------------------------


def _check_interactions(value: Any, name: str) -> None:
    """Raise a TypeError for anything but Interactions."""
    if not isinstance(value, Interactions):
        raise TypeError(f"`{name}` must be Interactions, not {type(value).__name__}.")


def _distinct(interactions: Interactions) -> tuple[IntArray, IntArray]:
    """Return users and items of the distinct pairs, sorted by user, then item."""
    pairs = np.unique(interactions.user_ids * interactions.num_items + interactions.item_ids)
    return pairs // interactions.num_items, pairs % interactions.num_items


def _ranks(model: Any, test: Interactions, train: Interactions | None, bar: Any = None) -> _Ranks:
    """
    Rank each test item among all items of its user.

    `bar` is a progress bar of users, or None.
    """
    _check_interactions(test, "test")
    if train is not None:
        _check_interactions(train, "train")
    score, size, padding = _scorer(model, test, train)
    users, items = _distinct(test)
    distinct, starts = np.unique(users, return_index=True)
    starts = np.append(starts, len(users)).astype(np.int64)
    above, equal, before = (np.empty(len(users), dtype=np.int64) for _ in range(3))
    known_users, known_items = _distinct(train) if train is not None else (users[:0], items[:0])
    step = max(1, BLOCK // size)
    if bar is not None:
        bar.reset(total=len(distinct))
    for first in range(0, len(distinct), step):
        block = distinct[first : first + step]
        scores = score(block)
        known = slice(*np.searchsorted(known_users, [block[0], block[-1] + 1]))
        rows = np.searchsorted(block, known_users[known])
        met = block[np.minimum(rows, len(block) - 1)] == known_users[known]  # train may know users that test does not
        scores[rows[met], known_items[known][met]] = -np.inf
        if padding is not None:
            scores[:, padding] = np.nan  # NaN is neither above nor equal
        bounds = starts[first : first + len(block) + 1]
        part = slice(bounds[0], bounds[-1])
        above[part], equal[part], before[part] = ranking.count_ranks(scores, items[part], (bounds - bounds[0])[:-1])
        if bar is not None:
            bar.update(len(block))
    return _Ranks(starts, above, equal, before, size if padding is None else size - 1)


def _ranks_shown(model: Any, test: Interactions, train: Interactions | None, progress: bool) -> _Ranks:
    """Return the ranks, with a progress bar if it is asked for."""
    hidden = None if _check.flag(progress, "progress") else True  # None: tqdm hides the bar unless on a terminal
    with tqdm(desc="ranking, users", leave=False, disable=hidden) as bar:
        return _ranks(model, test, train, bar)


def _scorer(model: Any, test: Interactions, train: Interactions | None) -> tuple[Scorer, int, int | None]:
    """Return a function from users to new rows of scores, the number of items, the padding id."""
    if isinstance(model, Recommender):
        model._check_fitted()
        model._check_known(test, "test")
        if train is not None:
            model._check_known(train, "train")
        return model._scorer(np.unique(test.user_ids)), model.num_items, _padding(model, test, train)
    size, padding = test.num_items, _padding(test, train)

    def score(users: IntArray) -> FloatArray:
        rows = np.stack([_row(model.predict(int(user)), size) for user in users])
        finite(rows)
        return rows

    if train is not None and len(train) and train.item_ids.max() >= size:
        raise ValueError(f"`train` has item ids up to {train.item_ids.max()}, and `test` {size} items.")
    return score, size, padding


def _padding(*known: Any) -> int | None:
    """Return the padding item, if one of the arguments has one, else None."""
    return next((one.padding_idx for one in known if one is not None and one.padding_idx is not None), None)


def _row(scores: ArrayLike, size: int) -> FloatArray:
    """Return one user's predictions as floats."""
    row = np.asarray(scores)
    _check.shape(row, "predictions", (size,))
    return row if row.dtype in _check.FLOAT_DTYPES else row.astype(np.float64)
