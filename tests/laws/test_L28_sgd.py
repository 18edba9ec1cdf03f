"""L28: SGD: g += weight_decay * w; buf = momentum * buf + g, buf from 0; w -= lr * buf."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.laws._steps import assert_steps
from tests.support import _expected, strategies
from tests.support._examples import examples


@examples(60)
@given(strategies.updates(), st.data())
def test_three_steps_are_scalar_arithmetic(case, data):
    event("momentum" if case.momentum else "no momentum")
    assert_steps(
        lambda layer, case: nb.SGD(layer, case.lr, case.momentum, case.weight_decay),
        lambda case: {"momentum_buffer": case.state} if case.momentum else {},
        _expected.sgd,
        case,
        data,
    )


def test_by_hand():
    layer = nb.ZeroEmbedding(2, 1, dtype=np.float64)
    layer.weight[...] = 8
    optimizer = nb.SGD(layer, 0.5, momentum=0.5, weight_decay=0.25)
    optimizer.update(layer, [1], [[2.0]])
    assert layer.weight.ravel().tolist() == [8, 6]  # g = 2 + 0.25 * 8 = 4, buf = 4
    optimizer.update(layer, [1], [[2.0]])
    assert optimizer.state(layer)["momentum_buffer"].ravel().tolist() == [0, 5.5]  # 0.5 * 4 + (2 + 0.25 * 6)
    assert layer.weight.ravel().tolist() == [8, 3.25]


def test_without_momentum_there_is_no_buffer():
    layer = nb.ZeroEmbedding(2, 1)
    assert nb.SGD(layer, lr=1.0).state(layer) == {}
    buffer = np.full((2, 1), 7.0, dtype=np.float32)
    nb.ops.sgd_update(layer.weight, np.ones((2, 1)), 1.0, momentum_buffer=buffer)
    assert buffer.tolist() == [[7], [7]]
    with pytest.raises(ValueError, match="`momentum_buffer` must be given"):
        nb.ops.sgd_update(layer.weight, np.ones((2, 1)), 1.0, momentum=0.5)


@pytest.mark.parametrize("dense", [False, True])
def test_a_term_with_coefficient_zero_is_not_computed(dense):
    layer = nb.ScaledEmbedding(2, 1, weight=np.array([[np.inf], [-np.inf]]))
    grad = layer.backward([0, 1], np.ones((2, 1)), sparse=not dense)
    nb.SGD(layer, lr=1.0, momentum=0.0, weight_decay=0.0).step(layer, grad)
    assert layer.weight.ravel().tolist() == [np.inf, -np.inf]  # 0 * inf would be NaN
