"""`ImplicitNetworkModel`: steps as in torch, scores as log-probabilities of bits, common API."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from npbloom.coding import BloomCoder
from npbloom.optimizers import BY_NAME
from npbloom.recommend import ImplicitNetworkModel, Interactions, mrr_score
from tests.recommend._models import same_tables, tables, two_tastes
from tests.recommend._networks import CODERS, Torch, coders, dense, instances, make


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
