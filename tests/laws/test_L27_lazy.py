"""L27: a RowGrad acts on touched rows only, a dense gradient on all but padding.

All other rows keep their bits.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._layers import OPTIMIZERS


def warm(layer, optimizer):
    """Take a step after which no state is zero."""
    optimizer.step(layer, np.ones(layer.weight.shape) / 2)


def arrays_of(layer, optimizer):
    """Return the table and the state by row."""
    return [layer.weight, *(array for array in optimizer.state(layer).values() if array.ndim)]


@pytest.mark.parametrize("rule", OPTIMIZERS)
@examples(25)
@given(strategies.lookups(), st.booleans())
def test_untouched_rows_and_their_state_keep_their_bits(rule, case, fused):
    layer = _layers.embedding(case)
    optimizer = OPTIMIZERS[rule](layer)
    warm(layer, optimizer)
    before = [array.copy() for array in arrays_of(layer, optimizer)]
    grad = layer.backward(case.ids, case.grad_out, sparse=True)
    if fused:
        optimizer.update(layer, case.ids, case.grad_out)
    else:
        optimizer.step(layer, grad)
    others = np.setdiff1d(np.arange(len(layer.weight)), grad.rows)
    event(f"{len(others)} of {len(layer.weight)} rows untouched")
    for after, array in zip(arrays_of(layer, optimizer), before, strict=True):
        assert_same_bits(after[others], array[others])


@pytest.mark.parametrize("rule", ["SGD", "Adagrad", "RowWiseAdagrad"])
@examples(40)
@given(data=st.data())
def test_plain_rules_give_the_same_bits_either_way(rule, data):
    make = {
        "SGD": lambda layer: nb.SGD(layer, lr=0.3),
        "Adagrad": lambda layer: nb.Adagrad(layer, lr=0.3, lr_decay=0.1),
        "RowWiseAdagrad": lambda layer: nb.RowWiseAdagrad(layer, lr=0.3),
    }[rule]
    if data.draw(st.booleans()):
        case = data.draw(strategies.lookups())
        layers = [_layers.embedding(case) for _ in range(2)]
    else:
        case = data.draw(strategies.blooms())
        layers = [_layers.bloom(case) for _ in range(2)]
    optimizers = [make(layer) for layer in layers]
    for _ in range(2):
        for sparse, layer, optimizer in zip((True, False), layers, optimizers, strict=True):
            optimizer.step(layer, layer.backward(case.ids, case.grad_out, sparse=sparse))
    for one, other in zip(arrays_of(layers[0], optimizers[0]), arrays_of(layers[1], optimizers[1]), strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("rule", ["SGD with momentum", "Adagrad with decays", "RowWiseAdagrad", "Adam", "Adam with decay"])
def test_a_dense_gradient_decays_every_row_and_a_row_grad_its_own(rule):
    for sparse, moved in ((True, [1, 2]), (False, [0, 1, 2, 4])):
        layer = nb.ScaledEmbedding(5, 2, padding_idx=3, weight=_layers.table(5, 2))
        optimizer = OPTIMIZERS[rule](layer)
        warm(layer, optimizer)
        before = layer.weight.copy()
        optimizer.step(layer, layer.backward([1, 2], np.ones((2, 2)), sparse=sparse))
        assert np.flatnonzero((layer.weight != before).any(axis=1)).tolist() == moved


def test_momentum_of_an_untouched_row_waits():
    layer = nb.ZeroEmbedding(2, 1)
    optimizer = nb.SGD(layer, lr=1.0, momentum=0.5)
    optimizer.update(layer, [0, 1], [[1.0], [1.0]])
    optimizer.update(layer, [0], [[0.0]])
    assert layer.weight.ravel().tolist() == [-1.5, -1]
    assert optimizer.state(layer)["momentum_buffer"].ravel().tolist() == [0.5, 1]


def test_moments_of_an_untouched_row_wait_but_the_count_goes_on():
    layer = nb.ZeroEmbedding(2, 1, dtype=np.float64)
    optimizer = nb.Adam(layer, betas=(0.5, 0.75))
    optimizer.update(layer, [0, 1], [[1.0], [1.0]])
    optimizer.update(layer, [0], [[0.0]])
    state = optimizer.state(layer)
    assert state["exp_avg"].ravel().tolist() == [0.25, 0.5]
    assert state["exp_avg_sq"].ravel().tolist() == [0.1875, 0.25]
    assert state["step"] == 2


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_an_empty_batch_moves_nothing_even_with_decay(rule):
    layer = _layers.LAYERS["ScaledEmbedding"]()
    optimizer = OPTIMIZERS[rule](layer)
    warm(layer, optimizer)
    before = [array.copy() for array in arrays_of(layer, optimizer)]
    optimizer.update(layer, [], np.zeros((0, _layers.DIM)))
    for after, array in zip(arrays_of(layer, optimizer), before, strict=True):
        assert_same_bits(after, array)
