"""L4: forward(ids) has shape ids.shape + (d,) and the dtype of the table.

Bags have shape (bags, d).
"""

from __future__ import annotations

import pytest
from hypothesis import event, given

from tests.support import _layers, strategies
from tests.support._examples import examples


@examples(40)
@given(strategies.lookups())
def test_lookups(case):
    layer = _layers.embedding(case)
    event(f"{case.ids.ndim} dimensions")
    for out in (layer.forward(case.ids), layer(case.ids)):
        assert out.shape == (*case.ids.shape, case.weight.shape[1])
        assert out.dtype == case.weight.dtype
    assert layer.backward(case.ids, case.grad_out, sparse=False).shape == case.weight.shape


@examples(40)
@given(strategies.blooms())
def test_bloom_lookups(case):
    layer = _layers.bloom(case)
    for out in (layer.forward(case.ids), layer(case.ids)):
        assert out.shape == (*case.ids.shape, case.weight.shape[1])
        assert out.dtype == case.weight.dtype
    rows = layer.hash_rows(case.ids)
    assert rows.shape == (*case.ids.shape, case.hashing.num_hash_functions)
    assert rows.dtype == "int64"
    assert layer.backward(case.ids, case.grad_out, sparse=False).shape == case.weight.shape


@pytest.mark.parametrize("cases", [strategies.bags, strategies.bloom_bags])
def test_bags(cases):
    @examples(40)
    @given(cases())
    def check(case):
        layer, arguments = _layers.bag(case), _layers.bag_arguments(case)
        for out in (layer.forward(case.indices, **arguments), layer(case.indices, **arguments)):
            assert out.shape == (len(case.partition.entries), case.weight.shape[1])
            assert out.dtype == case.weight.dtype

    check()
