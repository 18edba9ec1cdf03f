"""Vectors, exact lists for many users, users folded in; metrics, a split by time."""

from __future__ import annotations

import numpy as np
import pytest

import npbloom as nb
from npbloom.ops.ranking import top_k
from npbloom.recommend import (
    ExplicitFactorizationModel,
    ImplicitFactorizationModel,
    Interactions,
    evaluate,
    hit_rate_score,
    mrr_score,
    ndcg_score,
    precision_recall_score,
    split_by_time,
)
from tests.support._bits import assert_same_bits

RNG = np.random.default_rng(0)
MET = Interactions(
    RNG.integers(1, 30, 400), RNG.integers(1, 60, 400), RNG.integers(1, 6, 400), num_users=30, num_items=60, padding_idx=0
)


@pytest.fixture(scope="module", params=[ImplicitFactorizationModel, ExplicitFactorizationModel])
def model(request):
    """A model of each kind."""
    return request.param(n_iter=3, embedding_dim=5, batch_size=64, rng=0).fit(MET)


def test_dot_products_of_vectors_differ_from_scores_by_a_number_for_each_user(model):
    users, items = model.vectors()
    for user in (1, 7):
        gap = model._score_user(user) - users[user] @ items.T
        np.testing.assert_allclose(gap, gap[0], atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_lists_of_many_users_are_those_of_each(model, threads):
    with nb.num_threads(threads):
        items, scores = model.top_k([3, 1, 3, 29], 12, exclude=model.fitted)
    for row, user in enumerate([3, 1, 3, 29]):
        expected = model.recommend(user, 12, exclude=model.fitted)
        assert items[row][items[row] >= 0].tolist() == expected
        assert_same_bits(scores[row][: len(expected)], model.predict(user)[expected])
    items, scores = model.top_k([2], 100)
    assert (items[0, 59:] == -1).all()
    assert np.isneginf(scores[0, 59:]).all()
    assert sorted(items[0, :59].tolist()) == list(range(1, 60))


def test_the_best_are_found_in_order_and_ties_by_number():
    scores = np.random.default_rng(1).integers(0, 20, (50, 300)).astype(np.float32)
    scores[0, :290], scores[1, 4] = -np.inf, np.nan
    found, best = top_k(scores, 25)
    for row in range(2, 50):
        assert found[row].tolist() == np.argsort(-scores[row], kind="stable")[:25].tolist()
        assert_same_bits(best[row], scores[row][found[row]])
    assert (found[0, 10:] == -1).all()
    assert 4 not in found[1]
    with pytest.raises(ValueError, match="`k` must be at most"):
        top_k(scores, 301)


def test_a_folded_in_vector_solves_its_equations(model):
    items = np.array([5, 9, 5, 40])
    vector = model.fold_in(items).astype(np.float64)
    vectors = model.vectors().items[:, :-1].astype(np.float64)
    met = vectors[[5, 9, 40]]
    system = met.T @ met + 3 * np.mean([np.outer(one, one) for one in vectors], axis=0) + np.eye(5)
    np.testing.assert_allclose(system @ vector[:-1], met.sum(axis=0), atol=1e-5)
    assert vector[-1] == 1
    assert model.fold_in(np.empty(0, dtype=np.int64)).tolist() == [0, 0, 0, 0, 0, 1]
    for bad, error in (([0], ValueError), ([60], IndexError), ([[1]], ValueError), ([1.5], TypeError)):
        with pytest.raises(error):
            model.fold_in(bad)


def test_metrics_are_those_of_their_own_functions(model):
    test = Interactions(RNG.integers(1, 30, 50), RNG.integers(1, 60, 50), num_users=30, num_items=60, padding_idx=0)
    found = evaluate(model, test, MET, metrics=["mrr", "ndcg@7", "hit@9", "recall@4", "precision@4", "precision@99"])
    precision, recall = precision_recall_score(model, test, MET, k=4)
    expected = [
        mrr_score(model, test, MET),
        ndcg_score(model, test, MET, 7),
        hit_rate_score(model, test, MET, 9),
        recall,
        precision,
    ]
    for name, values in zip(found, expected, strict=False):
        assert_same_bits(found[name], values)
    assert_same_bits(found["precision@99"], precision_recall_score(model, test, MET, k=99)[0])
    for bad in ("ndcg", "mrr@5", "hit@-1", "hit@٣", "auc", "recall@4294967296", 3):
        with pytest.raises(ValueError, match=r"^`metrics` must be of mrr"):
            evaluate(model, test, metrics=[bad])
    with pytest.raises(TypeError, match="list of names"):
        evaluate(model, test, metrics="mrr")


def test_a_split_by_time_keeps_the_future_out():
    data = Interactions([0, 1, 0, 1], [0, 1, 2, 3], timestamps=[3, 1, 2, 4])
    train, test = split_by_time(data, 3)
    assert (train.item_ids.tolist(), test.item_ids.tolist()) == ([1, 2], [0, 3])
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="`time` must be"):
            split_by_time(data, bad)
    with pytest.raises(ValueError, match="timestamps"):
        split_by_time(MET, 3)
