"""L11: each id's contribution is divided by the number of its occurrences in the batch.

Padding is not counted. Every path agrees.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given

import npbloom as nb
from tests.support import _expected, _layers, strategies
from tests.support._bits import assert_same_bits


@given(strategies.lookups())
def test_lookups_sparse_and_dense(case):
    layer = _layers.embedding(case, scale_grad_by_freq=True)
    expected = _expected.embedding_backward(case, by_frequency=True)
    assert_same_bits(layer.backward(case.ids, case.grad_out, sparse=True), expected)
    assert_same_bits(layer.backward(case.ids, case.grad_out, sparse=False), expected.to_dense())


@given(strategies.bags())
def test_bags_of_every_mode_sparse_and_dense(case):
    event(case.mode)
    layer, arguments = _layers.bag(case, scale_grad_by_freq=True), _layers.bag_arguments(case)
    expected = _expected.bag_backward(case, by_frequency=True)
    assert_same_bits(layer.backward(case.indices, case.grad_out, **arguments), expected)
    assert_same_bits(layer.backward(case.indices, case.grad_out, **arguments, sparse=False), expected.to_dense())


@given(strategies.bags(lane="small"))
def test_the_fused_update_divides_as_well(case):
    layers = [_layers.bag(case, scale_grad_by_freq=True) for _ in range(2)]
    arguments = _layers.bag_arguments(case)
    nb.SGD(layers[0], lr=1.0).update(layers[0], case.indices, case.grad_out, **arguments)
    nb.SGD(layers[1], lr=1.0).step(layers[1], _expected.bag_backward(case, by_frequency=True))
    assert_same_bits(layers[0].weight, layers[1].weight)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_occurrences_are_counted_over_the_whole_batch_and_not_by_bag(mode):
    # Id 0 occurs in both bags, id 1 in the first, padding (2) twice in the second.
    layer = nb.ScaledEmbeddingBag(3, 1, scale_grad_by_freq=True, mode=mode, padding_idx=2, weight=np.array([[1.0], [5.0], [9.0]]))
    grad = layer.backward([0, 1, 2, 0, 2, 0], [[1.0], [2.0]], [0, 2])
    first = {"sum": 1 / 3 + 2 / 3 + 2 / 3, "mean": 0.5 / 3 + 1 / 3 + 1 / 3, "max": 2 / 3}[mode]  # three occurrences
    second = {"sum": 1, "mean": 0.5, "max": 1}[mode]
    assert grad.rows.tolist() == [0, 1]
    assert grad.values.ravel().tolist() == [first, second]


def test_one_id_once_is_divided_by_one():
    layer = nb.ScaledEmbedding(4, 2, scale_grad_by_freq=True)
    grad = layer.backward([1, 3, 2], np.full((3, 2), 0.7), sparse=True)
    assert_same_bits(grad.values, np.full((3, 2), np.float32(0.7)))


def test_forward_does_not_change():
    for frequency in (False, True):
        layer = nb.ScaledEmbeddingBag(2, 1, scale_grad_by_freq=frequency, weight=np.array([[1.0], [4.0]]))
        assert layer.forward([0, 0, 1], [0]).item() == 2
