"""L18: entries have weights only in a sum, and the weights have the indices' shape.

The gradient of a weight is a dot product with the row as it is now.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _expected, _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples

KINDS = {
    "ScaledEmbeddingBag": lambda mode: nb.ScaledEmbeddingBag(5, 2, mode=mode, weight=_layers.table(5, 2)),
    "BloomEmbeddingBag": lambda mode: nb.BloomEmbeddingBag(5, 2, mode=mode, num_rows=4, weight=_layers.table(4, 2)),
}


@pytest.mark.parametrize("cases", [strategies.bags, strategies.bloom_bags])
@examples(100)
@given(data=st.data())
def test_weighted_sums_and_both_gradients_are_the_loop(cases, data):
    case = data.draw(cases(mode="sum"))
    if case.per_sample_weights is None:
        case.per_sample_weights = data.draw(strategies.arrays(case.weight.dtype, case.indices.shape, "full"))
    layer, arguments = _layers.bag(case), _layers.bag_arguments(case)
    assert_same_bits(layer.forward(case.indices, **arguments), _expected.bag_forward(case))
    assert_same_bits(layer.backward(case.indices, case.grad_out, **arguments), _expected.bag_backward(case))
    products = layer.backward_per_sample_weights(case.indices, case.grad_out, case.partition.offsets)
    assert products.shape == case.indices.shape
    assert_same_bits(products, _expected.bag_backward_weights(case))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_one_change_nothing(kind):
    layer = KINDS[kind]("sum")
    assert_same_bits(layer.forward([1, 2, 3], [0, 1], [1.0, 1.0, 1.0]), layer.forward([1, 2, 3], [0, 1]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_other_modes_refuse_weights(kind, mode):
    layer, ones = KINDS[kind](mode), np.ones(2)
    for call in (
        lambda: layer.forward([1, 2], [0], ones),
        lambda: layer.backward([1, 2], np.ones((1, 2)), [0], ones),
        lambda: nb.SGD(layer, lr=1.0).update(layer, [1, 2], np.ones((1, 2)), offsets=[0], per_sample_weights=ones),
        lambda: layer.backward_per_sample_weights([1, 2], np.ones((1, 2)), [0]),
    ):
        with pytest.raises(ValueError, match="'sum'"):
            call()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_have_the_shape_of_the_indices(kind):
    layer = KINDS[kind]("sum")
    for indices, offsets, weights in (
        ([1, 2], [0], [1.0]),
        ([1, 2], [0], [[1.0, 1.0]]),
        ([[1, 2]], None, [1.0, 1.0]),
        ([[1], [2]], None, [[1.0, 1.0]]),
        ([1, 2], [0], 1.0),
        ([], [0], [1.0]),
    ):
        with pytest.raises(ValueError, match="`per_sample_weights` must have shape"):
            layer.forward(indices, offsets, weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [[1, 2], [True, False], [1j, 1j], ["1", "2"], [None, 1.0], np.ma.masked_array([1.0, 2.0])])
def test_weights_are_real_floating_numbers(kind, weights):
    with pytest.raises(TypeError, match="`per_sample_weights` must"):
        KINDS[kind]("sum").forward([1, 2], [0], weights)


def test_weights_are_rounded_to_the_dtype_of_the_table():
    layer = nb.ScaledEmbeddingBag(1, 1, mode="sum", weight=np.ones((1, 1), dtype=np.float32))
    expected = np.float32(np.float64(np.float32(0.1)) + np.float64(np.float32(0.7)))
    for dtype in (np.float64, np.float32, ">f8", "g"):
        assert layer.forward([0, 0], [0], np.array([0.1, 0.7], dtype=dtype)).item() == expected
    assert layer.forward([0, 0], [0], np.array([0.5, 0.25], dtype=np.float16)).item() == 0.75


def test_the_gradient_is_taken_at_the_table_as_it_is_now():
    layer = nb.ScaledEmbeddingBag(3, 2, mode="sum", padding_idx=0, weight=np.array([[9.0, 9.0], [1.0, 2.0], [3.0, 4.0]]))
    assert layer.backward_per_sample_weights([[1, 0, 2]], [[10.0, 1.0]]).tolist() == [[12, 0, 34]]
    layer.weight[1] = [0.0, 5.0]
    assert layer.backward_per_sample_weights([[1, 0, 2]], [[10.0, 1.0]]).tolist() == [[5, 0, 34]]
