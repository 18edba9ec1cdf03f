"""The reference of the coder: cases worked out by hand, and errors."""

from __future__ import annotations

import numpy as np
import pytest

from npbloom.reference import coding
from npbloom.types import HashSpec
from tests.support._bits import assert_same_bits

SPEC = HashSpec(4, 6, table=[[0, 1], [1, 2], [5, 5], [3, 0]])


class Draws:
    """A generator that returns given numbers."""

    def __init__(self, *numbers):
        self._numbers = iter(numbers)

    def random(self, size):
        """Return the next numbers."""
        return np.array([next(self._numbers) for _ in range(size)])

    def integers(self, low, high, size):
        """Return the next numbers, which must be in range."""
        drawn = np.array([next(self._numbers) for _ in range(size)])
        assert (low <= drawn).all()
        assert (drawn < high).all()
        return drawn


def test_ranks_count_the_bits_that_are_left():
    table = coding.draw_table(2, 4, 3, Draws(3, 0, 0, 0, 1, 1))
    assert table.tolist() == [[3, 0, 2], [0, 1, 3]]


def test_a_code_by_hand():
    bits, offsets = coding.encode([0, 1, 2, 0], SPEC, [0, 2, 2])
    assert bits.tolist() == [0, 1, 2, 0, 1, 5]
    assert offsets.tolist() == [0, 3, 3]
    assert coding.encode_dense([[0, 1], [2, 2]], SPEC).tolist() == [[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]]
    assert_same_bits(coding.encode([], SPEC, []), (np.array([], dtype=np.int64), np.array([], dtype=np.int64)))


def test_likelihoods_and_ranking_by_hand():
    log_probs = [[-1.0, -2.0, -4.0, -2.0, -8.0, -1.0]]
    assert coding.log_likelihood(log_probs, SPEC).tolist() == [[-3, -6, -2, -3]]
    items, scores = coding.top_k(log_probs, SPEC, 3, exclude=([2], [0]))
    assert items.tolist() == [[0, 3, 1]]
    assert scores.tolist() == [[-3, -3, -6]]
    assert coding.top_k(log_probs, SPEC, 3, exclude=([2, 0, 1], [0]))[0].tolist() == [[3, -1, -1]]


def test_algorithm_1_by_hand():
    """Run ten events on four items.

    Pairs count from 3 on: (0, 1) is together three times, then (2, 3) four times.
    """
    items, offsets = [0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3], [0, 2, 4, 6, 8, 10, 12]
    spec = HashSpec(5, 6, table=[[0, 1], [1, 2], [3, 4], [3, 0], [5, 5]])
    draws = Draws(0.0, 0.0, 0.99, 0.5, 0.5, 0.0)  # of 3, 4, 5 the first; of 1, 2, 5 the second
    table = coding.with_cooccurrence(items, spec, offsets, draws)
    assert table.tolist() == [[3, 1], [1, 3], [3, 2], [2, 0], [5, 5]]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: coding.encode([4], SPEC, [0]), IndexError),
        (lambda: coding.encode([-1], SPEC, [0]), IndexError),
        (lambda: coding.encode([0.0], SPEC, [0]), TypeError),
        (lambda: coding.encode([0], SPEC), ValueError),
        (lambda: coding.encode([0], SPEC, [1]), ValueError),
        (lambda: coding.log_likelihood([0.0] * 6, SPEC), ValueError),
        (lambda: coding.log_likelihood([[0.0] * 5], SPEC), ValueError),
        (lambda: coding.log_likelihood([[0] * 6], SPEC), TypeError),
    ],
)
def test_what_is_refused(call, error):
    with pytest.raises(error):
        call()
