"""`Interactions`: pairs of users and items, with ratings and timestamps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from npbloom import _check
from npbloom.recommend._labels import Label, LabelArray, Labels, check_labels
from npbloom.types import ArrayLike, IntArray, as_integer, unmasked


class Interactions:
    r"""
    Pairs of a user and an item, with optional ratings and timestamps.

    Parameters
    ----------
    user_ids : int array, shape (n,)
        User id of each interaction, ``0 <= id < num_users``. Ids are not renumbered.
    item_ids : int array, shape (n,)
        Item id of each interaction, ``0 <= id < num_items``.
    ratings : real array, shape (n,), optional
        Rating of each interaction. Integers become float64.
    timestamps : real array, shape (n,), optional
        Time of each interaction, in any unit; greater is later.
    num_users, num_items : int, optional
        Number of ids; by default the greatest id plus one.
    user_labels, item_labels : int or str array, shape (num_users,) and (num_items,), optional
        Labels: the file's own id of each user and item, all different. If any label is a string,
        integers become strings too. Without labels the ids are the labels.
    padding_idx : 0, optional
        0 reserves id 0 of users and items: no interaction has it, and models never draw or
        recommend item 0. With None (the default) 0 is an id like any other.

    Raises
    ------
    TypeError
        Ids are not integers, ratings or timestamps are not real numbers, labels are neither
        integers nor strings.
    ValueError
        Lengths differ, a rating or timestamp is not finite, an id is the padding id, a label occurs
        twice, `padding_idx` is not 0, or there are no ids and no `num_users` or `num_items`.
    IndexError
        An id lies outside ``[0, num_users)`` or ``[0, num_items)``.

    Notes
    -----
    Arrays are copied, so that they stay as they were checked. A range error names the first
    offending id and its position (L2).

    Examples
    --------
    >>> liked = Interactions([0, 0, 1], [2, 0, 2], user_labels=["ann", "bob"])
    >>> liked
    <Interactions: 2 users x 3 items, 3 interactions>
    >>> liked.user_id("bob"), liked.item_id(2)
    (1, 2)
    """

    user_ids: IntArray
    item_ids: IntArray
    ratings: npt.NDArray[Any] | None
    timestamps: npt.NDArray[Any] | None
    num_users: int
    num_items: int
    padding_idx: int | None

    def __init__(
        self,
        user_ids: ArrayLike,
        item_ids: ArrayLike,
        ratings: ArrayLike | None = None,
        timestamps: ArrayLike | None = None,
        num_users: int | None = None,
        num_items: int | None = None,
        *,
        user_labels: ArrayLike | None = None,
        item_labels: ArrayLike | None = None,
        padding_idx: int | None = None,
    ) -> None:
        """Check and copy all arguments."""
        self.padding_idx = _padding(padding_idx)
        users, items = _check.ids(user_ids, "user_ids"), _check.ids(item_ids, "item_ids")
        if users.ndim != 1:
            raise ValueError(f"`user_ids` must have one dimension, not {users.ndim}.")
        _check.shape(items, "item_ids", users.shape)
        self.num_users = _size(num_users, users, "num_users", "user_ids")
        self.num_items = _size(num_items, items, "num_items", "item_ids")
        check_range(users, self.num_users, self.padding_idx, "user_ids")
        check_range(items, self.num_items, self.padding_idx, "item_ids")
        self.user_ids, self.item_ids = users.copy(), items.copy()
        self.ratings = _numbers(ratings, "ratings", users.shape)
        self.timestamps = _numbers(timestamps, "timestamps", users.shape)
        self._users = Labels(
            check_labels(user_labels, "user_labels", self.num_users, self.padding_idx), self.num_users, self.padding_idx, "user"
        )
        self._items = Labels(
            check_labels(item_labels, "item_labels", self.num_items, self.padding_idx), self.num_items, self.padding_idx, "item"
        )

    @property
    def user_labels(self) -> LabelArray | None:
        """Labels of users by id, integers or strings; None if the ids are the labels."""
        return self._users.values

    @property
    def item_labels(self) -> LabelArray | None:
        """Labels of items by id, integers or strings; None if the ids are the labels."""
        return self._items.values

    def user_id(self, label: Label) -> int:
        """
        Return the id of the user with this label.

        Parameters
        ----------
        label : int or str
            The file's own id. A string of digits finds an integer label, and an integer finds a
            label of digits.

        Returns
        -------
        int
            Row number in tables of users.

        Raises
        ------
        TypeError, ValueError
            `label` is neither an integer nor a string, or is unknown.
        """
        return self._users.number(label)

    def item_id(self, label: Label) -> int:
        """
        Return the id of the item with this label.

        Parameters
        ----------
        label : int or str
            The file's own id. A string of digits finds an integer label, and an integer finds a
            label of digits.

        Returns
        -------
        int
            Row number in tables of items.

        Raises
        ------
        TypeError, ValueError
            `label` is neither an integer nor a string, or is unknown.
        """
        return self._items.number(label)

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.user_ids)

    def __repr__(self) -> str:
        """Return the numbers of users, items and interactions, padding not counted."""
        reserved = 0 if self.padding_idx is None else 1
        users, items = self.num_users - reserved, self.num_items - reserved
        return f"<Interactions: {users} users x {items} items, {len(self)} interactions>"

    def select(self, chosen: npt.NDArray[Any]) -> Interactions:
        """
        Return the interactions at some positions, with the same users, items and labels.

        Parameters
        ----------
        chosen : int or bool array
            Positions, or a mask of length ``len(self)``.

        Returns
        -------
        Interactions
            Copies of the chosen entries; the labels are shared.

        Examples
        --------
        >>> Interactions([0, 1, 1], [3, 4, 5]).select(np.array([2, 0])).item_ids
        array([5, 3])
        """
        part = object.__new__(Interactions)
        part.padding_idx, part.num_users, part.num_items = self.padding_idx, self.num_users, self.num_items
        part._users, part._items = self._users, self._items
        part.user_ids, part.item_ids = self.user_ids[chosen], self.item_ids[chosen]
        part.ratings = None if self.ratings is None else self.ratings[chosen]
        part.timestamps = None if self.timestamps is None else self.timestamps[chosen]
        return part


def check_range(ids: IntArray, size: int, padding_idx: int | None, name: str) -> None:
    """
    Raise an IndexError for the first id outside ``[0, size)`` (L2).

    Raise a ValueError for a padding id.
    """
    bad = np.flatnonzero((ids < 0) | (ids >= size))
    if bad.size:
        raise _check.outside(int(bad[0]), ids, size, name)
    if padding_idx is not None:
        padding = np.flatnonzero(ids == padding_idx)
        if padding.size:
            raise ValueError(f"`{name}` must not hold the padding id {padding_idx}, as at position {padding[0]}.")


def _padding(value: Any) -> int | None:
    """Return None or 0, the only padding ids."""
    if value is None:
        return None
    number = as_integer(value, "padding_idx")
    if number != 0:
        raise ValueError(f"`padding_idx` must be 0 or None, not {number}.")
    return number


def _size(value: Any, ids: IntArray, name: str, source: str) -> int:
    """Return the given number of ids, or the greatest id plus one."""
    if value is not None:
        return _check.positive_int(value, name)
    if not ids.size:
        raise ValueError(f"`{source}` must not be empty where `{name}` is not given.")
    return max(1, int(ids.max()) + 1)


def _numbers(value: Any, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """
    Return a copy of finite real numbers, one for each interaction.

    Integers stay integers in timestamps only.
    """
    if value is None:
        return None
    array = unmasked(value, name)
    if array.size == 0 and isinstance(value, (list, tuple)):
        array = array.astype(np.float64)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"`{name}` must be real numbers, not {array.dtype}.")
    _check.shape(array, name, shape)
    if array.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise ValueError(f"`{name}` must be finite, not {array[bad[0]]} at position {bad[0]}.")
    keep = array.dtype.kind == "f" or name == "timestamps"
    return np.array(array, dtype=array.dtype.newbyteorder("=") if keep else np.float64)
