"""Training: a step follows the formulas, padding is not trained, and the seed decides."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from npbloom import BloomEmbedding, ScaledEmbedding, ZeroEmbedding, num_threads
from npbloom.recommend import ExplicitFactorizationModel, ImplicitFactorizationModel, Interactions, rmse_score
from tests.recommend._models import EXPLICIT, IMPLICIT, OPTIMIZERS, make, same_tables, tables, two_tastes
from tests.recommend.test_losses import PAIRS, RATINGS

BATCH = 16
RATE = 0.5


def leaf(array: np.ndarray) -> torch.Tensor:
    """Return a tensor with its own memory that requires a gradient."""
    return torch.tensor(array, requires_grad=True)


def own_layers(met: Interactions, dim: int = 3, scale: float = 3.0) -> dict[str, ScaledEmbedding]:
    """Return float64 tables with values large enough for the losses to be non-linear."""
    rng = np.random.default_rng(5)
    sizes = {"user_embeddings": met.num_users, "item_embeddings": met.num_items}
    return {name: ScaledEmbedding(size, dim, weight=rng.normal(size=(size, dim)) * scale) for name, size in sizes.items()}


@pytest.mark.parametrize("loss", IMPLICIT)
@pytest.mark.parametrize("padding", [None, 0])
def test_an_implicit_step_is_the_gradient_step(loss: str, padding: int | None) -> None:
    met = two_tastes(BATCH, padding)
    layers = own_layers(met)
    before = {name: layer.weight.copy() for name, layer in layers.items()}
    model = ImplicitFactorizationModel(
        loss, n_iter=1, batch_size=BATCH, learning_rate=RATE, optimizer="sgd", num_negative_samples=5, rng=7, **layers
    ).fit(met)

    rng = np.random.default_rng(7)
    order = rng.permutation(BATCH)
    drawn = 5 if loss == "adaptive_hinge" else 1
    negatives = rng.integers(0 if padding is None else 1, met.num_items, size=(BATCH, drawn))
    users, positives = met.user_ids[order], met.item_ids[order]
    table = {name: leaf(weight) for name, weight in before.items()}
    bias = {"user": leaf(np.zeros(met.num_users)), "item": leaf(np.zeros(met.num_items))}

    def score(items: np.ndarray, owners: np.ndarray) -> torch.Tensor:
        """Return scores of items for the users that own them, pair by pair."""
        vectors = table["user_embeddings"][owners] * table["item_embeddings"][items]
        return vectors.sum(dim=-1) + bias["user"][owners] + bias["item"][items]

    negative = torch.stack([score(negatives[:, column], users) for column in range(drawn)], dim=1)
    value = PAIRS[loss](score(positives, users), negative if loss == "adaptive_hinge" else negative[:, 0])
    value.backward()
    assert model.history[0]["loss"] == pytest.approx(value.item(), rel=1e-12)
    expected = {name: (tensor - RATE * tensor.grad).detach().numpy() for name, tensor in table.items()}
    for kind, tensor in bias.items():
        expected[f"{kind}_biases"] = (tensor - RATE * tensor.grad).detach().numpy()[:, np.newaxis]
    for name, weight in expected.items():
        np.testing.assert_allclose(model.layers[name].weight, weight, rtol=1e-10, atol=1e-12, err_msg=name)
    assert not np.array_equal(model.layers["item_embeddings"].weight, before["item_embeddings"])


@pytest.mark.parametrize("loss", EXPLICIT)
def test_an_explicit_step_is_the_gradient_step(loss: str) -> None:
    met = two_tastes(BATCH)
    layers = own_layers(met, scale=0.5)
    before = {name: layer.weight.copy() for name, layer in layers.items()}
    model = ExplicitFactorizationModel(
        loss, n_iter=1, batch_size=BATCH, learning_rate=RATE, optimizer="sgd", rng=7, **layers
    ).fit(met)
    assert met.ratings is not None
    ratings = torch.tensor(met.ratings)
    mean = met.ratings.mean()
    likely = (BATCH + 1) / (BATCH + 2)
    start = {"regression": mean, "poisson": np.log(mean), "logistic": np.log(likely / (1 - likely))}[loss]
    table = {name: leaf(weight) for name, weight in before.items()}
    user_bias, item_bias, intercept = leaf(np.zeros(met.num_users)), leaf(np.zeros(met.num_items)), leaf(np.array(start))
    vectors = table["user_embeddings"][met.user_ids] * table["item_embeddings"][met.item_ids]
    value = RATINGS[loss](vectors.sum(dim=1) + user_bias[met.user_ids] + item_bias[met.item_ids] + intercept, ratings)
    value.backward()
    assert model.history[0]["loss"] == pytest.approx(value.item(), rel=1e-12)
    for name, tensor in table.items():
        moved = (tensor - RATE * tensor.grad).detach().numpy()
        np.testing.assert_allclose(model.layers[name].weight, moved, rtol=1e-10, atol=1e-12, err_msg=name)
    for name, tensor in (("user_biases", user_bias), ("item_biases", item_bias)):
        moved = (tensor - RATE * tensor.grad).detach().numpy()
        np.testing.assert_allclose(model.layers[name].weight[:, 0], moved, rtol=1e-10, atol=1e-12, err_msg=name)
    assert intercept.grad is not None
    assert model.intercept == pytest.approx(start - RATE * intercept.grad.item(), rel=1e-12)


@pytest.mark.parametrize("loss", [*IMPLICIT, *EXPLICIT])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_lowers_every_loss(loss: str, optimizer: str) -> None:
    rate = {"sgd": 2.0 if loss in IMPLICIT else 0.02}.get(optimizer, 0.02)
    model = make(loss, optimizer=optimizer, learning_rate=rate, n_iter=12).fit(two_tastes())
    curve = [entry["loss"] for entry in model.history]
    assert len(curve) == 12
    assert np.mean(curve[-3:]) < curve[0]
    assert all(entry["seconds"] > 0 for entry in model.history)


@pytest.mark.parametrize("loss", ["bpr", "log_bpr", "pointwise", "hinge", "adaptive_hinge"])
def test_tastes_are_learned(loss: str) -> None:
    model = make(loss, n_iter=60, learning_rate=0.05).fit(two_tastes())
    liked = [item % 2 == user % 2 for user in range(12) for item in model.recommend(user, n=8)]
    assert np.mean(liked) > 0.8  # half of them by chance


def test_ratings_are_learned() -> None:
    met = two_tastes()
    model = make("regression", n_iter=60, learning_rate=0.05).fit(met)
    assert met.ratings is not None
    assert rmse_score(model, met) < 0.3 < met.ratings.std()


def test_a_row_is_moved_once_a_step() -> None:
    met = two_tastes(130)
    model = make("bpr", n_iter=1, batch_size=50).fit(met)
    for layer in model.layers.values():
        assert model._steps.state(layer)["step"] == 3  # 50, 50 and 30 interactions


@pytest.mark.parametrize("loss", IMPLICIT)
@pytest.mark.parametrize("padding", [None, 0])
def test_negatives_are_all_items_but_padding(loss: str, padding: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    met = two_tastes(600, padding)
    model = make(loss, n_iter=3)
    seen = []
    lookup = model._lookup

    def spy(users: np.ndarray, items: np.ndarray) -> Any:
        seen.append(items)
        return lookup(users, items)

    monkeypatch.setattr(model, "_lookup", spy)
    model.fit(met)
    drawn = np.concatenate([items[:, 1:].ravel() for items in seen])
    assert set(drawn.tolist()) == set(range(0 if padding is None else 1, met.num_items))
    assert len(drawn) == 3 * 600 * (5 if loss == "adaptive_hinge" else 1)


def test_shuffled_anew_in_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("bpr", n_iter=3, batch_size=7)
    order: list[int] = []
    monkeypatch.setattr(type(model), "_step", lambda self, met, batch: order.extend(batch.tolist()) or 0.0)
    model.fit(two_tastes(40))
    epochs = np.array(order).reshape(3, 40)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(40))
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 3


@pytest.mark.parametrize("loss", ["adaptive_hinge", "regression"])
def test_the_same_seed_gives_the_same_bits(loss: str) -> None:
    met = two_tastes()
    first, other = make(loss, rng=3).fit(met), make(loss, rng=4).fit(met)
    assert not same_tables(first, other)
    for threads in (1, 2, 7):
        with num_threads(threads):
            assert same_tables(first, make(loss, rng=np.random.default_rng(3)).fit(met))


@pytest.mark.parametrize("loss", ["bpr", "poisson"])
def test_fit_goes_on(loss: str) -> None:
    met = two_tastes()
    twice, once = make(loss, n_iter=2).fit(met).fit(met), make(loss, n_iter=4).fit(met)
    assert same_tables(twice, once)
    assert [entry["loss"] for entry in twice.history] == [entry["loss"] for entry in once.history]
    assert len(twice.history) == 4


def test_fit_returns_the_model_and_remembers_pairs() -> None:
    met = Interactions([0, 1, 1, 1], [2, 0, 2, 2], num_users=4, num_items=5)
    model = make("bpr")
    assert model.fit(met) is model
    model.fit(Interactions([3], [4], num_users=4, num_items=5))
    pairs = list(zip(model.fitted.user_ids.tolist(), model.fitted.item_ids.tolist(), strict=True))
    assert pairs == [(0, 2), (1, 0), (1, 2), (3, 4)]


def test_given_layers_are_trained_and_decide_the_dimension() -> None:
    met = two_tastes()
    users = BloomEmbedding(met.num_users, 6, compression_ratio=0.5, num_hash_functions=2, padding_idx=None, rng=0)
    items = ScaledEmbedding(1000, 6, rng=1)
    before = users.weight.copy(), items.weight.copy()
    model = make("bpr", embedding_dim=99, user_embeddings=users, item_embeddings=items).fit(met)
    assert model.embedding_dim == 6
    assert model.layers["user_embeddings"] is users
    assert not np.array_equal(users.weight, before[0])
    np.testing.assert_array_equal(items.weight[met.num_items :], before[1][met.num_items :])  # never drawn
    assert make("bpr", item_embeddings=ZeroEmbedding(22, 3)).fit(met).layers["user_embeddings"].embedding_dim == 3


def test_default_layers() -> None:
    layers = make("bpr", embedding_dim=8).fit(two_tastes(padding=0)).layers
    assert {name: type(layer).__name__ for name, layer in layers.items()} == {
        "user_embeddings": "ScaledEmbedding",
        "user_biases": "ZeroEmbedding",
        "item_embeddings": "ScaledEmbedding",
        "item_biases": "ZeroEmbedding",
    }
    assert {layer.padding_idx for layer in layers.values()} == {0}
    assert layers["item_embeddings"].weight.shape == (22, 8)


def test_weight_decay_reaches_touched_rows_only() -> None:
    met = Interactions([0, 1, 2], [0, 0, 0], num_users=9, num_items=2)
    untouched = make("bpr", optimizer="sgd", learning_rate=0.0, n_iter=1).fit(met)
    decayed = make("bpr", optimizer="sgd", learning_rate=0.1, l2=0.5, n_iter=1).fit(met)
    before, after = tables(untouched)["user_embeddings"], tables(decayed)["user_embeddings"]
    np.testing.assert_array_equal(after[3:], before[3:])
    assert (after[:3] != before[:3]).all()


def test_weight_decay_draws_the_intercept_to_its_start() -> None:
    met = two_tastes()
    free = make("regression", optimizer="sgd", learning_rate=0.0).fit(met)
    held = make("regression", optimizer="sgd", learning_rate=1.0, l2=1.0, n_iter=1, batch_size=400).fit(met)
    assert met.ratings is not None
    assert free.intercept == pytest.approx(met.ratings.mean(), rel=1e-12)
    assert held.intercept == pytest.approx(met.ratings.mean(), abs=0.2)


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        """A standard error that claims to be a terminal or not."""

        tty = True

        def isatty(self) -> bool:
            """Return True if it claims to be a terminal."""
            return self.tty

    shown = {}
    for tty in (True, False):
        for verbose in (True, False):
            terminal = Terminal()
            terminal.tty = tty
            monkeypatch.setattr("sys.stderr", terminal)
            make("bpr", n_iter=1).fit(two_tastes(), verbose=verbose)
            shown[tty, verbose] = terminal.getvalue()
    assert "epoch 1" in shown.pop((True, True))
    assert set(shown.values()) == {""}


def test_a_training_that_diverges_shows_in_history() -> None:
    model = make("regression", optimizer="sgd", learning_rate=1e6, n_iter=6).fit(two_tastes())
    assert not np.isfinite(model.history[-1]["loss"])
    with pytest.raises(ValueError, match="The model's scores are not numbers: its training diverged"):
        model.recommend(0)
