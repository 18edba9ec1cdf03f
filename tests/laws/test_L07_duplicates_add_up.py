"""L7: an id that occurs twice, and an id whose probes coincide, contribute once each time."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._layers import OPTIMIZERS


@examples(60)
@given(strategies.lookups(lane="small"))
def test_a_batch_is_the_sum_of_its_lookups(case):
    flat, grads = case.ids.ravel(), case.grad_out.reshape(case.ids.size, case.weight.shape[1])
    event("no ids" if not flat.size else "duplicates" if len(set(flat.tolist())) < flat.size else "all different")
    layer = _layers.embedding(case)
    parts = [layer.backward(flat[[i]], grads[[i]], sparse=True) for i in range(flat.size)]
    nothing = layer.backward([], np.zeros((0, case.weight.shape[1])), sparse=True)
    assert_same_bits(layer.backward(case.ids, case.grad_out, sparse=True), reduce(add, parts, nothing))


@examples(60)
@given(st.sampled_from(["sum", "concat"]).flatmap(lambda combine: strategies.blooms(lane="small", combine=combine)))
def test_a_batch_of_hashed_ids_is_the_sum_of_its_lookups(case):
    flat, grads = case.ids.ravel(), case.grad_out.reshape(case.ids.size, case.weight.shape[1])
    layer = _layers.bloom(case)
    parts = [layer.backward(flat[[i]], grads[[i]], sparse=True) for i in range(flat.size)]
    nothing = layer.backward([], np.zeros((0, case.weight.shape[1])))
    assert_same_bits(layer.backward(case.ids, case.grad_out), reduce(add, parts, nothing))


@pytest.mark.parametrize("times", [1, 2, 5, 24])
def test_probes_that_coincide_count_each_time(times):
    spec = nb.HashSpec(2, 3, table=[[1] * times, [0] + [2] * (times - 1)])
    table, grad_out = np.array([[1.0], [10.0], [100.0]]), [[1.0], [1000.0]]
    assert nb.ops.bloom_forward(table, [0, 1], spec).ravel().tolist() == [10 * times, 1 + 100 * (times - 1)]
    grad = nb.ops.bloom_backward([0, 1], grad_out, spec)
    expected = [1000.0, times, 1000.0 * (times - 1)] if times > 1 else [1000.0, 1.0]
    assert grad.values.ravel().tolist() == expected


@pytest.mark.parametrize("rule", OPTIMIZERS)
@examples(20)
@given(twice=st.integers(2, 9))
def test_a_repeated_id_moves_once_by_the_sum(rule, twice):
    layers = [nb.ZeroEmbedding(3, 2, dtype=np.float64) for _ in range(2)]
    grads = np.arange(1.0, 1 + 2 * twice).reshape(twice, 2) / 4
    OPTIMIZERS[rule](layers[0]).update(layers[0], [1] * twice, grads)
    OPTIMIZERS[rule](layers[1]).update(layers[1], [1], grads.sum(axis=0, keepdims=True))
    assert_same_bits(layers[0].weight, layers[1].weight)


def test_every_entry_of_a_bag_counts():
    layer = nb.ScaledEmbeddingBag(2, 1, mode="sum", weight=np.array([[1.0], [10.0]]))
    assert layer.forward([1, 1, 0, 1], [0]).item() == 31
    assert layer.backward([1, 1, 0, 1], [[2.0]], [0]).values.ravel().tolist() == [2, 6]
    mean = nb.ScaledEmbeddingBag(2, 1, mode="mean", weight=np.array([[1.0], [9.0]]))
    assert mean.forward([1, 1, 0, 1], [0]).item() == 7
    assert mean.backward([1, 1, 0, 1], [[2.0]], [0]).values.ravel().tolist() == [0.5, 1.5]
