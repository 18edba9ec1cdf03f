"""The reference's optimizer updates: numbers worked out by hand, and scalar arithmetic."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given

from npbloom import reference
from npbloom.types import RowGrad
from tests.support import _expected, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples

GRAD = RowGrad(np.array([1]), np.array([[3.0, 4.0]]), 3)
WEIGHT = np.array([[9.0, 9.0], [10.0, 20.0], [-0.0, 9.0]])
ZEROS = np.zeros((3, 2))


def call(name, case, grad=None, **options):
    """Return the update of one name on a drawn case."""
    grad = case.grad if grad is None else grad
    options |= {"weight_decay": case.weight_decay}
    if name == "sgd":
        return reference.sgd_update(case.weight, grad, case.lr, momentum=case.momentum, momentum_buffer=case.state, **options)
    if name == "adagrad":
        return reference.adagrad_update(case.weight, case.state, grad, case.lr, eps=case.eps, **options)
    if name == "rowwise_adagrad":
        return reference.rowwise_adagrad_update(case.weight, case.state[:, 0], grad, case.lr, eps=case.eps, **options)
    state = (case.state, case.second_state)
    return reference.adam_update(case.weight, *state, grad, case.lr, case.step, betas=case.betas, eps=case.eps, **options)


NAMES = ["sgd", "adagrad", "rowwise_adagrad", "adam"]


def test_sgd():
    (weight,) = reference.sgd_update(WEIGHT, GRAD, 0.5)
    assert_same_bits(weight, np.array([[9.0, 9.0], [8.5, 18.0], [-0.0, 9.0]]))
    (weight,) = reference.sgd_update(WEIGHT, GRAD, 0.5, weight_decay=0.1)
    assert_same_bits(weight[1], np.array([10 - 0.5 * (3 + 0.1 * 10), 20 - 0.5 * (4 + 0.1 * 20)]))
    buffer = ZEROS + 2
    weight, after = reference.sgd_update(WEIGHT, GRAD, 0.5, momentum=0.25, momentum_buffer=buffer)
    assert_same_bits(after, np.array([[2.0, 2.0], [3.5, 4.5], [2.0, 2.0]]))
    assert_same_bits(weight[1], np.array([8.25, 17.75]))


def test_momentum_needs_a_buffer():
    with pytest.raises(ValueError, match="`momentum_buffer` must be given"):
        reference.sgd_update(WEIGHT, GRAD, 0.5, momentum=0.9)


def test_adagrad():
    weight, total = reference.adagrad_update(WEIGHT, np.array([[0.0, 0.0], [16.0, 9.0], [0.0, 0.0]]), GRAD, 0.5, eps=1.0)
    assert total[1].tolist() == [25, 25]
    assert weight[1].tolist() == [10 - 0.5 * 3 / 6, 20 - 0.5 * 4 / 6]


def test_rowwise_adagrad():
    weight, total = reference.rowwise_adagrad_update(WEIGHT, np.array([7.0, 3.5, 7.0]), GRAD, 0.5, eps=0.0)
    assert total.tolist() == [7, 16, 7]  # 3.5 + (9 + 16) / 2
    assert weight[1].tolist() == [10 - 0.5 * 3 / 4, 20 - 0.5 * 4 / 4]


def test_adam():
    weight, first, second = reference.adam_update(WEIGHT, ZEROS, ZEROS, GRAD, 0.5, 1, betas=(0.5, 0.75), eps=0.0)
    assert first[1].tolist() == [1.5, 2]
    assert second[1].tolist() == [2.25, 4]
    assert weight[1].tolist() == [9.5, 19.5]  # in the first step every element moves by lr
    weight, first, second = reference.adam_update(weight, first, second, GRAD, 0.5, 2, betas=(0.5, 0.75), eps=1.0)
    assert first[1].tolist() == [2.25, 3]
    assert weight[1] == pytest.approx([9.5 - 0.5 * 3 / (3 + 1), 19.5 - 0.5 * 4 / (4 + 1)])


def test_one_rounding_of_scalars():
    weight, first, _ = reference.adam_update(
        np.zeros((1, 1), dtype=np.float32),
        *[np.zeros((1, 1), dtype=np.float32)] * 2,
        np.ones((1, 1)),
        0.001,
        1,
        betas=(0.9, 0.999),
    )
    assert first[0, 0] == np.float32(0.09999999999999998)  # 1 - 0.9 in float64, and not 1 - float32(0.9)
    assert weight.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
@examples(40)  # for each of four names
@given(case=strategies.updates())
def test_updates_are_the_loop(name, case):
    assert_same_bits(call(name, case), getattr(_expected, name)(case))


@pytest.mark.parametrize("name", NAMES)
@examples(40)  # for each of four names
@given(case=strategies.updates())
def test_nothing_is_written_to_and_other_rows_keep_their_bits(name, case):
    before = dataclasses.astuple(dataclasses.replace(case, grad=case.grad.values))
    copies = [np.array(value) for value in before]
    others = np.setdiff1d(np.arange(len(case.weight)), case.grad.rows)
    states = {
        "sgd": [case.state],
        "adagrad": [case.state],
        "rowwise_adagrad": [case.state[:, 0]],
        "adam": [case.state, case.second_state],
    }
    for after, array in zip(call(name, case), [case.weight, *states[name]], strict=False):
        assert_same_bits(after[others], array[others])
        assert not np.shares_memory(after, array)
    for value, copy in zip(before, copies, strict=True):
        assert_same_bits(np.array(value), copy)


@pytest.mark.parametrize("name", NAMES)
@examples(40)  # for each of four names
@given(case=strategies.updates())
def test_a_dense_gradient_updates_every_row_but_padding(name, case):
    m = len(case.weight)
    dense = RowGrad(np.arange(m), case.grad.to_dense(), m)
    assert_same_bits(call(name, case, case.grad.to_dense()), call(name, case, dense))
    all_but_padding = RowGrad(np.arange(1, m), dense.values[1:], m)
    assert_same_bits(call(name, case, dense.values, padding_row=0), call(name, case, all_but_padding))


@pytest.mark.parametrize("name", NAMES)
def test_a_row_grad_must_not_name_padding(name):
    case = strategies.Update(WEIGHT, GRAD, ZEROS, ZEROS, 0.1, 0.0, 0.0, 1e-8, (0.9, 0.999), 1)
    with pytest.raises(ValueError, match="must not name the padding row, 1"):
        call(name, case, padding_row=1)
    with pytest.raises(ValueError, match="must fit a table of shape"):
        call(name, case, RowGrad(np.array([1]), np.ones((1, 2)), 4))
    with pytest.raises(ValueError, match="`grad` must have shape"):
        call(name, case, np.ones((3, 1)))
    with pytest.raises(TypeError, match="`grad` must be a real floating array"):
        call(name, case, np.ones((3, 2), dtype=int))


def test_a_term_with_coefficient_zero_is_not_computed():
    weight = np.array([[math.inf]])
    (after,) = reference.sgd_update(weight, RowGrad(np.array([0]), np.array([[1.0]]), 1), 1.0, weight_decay=0.0)
    assert after == math.inf  # 0 * inf would be NaN
