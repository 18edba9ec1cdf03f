"""L9: padding is looked up as it is stored, has no gradient, and is moved by no optimizer.

The same is true of row 0 of a Bloom table.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.types import RowGrad
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._layers import DIM, LAYERS, OPTIMIZERS, ROWS, gradient

PLAIN = ["ScaledEmbedding", "ZeroEmbedding", "ScaledEmbeddingBag"]


@pytest.mark.parametrize("name", PLAIN)
def test_a_padding_index_is_counted_from_the_end_once(name):
    for padding_idx in range(-ROWS, ROWS):
        assert LAYERS[name](padding_idx=padding_idx).padding_idx == padding_idx % ROWS
    assert LAYERS[name](padding_idx=None).padding_idx is None
    assert LAYERS[name](padding_idx=np.int32(-1)).padding_idx == ROWS - 1


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("padding_idx", [ROWS, -ROWS - 1, 2**70])
def test_a_padding_index_out_of_range_is_a_value_error(name, padding_idx):
    with pytest.raises(ValueError, match=f"`padding_idx` must lie in .*, not {padding_idx}"):
        LAYERS[name](padding_idx=padding_idx)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("padding_idx", [1.0, True, "1"])
def test_a_padding_index_of_another_kind_is_a_type_error(name, padding_idx):
    with pytest.raises(TypeError, match="`padding_idx` must be an integer"):
        LAYERS[name](padding_idx=padding_idx)


@given(strategies.lookups())
def test_padding_is_looked_up_as_stored_and_has_no_gradient(case):
    layer = _layers.embedding(case)
    event("padding looked up" if case.padding in case.ids else "no padding looked up")
    assert_same_bits(layer.forward(case.ids), np.array(case.weight[case.ids]))
    grad = layer.backward(case.ids, case.grad_out, sparse=True)
    assert case.padding not in grad.rows
    dense = layer.backward(case.ids, case.grad_out, sparse=False)
    assert_same_bits(dense, grad.to_dense())
    if case.padding >= 0:
        assert_same_bits(dense[case.padding], np.zeros_like(dense[0]))


@given(strategies.bags())
def test_bags_send_padding_no_gradient(case):
    grad = _layers.bag(case).backward(case.indices, case.grad_out, **_layers.bag_arguments(case))
    assert case.padding not in grad.rows


@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("name", LAYERS)
@examples(5)
@given(padding_idx=st.integers(0, ROWS - 1))
def test_a_dense_gradient_moves_every_row_but_padding(name, rule, padding_idx):
    layer = LAYERS[name](padding_idx=padding_idx)
    reserved = 0 if name.startswith("Bloom") else padding_idx
    layer.weight[reserved] = [-0.0, np.nan, np.inf, 5.0]  # decay would change any of them
    before, optimizer = layer.weight.copy(), OPTIMIZERS[rule](layer)
    start = {key: array.copy() for key, array in optimizer.state(layer).items() if array.ndim}
    for _ in range(3):
        optimizer.step(layer, gradient(layer.weight.shape) + 3)
    assert layer.weight[reserved].tobytes() == before[reserved].tobytes()
    moved = (layer.weight != before).all(axis=1)
    assert np.flatnonzero(~moved).tolist() == [reserved]
    for key, array in optimizer.state(layer).items():
        if array.ndim:
            assert_same_bits(array[[reserved]], start[key][[reserved]])
            assert (array != start[key]).any()


@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_row_grad_that_names_padding_is_a_value_error(name, rule):
    layer = LAYERS[name](padding_idx=3)
    reserved = 0 if name.startswith("Bloom") else 3
    grad = RowGrad(np.array([reserved, 4]), gradient((2, DIM)), len(layer.weight))
    with pytest.raises(ValueError, match=r"padding|reserved"):
        OPTIMIZERS[rule](layer).step(layer, grad)
    free = LAYERS[name](padding_idx=None)
    before = free.weight.copy()
    OPTIMIZERS[rule](free).step(free, grad)
    assert np.flatnonzero((free.weight != before).any(axis=1)).tolist() == sorted([reserved, 4])


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_an_update_leaves_padding_alone(rule):
    layer = LAYERS["ScaledEmbedding"](padding_idx=-1)
    before = layer.weight.copy()
    OPTIMIZERS[rule](layer).update(layer, [6, 1, 6], gradient((3, DIM)))
    assert np.flatnonzero((layer.weight != before).any(axis=1)).tolist() == [1]


def test_a_concatenation_reserves_every_slice_of_row_zero():
    layer = nb.BloomEmbedding(9, 4, num_hash_functions=2, num_rows=3, combine="concat", weight=np.ones((3, 4), dtype=np.float32))
    optimizer = nb.Adagrad(layer, weight_decay=0.1)
    for reserved in (0, 1):
        with pytest.raises(ValueError, match=r"padding|reserved"):
            optimizer.step(layer, RowGrad(np.array([reserved, 4]), np.ones((2, 2), dtype=np.float32), 6))
    optimizer.step(layer, np.ones((3, 4)))
    assert layer.weight[0].tolist() == [1, 1, 1, 1]
    assert (layer.weight[1:] != 1).all()
