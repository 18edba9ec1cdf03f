"""Splits of interactions into a training set and a test set."""

from __future__ import annotations

import numpy as np

from npbloom import _check
from npbloom.recommend.interactions import Interactions
from npbloom.types import Rng


def _fraction(value: float) -> float:
    """Return the fraction of the test set, a real number between 0 and 1, both excluded."""
    fraction = _check.real(value, "test_percentage")
    if not 0 < fraction < 1:
        raise ValueError(f"`test_percentage` must be a fraction between 0 and 1, such as 0.2, not {fraction:g}.")
    return fraction


def random_train_test_split(
    interactions: Interactions, test_percentage: float = 0.2, rng: Rng = None
) -> tuple[Interactions, Interactions]:
    """
    Split at random: every interaction is equally likely to be in the test set.

    Parameters
    ----------
    interactions : Interactions
        Interactions to split.
    test_percentage : float, default 0.2
        Fraction of interactions in the test set, between 0 and 1. The name is Spotlight's.
    rng : numpy.random.Generator or int, optional
        Source of randomness; the same seed gives the same split.

    Returns
    -------
    tuple of (Interactions, Interactions)
        Train and test: ``int((1 - test_percentage) * n)`` and the other interactions, each in their
        order of occurrence.

    Raises
    ------
    TypeError, ValueError
        `test_percentage` is not a number between 0 and 1.

    Examples
    --------
    >>> interactions = Interactions([0, 0, 1, 1, 1], [0, 1, 0, 1, 2])
    >>> train, test = random_train_test_split(interactions, 0.4, rng=0)
    >>> len(train), len(test)
    (3, 2)
    """
    fraction = _fraction(test_percentage)
    order = _check.generator(rng).permutation(len(interactions))
    cutoff = int((1.0 - fraction) * len(interactions))
    return interactions.select(np.sort(order[:cutoff])), interactions.select(np.sort(order[cutoff:]))


def user_based_train_test_split(
    interactions: Interactions, test_percentage: float = 0.2, rng: Rng = None
) -> tuple[Interactions, Interactions]:
    """
    Split by user: all interactions of a user are on one side.

    Parameters
    ----------
    interactions : Interactions
        Interactions to split.
    test_percentage : float, default 0.2
        Fraction of users in the test set, between 0 and 1.
    rng : numpy.random.Generator or int, optional
        Source of randomness; the same seed gives the same split.

    Returns
    -------
    tuple of (Interactions, Interactions)
        Train and test: all interactions of ``int((1 - test_percentage) * users)`` users, and those
        of the others. Users without interactions are not counted.

    Raises
    ------
    TypeError, ValueError
        `test_percentage` is not a number between 0 and 1.

    Notes
    -----
    The fraction is met exactly. Spotlight hashes user ids into hundredths, which meets it only
    roughly.

    Examples
    --------
    >>> interactions = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 2])
    >>> train, test = user_based_train_test_split(interactions, 0.3, rng=0)
    >>> np.intersect1d(train.user_ids, test.user_ids)
    array([], dtype=int64)
    """
    fraction = _fraction(test_percentage)
    users = _check.generator(rng).permutation(np.unique(interactions.user_ids))
    in_train = np.isin(interactions.user_ids, users[: int((1.0 - fraction) * len(users))])
    return interactions.select(in_train), interactions.select(~in_train)


def leave_last_out(interactions: Interactions) -> tuple[Interactions, Interactions]:
    """
    Split off the last interaction of every user.

    Parameters
    ----------
    interactions : Interactions
        Interactions to split. The last interaction of a user is the one with the greatest
        timestamp. Among equal timestamps, and without timestamps, it is the one that occurs last.

    Returns
    -------
    tuple of (Interactions, Interactions)
        Train and test. The test set has one interaction of every user with at least two; users with
        one stay in the training set.

    Examples
    --------
    >>> train, test = leave_last_out(Interactions([0, 1, 0, 2, 1], [5, 6, 7, 8, 9]))
    >>> test.user_ids, test.item_ids
    (array([0, 1]), array([7, 9]))
    >>> train.user_ids
    array([0, 1, 2])
    """
    users, times = interactions.user_ids, interactions.timestamps
    order = np.lexsort((users,) if times is None else (times, users))  # stable: equal times stay in order of occurrence
    grouped = users[order]
    ends = np.append(grouped[1:] != grouped[:-1], True)[: len(grouped)]
    starts = np.append(True, grouped[1:] != grouped[:-1])[: len(grouped)]
    in_test = np.zeros(len(users), dtype=bool)
    in_test[order[ends & ~starts]] = True
    return interactions.select(~in_test), interactions.select(in_test)


def split_by_time(interactions: Interactions, time: float) -> tuple[Interactions, Interactions]:
    """
    Split at a moment: what came before trains, what came later tests.

    Parameters
    ----------
    interactions : Interactions
        Interactions with timestamps.
    time : float
        The moment, in the unit of the timestamps (seconds since 1970 for dates and MovieLens).

    Returns
    -------
    tuple of (Interactions, Interactions)
        Train and test: interactions before `time`, and those at `time` or later.

    Raises
    ------
    TypeError, ValueError
        There are no timestamps, or `time` is not a finite number.

    Notes
    -----
    The test set may have users and items that the training set has not. Of all splits this one
    alone keeps the future out of the training.

    Examples
    --------
    >>> train, test = split_by_time(Interactions([0, 1, 0], [0, 1, 2], timestamps=[10, 20, 30]), 20)
    >>> train.item_ids, test.item_ids
    (array([0]), array([1, 2]))
    """
    moment = _check.real(time, "time")
    if not np.isfinite(moment):
        raise ValueError(f"`time` must be finite, not {moment:g}.")
    if interactions.timestamps is None:
        raise ValueError("`interactions` must have timestamps to be split by time.")
    later = interactions.timestamps >= moment
    return interactions.select(~later), interactions.select(later)
