"""L30: RowWiseAdagrad has one accumulator a row: sum_r += mean(g * g).

Products and sum are in float64 with one rounding.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from tests.laws._steps import assert_steps
from tests.support import _expected, strategies
from tests.support._examples import examples


def by_row(case):
    """Return the case as the loop needs it: the accumulators as the first column."""
    column = case.state if case.state.ndim == 2 else case.state[:, None]
    return _expected.rowwise_adagrad(replace(case, state=column))


@examples(60)
@given(strategies.updates(), st.data())
def test_three_steps_are_scalar_arithmetic(case, data):
    assert_steps(
        lambda layer, case: nb.RowWiseAdagrad(layer, case.lr, case.weight_decay, case.eps),
        lambda case: {"sum": case.state[:, 0].copy()},
        by_row,
        case,
        data,
    )


def test_by_hand():
    layer = nb.ZeroEmbedding(2, 2, dtype=np.float64)
    optimizer = nb.RowWiseAdagrad(layer, lr=1.0, eps=0.5)
    optimizer.update(layer, [1], [[1.0, 7.0]])
    assert optimizer.state(layer)["sum"].tolist() == [0, 25]  # (1 + 49) / 2
    assert layer.weight.tolist() == [[0, 0], [-1 / 5.5, -7 / 5.5]]


@pytest.mark.parametrize("dim", [1, 3, 64, 1000])
def test_the_mean_is_rounded_once(dim):
    rng = np.random.default_rng(dim)
    grad = rng.standard_normal((1, dim)).astype(np.float32)
    layer = nb.ZeroEmbedding(1, dim)
    optimizer = nb.RowWiseAdagrad(layer)
    optimizer.update(layer, [0], grad)
    total = 0.0
    for g in grad[0].tolist():
        total += g * g
    assert optimizer.state(layer)["sum"][0] == np.float32(total / dim)


def test_decay_comes_before_the_mean():
    layer = nb.ScaledEmbedding(1, 2, weight=np.array([[2.0, 4.0]]))
    optimizer = nb.RowWiseAdagrad(layer, lr=1.0, weight_decay=0.5, eps=0.0)
    optimizer.update(layer, [0], [[0.0, 5.0]])
    assert optimizer.state(layer)["sum"].tolist() == [25]  # g = (1, 7)
    assert layer.weight.tolist() == [[2 - 1 / 5, 4 - 7 / 5]]
