"""Words that `npbloom fit` has for its results: which model is best, and by how much."""

from __future__ import annotations

from dataclasses import replace

from npbloom.cli import _verdict
from npbloom.cli._compare import Comparison, Measured
from npbloom.cli._methods import METHODS
from npbloom.cli._settings import Choice, Tables, Variant


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
