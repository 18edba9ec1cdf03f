"""Interactions: ids that are not renumbered, labels and ids, and refused arguments."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from npbloom.recommend import Interactions


def test_sizes_default_to_the_greatest_id_plus_one() -> None:
    met = Interactions([3, 0], [1, 5])
    assert (met.num_users, met.num_items, len(met)) == (4, 6, 2)
    assert Interactions([3], [1], num_users=9, num_items=7).num_users == 9
    assert Interactions([3], [1], num_users=9, num_items=7).num_items == 7


def test_ids_are_the_labels_where_there_are_none() -> None:
    met = Interactions([0, 2], [1, 1])
    assert met.user_labels is None
    assert met.item_labels is None
    assert met.user_id(2) == 2
    assert met.item_id("1") == 1
    with pytest.raises(ValueError, match="User 3 is unknown"):
        met.user_id(3)


def test_labels_are_found_by_integers_and_by_digits() -> None:
    numbers = Interactions([0, 1], [0, 1], user_labels=[40, -7], item_labels=["40", "b"])
    assert [numbers.user_id(40), numbers.user_id("-7"), numbers.item_id(40), numbers.item_id("b")] == [0, 1, 0, 1]
    for unknown in ("040", "x", 7):
        with pytest.raises(ValueError, match=f"User {unknown!r} is unknown"):
            numbers.user_id(unknown)
    with pytest.raises(TypeError, match=r"`item_label` must be an integer, not 1\.5"):
        numbers.item_id(1.5)


class Column:
    """Labels as a column of a data frame returns them."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(["ann", "bob"], dtype=object)


@pytest.mark.parametrize(
    "labels",
    [
        ["ann", "bob"],
        ("ann", np.str_("bob")),
        np.array(["ann", "bob"]),
        np.array(["ann", "bob"], dtype=object),
        np.array(["ann", "bob"], dtype=np.dtypes.StringDType()),
        Column(),
    ],
    ids=lambda labels: f"{type(labels).__name__} {getattr(labels, 'dtype', '')}",
)
def test_text_is_kept_as_objects(labels: Any) -> None:
    found = Interactions([0, 1], [0, 1], user_labels=labels).user_labels
    assert found is not None
    assert found.dtype == object
    assert [type(label) for label in found] == [str, str]
    assert found.tolist() == ["ann", "bob"]
    assert Interactions([0, 1], [0, 1], item_labels=[7, "b"]).item_labels.tolist() == ["7", "b"]  # type: ignore[union-attr]


def test_labels_cost_what_they_hold() -> None:
    """These labels take their own size. As an array of NumPy's str they would take 8 GB."""
    names = ["x" * 200_000, *map(str, range(10_000))]
    tracemalloc.start()
    met = Interactions([0], [0], user_labels=names, num_users=len(names))
    assert met.user_id("77") == 78
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_a_placeholder_is_no_label() -> None:
    met = Interactions([1, 2], [1, 1], user_labels=[-1, 5, -1], item_labels=["", "x"], padding_idx=0)
    assert met.user_id(-1) == 2
    with pytest.raises(ValueError, match="Item '' is unknown"):
        met.item_id("")
    with pytest.raises(ValueError, match="User 0 is unknown"):
        Interactions([1], [1], padding_idx=0).user_id(0)


def test_arrays_are_copied() -> None:
    users = np.array([0, 1])
    ratings = np.array([1.0, 2.0])
    met = Interactions(users, users, ratings)
    users[0], ratings[0] = 77, np.nan
    assert met.user_ids.tolist() == [0, 1]
    assert met.ratings is not None
    assert met.ratings.tolist() == [1.0, 2.0]
    met.user_ids[0] = 1  # a copy that can be written to


def test_dtypes() -> None:
    met = Interactions(np.array([1], dtype=np.uint8), [0], ratings=[4], timestamps=[10**15])
    assert met.user_ids.dtype == np.int64
    assert met.ratings is not None
    assert met.ratings.dtype == np.float64
    assert met.timestamps is not None
    assert met.timestamps.dtype == np.int64
    narrow = Interactions([0], [0], ratings=np.array([0.5], dtype=">f4")).ratings
    assert narrow is not None
    assert narrow.dtype == np.dtype("=f4")


def test_repr_counts_what_there_is() -> None:
    assert repr(Interactions([1, 2], [1, 5])) == "<Interactions: 3 users x 6 items, 2 interactions>"
    assert repr(Interactions([1, 2], [1, 5], padding_idx=0)) == "<Interactions: 2 users x 5 items, 2 interactions>"


def test_no_interactions_need_sizes() -> None:
    assert len(Interactions([], [], [], [], num_users=2, num_items=3)) == 0
    with pytest.raises(ValueError, match="`user_ids` must not be empty where `num_users` is not given"):
        Interactions([], [])


@pytest.mark.parametrize(
    ("error", "sentence", "arguments"),
    [
        (IndexError, r"`user_ids` must lie in \[0, 3\), not 3 at position 1\.", {"user_ids": [0, 3, 4], "num_users": 3}),
        (IndexError, r"`item_ids` must lie in \[0, 5\), not -1 at position 2\.", {"item_ids": [4, 0, -1]}),
        (ValueError, r"`item_ids` must have shape \(3,\), not \(2,\)\.", {"item_ids": [0, 1]}),
        (ValueError, r"`user_ids` must have one dimension, not 2\.", {"user_ids": [[0, 1, 2]]}),
        (TypeError, r"`user_ids` must be an integer array, not float64\.", {"user_ids": [0.0, 1.0, 2.0]}),
        (ValueError, r"`ratings` must have shape \(3,\), not \(1,\)\.", {"ratings": [1]}),
        (ValueError, r"`ratings` must be finite, not nan at position 1\.", {"ratings": [1, np.nan, np.inf]}),
        (TypeError, r"`ratings` must be real numbers, not <U1\.", {"ratings": ["a", "b", "c"]}),
        (TypeError, r"`ratings` must be real numbers, not bool\.", {"ratings": [True, False, True]}),
        (TypeError, r"`ratings` must not be a masked array", {"ratings": np.ma.masked_array([1.0, 2.0, 3.0])}),
        (ValueError, r"`timestamps` must be finite, not inf at position 0\.", {"timestamps": [np.inf, 1, 2]}),
        (ValueError, r"`num_users` must be at least 1, not 0\.", {"num_users": 0}),
        (TypeError, r"`num_items` must be an integer, not 2\.5\.", {"num_items": 2.5}),
        (ValueError, r"`user_labels` must have shape \(3,\), not \(2,\)\.", {"user_labels": ["a", "b"]}),
        (ValueError, r"`user_labels` must be distinct, not 'a' twice\.", {"user_labels": ["a", "b", "a"]}),
        (TypeError, r"`item_labels` must be integers or strings, not float64\.", {"item_labels": [0.5]}),
        (TypeError, r"`user_labels` must be integers or strings, not float\.", {"user_labels": ["a", 0.5, "b"]}),
        (TypeError, r"`user_labels` must be integers or strings, not bool\.", {"user_labels": ["a", True, "b"]}),
        (TypeError, r"`user_labels` must be integers or strings, not NoneType\.", {"user_labels": ["a", None, "b"]}),
        (TypeError, r"`user_labels` must be integers or strings, not object\.", {"user_labels": [None] * 3}),
        (ValueError, r"`user_labels` must have shape \(3,\), not \(\)\.", {"user_labels": "abc"}),
        (
            TypeError,
            "`user_labels` must not be a masked array: its mask",
            {"user_labels": np.ma.array([1, 2, 3], mask=[0, 1, 0])},
        ),
        (ValueError, r"`padding_idx` must be 0 or None, not 1\.", {"padding_idx": 1}),
        (ValueError, r"`user_ids` must not hold the padding id 0, as at position 0\.", {"padding_idx": 0}),
    ],
)
def test_what_does_not_fit_is_refused(error: type[Exception], sentence: str, arguments: dict[str, Any]) -> None:
    good: dict[str, Any] = {"user_ids": [0, 1, 2], "item_ids": [2, 4, 1]}
    assert len(Interactions(**good)) == 3
    with pytest.raises(error, match=sentence):
        Interactions(**{**good, **arguments})


def test_select_keeps_everything_else() -> None:
    met = Interactions([0, 1, 2], [3, 4, 5], [1, 2, 3], [7, 8, 9], num_users=5, user_labels=list("abcde"))
    part = met.select(np.array([False, True, True]))
    assert part.user_ids.tolist() == [1, 2]
    assert part.ratings is not None
    assert part.ratings.tolist() == [2.0, 3.0]
    assert part.timestamps is not None
    assert part.timestamps.tolist() == [8, 9]
    assert (part.num_users, part.num_items, part.user_id("e")) == (5, 6, 4)
