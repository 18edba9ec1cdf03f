"""L14: a bag with no entry, or with padding only, is zero, and has no gradient."""

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
from tests.support.strategies import MODES


@pytest.mark.parametrize("cases", [strategies.bags, strategies.bloom_bags])
@examples(60)
@given(data=st.data())
def test_empty_bags_are_zero_and_send_nothing(cases, data):
    case = data.draw(cases())
    layer, arguments = _layers.bag(case), _layers.bag_arguments(case)
    empty = [b for b, entries in enumerate(case.counted) if not entries]
    event(f"{len(empty)} of {len(case.counted)} bags empty")
    out = layer.forward(case.indices, **arguments)
    assert_same_bits(out[empty], np.zeros((len(empty), out.shape[1]), dtype=out.dtype))
    poisoned = case.grad_out.copy()
    poisoned[empty] = np.nan
    for sparse in (True, False):
        grad = layer.backward(case.indices, case.grad_out, **arguments, sparse=sparse)
        assert_same_bits(layer.backward(case.indices, poisoned, **arguments, sparse=sparse), grad)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_but_empty_bags(mode, dtype):
    for layer in (
        nb.ScaledEmbeddingBag(5, 2, mode=mode, padding_idx=3, dtype=dtype, rng=1),
        nb.BloomEmbeddingBag(5, 2, num_rows=4, mode=mode, padding_idx=3, dtype=dtype, rng=1),
    ):
        before, optimizer = layer.weight.copy(), nb.Adam(layer, weight_decay=0.1)
        for indices, offsets in (([], [0, 0, 0]), ([3, 3], [0, 1, 1]), ([[3], [3], [3]], None)):
            assert_same_bits(layer.forward(indices, offsets), np.zeros((3, 2), dtype=dtype))
            grad = layer.backward(indices, np.full((3, 2), np.nan), offsets)
            expected = RowGrad(np.zeros(0, dtype=np.int64), np.zeros((0, 2), dtype=dtype), len(before))
            assert_same_bits(grad, expected)
            optimizer.update(layer, indices, np.full((3, 2), np.nan), offsets=offsets)
        assert_same_bits(layer.weight, before)
        assert optimizer.state(layer)["step"] == 3
