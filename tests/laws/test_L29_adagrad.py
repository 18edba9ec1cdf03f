"""L29: Adagrad adds the squared gradient to its state and divides by the root of the state.

g += weight_decay * w; sum += g * g; w -= lr / (1 + (step - 1) * lr_decay) * g / (sqrt(sum) + eps).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.laws._steps import assert_steps
from tests.support import _expected, strategies
from tests.support._examples import examples


@examples(60)
@given(strategies.updates(), st.sampled_from([0.0, 0.1, 0.75]), st.data())
def test_three_steps_are_scalar_arithmetic(case, lr_decay, data):
    event(f"lr_decay {lr_decay}")
    assert_steps(
        lambda layer, case: nb.Adagrad(layer, case.lr, lr_decay, case.weight_decay, eps=case.eps),
        lambda case: {"sum": case.state},
        lambda case: _expected.adagrad(replace(case, lr=case.lr / (1 + (case.step - 1) * lr_decay))),
        case,
        data,
    )


def test_by_hand():
    layer = nb.ZeroEmbedding(2, 1, dtype=np.float64)
    optimizer = nb.Adagrad(layer, lr=1.0, lr_decay=1.0, eps=1.0)
    optimizer.update(layer, [1], [[3.0]])
    assert layer.weight.ravel().tolist() == [0, -0.75]  # 3 / (3 + 1): eps outside the root
    optimizer.update(layer, [1], [[4.0]])
    assert optimizer.state(layer)["sum"].ravel().tolist() == [0, 25]
    assert layer.weight.ravel().tolist() == [0, -0.75 - 0.5 * 4 / (5 + 1)]


def test_eps_is_outside_the_root():
    layer = nb.ZeroEmbedding(1, 1, dtype=np.float64)
    nb.Adagrad(layer, lr=1.0, eps=0.25).update(layer, [0], [[0.0]])
    assert layer.weight.item() == 0
    nb.Adagrad(layer, lr=1.0, eps=1.0, initial_accumulator_value=9.0).update(layer, [0], [[4.0]])
    assert layer.weight.item() == -4 / (5 + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_accumulator_starts_where_it_is_told_and_comes_back_there(dtype):
    layer = nb.ZeroEmbedding(3, 2, dtype=dtype)
    optimizer = nb.Adagrad(layer, initial_accumulator_value=0.1)
    start = np.full((3, 2), 0.1, dtype=dtype)
    assert (optimizer.state(layer)["sum"] == start).all()
    optimizer.update(layer, [1], [[1.0, 2.0]])
    assert optimizer.state(layer)["step"] == 1
    live = optimizer.state(layer)["sum"]
    optimizer.reset_state(layer)
    assert optimizer.state(layer)["sum"] is live
    assert (live == start).all()
    assert optimizer.state(layer)["step"] == 0


def test_every_call_counts_an_empty_batch_included():
    layers = [nb.ZeroEmbedding(2, 1, dtype=np.float64) for _ in range(2)]
    optimizer = nb.Adagrad(layers, lr=1.0, lr_decay=1.0, eps=0.0)
    optimizer.update(layers[0], [], np.zeros((0, 1)))
    optimizer.update(layers[0], [1], [[5.0]])
    optimizer.update(layers[1], [1], [[5.0]])
    assert layers[0].weight[1] == -0.5
    assert layers[1].weight[1] == -1  # each layer counts its own calls
