"""Splits of interactions, scores of models, and the baselines that need no training."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from npbloom.cli._settings import Settings
from npbloom.recommend import Interactions, leave_last_out, random_train_test_split, ranking_scores, rmse_score

TOP = 100  # a hit is a held-out item among so many
SHORT = 10  # the list that NDCG looks at
TESTED = 2**30  # scores in a test: users beyond that are sampled


class Popularity:
    """The same scores for everybody: how often an item occurs. A model must beat it to have learned a taste."""

    title = "popularity"

    def __init__(self, train: Interactions) -> None:
        """Count."""
        self._counts = np.bincount(train.item_ids, minlength=train.num_items).astype(np.float32)

    def predict(self, user_id: int) -> Any:
        """The score of each item."""
        return self._counts


class MeanRating:
    """The same rating for every pair. A model must beat it to have learned anything."""

    title = "mean rating"

    def __init__(self, train: Interactions) -> None:
        """Average."""
        assert train.ratings is not None
        self._mean = train.ratings.mean()

    def predict(self, user_ids: Any, item_ids: Any) -> Any:
        """The rating of each pair."""
        return np.full(len(user_ids), self._mean)


class Parts(NamedTuple):
    """A split: a part to train on, a part to judge by, and how many held-out interactions were left out of it as repeats."""

    train: Interactions
    held_out: Interactions
    repeats: int


def readied(data: Interactions, settings: Settings) -> Interactions:
    """The interactions as the loss wants them: of two ratings, the logistic loss predicts whether it is the greater one."""
    if settings.loss != "logistic":
        return data
    data = data.select(np.arange(len(data)))
    assert data.ratings is not None
    data.ratings = (data.ratings == data.ratings.max()).astype(np.float64)
    return data


def split(data: Interactions, settings: Settings) -> Parts:
    """Hold out each user's last interaction, or one at random, or a fifth of the ratings.

    Only pairs that are not in training are scored. To rank, items in training are put last, and
    could not be found; a rating of a pair that was rated twice would be known.
    """
    rng = np.random.default_rng(settings.seed)
    if settings.explicit and not settings.last:
        train, held_out = random_train_test_split(data, 0.2, rng)
    else:
        if not settings.last:
            data = data.select(rng.permutation(len(data)))
            data.timestamps = None  # the last one is now any
        train, held_out = leave_last_out(data)
    there, met = (part.user_ids * data.num_items + part.item_ids for part in (held_out, train))
    new = ~np.isin(there, met)
    return Parts(train, held_out.select(new), int((~new).sum()))


def sample(held_out: Interactions, most: int, settings: Settings) -> Interactions:
    """At most so many of the held-out interactions, drawn at random; all of them where ratings are predicted."""
    if settings.explicit or len(held_out) <= most:
        return held_out
    chosen = np.random.default_rng(settings.seed).choice(len(held_out), most, replace=False)
    return held_out.select(np.sort(chosen))


def measure(model: Any, train: Interactions, test: Interactions, settings: Settings, progress: bool = False) -> dict[str, float]:
    """Scores on the interactions that were held out: means over ratings, or over users; a ValueError if it diverged."""
    if settings.explicit:
        rmse = _rmse(model, test)
        if not math.isfinite(rmse):
            raise ValueError("The model's predictions are not finite: its training diverged; a lower learning rate may help.")
        return {"rmse": rmse}
    found = ranking_scores(model, test, train, hit_rate_k=TOP, ndcg_k=SHORT, progress=progress)
    return {"mrr": float(found.mrr.mean()), "ndcg10": float(found.ndcg.mean()), "hit_rate": float(found.hit_rate.mean())}


def judge(model: Any, train: Interactions, held_out: Interactions, settings: Settings) -> float:
    """One number to choose by, more is better: NDCG of the whole ranking, or minus the RMSE; -inf if it diverged.

    It moves with every rank, where the hit rate only sees one that crosses a line: less of a choice
    is luck.
    """
    if settings.explicit:
        rmse = _rmse(model, held_out)
        return -rmse if math.isfinite(rmse) else -math.inf
    try:
        return float(ranking_scores(model, held_out, train, ndcg_k=train.num_items).ndcg.mean())
    except ValueError:  # scores that are not finite
        return -math.inf


def _rmse(model: Any, test: Interactions) -> float:
    """The error of predicted ratings; of predictions that are not finite it is not either."""
    with np.errstate(over="ignore", invalid="ignore"):
        return rmse_score(model, test)
