"""L26: gradients of a row are summed before any optimizer arithmetic.

Update equals backward then step, and allocates no table.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._layers import DIM, OPTIMIZERS, gradient
from tests.support._threads import split_everything


def assert_update_is_backward_then_step(make, rule, ids, grad_out, threads=1, steps=3, **arguments):
    """Compare several updates of one layer with as many steps of another."""
    fused, other = make(), make()
    fused_optimizer, optimizer = OPTIMIZERS[rule](fused), OPTIMIZERS[rule](other)
    for _ in range(steps):
        with split_everything(threads):
            fused_optimizer.update(fused, ids, grad_out, **arguments)
        optimizer.step(other, other.backward(ids, grad_out, **arguments, sparse=True))
        assert_same_bits(fused.weight, other.weight)
        for name, array in optimizer.state(other).items():
            assert_same_bits(fused_optimizer.state(fused)[name], array)


threads = st.sampled_from([1, 2, 3, 7])


@pytest.mark.parametrize("rule", OPTIMIZERS)
@examples(12)  # for each of seven rules
@given(strategies.lookups(), st.booleans(), st.booleans(), threads)
def test_lookups(rule, case, sparse, frequency, threads):
    def make():
        return _layers.embedding(case, sparse=sparse, scale_grad_by_freq=frequency)

    assert_update_is_backward_then_step(make, rule, case.ids, case.grad_out, threads)


@pytest.mark.parametrize("rule", OPTIMIZERS)
@examples(12)  # for each of seven rules
@given(strategies.bags(), st.booleans(), threads)
def test_bags(rule, case, frequency, threads):
    event(case.mode)
    arguments = _layers.bag_arguments(case)

    def make():
        return _layers.bag(case, scale_grad_by_freq=frequency)

    assert_update_is_backward_then_step(make, rule, case.indices, case.grad_out, threads, **arguments)


@pytest.mark.parametrize("rule", OPTIMIZERS)
@examples(12)  # for each of seven rules
@given(strategies.blooms(), threads)
def test_hashed_ids(rule, case, threads):
    event(case.combine)
    assert_update_is_backward_then_step(lambda: _layers.bloom(case), rule, case.ids, case.grad_out, threads)


@pytest.mark.parametrize("rule", OPTIMIZERS)
@examples(12)  # for each of seven rules
@given(strategies.bloom_bags(), threads)
def test_bags_of_hashed_ids(rule, case, threads):
    event(f"{case.mode} of {case.combine}")
    arguments = _layers.bag_arguments(case)
    assert_update_is_backward_then_step(lambda: _layers.bag(case), rule, case.indices, case.grad_out, threads, **arguments)


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_a_square_of_a_sum_and_no_sum_of_squares(rule):
    layer, once = (nb.ZeroEmbedding(2, 1, dtype=np.float64) for _ in range(2))
    OPTIMIZERS[rule](layer).update(layer, [1, 1, 1], [[1.0], [2.0], [-0.5]])
    OPTIMIZERS[rule](once).update(once, [1], [[2.5]])
    assert_same_bits(layer.weight, once.weight)


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_two_updates_are_two_steps_and_added_gradients_are_one(rule):
    makes = [lambda: nb.ScaledEmbedding(5, 2, weight=_layers.table(5, 2, np.float64)) for _ in range(3)]
    twice, summed, steps = (make() for make in makes)
    optimizers = [OPTIMIZERS[rule](layer) for layer in (twice, summed, steps)]
    calls = [([1, 2], gradient((2, 2), np.float64)), ([2, 3], gradient((2, 2), np.float64) + 1)]
    for ids, grad_out in calls:
        optimizers[0].update(twice, ids, grad_out)
        optimizers[2].step(steps, steps.backward(ids, grad_out, sparse=True))
    grads = [summed.backward(ids, grad_out, sparse=True) for ids, grad_out in calls]
    optimizers[1].step(summed, grads[0] + grads[1])
    assert_same_bits(twice.weight, steps.weight)
    if rule != "SGD":  # whose two steps add up to the one
        assert not np.array_equal(twice.weight, summed.weight)
    assert np.flatnonzero((summed.weight != _layers.table(5, 2)).any(axis=1)).tolist() == [1, 2, 3]


@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["ScaledEmbedding", "BloomEmbedding", "ScaledEmbeddingBag"])
def test_an_update_never_builds_an_array_of_the_tables_size(kind, rule):
    rows, dim = 100_000, 8
    layer = {
        "ScaledEmbedding": lambda: nb.ScaledEmbedding(rows, dim),
        "BloomEmbedding": lambda: nb.BloomEmbedding(5 * rows, dim),
        "ScaledEmbeddingBag": lambda: nb.ScaledEmbeddingBag(rows, dim),
    }[kind]()
    optimizer = OPTIMIZERS[rule](layer)
    arguments = {"offsets": range(20)} if kind.endswith("Bag") else {}
    optimizer.update(layer, range(20), np.ones((20, dim)), **arguments)  # compiles
    tracemalloc.start()
    try:
        optimizer.update(layer, range(20), np.ones((20, dim)), **arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < layer.nbytes / 4
    assert peak < rows  # not even a byte a row


def test_a_gradient_that_is_the_table_is_read_before_it_changes():
    layer = nb.ScaledEmbedding(4, DIM, weight=_layers.table(4))
    other = nb.ScaledEmbedding(4, DIM, weight=_layers.table(4))
    nb.SGD(layer, lr=1.0).update(layer, [3, 2, 1, 0], layer.weight)
    nb.SGD(other, lr=1.0).update(other, [3, 2, 1, 0], _layers.table(4))
    assert_same_bits(layer.weight, other.weight)
