"""The choice of weight decay and epochs by `npbloom fit`, and the sentence about the result."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from npbloom.cli import _choose, _compare
from npbloom.cli._choose import RANKING_GRID, RATING_GRID, Candidate, Validation, budget, choose, halve, validation
from npbloom.cli._judge import judge, measure, sample, split
from npbloom.cli._methods import METHODS
from npbloom.cli._settings import DEFAULT_EPOCHS, DEFAULT_L2, Choice, Settings, Tables, Variant
from npbloom.recommend import Interactions

SETTINGS = Settings(dim=8, batch_size=64)
FULL = Variant("full", Tables(compressed=("users", "items")))


def tastes(users: int = 40, items: int = 60, each: int = 12, seed: int = 0) -> Interactions:
    """Return users who like items of their own half."""
    rng = np.random.default_rng(seed)
    liked = [1 + 2 * rng.permutation(items // 2)[:each] + user % 2 for user in range(users)]
    ids = np.repeat(np.arange(1, users + 1), each)
    return Interactions(ids, np.concatenate(liked), num_users=users + 1, num_items=items + 1, padding_idx=0)


class Scripted:
    """Model whose training does nothing. `judge` reads its score after each epoch."""

    def __init__(self, scores: list[float]) -> None:
        """Set the scores; the last one repeats."""
        self.curve, self.epochs = scores, 0

    def fit(self, *_, **__) -> None:
        """Count an epoch."""
        self.epochs += 1

    @property
    def worth(self) -> float:
        """The score now."""
        return self.curve[min(self.epochs, len(self.curve)) - 1]


@pytest.fixture
def halving(monkeypatch):
    """
    Return a function that lets scripted models compete.

    It returns the winner and the epochs of each.
    """
    monkeypatch.setattr(_choose, "judge", lambda model, *_: model.worth)

    def run(curves: dict[float, list[float]], epochs: int | None = None) -> tuple[Candidate, dict[float, int]]:
        models = {l2: Scripted(curve) for l2, curve in curves.items()}
        data = tastes()
        start = (Candidate(model, l2) for l2, model in models.items())
        winner = halve(start, len(models), Validation(data, data), replace(SETTINGS, epochs=epochs), lambda words: None)
        return winner, {l2: model.epochs for l2, model in models.items()}

    return run


def test_the_worse_half_is_dropped_and_the_best_stops_when_it_does_not_rise(halving):
    rising = [float(epoch) for epoch in range(1, 21)]
    winner, trained = halving({0.1: rising, 0.2: [0.5 * score for score in rising], 0.3: [0.0]})
    assert (winner.l2, winner.best_epoch) == (0.1, 20)
    assert trained == {0.1: 30, 0.2: 16, 0.3: 8}


def test_who_starts_slowly_wins_if_it_overtakes_at_a_rung(halving):
    early, late = [5.0] * 10, [1.0, 2.0, 3.0, 4.0, 4.5, 4.6, 4.7, 4.8, 5.5, 9.0]
    winner, _ = halving({0.1: early, 0.2: late, 0.3: [0.0]})
    assert (winner.l2, winner.best_epoch) == (0.2, 10)


def test_given_epochs_are_trained_no_longer_than_that(halving):
    winner, trained = halving({0.1: [1.0, 2.0, 9.0], 0.2: [3.0], 0.3: [2.5]}, epochs=2)
    assert winner.l2 == 0.2
    assert max(trained.values()) == 2


def test_training_ends_where_it_diverges(halving):
    winner, trained = halving({0.1: [3.0, -math.inf], 0.2: [1.0], 0.3: [-math.inf]})
    assert trained[0.3] <= 2
    assert trained[0.1] < 8
    assert winner.l2 == 0.1
    assert winner.best_epoch == 1


def test_every_method_has_the_same_budget_and_large_data_a_smaller_one():
    assert budget(1000, None) == budget(10**6, None)
    small, large, huge = budget(10**6, None), budget(4 * 10**6, None), budget(10**9, None)
    assert small.most > large.most > huge.most >= 2
    assert small.rungs > large.rungs > huge.rungs
    assert min(huge.rungs) >= 1


@pytest.mark.parametrize("method", METHODS)
def test_what_is_chosen_is_the_best_on_the_validation_split(method):
    train, settings = tastes(), replace(SETTINGS, seed=1)
    variant = Variant(method, Tables(0.5, None, ("users", "items")))
    choice = choose(train, variant, settings)
    parts = validation(train, settings)
    assert choice.l2 in RANKING_GRID
    make = _choose.prepare(parts.fit, variant, settings)
    model = _choose.build(make, settings, Choice(choice.l2, 1))
    scores = []
    for _ in range(choice.epochs + _choose.PATIENCE // 2):
        model.fit(parts.fit)
        scores.append(judge(model, parts.fit, parts.held_out, settings))
    if choice.epochs + _choose.PATIENCE // 2 <= _choose.MOST_EPOCHS:
        assert int(np.argmax(scores)) + 1 == choice.epochs


def test_predicted_ratings_have_a_grid_of_their_own():
    data = tastes()
    data.ratings = np.random.default_rng(0).integers(1, 6, len(data)).astype(np.float64)
    choice = choose(data, FULL, replace(SETTINGS, loss="regression", epochs=2))
    assert choice.l2 in RATING_GRID


def test_what_is_given_is_not_chosen(monkeypatch):
    train = tastes()
    assert choose(train, FULL, replace(SETTINGS, epochs=3)).epochs == 3
    assert choose(train, FULL, replace(SETTINGS, l2=0.5)).l2 == 0.5
    monkeypatch.setattr(_choose, "validation", lambda *_: pytest.fail("nothing is to be chosen"))
    assert choose(train, FULL, replace(SETTINGS, epochs=3, l2=0.5)) == Choice(0.5, 3)


def test_the_test_set_is_never_looked_at(monkeypatch):
    data = tastes()
    train, test, _ = split(data, SETTINGS)
    seen = []
    monkeypatch.setattr(_choose, "judge", lambda model, fit, held_out, settings: seen.append((fit, held_out)) or 0.0)
    choose(train, FULL, replace(SETTINGS, epochs=1))
    pairs = {(int(user), int(item)) for user, item in zip(test.user_ids, test.item_ids, strict=True)}
    assert seen
    for fitted, held_out in [
        [set(zip(part.user_ids.tolist(), part.item_ids.tolist(), strict=True)) for part in both] for both in seen
    ]:
        assert pairs.isdisjoint(fitted | held_out)
        assert held_out
        assert fitted.isdisjoint(held_out)


def test_where_too_little_is_left_the_defaults_are_taken():
    few = Interactions([1, 2], [1, 2], num_users=3, num_items=3, padding_idx=0)
    assert choose(few, FULL, SETTINGS) == Choice(DEFAULT_L2, DEFAULT_EPOCHS)
    assert choose(few, FULL, replace(SETTINGS, l2=0.5)) == Choice(0.5, DEFAULT_EPOCHS)
    assert choose(few, FULL, replace(SETTINGS, epochs=2)) == Choice(DEFAULT_L2, 2)


def test_users_are_sampled_beyond_a_size():
    _, held_out, _ = split(tastes(), SETTINGS)
    part = sample(held_out, 7, SETTINGS)
    assert len(part) == 7
    assert len(set(part.user_ids)) == 7
    assert np.isin(part.user_ids, held_out.user_ids).all()
    assert list(part.user_ids) != list(held_out.user_ids[:7])
    assert len(sample(held_out, 40, SETTINGS)) == len(held_out) == 40


def test_one_number_judges_and_three_are_reported():
    data = tastes()
    train, test, _ = split(data, SETTINGS)
    model = _compare._trained(train, FULL, SETTINGS, Choice(0.0, 3))
    assert 0 < judge(model, train, test, SETTINGS) < 1
    assert set(measure(model, train, test, SETTINGS)) == {"mrr", "ndcg10", "hit_rate"}
    model.layers["user_embeddings"].weight[...] = np.inf
    assert judge(model, train, test, SETTINGS) == -math.inf
