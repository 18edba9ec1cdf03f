"""L17: max is taken in each dimension, and the first maximal entry takes the gradient.

The first NaN wins at any position.
"""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _expected, _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples


@pytest.mark.parametrize("cases", [strategies.bags, strategies.bloom_bags])
@examples(100)
@given(data=st.data())
def test_maxima_and_their_gradients_are_the_loop(cases, data):
    case = data.draw(cases(mode="max"))
    event("NaN in the table" if np.isnan(case.weight).any() else "no NaN in the table")
    layer, offsets = _layers.bag(case), case.partition.offsets
    assert_same_bits(layer.forward(case.indices, offsets), _expected.bag_forward(case))
    assert_same_bits(layer.backward(case.indices, case.grad_out, offsets), _expected.bag_backward(case))


@pytest.mark.parametrize("order", [*permutations(range(4))])
def test_ties_and_nans_in_every_order(order):
    # Columns: a tie of entries 0 and 2, two NaNs, equal zeros of both signs,
    # all different and below zero.
    table = np.array(
        [[5.0, math.nan, 0.0, -4.0], [1.0, 2.0, -0.0, -3.0], [5.0, math.nan, -0.0, -2.0], [4.0, math.inf, 0.0, -1.0]]
    )
    layer = nb.ScaledEmbeddingBag(4, 4, mode="max", weight=table)
    out = layer.forward(order, [0])
    first = [min(order.index(i) for i in entries) for entries in ((0, 2), (0, 2), (0, 1, 2, 3), (3,))]
    winners = [order[place] for place in first]
    assert_same_bits(out[0], np.array([table[row, column] for column, row in enumerate(winners)]))
    grad = layer.backward(order, [[1.0, 2.0, 3.0, 4.0]], [0])
    expected = np.zeros((4, 4))
    for column, row in enumerate(winners):
        expected[row, column] = column + 1
    assert_same_bits(grad.to_dense(), expected)
    assert grad.rows.tolist() == [0, 1, 2, 3]  # also rows that won nothing (L24)


def test_all_entries_may_be_minus_infinity():
    layer = nb.ScaledEmbeddingBag(2, 1, mode="max", weight=np.full((2, 1), -math.inf))
    assert layer.forward([1, 0], [0]).item() == -math.inf
    assert layer.backward([1, 0], [[7.0]], [0]).values.ravel().tolist() == [0, 7]


def test_a_repeated_winner_takes_the_gradient_once():
    layer = nb.ScaledEmbeddingBag(2, 1, mode="max", weight=np.array([[1.0], [5.0]]))
    assert layer.backward([1, 1, 0, 1], [[7.0]], [0]).values.ravel().tolist() == [0, 7]
    assert layer.backward([[1, 0], [1, 1]], [[7.0], [100.0]]).values.ravel().tolist() == [0, 107]


def test_a_hashed_winner_sends_the_gradient_to_all_its_probes():
    layer = nb.BloomEmbeddingBag(
        3,
        2,
        num_rows=4,
        mode="max",
        padding_idx=None,
        hash_table=[[0, 1], [2, 2], [3, 0]],
        weight=np.array([[1.0, 9.0], [2.0, 0.0], [3.0, 0.0], [0.0, 1.0]]),
    )
    # vectors: (3, 9), (6, 0), (1, 10)
    assert layer.forward([0, 1, 2], [0]).tolist() == [[6, 10]]
    grad = layer.backward([0, 1, 2], [[1.0, 100.0]], [0])
    assert grad.to_dense().tolist() == [[0, 100], [0, 0], [2, 0], [0, 100]]
    assert grad.rows.tolist() == [0, 1, 2, 3]


def test_maxima_of_hashed_ids_are_compared_as_lookups_round_them():
    # In float32 both vectors are 1, so the first wins; in float64 the second is greater.
    table = np.array([[1.0], [2.0**-26], [2.0**-25]], dtype=np.float32)
    layer = nb.BloomEmbeddingBag(2, 1, num_rows=3, mode="max", padding_idx=None, hash_table=[[0, 1], [0, 2]], weight=table)
    assert layer.backward([0, 1], [[5.0]], [0]).to_dense().ravel().tolist() == [5, 5, 0]
