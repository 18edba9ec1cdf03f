"""The reference's backward passes: examples worked out by hand, and plain Python loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npbloom import reference
from npbloom.types import HashSpec, RowGrad
from tests.support import _expected, strategies
from tests.support._bits import assert_same_bits

TABLE = np.array([[1.0, 2.0], [3.0, -4.0], [5.0, 6.0], [-7.0, 8.0]])


def assert_grad(grad, rows, values):
    """Assert a gradient of these rows and values in a table of four rows."""
    assert_same_bits(grad, RowGrad(np.array(rows, dtype=np.int64), np.array(values, dtype=np.float64).reshape(len(rows), -1), 4))


def test_duplicates_add_up_in_order():
    grad = reference.embedding_backward([2, 0, 2, 2], [[1e16], [5.0], [1.0], [1.0]], 4)
    assert_grad(grad, [0, 2], [[5.0], [1e16]])  # (1e16 + 1) + 1 is 1e16; 1e16 + (1 + 1) would be greater


def test_padding_has_no_gradient_and_other_zeros_have():
    grad = reference.embedding_backward([[3, 1], [3, 0]], np.zeros((2, 2, 1)), 4, padding_idx=-1)
    assert_grad(grad, [0, 1], [[0.0], [0.0]])


def test_a_single_minus_zero_becomes_zero():
    assert_grad(reference.embedding_backward([1], [[-0.0]], 4), [1], [[0.0]])


def test_frequency_counts_the_whole_batch():
    grad = reference.embedding_backward(
        [1, 2, 1, 1, 3], [[1.0], [2.0], [4.0], [7.0], [9.0]], 4, padding_idx=3, scale_grad_by_freq=True
    )
    assert_grad(grad, [1, 2], [[4.0], [2.0]])


def test_gradient_of_one_id_and_of_none():
    assert_grad(reference.embedding_backward(2, [1.0, 2.0], 4), [2], [[1.0, 2.0]])
    empty = reference.embedding_backward([], np.zeros((0, 3), dtype=np.float32), 4)
    assert_same_bits(empty, RowGrad(np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.float32), 4))


def test_dtype_of_a_gradient_without_a_table():
    for given_dtype, dtype in [("f4", "f4"), (">f4", "f4"), ("f8", "f8"), ("f2", "f8"), ("g", "f8")]:
        assert reference.embedding_backward([0], np.ones((1, 1), dtype=given_dtype), 1).values.dtype == dtype
    assert reference.embedding_backward([0], [[1.0]], 1).values.dtype == np.float64


@pytest.mark.parametrize("grad_out", [[[1]], [[1j]], [["1"]], [[None]]])
def test_other_kinds_of_gradients_are_refused(grad_out):
    with pytest.raises(TypeError, match="`grad_out` must be a real floating array"):
        reference.embedding_backward([0], grad_out, 1)


@pytest.mark.parametrize("shape", [(2,), (3, 1), (2, 1, 1), (2, 0)])
def test_other_shapes_of_gradients_are_refused(shape):
    with pytest.raises(ValueError, match="`grad_out` must have shape"):
        reference.embedding_backward([0, 0], np.ones(shape), 1)


@given(strategies.lookups(), st.booleans())
def test_gradients_of_lookups_are_the_loop(case, by_frequency):
    options = {"padding_idx": case.padding_idx, "scale_grad_by_freq": by_frequency}
    grad = reference.embedding_backward(case.ids, case.grad_out, len(case.weight), **options)
    assert_same_bits(grad, _expected.embedding_backward(case, by_frequency))


@pytest.mark.parametrize(
    ("mode", "by_frequency", "values"),
    [
        ("sum", False, [[1.0, 10.0], [2.0, 20.0], [103.0, 1030.0]]),
        ("mean", False, [[0.5, 5.0], [1.0, 10.0], [101.5, 1015.0]]),
        ("max", False, [[0.0, 0.0], [2.0, 0.0], [101.0, 1030.0]]),
        ("sum", True, [[1.0, 10.0], [2.0, 20.0], [1 / 3 + 2 / 3 + 100 / 3, 10 / 3 + 20 / 3 + 1000 / 3]]),
        ("max", True, [[0.0, 0.0], [2.0, 0.0], [1 / 3 + 100 / 3, 10 / 3 + 20 / 3 + 1000 / 3]]),
    ],
)
def test_gradients_of_bags(mode, by_frequency, values):
    # bags: rows 0 and 2, padding; rows 1 and 2; nothing; row 2.
    # Largest: (5, 6) of row 2; 5 of row 2, 6 of row 2; row 2
    table = np.array([[1.0, 2.0], [7.0, -4.0], [5.0, 6.0], [9.0, 9.0]])
    grad_out = [[1.0, 10.0], [2.0, 20.0], [7.0, 70.0], [100.0, 1000.0]]
    options = {"mode": mode, "padding_idx": 3, "scale_grad_by_freq": by_frequency}
    grad = reference.embedding_bag_backward(table, [0, 2, 3, 1, 2, 2], grad_out, [0, 3, 5, 5], **options)
    assert_grad(grad, [0, 1, 2], values)


def test_weights_and_their_gradient():
    grad = reference.embedding_bag_backward(TABLE, [[0, 1]], [[1.0, 2.0]], None, [[3.0, -0.5]], mode="sum")
    assert_grad(grad, [0, 1], [[3.0, 6.0], [-0.5, -1.0]])
    products = reference.embedding_bag_backward_weights(TABLE, [[0, 1], [3, 2]], [[1.0, 10.0], [2.0, 0.0]], padding_idx=3)
    assert_same_bits(products, np.array([[21.0, -37.0], [0.0, 10.0]]))


def test_the_first_of_equals_takes_the_gradient_and_a_nan_takes_it_before():
    table = np.array([[1.0], [1.0], [math.nan], [math.nan]])
    assert_grad(reference.embedding_bag_backward(table, [1, 0], [[5.0]], [0], mode="max"), [0, 1], [[0.0], [5.0]])
    assert_grad(reference.embedding_bag_backward(table, [0, 3, 2], [[5.0]], [0], mode="max"), [0, 2, 3], [[0.0], [0.0], [5.0]])


def test_what_did_not_win_is_sent_zero_and_not_zero_times_the_gradient():
    grad = reference.embedding_bag_backward(np.array([[1.0], [2.0]]), [0, 1], [[math.inf]], [0], mode="max")
    assert grad.values.tolist() == [[0.0], [math.inf]]


@given(strategies.bags(), st.booleans())
def test_gradients_of_bags_are_the_loop(case, by_frequency):
    options = {"padding_idx": case.padding_idx, "include_last_offset": case.partition.include_last_offset}
    arguments = (case.weight, case.indices, case.grad_out, case.partition.offsets)
    more = {"mode": case.mode, "scale_grad_by_freq": by_frequency}
    grad = reference.embedding_bag_backward(*arguments, case.per_sample_weights, **options, **more)
    assert_same_bits(grad, _expected.bag_backward(case, by_frequency))
    assert_same_bits(reference.embedding_bag_backward_weights(*arguments, **options), _expected.bag_backward_weights(case))


def test_colliding_probes_contribute_once_each():
    spec = HashSpec(2, 4, table=[[0, 3], [3, 3]])
    assert_grad(reference.bloom_backward([0, 1], [[1.0, 10.0], [2.0, 20.0]], spec), [0, 3], [[1.0, 10.0], [5.0, 50.0]])
    assert_grad(
        reference.bloom_backward([0, 1], [[1.0, 10.0], [2.0, 20.0]], spec, combine="mean"), [0, 3], [[0.5, 5.0], [2.5, 25.0]]
    )


def test_a_concatenation_has_a_gradient_of_slices():
    spec = HashSpec(2, 4, table=[[0, 3], [3, 3]])
    grad = reference.bloom_backward([0, 1], [[1.0, 10.0], [2.0, 20.0]], spec, combine="concat")
    assert_same_bits(grad, RowGrad(np.array([0, 6, 7]), np.array([[1.0], [2.0], [30.0]]), 8))


def test_the_reserved_row_has_no_gradient():
    spec = HashSpec(3, 4, table=[[0, 3], [3, 3], [1, 1]], padding_idx=2)
    assert_grad(reference.bloom_backward([2, 0, 1], [[9.0, 9.0], [1.0, 10.0], [2.0, 20.0]], spec), [3], [[5.0, 50.0]])
    grad = reference.bloom_backward([2, 0, 1], [[9.0, 9.0], [1.0, 10.0], [2.0, 20.0]], spec, combine="concat")
    assert_same_bits(grad, RowGrad(np.array([6, 7]), np.array([[2.0], [30.0]]), 8))
    assert reference.bloom_backward([2], [[9.0]], spec).rows.size == 0


@given(strategies.blooms())
def test_gradients_of_bloom_vectors_are_the_loop(case):
    grad = reference.bloom_backward(case.ids, case.grad_out, case.hashing, combine=case.combine)
    assert_same_bits(grad, _expected.bloom_backward(case))


def test_gradients_of_bloom_bags():
    # vectors: (4, -2), padding, (-2, 14); the maximum takes 4 from id 0 and 14 from id 2
    spec = HashSpec(3, 4, table=[[0, 1], [0, 0], [2, 3]], padding_idx=1)
    table = np.array([[9.0, 9.0], [4.0, -2.0], [5.0, 6.0], [-7.0, 8.0]])
    arguments = (table, [0, 1, 2], [[2.0, 8.0]], spec, [0])
    assert_grad(reference.bloom_bag_backward(*arguments, mode="sum"), [1, 2, 3], [[2.0, 8.0]] * 3)
    assert_grad(reference.bloom_bag_backward(*arguments, mode="mean"), [1, 2, 3], [[1.0, 4.0]] * 3)
    assert_grad(reference.bloom_bag_backward(*arguments, mode="max"), [1, 2, 3], [[2.0, 0.0], [0.0, 8.0], [0.0, 8.0]])
    assert_grad(reference.bloom_bag_backward(*arguments, mode="mean", combine="mean"), [1, 2, 3], [[0.5, 2.0]] * 3)
    weighted = reference.bloom_bag_backward(*arguments, [2.0, 100.0, -1.0], mode="sum")
    assert_grad(weighted, [1, 2, 3], [[4.0, 16.0], [-2.0, -8.0], [-2.0, -8.0]])
    assert_same_bits(reference.bloom_bag_backward_weights(*arguments), np.array([-8.0, 0.0, 108.0]))


@given(strategies.bloom_bags())
def test_gradients_of_bloom_bags_are_the_loop(case):
    options = {"combine": case.combine, "include_last_offset": case.partition.include_last_offset}
    arguments = (case.weight, case.indices, case.grad_out, case.hashing, case.partition.offsets)
    grad = reference.bloom_bag_backward(*arguments, case.per_sample_weights, mode=case.mode, **options)
    assert_same_bits(grad, _expected.bag_backward(case))
    assert_same_bits(reference.bloom_bag_backward_weights(*arguments, **options), _expected.bag_backward_weights(case))
