"""L32: updates are done in the table's dtype, left to right, on a rounded gradient.

Scalars are rounded once.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _expected, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples

F = np.float32
RULES = {
    "sgd": (_expected.sgd, lambda layer, case: nb.SGD(layer, case.lr, case.momentum, case.weight_decay)),
    "adagrad": (_expected.adagrad, lambda layer, case: nb.Adagrad(layer, case.lr, 0.0, case.weight_decay, eps=case.eps)),
    "rowwise_adagrad": (
        _expected.rowwise_adagrad,
        lambda layer, case: nb.RowWiseAdagrad(layer, case.lr, case.weight_decay, case.eps),
    ),
    "adam": (_expected.adam, lambda layer, case: nb.Adam(layer, case.lr, case.betas, case.eps, case.weight_decay)),
}


@pytest.mark.parametrize("rule", RULES)
@examples(60)
@given(st.data())
def test_float32_tables_are_updated_in_float32(rule, data):
    case = replace(data.draw(strategies.updates(lane="full", dtype=np.float32)), step=1)
    case.state[...] = 0
    case.second_state[...] = 0
    expected, make = RULES[rule]
    layer = nb.ScaledEmbedding(*case.weight.shape, weight=case.weight.copy())
    make(layer, case).step(layer, case.grad)
    assert_same_bits(layer.weight, expected(case)[0])
    wide = replace(
        case,
        weight=case.weight.astype(np.float64),
        grad=case.grad.astype(np.float64),
        state=case.state.astype(np.float64),
        second_state=case.second_state.astype(np.float64),
    )
    with np.errstate(all="ignore"):
        event("float64 would differ" if (expected(wide)[0].astype(F) != layer.weight).any() else "float64 would do")


def test_the_gradient_is_rounded_before_the_update():
    # The sum is 1 + 2**-24, which float32 rounds to 1. Times 3 and rounded once it would be
    # 3 + 2**-22.
    layer = nb.ZeroEmbedding(1, 1)
    nb.SGD(layer, lr=3.0).update(layer, [0, 0], np.array([[1.0], [2.0**-24]], dtype=F))
    assert layer.weight.item() == -3


@pytest.mark.parametrize("lr", [0.1, 0.7, 1e-3])
def test_a_rate_is_rounded_to_the_tables_dtype(lr):
    gradients = np.random.default_rng(1).standard_normal((1, 50)).astype(F)
    layer = nb.ZeroEmbedding(1, 50)
    nb.SGD(layer, lr=lr).update(layer, [0], gradients)
    assert_same_bits(layer.weight, F(0) - F(lr) * gradients)
    assert (layer.weight != (-lr * gradients.astype(np.float64)).astype(F)).any()


def test_left_to_right():
    rng = np.random.default_rng(2)
    weight, g = rng.standard_normal((2, 1, 200)).astype(F)
    layer = nb.ScaledEmbedding(1, 200, weight=weight.copy())
    nb.Adagrad(layer, lr=0.1, eps=0.3).update(layer, [0], g)
    root = np.sqrt(g * g) + F(0.3)
    assert_same_bits(layer.weight, weight - F(0.1) * g / root)
    assert (layer.weight != weight - F(0.1) * (g / root)).any()  # the other association can be told apart


@pytest.mark.parametrize("step", [1, 2, 7, 1000, 10**6])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.1, 0.3), (0.99999, 0.9999999)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_of_beta_are_pythons(step, betas, dtype):
    g = np.linspace(-2, 2, 20, dtype=dtype)[None]
    layer = nb.ZeroEmbedding(1, 20, dtype=dtype)
    optimizer = nb.Adam(layer, lr=0.1, betas=betas)
    optimizer.state(layer)["step"][...] = step - 1
    optimizer.update(layer, [0], g)
    m, v = dtype(1 - betas[0]) * g, dtype(1 - betas[1]) * (g * g)
    root = np.sqrt(v / dtype(1 - betas[1] ** step)) + dtype(1e-8)
    assert_same_bits(layer.weight, dtype(0) - dtype(0.1) * (m / dtype(1 - betas[0] ** step)) / root)


def test_the_decayed_rate_is_a_python_float_rounded_once():
    g = np.linspace(0.1, 2, 20, dtype=F)[None]
    layer = nb.ZeroEmbedding(1, 20)
    optimizer = nb.Adagrad(layer, lr=0.1, lr_decay=0.3)
    optimizer.state(layer)["step"][...] = 6
    optimizer.update(layer, [0], g)
    assert_same_bits(layer.weight, F(0) - F(0.1 / (1 + 6 * 0.3)) * g / (np.sqrt(g * g) + F(1e-10)))


COEFFICIENTS = {
    "SGD": lambda layer: nb.SGD(layer, lr=0.0, weight_decay=0.0),
    "Adagrad": lambda layer: nb.Adagrad(layer, lr=0.0, weight_decay=0.0),
    "RowWiseAdagrad": lambda layer: nb.RowWiseAdagrad(layer, lr=0.0, weight_decay=0.0),
    "Adam": lambda layer: nb.Adam(layer, lr=0.0, weight_decay=0.0),
}


@pytest.mark.parametrize("make", COEFFICIENTS.values(), ids=COEFFICIENTS)
@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_a_term_with_coefficient_zero_is_not_computed(make, value):
    layer = nb.ScaledEmbedding(2, 1, weight=np.full((2, 1), value))
    make(layer).step(layer, np.ones((2, 1)))
    assert (layer.weight == value).all()  # 0 * inf would make them NaN


def test_eps_is_rounded_to_the_tables_dtype():
    layer = nb.ZeroEmbedding(1, 1)
    nb.Adagrad(layer, lr=1.0, eps=1e-50).update(layer, [0], [[0.0]])  # 0 in float32
    assert np.isnan(layer.weight).all()
