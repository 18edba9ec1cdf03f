"""L15: padding is left out of the sum, of the mean's count and of the max.

A bag equals the same bag without its padding.
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
from tests.support.strategies import MODES


@pytest.mark.parametrize("cases", [strategies.bags, strategies.bloom_bags])
@examples(60)
@given(data=st.data())
def test_a_bag_is_what_it_is_without_its_padding(cases, data):
    case = data.draw(cases())
    flat, kept = case.indices.ravel(), [i for entries in case.counted for i in entries]
    event("padding inside" if len(kept) < flat.size else "no padding inside")
    layer, bare = _layers.bag(case), _layers.bag(case, include_last_offset=True)
    offsets = np.cumsum([0, *(len(entries) for entries in case.counted)])
    weights = None if case.per_sample_weights is None else case.per_sample_weights.ravel()[kept]
    out = layer.forward(case.indices, **_layers.bag_arguments(case))
    assert_same_bits(out, bare.forward(flat[kept], offsets, weights))
    grad = layer.backward(case.indices, case.grad_out, **_layers.bag_arguments(case))
    assert_same_bits(grad, bare.backward(flat[kept], case.grad_out, offsets, weights))


@pytest.mark.parametrize(("mode", "expected"), [("sum", -4.0), ("mean", -2.0), ("max", -1.0)])
@pytest.mark.parametrize("padding_idx", [1, -2])
def test_a_padding_row_that_is_greater_does_not_win(mode, expected, padding_idx):
    layer = nb.ScaledEmbeddingBag(3, 1, mode=mode, padding_idx=padding_idx, weight=np.array([[-1.0], [100.0], [-3.0]]))
    assert layer.forward([0, 1, 2, 1], [0]).item() == expected


@pytest.mark.parametrize("mode", MODES)
def test_a_padding_row_of_nan_stays_out(mode):
    layer = nb.ScaledEmbeddingBag(2, 1, mode=mode, padding_idx=0, weight=np.array([[np.nan], [2.0]]))
    assert layer.forward([0, 1, 0], [0]).item() == 2
