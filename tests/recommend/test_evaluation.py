"""
Evaluation against a slow version that ranks one user at a time.

Cases have ties, padding and training items, which come last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, target
from hypothesis import strategies as st
from scipy.stats import rankdata

from npbloom import BloomEmbedding, num_threads
from npbloom.recommend import (
    Interactions,
    evaluation,
    hit_rate_score,
    mrr_score,
    ndcg_score,
    precision_recall_score,
    random_train_test_split,
    ranking_scores,
    rmse_score,
)
from tests.recommend._models import make, two_tastes

USERS, ITEMS = 6, 9


class Table:
    """A model that is a matrix of predictions."""

    def __init__(self, predictions: np.ndarray) -> None:
        """Keep one row for each user."""
        self.predictions = predictions

    def predict(self, user_ids: Any, item_ids: Any = None) -> np.ndarray:
        """Return the predictions of a user, or of pairs."""
        return self.predictions[user_ids] if item_ids is None else self.predictions[user_ids, item_ids]


def slow(model: Any, test: Interactions, train: Interactions | None, k: int) -> dict[str, np.ndarray]:
    """Compute every score, one user and one item at a time."""
    rows = []
    for user in sorted(set(test.user_ids.tolist())):
        scores = np.asarray(model.predict(user), dtype=np.float64).copy()
        if train is not None:
            scores[train.item_ids[train.user_ids == user]] = -np.finfo(np.float64).max
        real = [item for item in range(test.num_items) if item != test.padding_idx]
        ranks = dict(zip(real, rankdata([-scores[item] for item in real]), strict=True))
        first = sorted(real, key=lambda item: (-scores[item], item))[:k]
        targets = set(test.item_ids[test.user_ids == user].tolist())
        hits = len(targets.intersection(first))
        mrr = np.mean([1 / ranks[item] for item in targets])
        gain = sum(1 / np.log2(2 + place) for place, item in enumerate(first) if item in targets)
        ideal = sum(1 / np.log2(2 + place) for place in range(min(k, len(targets))))
        rows.append((mrr, hits / len(first), hits / len(targets), float(hits > 0), gain / ideal))
    columns = np.array(rows).reshape(-1, 5).T
    return dict(zip(("mrr", "precision", "recall", "hit", "ndcg"), columns, strict=True))


def check(model: Any, test: Interactions, train: Interactions | None, k: int) -> dict[str, np.ndarray]:
    """Check that the fast and the slow version agree."""
    expected = slow(model, test, train, k)
    np.testing.assert_allclose(mrr_score(model, test, train), expected["mrr"], rtol=1e-12)
    precision, recall = precision_recall_score(model, test, train, k=k)
    np.testing.assert_allclose(precision, expected["precision"], rtol=1e-12)
    np.testing.assert_allclose(recall, expected["recall"], rtol=1e-12)
    np.testing.assert_array_equal(hit_rate_score(model, test, train, k=k), expected["hit"])
    np.testing.assert_allclose(ndcg_score(model, test, train, k=k), expected["ndcg"], rtol=1e-12)
    whole = ranking_scores(model, test, train, hit_rate_k=k, ndcg_k=k)
    for found, one in zip(whole, (mrr_score, hit_rate_score, ndcg_score), strict=True):
        np.testing.assert_array_equal(found, one(model, test, train, **({} if one is mrr_score else {"k": k})))
    return expected


def pairs(padding: int | None, least: int = 0) -> st.SearchStrategy[Interactions]:
    """Draw interactions with repeats; some users and items have none."""
    first = 0 if padding is None else 1
    pair = st.tuples(st.integers(first, USERS - 1), st.integers(first, ITEMS - 1))
    return st.lists(pair, min_size=least, max_size=25).map(
        lambda chosen: Interactions(
            [user for user, _ in chosen], [item for _, item in chosen], None, None, USERS, ITEMS, padding_idx=padding
        )
    )


@given(
    data=st.data(),
    padding=st.sampled_from([None, 0]),
    levels=st.integers(1, 12),
    k=st.integers(1, ITEMS + 2),
    block=st.sampled_from([1, 2 * ITEMS, 2**22]),
)
def test_any_matrix_against_the_slow_version(data: st.DataObject, padding: int | None, levels: int, k: int, block: int) -> None:
    test, train = data.draw(pairs(padding)), data.draw(st.none() | pairs(padding))
    predictions = np.random.default_rng(levels).integers(0, levels, (USERS, ITEMS)) / 4
    event(f"train {train is not None}, padding {padding}, ties {levels < ITEMS}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "BLOCK", block)
        expected = check(Table(predictions), test, train, k)
    target(float(len(expected["mrr"])))


@pytest.mark.parametrize("loss", ["bpr", "adaptive_hinge", "regression", "logistic", "poisson"])
@pytest.mark.parametrize("padding", [None, 0])
def test_a_trained_model_against_the_slow_version(loss: str, padding: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = random_train_test_split(two_tastes(padding=padding), 0.3, rng=1)
    model = make(loss, n_iter=3).fit(train)
    whole = mrr_score(model, test, train)
    for known in (None, train):
        check(model, test, known, 3)
    for block in (1, 50):
        monkeypatch.setattr(evaluation, "BLOCK", block)
        for threads in (1, 3):
            with num_threads(threads):
                np.testing.assert_array_equal(mrr_score(model, test, train), whole)


def test_items_that_share_all_rows_are_ties() -> None:
    met = two_tastes()
    layer = BloomEmbedding(22, 4, hash_table=np.zeros((22, 2), dtype=int), num_rows=3, padding_idx=None, rng=0)
    model = make("regression", item_embeddings=layer).fit(met)
    model.layers["item_biases"].weight[:] = 0.25
    predictions = model.predict(3)
    np.testing.assert_array_equal(predictions, predictions[0])
    test = Interactions([3, 4], [21, 0], num_users=12, num_items=22)
    np.testing.assert_allclose(mrr_score(model, test), 1 / 11.5, rtol=1e-12)
    train = Interactions([3] * 20, np.arange(20), num_users=12, num_items=22)
    np.testing.assert_allclose(mrr_score(model, test, train), [1 / 1.5, 1 / 11.5], rtol=1e-12)


def test_a_test_item_that_was_trained_on_is_last() -> None:
    met = Interactions([0], [2], num_items=4)
    np.testing.assert_array_equal(mrr_score(Table(np.array([[0.0, 1.0, 9.0, 2.0]])), met, met), [1 / 4])


def test_one_value_for_each_user_with_test_interactions() -> None:
    predictions = np.tile(np.arange(4.0), (5, 1))
    test = Interactions([4, 1, 4], [3, 2, 3], num_users=5, num_items=4)
    np.testing.assert_array_equal(mrr_score(Table(predictions), test), [1 / 2, 1.0])  # users 1 and 4
    nobody = Interactions([], [], None, None, 5, 4)
    for scores in (mrr_score, hit_rate_score):
        assert scores(Table(predictions), nobody).shape == (0,)
    assert [part.shape for part in precision_recall_score(Table(predictions), nobody)] == [(0,), (0,)]


def test_padding_is_known_from_any_side() -> None:
    met = two_tastes(padding=0)
    bare = Interactions(met.user_ids, met.item_ids, None, None, 12, 22)
    model = make("bpr").fit(met)
    np.testing.assert_array_equal(mrr_score(model, bare), mrr_score(model, met))
    model = make("bpr").fit(bare)
    model.layers["item_biases"].weight[0] = 100.0
    assert (mrr_score(model, bare) < mrr_score(model, met)).all()
    np.testing.assert_array_equal(mrr_score(model, bare, met), mrr_score(model, met, bare))


def test_all_scores_of_a_model_take_one_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Counting(Table):
        def predict(self, user_ids: Any, item_ids: Any = None) -> np.ndarray:
            asked.append(user_ids)
            return super().predict(user_ids, item_ids)

    test = Interactions([0, 1, 1], [3, 0, 2], num_users=3, num_items=4)
    ranking_scores(Counting(np.tile(np.arange(4.0), (3, 1))), test)
    assert asked == [0, 1]


def test_the_bar_of_a_ranking_moves_with_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[tuple[int, int]] = []

    class Bar(evaluation.tqdm):  # type: ignore[type-arg]
        def update(self, n: int = 1) -> None:
            moves.append((n, self.total))

    monkeypatch.setattr(evaluation, "tqdm", Bar)
    monkeypatch.setattr(evaluation, "BLOCK", 8)  # two users of four items at once
    test = Interactions([0, 1, 2, 3, 4], [3, 0, 2, 1, 1], num_users=5, num_items=4)
    ranking_scores(Table(np.tile(np.arange(4.0), (5, 1))), test, progress=True)
    assert moves == [(2, 5), (2, 5), (1, 5)]


def test_several_lengths_give_a_column_each() -> None:
    predictions, test = np.array([[4.0, 3.0, 2.0, 1.0]]), Interactions([0, 0], [0, 3], num_items=4)
    precision, recall = precision_recall_score(Table(predictions), test, k=[1, 2, 9])
    np.testing.assert_allclose(precision, [[1, 1 / 2, 2 / 4]])
    np.testing.assert_allclose(recall, [[1 / 2, 1 / 2, 1]])


def test_rmse() -> None:
    met = two_tastes()
    model = make("regression").fit(met)
    assert met.ratings is not None
    errors = [
        met.ratings[i] - model.predict(int(met.user_ids[i]), [int(met.item_ids[i])])[0].astype(np.float64)
        for i in range(len(met))
    ]
    assert rmse_score(model, met) == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-12)
    with pytest.raises(ValueError, match="`test` must have ratings"):
        rmse_score(model, Interactions([0], [0], num_users=12, num_items=22))


def test_scores_that_are_not_numbers_are_refused() -> None:
    met = two_tastes()
    model = make("bpr").fit(met)
    model.layers["item_biases"].weight[3] = np.nan
    with pytest.raises(ValueError, match="The model's scores are not finite: its training diverged"):
        mrr_score(model, met)
    with pytest.raises(ValueError, match="The model's scores are not finite"):
        hit_rate_score(Table(np.full((1, 3), np.inf)), Interactions([0], [0], num_items=3))


def test_what_does_not_fit_is_refused() -> None:
    met = two_tastes()
    model = make("bpr").fit(met)
    with pytest.raises(TypeError, match="`test` must be Interactions, not list"):
        mrr_score(model, [1])
    with pytest.raises(TypeError, match="`train` must be Interactions, not int"):
        mrr_score(model, met, 3)
    with pytest.raises(ValueError, match="`test` has item ids from 99 to 99, and the model 22 items"):
        mrr_score(model, Interactions([0], [99]))
    with pytest.raises(ValueError, match="`train` has user ids from 0 to 12, and the model 12 users"):
        mrr_score(model, met, Interactions([0, 12], [0, 0]))
    with pytest.raises(ValueError, match="`train` has item ids up to 5, and `test` 4 items"):
        mrr_score(Table(np.zeros((1, 4))), Interactions([0], [0], num_items=4), Interactions([0], [5]))
    with pytest.raises(ValueError, match="`k` must be at least 1, not 0"):
        precision_recall_score(model, met, k=0)
    with pytest.raises(ValueError, match="`k` must be at least 1, not -1"):
        hit_rate_score(model, met, k=-1)
    with pytest.raises(ValueError, match="The model must be fitted first"):
        mrr_score(make("bpr"), met)
    with pytest.raises(ValueError, match=r"`predictions` must have shape \(22,\), not \(3,\)"):
        mrr_score(Table(np.zeros((12, 3))), met)
