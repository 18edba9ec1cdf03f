"""Update kernels against the reference: every rule and option on drawn cases.

The fused update is compared with backward and step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from tests.kernels import _tiny
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._layers import OPTIMIZERS

TWINS = _tiny.twins_of("_update")


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
@examples(12)
@given(data=st.data())
def test_drawn_cases(twin, data):
    _tiny.draw_and_check(twin, data)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("dim", [1, 3, 17])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
def test_rows_of_every_width(twin, weight_decay, dim, dtype):
    _tiny.check(twin, replace(_tiny.update(dtype, dim), weight_decay=weight_decay))


@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_fused_update_with_hot_rows(rule, dtype):
    lookup = _tiny.lookup(dtype, 5)
    layers = [nb.ScaledEmbedding(*lookup.weight.shape, weight=lookup.weight.copy()) for _ in range(2)]
    optimizers = [OPTIMIZERS[rule](layer) for layer in layers]
    with nb.num_threads(1), np.errstate(all="ignore"):
        for _ in range(2):
            optimizers[0].update(layers[0], lookup.ids, lookup.grad_out)
            optimizers[1].step(layers[1], nb.reference.embedding_backward(lookup.ids, lookup.grad_out, _tiny.ROWS))
    assert_same_bits(layers[0].weight, layers[1].weight)
