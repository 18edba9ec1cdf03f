"""L23: `bag` is accepted for compatibility, and both values give the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import npbloom as nb
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits


@given(strategies.blooms())
def test_both_values_give_the_same_bits(case):
    plain, bag = _layers.bloom(case, bag=False), _layers.bloom(case, bag=True)
    assert_same_bits(bag.forward(case.ids), plain.forward(case.ids))
    assert_same_bits(bag.backward(case.ids, case.grad_out), plain.backward(case.ids, case.grad_out))
    for layer in (plain, bag):
        nb.Adam(layer).update(layer, case.ids, case.grad_out)
    assert_same_bits(bag.weight, plain.weight)


def test_the_vectors_are_right_where_spotlights_are_wrong():
    table = np.array([[0.0], [1.0], [10.0], [100.0]])
    layer = nb.BloomEmbedding(3, 1, num_rows=4, bag=True, hash_table=[[0, 0], [1, 2], [3, 3]], weight=table)
    assert layer.forward([1, 2, 1]).ravel().tolist() == [11, 200, 11]


def test_the_fifth_argument_is_bag_and_the_sixth_padding_idx_as_in_spotlight():
    layer = nb.BloomEmbedding(100, 2, 0.5, 3, True, 7)
    assert layer.weight.shape == (50, 2)
    assert layer.num_hash_functions == 3
    assert layer.padding_idx == 7


@pytest.mark.parametrize("bag", [1, "yes", None])
def test_a_flag_is_true_or_false(bag):
    with pytest.raises(TypeError, match="`bag` must be True or False"):
        nb.BloomEmbedding(10, 2, bag=bag)
