"""L25: backward is the exact transpose of forward, at the table as it is now.

For max it is the transpose at the current arg-max.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples


def inner(one, other):
    """Return a scalar product without rounding."""
    pairs = zip(np.ravel(one).tolist(), np.ravel(other).tolist(), strict=True)
    return sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))


def assert_adjoint(out, grad_out, weight, dense, exact):
    """Assert <forward(W), G> == <W, backward(G)>.

    The equality is exact where all values are dyadic.
    """
    left, right = inner(out, grad_out), inner(weight, dense)
    if exact:
        assert left == right
    else:
        size = float(inner(np.abs(weight), np.abs(dense)) + inner(np.abs(out), np.abs(grad_out)))
        epsilon = float(np.finfo(weight.dtype).eps)
        assert abs(float(left - right)) <= 16 * epsilon * size


exact_or_not = st.sampled_from(["small", "full"])


@examples(60)
@given(st.data())
def test_lookups(data):
    lane = data.draw(exact_or_not)
    case = data.draw(strategies.lookups(lane=lane))
    if case.padding >= 0:
        case.weight[case.padding] = 0
    layer = _layers.embedding(case)
    dense = layer.backward(case.ids, case.grad_out, sparse=False)
    assert_adjoint(layer.forward(case.ids), case.grad_out, case.weight, dense, lane == "small")


@examples(60)
@given(st.data())
def test_bloom_lookups(data):
    lane = data.draw(exact_or_not)
    case = data.draw(strategies.blooms(lane=lane))
    if case.hashing.padding_idx is not None:
        case.weight[0] = 0
    layer, k = _layers.bloom(case), case.hashing.num_hash_functions
    exact = lane == "small" and (case.combine != "mean" or k in (1, 2, 4))
    dense = layer.backward(case.ids, case.grad_out, sparse=False)
    assert_adjoint(layer.forward(case.ids), case.grad_out, case.weight, dense, exact)


@pytest.mark.parametrize("cases", [strategies.bags, strategies.bloom_bags])
@given(data=st.data())
def test_bags_of_every_mode(cases, data):
    lane = data.draw(exact_or_not)
    case = data.draw(cases(lane=lane))
    if case.padding >= 0:
        case.weight[0 if case.hashing else case.padding] = 0
    layer, arguments = _layers.bag(case), _layers.bag_arguments(case)
    event(case.mode)
    counts = {len(entries) for entries in case.counted} if case.mode == "mean" else set()
    counts |= {case.hashing.num_hash_functions} if case.combine == "mean" else set()
    exact = lane == "small" and counts <= {0, 1, 2, 4}
    dense = layer.backward(case.indices, case.grad_out, **arguments, sparse=False)
    assert_adjoint(layer.forward(case.indices, **arguments), case.grad_out, case.weight, dense, exact)


@examples(60)
@given(strategies.bags(lane="small", mode="sum"))
def test_weights_have_a_transpose_too(case):
    if case.per_sample_weights is None:
        case.per_sample_weights = np.ones(case.indices.shape, dtype=case.weight.dtype)
    layer, arguments = _layers.bag(case), _layers.bag_arguments(case)
    products = layer.backward_per_sample_weights(case.indices, case.grad_out, case.partition.offsets)
    assert inner(layer.forward(case.indices, **arguments), case.grad_out) == inner(case.per_sample_weights, products)


@examples(60)
@given(strategies.bags(lane="small", mode="max"), st.data())
def test_a_maximum_is_differentiated_at_the_table_as_it_is_now(case, data):
    layer, offsets = _layers.bag(case), case.partition.offsets
    layer.forward(case.indices, offsets)  # leaves nothing behind
    case.weight = data.draw(strategies.arrays(case.weight.dtype, case.weight.shape, "small"))
    layer.weight[...] = case.weight
    fresh = _layers.bag(case)
    assert_same_bits(layer.backward(case.indices, case.grad_out, offsets), fresh.backward(case.indices, case.grad_out, offsets))


def test_two_lookups_before_either_backward():
    layer = _layers.LAYERS["ScaledEmbeddingBag"](mode="max")
    first, second = layer.forward([1, 2], [0]), layer.forward([3, 4, 5], [0])
    assert first.shape == second.shape == (1, _layers.DIM)
    assert layer.backward([1, 2], np.ones((1, _layers.DIM)), [0]).rows.tolist() == [1, 2]
    assert layer.backward([3, 4, 5], np.ones((1, _layers.DIM)), [0]).rows.tolist() == [3, 4, 5]
