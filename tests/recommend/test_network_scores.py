"""Scores of `ImplicitNetworkModel`: log-probabilities of bits, and what follows from them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from npbloom.recommend import ImplicitNetworkModel, hit_rate_score, mrr_score, precision_recall_score
from npbloom.recommend import network as network_module
from tests.recommend._models import same_tables, two_tastes
from tests.recommend._networks import CODERS, Torch, coders, dense, instances, make
from tests.recommend.test_models import labelled, relabelled


def expected_scores(model: ImplicitNetworkModel, items: list[list[int]]) -> np.ndarray:
    """Return log-probabilities in torch, summed over each item's bits."""
    log_probs = Torch(model).log_probs(dense(model, items)).detach().numpy()
    if model.coder is None:
        return log_probs
    return np.stack([log_probs[:, model.coder.hash_rows(item)].sum(axis=1) for item in range(model.num_items)], axis=1)


@coders
def test_scores_are_log_probabilities_of_bits(coder) -> None:
    met = two_tastes()
    model = make(coder, dtype=np.float64, n_iter=10).fit(met)
    known = [sorted(items) for items in instances(met).values()]
    expected = expected_scores(model, known)
    assert expected.std() > 0.1
    for user in range(12):
        np.testing.assert_allclose(model.predict(user), expected[user], rtol=1e-10)
    users, items = np.divmod(np.arange(12 * 22), 22)
    np.testing.assert_allclose(model.predict(users, items), expected.ravel(), rtol=1e-10)
    np.testing.assert_allclose(model.predict(3, [[1, 1], [20, 0]]), expected[3][[[1, 1], [20, 0]]], rtol=1e-10)
    flat = np.concatenate([np.array(one + one[:2]) for one in known])  # some items twice
    offsets = np.cumsum([0, *(len(one) + 2 for one in known)])[:-1]
    np.testing.assert_allclose(model.predict_instances(flat, offsets), expected, rtol=1e-10)
    np.testing.assert_allclose(model.predict_instances([], [0]), expected_scores(model, [[]]), rtol=1e-10)
    np.testing.assert_allclose(model.predict_instances([[1, 2], [4, 4]]), expected_scores(model, [[1, 2], [4]]), rtol=1e-10)
    if coder is None:
        np.testing.assert_allclose(np.exp(expected).sum(axis=1), 1)


def test_pairs_in_blocks(monkeypatch) -> None:
    model = make(CODERS["coder"]).fit(two_tastes())
    users, items = np.random.default_rng(0).integers(0, 12, 100), np.random.default_rng(1).integers(0, 22, 100)
    expected = model.predict(users, items)
    monkeypatch.setattr(network_module, "BLOCK", 50)
    np.testing.assert_allclose(model.predict(users, items), expected, rtol=1e-6)
    assert model.predict([], []).shape == (0,)


def test_users_are_scored_by_all_they_were_fitted_on() -> None:
    met = two_tastes()
    model = make().fit(met.select(met.user_ids != 3))
    stranger = model.predict_instances([], [0])[0]
    np.testing.assert_allclose(model.predict(3), stranger, rtol=1e-6)
    model.fit(met)
    np.testing.assert_allclose(model.predict(3), model.predict_instances([sorted(instances(met)[3])])[0], rtol=1e-6)


@coders
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_popularity_is_added_once_for_each_bit(coder, dtype) -> None:
    met = two_tastes()
    model = make(coder, popularity=0.5, dtype=dtype).fit(met.select(met.user_ids != 3))
    for seen in (met.select(met.user_ids != 3), met):
        model.fit(seen)
        counts = np.bincount([item for items in instances(seen).values() for item in items], minlength=22)
        k = 1 if coder is None else coder.num_hashes
        popular = model.predict(2)
        model.popularity = 0.0
        np.testing.assert_allclose(popular, model.predict(2) + 0.5 * k * np.log(counts + 0.5), rtol=1e-5)
        assert popular.dtype == dtype
        model.popularity = 0.5
    assert np.ptp(counts) > 2


@coders
def test_measures_are_those_of_its_predictions(coder) -> None:
    met, test = two_tastes(), two_tastes(40, seed=9)
    model = make(coder, n_iter=10).fit(met)

    class Predictions:
        """A model that is asked once for each user."""

        def predict(self, user_id: int) -> np.ndarray:
            """Return the same scores."""
            return model.predict(user_id)

    for train in (None, met):
        np.testing.assert_allclose(mrr_score(model, test, train), mrr_score(Predictions(), test, train), rtol=1e-12)
        for measure in (hit_rate_score, precision_recall_score):
            np.testing.assert_array_equal(measure(model, test, train, k=5), measure(Predictions(), test, train, k=5))


def test_recommendations_in_the_files_own_ids() -> None:
    met = labelled()
    model = make(CODERS["coder"]).fit(met)
    scores = model.predict(5)
    best = [item for item in np.argsort(-scores, kind="stable").tolist() if item != 0]
    assert model.recommend("user 5", n=999) == [99 + item for item in best]
    unseen = [99 + item for item in best if item not in instances(met)[5]]
    assert model.recommend("user 5", n=3, exclude=model.fitted) == unseen[:3]
    with pytest.raises(ValueError, match="User 'user 99' is unknown"):
        model.recommend("user 99")
    with pytest.raises(ValueError, match="`interactions` numbers users otherwise"):
        model.fit(relabelled(met))


def test_copies_and_pickles_predict_alike() -> None:
    model = make(CODERS["coder"]).fit(two_tastes())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(2), model.predict(2))
        assert same_tables(other.fit(two_tastes()), copy.deepcopy(model).fit(two_tastes()))
