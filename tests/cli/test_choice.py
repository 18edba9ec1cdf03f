"""The choice of weight decay and epochs by `npbloom fit`, and the sentence about the result."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from npbloom.cli import _choose, _compare, _verdict
from npbloom.cli._choose import RANKING_GRID, RATING_GRID, Candidate, Validation, budget, choose, halve, validation
from npbloom.cli._compare import Comparison, Measured
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


# ---- words --------------------------------------------------------------------------------------


def row(method: str, score: float, served: int = 1000, name: str = "hit_rate", parameters: int = 250) -> Measured:
    """Return a line with a score."""
    known = (
        {"variant": Variant(method, Tables()), "choice": Choice(0.0, 1), "served": served, "parameters": parameters}
        if method in METHODS
        else {}
    )
    return Measured(method, method, {name: score}, **known)


def words(*rows: Measured, items: int = 1000) -> _verdict.Verdict:
    """Return the verdict on some lines."""
    return _verdict.verdict(Comparison(list(rows), 4000, 100, 10, 10, 0, 0, items))


def test_the_winner_is_named_with_score_and_bytes():
    found = words(row("full", 0.5, 4000), row("narrow", 0.3), row("learned", 0.45), row("popularity", 0.1))
    assert found.best.method == "learned"
    assert (found.beats_baseline, found.beats_narrow) == (True, True)
    assert found.words == (
        "Best of the smaller models: learned, with hit@100 0.450 (90% of full's 0.500) and 0.00 MB served, "
        "25% of the full tables' 0.00."
    )


def test_of_equal_scores_fewer_bytes_win():
    found = words(row("learned", 0.4, 2000), row("bloom", 0.4, 1000), row("popularity", 0.1))
    assert found.best.method == "bloom"
    assert "full's" not in found.words


def test_who_is_no_smaller_than_full_tables_does_not_win():
    found = words(row("learned", 0.4, 5000), row("bloom", 0.3, 1000), row("popularity", 0.1))
    assert found.best.method == "bloom"


def test_where_no_model_is_smaller_that_is_said_and_none_wins():
    narrow = row("narrow", 0.4, 4000)  # as many columns as the full tables, so there is no comparison
    for rows in ([row("full", 0.3, 4000), narrow, row("learned", 0.4, 5000)], [row("learned", 0.4, 5000)], [narrow]):
        found = words(*rows, row("popularity", 0.1))
        assert (found.best, found.beats_baseline, found.beats_narrow) == (None, True, None)
        assert found.words == "No model here is smaller than full tables, which take 0.00 MB."
    found = words(row("full", 0.3, 4000), narrow, row("popularity", 0.5))
    assert found.words.endswith("No model beats popularity (hit@100 0.500), which needs no training.")


def test_full_tables_of_another_name_are_not_full_tables_of_fewer_columns():
    found = words(row("full", 0.5, 4000), row("narrow", 0.5, 4000), row("bloom", 0.4, 1000), row("popularity", 0.1))
    assert (found.best.method, found.beats_narrow) == ("bloom", None)
    assert "fewer columns" not in found.words


def test_narrow_tables_of_more_parameters_are_said_to_have_more_and_no_smaller_dim_is_advised():
    narrow, bloom = row("narrow", 0.4, 1200, parameters=1300), row("bloom", 0.3, parameters=1250)
    found = words(row("full", 0.5, 4000), narrow, bloom, row("popularity", 0.1))
    assert found.words.endswith("narrow, with 1,300 parameters against 1,250, reaches hit@100 0.400, bloom 0.300.")
    found = words(row("full", 0.5, 4000), replace(narrow, parameters=1250), bloom, row("popularity", 0.1))
    assert found.words.endswith(
        "narrow, with no more parameters, reaches hit@100 0.400, bloom 0.300. A smaller --dim is simpler and does as well."
    )


def also(one: Measured, **scores: float) -> Measured:
    """Return a line with scores before its own."""
    return replace(one, scores={**scores, **one.scores})


def test_where_all_items_are_hits_the_other_scores_decide_and_are_quoted():
    scores = {"narrow": (0.3, 0.4), "learned": (0.4, 0.3), "popularity": (0.25, 0.2)}
    rows = [also(row(method, 1.0), mrr=mrr, ndcg10=ndcg) for method, (mrr, ndcg) in scores.items()]
    found = words(also(row("full", 1.0, 4000), mrr=0.5, ndcg10=0.5), *rows, items=60)
    assert (found.best.method, found.beats_baseline, found.beats_narrow) == ("narrow", True, False)
    assert "narrow, with NDCG@10 0.400 (80% of full's 0.500) and" in found.words
    assert "reaches NDCG@10 0.400, learned 0.300." in found.words
    assert found.words.endswith("hit@100 tells no models apart where there are 60 items.")


def test_the_score_that_is_quoted_is_the_one_that_the_second_best_lost_by():
    rows = [also(row("narrow", 0.5), mrr=0.3), also(row("learned", 0.5), mrr=0.4), also(row("bloom", 0.2), mrr=0.6)]
    found = words(*rows, also(row("popularity", 0.1), mrr=0.1))
    assert "Best of the smaller models: learned, with MRR 0.400 and" in found.words
    assert "tells no models apart" not in found.words


def test_equal_scores_are_said_to_be_equal():
    rows = [row("narrow", 0.9, 2000, "rmse"), row("bloom", 0.9, 1000, "rmse"), row("learned", 0.9, 1000, "rmse")]
    found = words(*rows[:2], row("mean rating", 1.0, name="rmse"), items=60)
    assert "bloom, with RMSE 0.900 and" in found.words
    assert "narrow has the same scores and is larger." in found.words
    assert "hit@100" not in found.words
    assert "learned has the same scores and is as small." in words(*rows[1:], row("mean rating", 1.0, name="rmse")).words


def test_narrow_may_win_and_then_it_is_said_that_sharing_rows_gains_nothing():
    found = words(row("full", 0.5, 4000), row("narrow", 0.4), row("learned", 0.4), row("bloom", 0.2), row("popularity", 0.1))
    assert found.beats_narrow is False
    assert "No table that ids share beats full tables of fewer columns here" in found.words
    assert "reaches hit@100 0.400, learned 0.400" in found.words


def test_popularity_may_win_and_then_it_is_said():
    found = words(row("full", 0.5, 4000), row("narrow", 0.1), row("bloom", 0.2), row("popularity", 0.2))
    assert found.beats_baseline is False
    assert "No smaller model beats popularity (hit@100 0.200), which needs no training." in found.words
    found = words(row("full", 0.2, 4000), row("bloom", 0.2), row("popularity", 0.2))
    assert "which needs no training, and the full tables do not either." in found.words


def test_full_tables_alone_are_compared_with_popularity():
    assert words(row("full", 0.5, 4000), row("popularity", 0.2)).words == ""
    found = words(row("full", 0.1, 4000), row("popularity", 0.2))
    assert found.best is None
    assert found.words == "No model beats popularity (hit@100 0.200), which needs no training."


def test_of_errors_the_smaller_one_is_better():
    errors = {"full": 0.9, "narrow": 1.0, "bloom": 0.95, "mean rating": 0.94}
    found = words(*(row(method, error, 4000 if method == "full" else 1000, "rmse") for method, error in errors.items()))
    assert found.best.method == "bloom"
    assert found.beats_narrow is True
    assert "with RMSE 0.950 (beside full's 0.900)" in found.words
    assert "No smaller model beats mean rating (RMSE 0.940)" in found.words
