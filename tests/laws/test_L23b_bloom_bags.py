"""L23b: the terms of a bag are the vectors of its ids, as a lookup rounds them.

Backward goes to the probes in order (i, j).
"""

from __future__ import annotations

import inspect

import numpy as np
from hypothesis import event, given

import npbloom as nb
from npbloom.types import RowGrad
from tests.support import _expected, _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples


@given(strategies.bloom_bags())
def test_forward_and_both_gradients_are_the_loop(case):
    event(f"{case.mode} of {case.combine}")
    layer, arguments = _layers.bag(case), _layers.bag_arguments(case)
    assert_same_bits(layer.forward(case.indices, **arguments), _expected.bag_forward(case))
    assert_same_bits(layer.backward(case.indices, case.grad_out, **arguments), _expected.bag_backward(case))
    if case.mode == "sum":
        products = layer.backward_per_sample_weights(case.indices, case.grad_out, case.partition.offsets)
        assert_same_bits(products, _expected.bag_backward_weights(case))


@examples(60)
@given(strategies.bloom_bags(lane="small", dtype=np.float64))
def test_a_bag_of_one_is_a_bloom_lookup(case):
    arguments = {**_layers.hashing(case), "weight": case.weight}
    single = nb.BloomEmbedding(case.hashing.num_embeddings, case.weight.shape[1], **arguments)
    layer, ids = _layers.bag(case, include_last_offset=False), case.indices.ravel()
    assert_same_bits(layer.forward(ids, range(ids.size)), single.forward(ids))


def test_terms_are_rounded_vectors():
    table = np.array([[1.0], [2.0**-24]], dtype=np.float32)
    layer = nb.BloomEmbeddingBag(1, 1, num_rows=2, mode="sum", padding_idx=None, hash_table=[[0, 1]], weight=table)
    single = nb.BloomEmbedding(1, 1, num_rows=2, padding_idx=None, hash_table=[[0, 1]], weight=table)
    assert single.forward([0]).item() == 1  # 1 + 2**-24 is rounded to even
    assert layer.forward([0] * 17, [0]).item() == 17  # and not 17 + 2**-20
    assert layer.backward_per_sample_weights([0], [[2.0**24 - 1]], [0]).item() == 2**24 - 1


def test_contributions_come_in_order_of_entries_then_probes():
    # Row 0 gets 1e16 of id 0, then 1 twice from id 1: a sum in float64 that depends on the order.
    layer = nb.BloomEmbeddingBag(2, 1, num_rows=2, mode="sum", padding_idx=None, hash_table=[[0, 1], [0, 0]], dtype=np.float64)
    for order in ([0, 1], [1, 0]):
        values = {0: 1e16, 1: 1.0}
        grad = layer.backward(order, [[values[i]] for i in order], [0, 1])
        expected = 0.0
        for i in order:
            for _ in range(2 if i == 1 else 1):
                expected += values[i]
        assert_same_bits(grad, RowGrad(np.array([0, 1]), np.array([[expected], [1e16]]), 2))


def test_a_user_as_the_mean_of_hashed_items():
    layer = nb.BloomEmbeddingBag(1000, 3, rng=1, dtype=np.float64)
    vectors = nb.BloomEmbedding(1000, 3, dtype=np.float64, weight=layer.weight).forward([5, 8, 13])
    np.testing.assert_allclose(layer.forward([[5, 0, 8, 13, 0]])[0], vectors.mean(axis=0), rtol=1e-12)


def test_there_is_no_max_norm_and_no_frequency():
    names = set(inspect.signature(nb.BloomEmbeddingBag).parameters)
    assert not names & {"max_norm", "norm_type", "scale_grad_by_freq"}
    assert list(inspect.signature(nb.BloomEmbeddingBag).parameters)[:6] == [
        *("num_embeddings", "embedding_dim", "compression_ratio", "num_hash_functions", "mode", "padding_idx")
    ]
