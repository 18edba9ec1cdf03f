"""Splits: no interaction is lost or repeated, and the last one is the last."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from npbloom.recommend import Interactions, leave_last_out, random_train_test_split, user_based_train_test_split


@st.composite
def interactions(draw: st.DrawFn) -> Interactions:
    """Draw a few users with repeats and ties in time; an item is its position in the file."""
    users = draw(st.lists(st.integers(0, 4), min_size=0, max_size=30))
    times = draw(st.none() | st.lists(st.integers(0, 3), min_size=len(users), max_size=len(users)))
    event(f"users {len(set(users))}, timestamps {times is not None}")
    return Interactions(users, np.arange(len(users)), timestamps=times, num_users=5, num_items=max(1, len(users)))


def check_partition(whole: Interactions, train: Interactions, test: Interactions) -> None:
    """Check that each position is on exactly one side, in order, with its user."""
    for part in (train, test):
        np.testing.assert_array_equal(part.user_ids, whole.user_ids[part.item_ids])
        assert (np.diff(part.item_ids) > 0).all()
        assert (part.num_users, part.num_items) == (whole.num_users, whole.num_items)
    np.testing.assert_array_equal(np.sort(np.concatenate([train.item_ids, test.item_ids])), np.arange(len(whole)))


@given(interactions(), st.floats(0.01, 0.99), st.integers(0, 9))
def test_random_split(whole: Interactions, fraction: float, seed: int) -> None:
    train, test = random_train_test_split(whole, fraction, rng=seed)
    check_partition(whole, train, test)
    assert len(train) == int((1 - fraction) * len(whole))
    again, _ = random_train_test_split(whole, fraction, rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(train.item_ids, again.item_ids)


def test_random_split_depends_on_the_seed() -> None:
    whole = Interactions([0] * 100, np.arange(100))
    splits = {tuple(random_train_test_split(whole, rng=seed)[1].item_ids.tolist()) for seed in range(5)}
    assert len(splits) == 5
    assert all(len(split) == 20 for split in splits)


@given(interactions(), st.floats(0.01, 0.99), st.integers(0, 9))
def test_user_based_split(whole: Interactions, fraction: float, seed: int) -> None:
    train, test = user_based_train_test_split(whole, fraction, rng=seed)
    check_partition(whole, train, test)
    assert not np.intersect1d(train.user_ids, test.user_ids).size
    users = len(np.unique(whole.user_ids))
    assert len(np.unique(train.user_ids)) == int((1 - fraction) * users)


@given(interactions())
def test_leave_last_out(whole: Interactions) -> None:
    train, test = leave_last_out(whole)
    check_partition(whole, train, test)
    last = {}
    for user in range(5):
        mine = [position for position in range(len(whole)) if whole.user_ids[position] == user]
        if len(mine) > 1:
            times = whole.timestamps
            last[user] = max(mine, key=lambda position: (0 if times is None else times[position], position))
    assert dict(zip(test.user_ids.tolist(), test.item_ids.tolist(), strict=True)) == last


@pytest.mark.parametrize("split", [random_train_test_split, user_based_train_test_split])
def test_a_percentage_is_a_fraction(split: type) -> None:
    whole = Interactions([0, 1], [0, 1])
    for wrong in (0, 1, 20, -0.1):
        with pytest.raises(ValueError, match=r"`test_percentage` must be a fraction between 0 and 1, such as 0\.2, not"):
            split(whole, wrong)
    with pytest.raises(TypeError, match="`test_percentage` must be a real number"):
        split(whole, "0.2")
