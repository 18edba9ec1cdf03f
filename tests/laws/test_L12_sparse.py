"""L12: sparse=True gives a RowGrad, sparse=False a dense array.

A call may override the layer. Bags and Bloom layers default to RowGrad.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import npbloom as nb
from npbloom.types import RowGrad
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._layers import DIM, LAYERS, gradient, is_bag


def backward(layer, **options):
    """Return a gradient of three ids."""
    if is_bag(layer):
        return layer.backward([1, 2, 1], gradient((2, DIM)), [0, 1], **options)
    return layer.backward([1, 2, 1], gradient((3, DIM)), **options)


@pytest.mark.parametrize("name", LAYERS)
def test_defaults(name):
    dense_by_default = name in ("ScaledEmbedding", "ZeroEmbedding")
    assert isinstance(backward(LAYERS[name]()), np.ndarray if dense_by_default else RowGrad)


@pytest.mark.parametrize("name", LAYERS)
def test_one_call_may_say_otherwise(name):
    layers = [LAYERS[name]()]
    if name in ("ScaledEmbedding", "ZeroEmbedding"):
        layers = [LAYERS[name](sparse=sparse) for sparse in (True, False)]
        assert isinstance(backward(layers[0]), RowGrad)
        assert isinstance(backward(layers[1]), np.ndarray)
    for layer in layers:
        grad, dense = backward(layer, sparse=True), backward(layer, sparse=False)
        assert isinstance(grad, RowGrad)
        assert isinstance(dense, np.ndarray)
        assert dense.shape == layer.weight.shape
        assert dense.dtype == layer.dtype
        assert_same_bits(dense, grad.to_dense())


@examples(50)
@given(strategies.blooms())
def test_a_dense_gradient_has_the_tables_shape_also_of_a_concatenation(case):
    layer = _layers.bloom(case)
    grad = layer.backward(case.ids, case.grad_out)
    dense = layer.backward(case.ids, case.grad_out, sparse=False)
    assert dense.shape == case.weight.shape
    assert_same_bits(dense, grad.to_dense().reshape(case.weight.shape))


@pytest.mark.parametrize("sparse", [False, True])
def test_an_update_works_on_touched_rows_whatever_the_setting(sparse):
    layer = LAYERS["ScaledEmbedding"](sparse=sparse)
    before = layer.weight.copy()
    nb.Adam(layer, weight_decay=0.5).update(layer, [1, 2], gradient((2, DIM)))
    assert np.flatnonzero((layer.weight != before).any(axis=1)).tolist() == [1, 2]


@pytest.mark.parametrize("sparse", [1, "yes", np.array([True])])
def test_a_setting_is_true_or_false(sparse):
    with pytest.raises(TypeError, match="`sparse` must be True or False"):
        nb.ScaledEmbedding(3, 2, sparse=sparse)
    for name in LAYERS:
        with pytest.raises(TypeError, match="`sparse` must be True or False"):
            backward(LAYERS[name](), sparse=sparse)
