"""`ImplicitNetworkModel`: steps as in torch, scores as log-probabilities of bits, common API."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch

from npbloom.coding import BloomCoder
from npbloom.optimizers import BY_NAME
from npbloom.recommend import ImplicitNetworkModel, Interactions, hit_rate_score, mrr_score, precision_recall_score
from npbloom.recommend import network as network_module
from tests.recommend._models import same_tables, tables, two_tastes
from tests.recommend.test_models import labelled, relabelled

CODERS = {
    "items": None,
    "coder": BloomCoder(22, 13, 3, rng=0),
    "murmur": BloomCoder.murmur(30, 13, 2),
    "one hash": BloomCoder(22, 9, 1, rng=0),
}
coders = pytest.mark.parametrize("coder", CODERS.values(), ids=CODERS)


def make(coder: BloomCoder | None = None, **settings: Any) -> ImplicitNetworkModel:
    """Return a small network."""
    return ImplicitNetworkModel(**{"hidden": (6, 5), "coder": coder, "n_iter": 3, "batch_size": 5, "rng": 0, **settings})


def instances(met: Interactions) -> dict[int, set[int]]:
    """Return the items that each user has met."""
    return {user: set(met.item_ids[met.user_ids == user].tolist()) for user in range(met.num_users)}


def dense(model: ImplicitNetworkModel, items: list[list[int]]) -> np.ndarray:
    """Return instances as rows of zeros and ones over the bits."""
    coder = model.coder
    rows = np.zeros((len(items), model.num_items if coder is None else coder.num_bits))
    for row, own in zip(rows, items, strict=True):
        for item in own:
            row[[item] if coder is None else coder.hash_rows(item)] = 1
    return rows


# ---- training ------------------------------------------------------------------------------------


class Torch:
    """
    The same network in torch, trained by torch's optimizers.

    Only touched rows of the input are updated (L27).
    """

    def __init__(self, model: ImplicitNetworkModel) -> None:
        """Start from the model's weights."""
        self.model = model
        self.weights = {name: torch.tensor(layer.weight, requires_grad=True) for name, layer in model.layers.items()}
        others = [weight for name, weight in self.weights.items() if name != "input"]
        kind = torch.optim.Adam if model.optimizer == "adam" else torch.optim.SGD
        self.optimizer = kind(others, lr=model.learning_rate, weight_decay=model.l2)
        self.first, self.second = (torch.zeros_like(self.weights["input"]) for _ in range(2))
        self.count = 0

    def log_probs(self, rows: np.ndarray) -> torch.Tensor:
        """Return log-probabilities of the bits."""
        out = torch.relu(torch.tensor(rows) @ self.weights["input"] + self.weights["input_biases"])
        for number in range(1, len(self.model.hidden)):
            out = torch.relu(out @ self.weights[f"hidden_{number}"] + self.weights[f"hidden_{number}_biases"])
        return torch.log_softmax(out @ self.weights["output"].T + self.weights["output_biases"][:, 0], dim=1)

    def step(self, given: np.ndarray, wanted: np.ndarray) -> float:
        """Run one step on rows of bits; return the loss before it."""
        target = torch.tensor(wanted / wanted.sum(axis=1, keepdims=True))
        loss = -(self.log_probs(given) * target).sum(dim=1).mean()
        self.optimizer.zero_grad()
        self.weights["input"].grad = None
        loss.backward()
        self.optimizer.step()
        self.count += 1
        self.move_input(torch.tensor(given.any(axis=0)))
        return loss.item()

    def move_input(self, touched: torch.Tensor) -> None:
        """Update the touched rows of the input by SGD or Adam."""
        weight, lr, decay = self.weights["input"], self.model.learning_rate, self.model.l2
        with torch.no_grad():
            grad = weight.grad[touched] + decay * weight[touched]
            if self.model.optimizer == "sgd":
                weight[touched] -= lr * grad
                return
            self.first[touched] = 0.9 * self.first[touched] + 0.1 * grad
            self.second[touched] = 0.999 * self.second[touched] + 0.001 * grad * grad
            first = self.first[touched] / (1 - 0.9**self.count)
            second = self.second[touched] / (1 - 0.999**self.count)
            weight[touched] -= lr * first / (second.sqrt() + 1e-8)


@coders
@pytest.mark.parametrize(("optimizer", "rate", "l2"), [("adam", 0.01, 0.0), ("adam", 0.05, 0.02), ("sgd", 0.5, 0.01)])
@pytest.mark.parametrize("hidden", [(6,), (7, 5, 4)])
def test_training_is_torch_s(coder, optimizer, rate, l2, hidden, monkeypatch) -> None:
    met = two_tastes(70)
    model = make(coder, hidden=hidden, optimizer=optimizer, learning_rate=rate, l2=l2, dtype=np.float64)
    model._prepare(met)
    other, before = Torch(model), tables(model)
    losses: list[float] = []
    split = model._split

    def spy(batch: np.ndarray) -> Any:
        """Let torch take the same step."""
        parts = split(batch)
        rows = [dense(model, [part.tolist() for part in np.split(items, offsets[1:])]) for items, offsets in parts]
        losses.append(other.step(*rows) * len(batch))
        return parts

    monkeypatch.setattr(model, "_split", spy)
    model.fit(met)
    assert len(losses) == 9
    for name, weight in other.weights.items():
        np.testing.assert_allclose(model.layers[name].weight, weight.detach().numpy(), rtol=1e-8, atol=1e-10, err_msg=name)
        assert not np.array_equal(model.layers[name].weight, before[name])
    for epoch, entry in enumerate(model.history):
        assert entry["loss"] == pytest.approx(sum(losses[3 * epoch : 3 * epoch + 3]) / 12, rel=1e-9)


@pytest.mark.parametrize("held_out", [0.05, 0.5, 0.95])
def test_every_user_is_split_anew_with_something_on_each_side(held_out, monkeypatch) -> None:
    met = Interactions([0, 1, 1, 2, 2, 2, 2, 4, 4, 2, 1], [3, 1, 2, 0, 1, 4, 5, 5, 6, 0, 2], num_users=6, num_items=7)
    model = make(held_out=held_out, n_iter=400, batch_size=3, learning_rate=0.0, optimizer="sgd")
    seen: list[tuple[list[int], list[int]]] = []
    split = model._split

    def spy(batch: np.ndarray) -> Any:
        """Record both parts of every user."""
        given, wanted = split(batch)
        sides = (np.split(items, offsets[1:]) for items, offsets in (given, wanted))
        seen.extend((one.tolist(), two.tolist()) for one, two in zip(*sides, strict=True))
        return given, wanted

    monkeypatch.setattr(model, "_split", spy)
    model.fit(met)
    known = [items for items in instances(met).values() if items]
    assert len(seen) == 400 * len(known)
    counts = {tuple(sorted(items)): [0, 0] for items in known}
    for given, wanted in seen:
        assert not set(given) & set(wanted)
        together = tuple(sorted(given + wanted))
        counts[together][0] += 1
        counts[together][1] += len(wanted)
        assert wanted
        assert given or len(together) == 1
    assert {pair[0] for pair in counts.values()} == {400}
    share = counts[0, 1, 4, 5][1] / 1600
    assert abs(share - np.clip(held_out, 0.25, 0.75)) < 0.05  # of four items one at least is on each side
    if held_out == 0.5:
        assert len({tuple(wanted) for given, wanted in seen if len(given + wanted) == 4}) == 14  # all but none and all


def halves() -> Interactions:
    """Return interactions in which forty users have met eight of the sixty items of their taste."""
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.permutation(60)[:8] * 2 + user % 2 for user in range(40)])
    return Interactions(np.repeat(np.arange(40), 8), items, num_items=120)


@pytest.mark.parametrize(
    "coder", [None, BloomCoder(120, 120, 2, rng=0), BloomCoder.murmur(120, 160, 3), BloomCoder(120, 160, 1, rng=0)]
)
def test_tastes_are_learned(coder) -> None:
    met = halves()
    model = make(coder, n_iter=60, batch_size=10, learning_rate=0.01).fit(met)
    liked = [item % 2 == user % 2 for user in range(40) for item in model.recommend(user, n=20, exclude=met)]
    assert np.mean(liked) > 0.7  # half of them by chance


@pytest.mark.parametrize("optimizer", BY_NAME)
def test_every_optimizer_lowers_the_loss(optimizer) -> None:
    rate = {"sgd": 1.0}.get(optimizer, 0.02)
    model = make(n_iter=30, batch_size=10, optimizer=optimizer, learning_rate=rate).fit(halves())
    curve = [entry["loss"] for entry in model.history]
    assert np.mean(curve[-3:]) < np.mean(curve[:3]) - 0.05


def test_fit_goes_on_and_the_seed_decides() -> None:
    met = two_tastes()
    first = make(CODERS["coder"], n_iter=2).fit(met)
    assert not same_tables(first, make(CODERS["coder"], n_iter=2, rng=1).fit(met))
    assert same_tables(first.fit(met), make(CODERS["coder"], n_iter=4).fit(met))
    assert len(first.history) == 4


def test_padding_and_items_nobody_met_stay_as_they_were_at_the_input() -> None:
    met = two_tastes(padding=0)
    model = make(optimizer="sgd", l2=0.1)
    model._prepare(met)
    before = tables(model)["input"]
    model.fit(met)
    moved = (model.layers["input"].weight != before).any(axis=1)
    assert moved.tolist() == np.isin(np.arange(22), met.item_ids).tolist()


def test_a_training_that_diverges_shows_in_history() -> None:
    model = make(optimizer="sgd", learning_rate=1e30, n_iter=6).fit(two_tastes())
    assert not np.isfinite(model.history[-1]["loss"])
    with pytest.raises(ValueError, match="The model's scores are not numbers: its training diverged"):
        model.recommend(0)
    with pytest.raises(ValueError, match="The model's scores are not finite: its training diverged"):
        mrr_score(model, two_tastes())


# ---- scores --------------------------------------------------------------------------------------


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


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "sentence", "arguments"),
    [
        (ValueError, "`hidden` must be at least 1, not 0.", {"hidden": (4, 0)}),
        (ValueError, "`hidden` must name at least one layer.", {"hidden": ()}),
        (TypeError, "`hidden` must be an integer, not 1.5.", {"hidden": 1.5}),
        (TypeError, "`hidden` must be an integer, not '12'.", {"hidden": "12"}),
        (TypeError, "`coder` must be a BloomCoder or None, not int.", {"coder": 4}),
        (ValueError, "`held_out` must lie between 0 and 1, not 1.", {"held_out": 1.0}),
        (ValueError, "`held_out` must be a number, not NaN.", {"held_out": float("nan")}),
        (ValueError, "`dtype` must be float32 or float64, not float16.", {"dtype": np.float16}),
        (ValueError, "`n_iter` must be at least 1, not 0.", {"n_iter": 0}),
        (TypeError, "`batch_size` must be an integer, not 2.5.", {"batch_size": 2.5}),
        (ValueError, "`l2` must be at least 0, not -1.", {"l2": -1}),
        (ValueError, "`popularity` must be at least 0, not -1.", {"popularity": -1}),
        (ValueError, "`popularity` must be finite, not inf.", {"popularity": float("inf")}),
        (
            ValueError,
            "`optimizer` must be one of 'sgd', 'adagrad', 'rowwise_adagrad', 'adam', not 'Adam'.",
            {"optimizer": "Adam"},
        ),
    ],
)
def test_arguments_that_are_refused(error, sentence, arguments) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        ImplicitNetworkModel(**arguments)


@pytest.mark.parametrize(
    ("sentence", "model", "met"),
    [
        ("`coder` is for 5 items, and there are 22.", make(BloomCoder(5, 9, rng=0)), two_tastes()),
        ("`interactions` must be with at least 2 items, not 1", make(), Interactions([0, 1], [0, 0])),
        ("`interactions` must be of at least 2 users, not 1", make(), Interactions([3, 3], [0, 1])),
        ("`interactions` must not be empty", make(), Interactions([], [], None, None, 3, 3)),
    ],
)
def test_interactions_that_cannot_be_learned_from(sentence, model, met) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        model.fit(met)
    assert model.layers == {}


@pytest.mark.parametrize(
    ("error", "sentence", "arguments"),
    [
        (IndexError, "`items` must lie in [0, 22), not 22 at position 1.", ([0, 22], [0])),
        (ValueError, "`offsets` must be given for 1-D indices: where each bag starts.", ([0],)),
        (TypeError, "`items` must be an integer array, not float64.", ([0.5], [0])),
    ],
)
def test_instances_that_cannot_be_scored(error, sentence, arguments) -> None:
    model = make().fit(two_tastes())
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        model.predict_instances(*arguments)
    with pytest.raises(ValueError, match=r"The model must be fitted first: call `fit`\."):
        make().predict_instances(*arguments)
