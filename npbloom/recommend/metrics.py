"""`evaluate`: any number of ranking metrics, named as `ndcg@10`, from one ranking."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from npbloom.recommend.evaluation import _Ranks, _ranks_shown
from npbloom.recommend.interactions import Interactions

KINDS = ("mrr", "ndcg", "recall", "precision", "hit")
LONGEST = 2**31 - 1  # length of a list


class Metric(NamedTuple):
    """A metric: its kind, and the length of the list it looks at, or None for the whole ranking."""

    kind: str
    k: int | None


def read_metric(name: Any) -> Metric:
    """
    Return the metric that a name such as ``recall@20`` stands for.

    Raise a ValueError for any other name.
    """
    found = re.fullmatch(r"(mrr)|(ndcg|recall|precision|hit)@([1-9][0-9]{0,9})", name) if isinstance(name, str) else None
    if found is None or (found[3] and int(found[3]) > LONGEST):
        words = repr(name if not isinstance(name, str) or len(name) <= 40 else f"{name[:37]}...")
        raise ValueError(f"`metrics` must be of mrr, ndcg@K, recall@K, precision@K and hit@K, as in ndcg@10, not {words}.")
    return Metric("mrr", None) if found[1] else Metric(found[2], int(found[3]))


def evaluate(
    model: Any,
    test: Interactions,
    train: Interactions | None = None,
    *,
    metrics: Sequence[str] = ("mrr", "ndcg@10", "recall@20", "hit@100"),
    progress: bool = False,
) -> dict[str, npt.NDArray[np.float64]]:
    """
    Compute several metrics from one ranking of all items for each user.

    Parameters
    ----------
    model : ImplicitFactorizationModel, ExplicitFactorizationModel or ImplicitNetworkModel
        A model as in `mrr_score`.
    test : Interactions
        Pairs to find.
    train : Interactions, optional
        Pairs whose items are put last.
    metrics : sequence of str
        Any of ``mrr``, ``ndcg@K``, ``recall@K``, ``precision@K`` and ``hit@K``.
    progress : bool, default False
        Show a progress bar, on a terminal only.

    Returns
    -------
    dict of str to float64 array
        Under each name one value for each user with test interactions, by increasing user id, as
        `mrr_score`, `ndcg_score`, `precision_recall_score` and `hit_rate_score` define it.

    Raises
    ------
    TypeError, ValueError, IndexError
        A metric is unknown, the interactions do not fit the model, or its scores are not numbers.

    Examples
    --------
    >>> class Known:
    ...     def predict(self, user_id):
    ...         return np.array([0.1, 0.4, 0.2, 0.3])
    >>> test = Interactions([0, 0], [1, 2], num_items=4)              # places 1 and 3
    >>> evaluate(Known(), test, metrics=["recall@2", "hit@2", "precision@4"])
    {'recall@2': array([0.5]), 'hit@2': array([1.]), 'precision@4': array([0.5])}
    """
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise TypeError(f"`metrics` must be a list of names, not {type(metrics).__name__}.")
    wanted = {name: read_metric(name) for name in metrics}
    ranks = _ranks_shown(model, test, train, progress)
    return {name: _values(ranks, metric) for name, metric in wanted.items()}


def _values(ranks: _Ranks, metric: Metric) -> npt.NDArray[np.float64]:
    """Return one value of a metric for each user."""
    if metric.k is None:
        return ranks.reciprocal()
    if metric.kind == "ndcg":
        return ranks.gains(metric.k)
    if metric.kind == "hit":
        return ranks.any_hit(metric.k)
    found: npt.NDArray[np.float64] = ranks.hits(metric.k) / (
        np.diff(ranks.starts) if metric.kind == "recall" else max(1, min(metric.k, ranks.competitors))
    )
    return found
