"""L31: Adam corrects the bias of both moments; eps is added after the correction.

`step` counts the calls on a layer, also those with an empty batch.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from tests.laws._steps import assert_steps
from tests.support import _expected, strategies
from tests.support._examples import examples


@examples(60)
@given(strategies.updates(), st.data())
def test_three_steps_are_scalar_arithmetic(case, data):
    assert_steps(
        lambda layer, case: nb.Adam(layer, case.lr, case.betas, case.eps, case.weight_decay),
        lambda case: {"exp_avg": case.state, "exp_avg_sq": case.second_state},
        _expected.adam,
        case,
        data,
    )


def test_by_hand():
    layer = nb.ZeroEmbedding(2, 1, dtype=np.float64)
    optimizer = nb.Adam(layer, lr=1.0, betas=(0.5, 0.75), eps=1.0)
    optimizer.update(layer, [1], [[4.0]])
    state = optimizer.state(layer)
    assert (state["exp_avg"][1].item(), state["exp_avg_sq"][1].item(), int(state["step"])) == (2, 4, 1)
    assert layer.weight[1] == -4 / (4 + 1)  # m / 0.5 is 4, v / 0.25 is 16
    optimizer.update(layer, [1], [[0.0]])
    assert (state["exp_avg"][1].item(), state["exp_avg_sq"][1].item(), int(state["step"])) == (1, 3, 2)
    assert layer.weight[1] == -4 / 5 - (1 / 0.75) / (np.sqrt(3 / 0.4375) + 1)


def test_every_call_counts_an_empty_batch_included():
    layers = [nb.ZeroEmbedding(2, 1, dtype=np.float64) for _ in range(2)]
    optimizer = nb.Adam(layers, lr=1.0)
    optimizer.update(layers[0], [], np.zeros((0, 1)))
    optimizer.step(layers[0], layers[0].backward([], np.zeros((0, 1)), sparse=True))
    assert optimizer.state(layers[0])["step"] == 2
    optimizer.update(layers[0], [1], [[1.0]])
    optimizer.update(layers[1], [1], [[1.0]])
    assert [int(optimizer.state(layer)["step"]) for layer in layers] == [3, 1]
    first, third = 0.1 / (1 - 0.9**3), np.sqrt(0.001 / (1 - 0.999**3))
    assert abs(layers[0].weight[1].item() + first / (third + 1e-8)) < 1e-12
    assert abs(layers[1].weight[1].item() + 1 / (1 + 1e-8)) < 1e-12


def test_the_first_step_moves_every_element_by_the_rate():
    layer = nb.ZeroEmbedding(1, 5, dtype=np.float64)
    nb.Adam(layer, lr=0.25, eps=0.0).update(layer, [0], [[1e-150, -3.0, 2.0, 1e150, -1e-9]])
    np.testing.assert_allclose(layer.weight, [[-0.25, 0.25, -0.25, -0.25, 0.25]], rtol=1e-12)


def test_many_steps_and_betas_of_zero():
    layer = nb.ZeroEmbedding(1, 1, dtype=np.float64)
    optimizer = nb.Adam(layer, lr=0.5, betas=(0.0, 0.0), eps=0.0)
    for number in range(1, 4):
        optimizer.update(layer, [0], [[-2.0 * number]])
        assert layer.weight.item() == 0.5 * number  # g / |g|
    optimizer.state(layer)["step"][...] = 10**9  # beta ** step is 0
    optimizer.update(layer, [0], [[7.0]])
    assert layer.weight.item() == 1.0
