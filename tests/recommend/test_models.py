"""Models: predictions, recommendations with the file's own ids, and refused arguments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npbloom import BloomEmbeddingBag, ScaledEmbedding, ScaledEmbeddingBag
from npbloom.recommend import ExplicitFactorizationModel, ImplicitFactorizationModel, Interactions, read_ratings
from npbloom.recommend import _recommender as model_module
from tests.recommend._models import EXPLICIT, IMPLICIT, make, two_tastes


def score(model: Any, user: int, item: int) -> float:
    """Return the score of a pair, computed from the tables in float64."""
    layers = {name: layer.weight.astype(np.float64) for name, layer in model.layers.items()}
    product = layers["user_embeddings"][user] @ layers["item_embeddings"][item]
    intercept = model.intercept if isinstance(model, ExplicitFactorizationModel) else 0.0
    return float(product + layers["user_biases"][user, 0] + layers["item_biases"][item, 0] + intercept)


@pytest.mark.parametrize("loss", [*IMPLICIT, *EXPLICIT])
def test_predictions_are_scores_through_the_link(loss: str) -> None:
    model = make(loss).fit(two_tastes())
    link = {"poisson": np.exp, "logistic": lambda s: 1 / (1 + np.exp(-s))}.get(loss, lambda s: s)
    expected = np.array([[link(score(model, user, item)) for item in range(22)] for user in range(12)])
    for user in range(12):
        np.testing.assert_allclose(model.predict(user), expected[user], rtol=2e-6, atol=1e-6)
    assert model.predict(3).dtype == np.float32
    assert expected.std() > 0


@pytest.mark.parametrize("loss", ["bpr", "logistic"])
def test_a_pair_has_the_same_bits_alone_and_among_others(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(loss).fit(two_tastes())
    whole = np.stack([model.predict(user) for user in range(12)])
    users, items = np.divmod(np.arange(12 * 22), 22)
    for block in (65536, 7):
        monkeypatch.setattr(model_module, "PAIRS", block)
        np.testing.assert_array_equal(model.predict(users, items), whole.ravel())
    np.testing.assert_array_equal(model.predict(4, [5, 0, 5]), whole[4, [5, 0, 5]])
    np.testing.assert_array_equal(model.predict([4], [[5, 0], [2, 1]]), whole[4][[[5, 0], [2, 1]]])
    np.testing.assert_array_equal(model.predict(np.array([3]), 7), whole[3, 7])
    assert model.predict([], []).shape == (0,)


def test_what_a_layer_does_with_padding_shows_in_predictions() -> None:
    model = make("bpr").fit(two_tastes(padding=0))
    np.testing.assert_array_equal(model.predict(1)[0], model.layers["user_biases"].weight[1, 0])


@pytest.mark.parametrize(
    ("error", "sentence", "arguments"),
    [
        (IndexError, "`user_ids` must lie in [0, 12), not 12.", (12,)),
        (IndexError, "`user_ids` must lie in [0, 12), not -1 at position 1.", ([0, -1], [0, 0])),
        (IndexError, "`item_ids` must lie in [0, 22), not 22 at position 0.", (0, [22])),
        (ValueError, "`user_ids` must be one user where `item_ids` is not given, not 2.", ([0, 1],)),
        (ValueError, "`item_ids` must have the shape of `user_ids`, (2,), not (3,).", ([0, 1], [0, 1, 2])),
        (TypeError, "`user_ids` must be an integer array, not float64.", (1.0,)),
        (TypeError, "`item_ids` must be an integer array, not float64.", (1, [1.5])),
    ],
)
def test_what_cannot_be_predicted(error: type[Exception], sentence: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        make("bpr").fit(two_tastes()).predict(*arguments)


def test_nothing_comes_out_before_fit(tmp_path: Path) -> None:
    model = make("bpr")
    for call in (lambda: model.predict(0), lambda: model.recommend(0), lambda: model.fitted, lambda: model.save(tmp_path / "m")):
        with pytest.raises(ValueError, match=r"The model must be fitted first: call `fit`\."):
            call()


def labelled() -> Interactions:
    """Return interactions with ids from 1 and labels of both kinds."""
    met = two_tastes(padding=0)
    return Interactions(
        *(met.user_ids, met.item_ids, None, None, 12, 22),
        user_labels=["", *(f"user {number}" for number in range(1, 12))],
        item_labels=[-1, *range(100, 121)],
        padding_idx=0,
    )


def relabelled(met: Interactions) -> Interactions:
    """Return the same pairs with other labels of users."""
    labels = [f"other {number}" for number in range(12)]
    return Interactions(met.user_ids, met.item_ids, None, None, 12, 22, user_labels=labels, padding_idx=0)


def test_recommendations_are_the_highest_scores_in_the_files_own_ids() -> None:
    met = labelled()
    model = make("bpr").fit(met)
    scores = model.predict(5)
    best = [item for item in np.argsort(-scores, kind="stable").tolist() if item != 0]
    assert model.recommend("user 5", n=4) == [99 + item for item in best[:4]]
    assert model.recommend("user 5", n=999) == [99 + item for item in best]
    assert all(type(label) is int for label in model.recommend("user 5"))
    seen = set(met.item_ids[met.user_ids == 5].tolist())
    assert seen
    unseen = [99 + item for item in best if item not in seen]
    assert model.recommend("user 5", n=999, exclude=met) == unseen
    assert model.recommend("user 5", n=999, exclude=model.fitted) == unseen
    nobody = met.select(met.user_ids != 5)
    assert model.recommend("user 5", n=999, exclude=nobody) == [99 + item for item in best]


def test_equal_scores_come_by_number_and_padding_never_comes() -> None:
    model = make("bpr").fit(labelled())
    for layer in model.layers.values():
        layer.weight[:] = 0
    assert model.recommend("user 1", n=3) == [100, 101, 102]


def test_recommend_refuses() -> None:
    met = labelled()
    model = make("bpr").fit(met)
    with pytest.raises(ValueError, match="User 'user 99' is unknown: there is no such user in the interactions"):
        model.recommend("user 99")
    with pytest.raises(ValueError, match="User '' is unknown"):
        model.recommend("")
    with pytest.raises(ValueError, match="`n` must be at least 1, not 0"):
        model.recommend("user 1", n=0)
    with pytest.raises(ValueError, match="`exclude` numbers users otherwise"):
        model.recommend("user 1", exclude=relabelled(met))
    assert len(model.recommend("user 1", n=99, exclude=two_tastes(padding=0))) < 21  # without labels ids are taken as they are


def test_users_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ratings.tsv"
    path.write_text("".join(f"{user}\titem {item}\n" for user in (7, 30) for item in range(5)))
    ratings = read_ratings(path)
    model = make("bpr").fit(ratings)
    assert sorted(model.recommend("30")) == sorted(model.recommend(7)) == [f"item {item}" for item in range(5)]
    assert model.recommend(7, exclude=ratings) == []


@pytest.mark.parametrize(
    ("error", "sentence", "arguments"),
    [
        (
            ValueError,
            "`loss` must be one of 'bpr', 'log_bpr', 'pointwise', 'hinge', 'adaptive_hinge', not 'BPR'.",
            {"loss": "BPR"},
        ),
        (
            ValueError,
            "`optimizer` must be one of 'sgd', 'adagrad', 'rowwise_adagrad', 'adam', not 'Adam'.",
            {"optimizer": "Adam"},
        ),
        (ValueError, "`embedding_dim` must be at least 1, not 0.", {"embedding_dim": 0}),
        (TypeError, "`n_iter` must be an integer, not 2.5.", {"n_iter": 2.5}),
        (ValueError, "`batch_size` must be at least 1, not -1.", {"batch_size": -1}),
        (ValueError, "`l2` must be at least 0, not -1.", {"l2": -1}),
        (ValueError, "`learning_rate` must be a number, not NaN.", {"learning_rate": float("nan")}),
        (ValueError, "`num_negative_samples` must be at least 1, not 0.", {"num_negative_samples": 0}),
        (
            ValueError,
            "`num_negative_samples` is for the loss 'adaptive_hinge'; 'bpr' draws one for each interaction.",
            {"num_negative_samples": 3},
        ),
        (TypeError, "`rng` must be a numpy.random.Generator, an integer seed or None, not 'seed'.", {"rng": "seed"}),
        (
            TypeError,
            "`user_embeddings` must be a ScaledEmbedding, ZeroEmbedding or BloomEmbedding, not ScaledEmbeddingBag.",
            {"user_embeddings": ScaledEmbeddingBag(3, 2)},
        ),
        (
            TypeError,
            "`item_embeddings` must be a ScaledEmbedding, ZeroEmbedding or BloomEmbedding, not BloomEmbeddingBag.",
            {"item_embeddings": BloomEmbeddingBag(30, 2)},
        ),
        (
            ValueError,
            "`user_embeddings` and `item_embeddings` must have one `embedding_dim`, not 2 and 3.",
            {"user_embeddings": ScaledEmbedding(5, 2), "item_embeddings": ScaledEmbedding(5, 3)},
        ),
    ],
)
def test_arguments_that_are_refused(error: type[Exception], sentence: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        ImplicitFactorizationModel(**arguments)


def test_one_layer_cannot_be_both_tables() -> None:
    layer = ScaledEmbedding(30, 2)
    with pytest.raises(ValueError, match="must be two layers, not one given twice"):
        ImplicitFactorizationModel(user_embeddings=layer, item_embeddings=layer)


def test_an_option_that_means_nothing_is_refused() -> None:
    settings: dict[str, Any] = {"num_negative_samples": 5}
    with pytest.raises(TypeError, match="num_negative_samples"):
        ExplicitFactorizationModel(**settings)
    with pytest.raises(ValueError, match="`loss` must be one of 'regression', 'poisson', 'logistic', not 'bpr'"):
        ExplicitFactorizationModel(loss="bpr")


def frozen_layer() -> ScaledEmbedding:
    """Return a layer whose table cannot be written to."""
    weight = np.zeros((30, 2), dtype=np.float32)
    weight.flags.writeable = False
    return ScaledEmbedding(30, 2, weight=weight)


@pytest.mark.parametrize(
    ("sentence", "model", "met"),
    [
        ("`interactions` must be of at least 2 users, not 1", make("bpr"), Interactions([3, 3], [0, 1])),
        ("`interactions` must not be empty", make("bpr"), Interactions([], [], None, None, 3, 3)),
        ("`interactions` must be with at least 2 items, not 1", make("bpr"), Interactions([0, 1], [0, 0])),
        ("`interactions` must be with at least 2 items, not 1", make("hinge"), Interactions([1, 2], [1, 1], padding_idx=0)),
        ("`interactions` must have ratings", make("regression"), Interactions([0, 1], [0, 1])),
        (
            "`ratings` must be at least 0 for 'poisson', not -1 at position 1",
            make("poisson"),
            Interactions([0, 1], [0, 1], [2, -1]),
        ),
        (
            "`item_embeddings` has 5 ids, and there are 22 items",
            make("bpr", item_embeddings=ScaledEmbedding(5, 4)),
            two_tastes(),
        ),
        ("must be writable to be trained", make("bpr", user_embeddings=frozen_layer()), two_tastes()),
    ],
)
def test_interactions_that_cannot_be_learned_from(sentence: str, model: Any, met: Interactions) -> None:
    given = dict(model.layers)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        model.fit(met)
    assert model.layers == given  # nothing has changed


def test_later_interactions_must_be_of_the_same_users_and_items() -> None:
    met = two_tastes()
    model = make("bpr").fit(met)
    before = model.predict(0)
    with pytest.raises(TypeError, match="`interactions` must be Interactions, not tuple"):
        model.fit((1, 2))
    met.user_ids[0] = 12
    with pytest.raises(ValueError, match="`interactions` has user ids from 0 to 12, and the model 12 users"):
        model.fit(met)
    np.testing.assert_array_equal(model.predict(0), before)
    fresh = make("bpr")
    with pytest.raises(IndexError, match=r"`user_ids` must lie in \[0, 12\), not 12 at position 0"):
        fresh.fit(met)
    assert fresh.layers == {}


def test_later_interactions_must_have_the_same_labels_if_any() -> None:
    met = labelled()
    model = make("bpr").fit(met)
    with pytest.raises(
        ValueError, match="`interactions` numbers users otherwise than the interactions that the model was fitted on"
    ):
        model.fit(relabelled(met))
    with pytest.raises(ValueError, match="`interactions` has item 0, which is padding to the model"):
        model.fit(Interactions([1, 2], [1, 0]))
    assert len(model.fit(Interactions([1, 2], [1, 3])).history) == 4


@pytest.mark.parametrize(
    ("loss", "ratings", "intercept"),
    [
        ("regression", [1, 2, 6], 3.0),
        ("poisson", [1, 2, 6], np.log(3.0)),
        ("poisson", [0, 0, 0], np.log(1e-6)),
        ("logistic", [1, 2, 0], np.log(3 / 2)),  # (2 + 1) / (3 + 2) against the rest
        ("logistic", [1, 1, 1], np.log(4.0)),
        ("logistic", [-1, 0, -2], np.log(1 / 4)),
    ],
)
def test_where_the_intercept_starts(loss: str, ratings: list[int], intercept: float) -> None:
    model = make(loss, learning_rate=0.0, optimizer="sgd").fit(Interactions([0, 1, 2], [0, 1, 1], ratings))
    assert model.intercept == pytest.approx(intercept, rel=1e-12)
