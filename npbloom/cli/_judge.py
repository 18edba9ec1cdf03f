"""Splits of interactions, scores of models, and the baselines without training."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from npbloom.cli._settings import Settings
from npbloom.recommend import Interactions, leave_last_out, random_train_test_split, ranking_scores, rmse_score

TOP = 100  # length of the list in which a held-out item is a hit
SHORT = 10  # length of the list for NDCG
TESTED = 2**30  # scores in a test; if there are more, users are sampled


class Popularity:
    """
    Baseline: the count of an item as its score for every user.

    A model that scores above it has learned a taste.
    """

    title = "popularity"

    def __init__(self, train: Interactions) -> None:
        """Count each item in the training interactions."""
        self._counts = np.bincount(train.item_ids, minlength=train.num_items).astype(np.float32)

    def predict(self, user_id: int) -> Any:
        """Return the score of each item."""
        return self._counts


class MeanRating:
    """
    Baseline: the same rating for every pair.

    A model that scores above it has learned something.
    """

    title = "mean rating"

    def __init__(self, train: Interactions) -> None:
        """Compute the mean of the training ratings."""
        assert train.ratings is not None
        self._mean = train.ratings.mean()

    def predict(self, user_ids: Any, item_ids: Any) -> Any:
        """Return the rating of each pair."""
        return np.full(len(user_ids), self._mean)


class Parts(NamedTuple):
    """A split into training and test parts, and the number of repeats left out of the test part."""

    train: Interactions
    held_out: Interactions
    repeats: int


def readied(data: Interactions, settings: Settings) -> Interactions:
    """
    Return the interactions in the form that the loss needs.

    The logistic loss predicts which pairs have the greater of two ratings.
    """
    if settings.loss != "logistic":
        return data
    data = data.select(np.arange(len(data)))
    assert data.ratings is not None
    data.ratings = (data.ratings == data.ratings.max()).astype(np.float64)
    return data


def split(data: Interactions, settings: Settings) -> Parts:
    """
    Hold out each user's last interaction, or a random one, or a fifth of the ratings.

    Only pairs that are not in training are scored. In a ranking, items in training come last and
    could not be found; and the rating of a pair that was rated twice would be known.
    """
    rng = np.random.default_rng(settings.seed)
    if settings.explicit and not settings.last:
        train, held_out = random_train_test_split(data, 0.2, rng)
    else:
        if not settings.last:
            data = data.select(rng.permutation(len(data)))
            data.timestamps = None  # the last one is now a random one
        train, held_out = leave_last_out(data)
    there, met = (part.user_ids * data.num_items + part.item_ids for part in (held_out, train))
    new = ~np.isin(there, met)
    return Parts(train, held_out.select(new), int((~new).sum()))


def sample(held_out: Interactions, most: int, settings: Settings) -> Interactions:
    """
    Return at most `most` held-out interactions, drawn at random.

    If ratings are predicted, return all of them.
    """
    if settings.explicit or len(held_out) <= most:
        return held_out
    chosen = np.random.default_rng(settings.seed).choice(len(held_out), most, replace=False)
    return held_out.select(np.sort(chosen))


def measure(model: Any, train: Interactions, test: Interactions, settings: Settings, progress: bool = False) -> dict[str, float]:
    """
    Return scores on the held-out interactions, as means over ratings or over users.

    Raise a ValueError if the model diverged.
    """
    if settings.explicit:
        rmse = _rmse(model, test)
        if not math.isfinite(rmse):
            raise ValueError("The model's predictions are not finite: its training diverged; a lower learning rate may help.")
        return {"rmse": rmse}
    found = ranking_scores(model, test, train, hit_rate_k=TOP, ndcg_k=SHORT, progress=progress)
    return {"mrr": float(found.mrr.mean()), "ndcg10": float(found.ndcg.mean()), "hit_rate": float(found.hit_rate.mean())}


def judge(model: Any, train: Interactions, held_out: Interactions, settings: Settings) -> float:
    """
    Return a number to choose by: NDCG of the whole ranking, or minus the RMSE.

    Greater is better, and a diverged model has -inf. NDCG changes with every rank, while the hit
    rate sees only ranks that cross a line. So less of the choice is chance.
    """
    if settings.explicit:
        rmse = _rmse(model, held_out)
        return -rmse if math.isfinite(rmse) else -math.inf
    try:
        return float(ranking_scores(model, held_out, train, ndcg_k=train.num_items).ndcg.mean())
    except ValueError:  # scores that are not finite
        return -math.inf


def _rmse(model: Any, test: Interactions) -> float:
    """Return the error of predicted ratings; it is not finite if they are not."""
    with np.errstate(over="ignore", invalid="ignore"):
        return rmse_score(model, test)
