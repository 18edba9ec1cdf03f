"""L5: sums of rows are taken in runs of sixteen, and the runs in float64, in input order.

The total is rounded once to the table's dtype. Sums over columns have eight partial sums.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _expected, _layers, strategies
from tests.support._bits import assert_same_bits


def describe(case):
    """Report the drawn case to the statistics of Hypothesis."""
    event(f"dtype {case.weight.dtype}")
    size = case.ids.size if hasattr(case, "ids") else case.indices.size
    event("empty" if size == 0 else "some ids")


@given(strategies.lookups(), st.booleans())
def test_lookups_are_loops_over_numbers(case, by_frequency):
    describe(case)
    layer = _layers.embedding(case, scale_grad_by_freq=by_frequency)
    grad = layer.backward(case.ids, case.grad_out, sparse=True)
    assert_same_bits(grad, _expected.embedding_backward(case, by_frequency))


@given(strategies.bags(), st.booleans())
def test_bags_are_loops_over_numbers(case, by_frequency):
    describe(case)
    event(f"mode {case.mode}{'' if case.per_sample_weights is None else ' weighted'}")
    layer, arguments = _layers.bag(case, scale_grad_by_freq=by_frequency), _layers.bag_arguments(case)
    assert_same_bits(layer.forward(case.indices, **arguments), _expected.bag_forward(case))
    grad = layer.backward(case.indices, case.grad_out, **arguments)
    assert_same_bits(grad, _expected.bag_backward(case, by_frequency))


@given(strategies.blooms())
def test_bloom_lookups_are_loops_over_numbers(case):
    describe(case)
    layer = _layers.bloom(case)
    assert_same_bits(layer.forward(case.ids), _expected.bloom_forward(case))
    assert_same_bits(layer.backward(case.ids, case.grad_out), _expected.bloom_backward(case))


@given(strategies.bloom_bags())
def test_bags_of_hashed_ids_are_loops_over_numbers(case):
    describe(case)
    layer, arguments = _layers.bag(case), _layers.bag_arguments(case)
    assert_same_bits(layer.forward(case.indices, **arguments), _expected.bag_forward(case))
    assert_same_bits(layer.backward(case.indices, case.grad_out, **arguments), _expected.bag_backward(case))


def test_a_row_hit_two_million_times_keeps_counting():
    hits = 2_000_000
    ids, grad_out = np.zeros(hits, dtype=np.int64), np.ones((hits, 1), dtype=np.float32)
    grad_out[0] = 2**24  # where a float32 accumulator stops counting: the first run loses its fifteen ones
    grad = nb.ops.embedding_backward(ids, grad_out, 1)
    assert grad.values.item() == 2**24 + hits - 16
    out = nb.ops.embedding_bag_forward(np.array([[1.0], [2.0**24]], dtype=np.float32), np.append(1, ids[1:]), [0], mode="sum")
    assert out.item() == 2**24 + hits - 16


def run_sum(values):
    """Return a sum of numbers of one dtype in runs of sixteen, in float64; None keeps its place."""
    total = np.float64(0.0)
    for start in range(0, len(values), 16):
        run = np.float32(0.0) if any(isinstance(value, np.float32) for value in values) else np.float64(0.0)
        for value in values[start : start + 16]:
            run = run if value is None else run + value
        total = total + np.float64(run)
    return total


LONG = (15, 16, 17, 31, 32, 33, 48, 100, 257)
# Columns that are summed in blocks of 256, 128 and 32 bytes and one by one, also side by side.
WIDTHS = (1, 9, 33, 45, 107)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dim", WIDTHS)
def test_long_bags_are_sums_of_runs(dtype, dim):
    rng = np.random.default_rng(dim)
    table = rng.standard_normal((11, dim)).astype(dtype)
    for size in LONG:
        ids, weights = rng.integers(0, 11, size), rng.standard_normal(size).astype(dtype)
        columns = [[None if i == 3 else weight * table[i, c] for i, weight in zip(ids, weights, strict=True)] for c in range(dim)]
        expected = np.array([[run_sum(column) for column in columns]]).astype(dtype)
        assert_same_bits(nb.ops.embedding_bag_forward(table, ids, [0], weights, mode="sum", padding_idx=3), expected)
        columns = [[None if i == 3 else table[i, c] for i in ids] for c in range(dim)]
        expected = np.array([[run_sum(column) / (ids != 3).sum() for column in columns]]).astype(dtype)
        assert_same_bits(nb.ops.embedding_bag_forward(table, ids, [0], mode="mean", padding_idx=3), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dim", WIDTHS)
def test_gradients_of_rows_read_often_are_sums_of_runs(dtype, dim):
    rng = np.random.default_rng(dim)
    ids, grad_out = rng.permutation(np.repeat(np.arange(len(LONG)), LONG)), rng.standard_normal((sum(LONG), dim)).astype(dtype)
    expected = np.array([[run_sum(list(grad_out[ids == row, c])) for c in range(dim)] for row in range(len(LONG))])
    assert_same_bits(nb.ops.embedding_backward(ids, grad_out, len(LONG)).values, expected.astype(dtype))
    by_count = grad_out / np.array(LONG, dtype)[ids, None]
    expected = np.array([[run_sum(list(by_count[ids == row, c])) for c in range(dim)] for row in range(len(LONG))])
    grad = nb.ops.embedding_backward(ids, grad_out, len(LONG), scale_grad_by_freq=True)
    assert_same_bits(grad.values, expected.astype(dtype))


def test_a_place_that_is_left_out_is_kept():
    # Were padding skipped, 2**24 and the ones would stand in one run, and the ones would be lost.
    table = np.array([[0.0], [2.0**24], [1.0]], dtype=np.float32)
    ids = [1, *[0] * 15, *[2] * 8]
    assert nb.ops.embedding_bag_forward(table, ids, [0], mode="sum", padding_idx=0).item() == 2**24 + 8
    spec = nb.HashSpec(4, 3, 18, table=[[0] * 18, [1, *[0] * 15, 2, 2], [0] * 18, [0] * 18], padding_idx=0)
    assert nb.ops.bloom_forward(table, [1], spec).item() == 2**24 + 2


@pytest.mark.parametrize("dim", [7, 8, 9, 30])
def test_sums_over_columns_have_eight_parts(dim):
    rng = np.random.default_rng(dim)
    row, grad_out = rng.standard_normal((1, dim)), rng.standard_normal((1, dim))
    p = [0.0] * 8
    for c in range(dim):
        p[c % 8] += row[0, c] * grad_out[0, c]
    expected = ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]))
    assert nb.ops.embedding_bag_backward_weights(row, [0], grad_out, [0]).item() == expected


def test_the_order_of_a_float64_sum_is_the_order_of_the_input():
    values = np.array([1e16, 1.0, -1e16, 1.0])
    for order in ([0, 1, 2, 3], [0, 2, 1, 3], [1, 0, 3, 2]):
        expected = 0.0
        for value in values[order]:
            expected += value
        assert nb.ops.embedding_backward([0] * 4, values[order, None], 1).values.item() == expected
        table = values[:, None].copy()
        assert nb.ops.embedding_bag_forward(table, order, [0], mode="sum").item() == expected
        spec = nb.HashSpec(1, 4, table=[order])
        assert nb.ops.bloom_forward(table, [0], spec).item() == expected


MINUS_ZERO = np.array([[-0.0, -0.0]], dtype=np.float32)


def minus_zero_sums():
    """Return sums with the single term -0.0."""
    ops, spec = nb.ops, nb.HashSpec(1, 1, 1)
    yield "backward", ops.embedding_backward([0], MINUS_ZERO, 1).values
    yield "dense", nb.ZeroEmbedding(1, 2).backward([0], MINUS_ZERO, sparse=False)
    for mode in ("sum", "mean"):
        yield f"bag {mode}", ops.embedding_bag_forward(MINUS_ZERO, [0], [0], mode=mode)
        yield f"hashed bag {mode}", ops.bloom_bag_forward(MINUS_ZERO, [0], spec, [0], mode=mode)
    for mode in ("sum", "mean", "max"):
        yield f"bag {mode} backward", ops.embedding_bag_backward(MINUS_ZERO, [0], MINUS_ZERO, [0], mode=mode).values
        yield f"hashed bag {mode} backward", ops.bloom_bag_backward(MINUS_ZERO, [0], MINUS_ZERO, spec, [0], mode=mode).values
    for combine in ("sum", "mean", "concat"):
        yield f"bloom {combine}", ops.bloom_forward(MINUS_ZERO, [0], spec, combine=combine)
        yield f"bloom {combine} backward", ops.bloom_backward([0], MINUS_ZERO, spec, combine=combine).values
        yield f"hashed max {combine}", ops.bloom_bag_forward(MINUS_ZERO, [0], spec, [0], mode="max", combine=combine)
    yield "weights", ops.embedding_bag_forward(MINUS_ZERO, [0], [0], [1.0], mode="sum")


def test_a_sum_of_minus_zero_alone_is_zero():
    for name, result in minus_zero_sums():
        assert not np.signbit(result).any(), name


def test_a_weight_gradient_of_minus_zero_is_zero():
    products = nb.ops.embedding_bag_backward_weights(np.array([[-0.0]]), [0], [[1.0]], [0])
    assert_same_bits(products, np.array([0.0]))


@given(strategies.lookups(lane="special"))
def test_a_plain_lookup_copies_bits(case):
    out = _layers.embedding(case).forward(case.ids)
    assert out.tobytes() == b"".join(case.weight[i].tobytes() for i in case.ids.ravel())


def test_a_plain_lookup_copies_the_payload_of_a_nan():
    bits = np.array([[0x7FC00123, 0x80000000, 1, 0xFF800000]], dtype=np.uint32)
    out = nb.ScaledEmbedding(1, 4, weight=bits.view(np.float32)).forward([0, 0])
    assert (out.view(np.uint32) == bits).all()


def test_a_maximum_is_a_selection_and_copies_minus_zero():
    table = np.array([[-0.0], [0.0]], dtype=np.float32)
    assert np.signbit(nb.ops.embedding_bag_forward(table, [0, 1], [0], mode="max")).all()
    assert not np.signbit(nb.ops.embedding_bag_forward(table, [1, 0], [0], mode="max")).any()


def test_forward_scales_after_the_sum_and_backward_each_contribution():
    third = np.float64(1) / 3
    table = np.full((3, 1), third)
    spec = nb.HashSpec(1, 3, table=[[0, 1, 2]])
    assert nb.ops.bloom_forward(table, [0], spec, combine="mean").item() == (third + third + third) / 3
    ids, grads = [0, 0, 0], np.array([[0.1], [0.7], [0.3]])
    grad = nb.ops.bloom_backward(ids, grads, nb.HashSpec(1, 1, table=[[0, 0, 0]]), combine="mean")
    expected = 0.0
    for value in np.repeat(grads[:, 0], 3):
        expected += value / 3
    assert grad.values.item() == expected
    grad = nb.ops.embedding_backward(ids, grads, 1, scale_grad_by_freq=True)
    assert grad.values.item() == 0.1 / 3 + 0.7 / 3 + 0.3 / 3
