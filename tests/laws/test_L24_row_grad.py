"""L24: rows are int64, sorted and distinct, and exactly those looked up.

Values have the table's dtype, from any floating gradient.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.types import RowGrad
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._layers import DIM, LAYERS, gradient, is_bag


def assert_form(grad, layer, looked_up, slices=1):
    """Assert the form of a gradient of a layer in which these rows (or slices) were looked up."""
    m, d = layer.weight.shape
    assert isinstance(grad, RowGrad)
    assert grad.rows.dtype == np.int64
    assert grad.rows.tolist() == sorted(set(looked_up))
    assert grad.values.dtype == layer.dtype
    assert grad.values.shape == (len(grad.rows), d // slices)
    assert grad.num_rows == m * slices


@examples(60)
@given(strategies.lookups(), st.booleans())
def test_exactly_the_looked_up_rows_without_padding_occur(case, zero):
    layer = _layers.embedding(case)
    grad_out = np.zeros_like(case.grad_out) if zero else case.grad_out
    assert_form(layer.backward(case.ids, grad_out, sparse=True), layer, set(case.ids.ravel().tolist()) - {case.padding})


@examples(60)
@given(strategies.bags(), st.booleans())
def test_in_bags_also_where_another_won_or_a_weight_is_zero(case, zero):
    layer = _layers.bag(case)
    if zero and case.per_sample_weights is not None:
        case.per_sample_weights[...] = 0
    grad = layer.backward(case.indices, case.grad_out, **_layers.bag_arguments(case))
    assert_form(grad, layer, set(case.indices.ravel().tolist()) - {case.padding})


def probed(case, ids):
    """Return the rows, or slices of rows, that ids read."""
    k = case.hashing.num_hash_functions
    rows = nb.ops.hash_rows(ids.ravel(), case.hashing)
    kept = rows != 0 if case.hashing.padding_idx is not None else np.ones(rows.shape, dtype=bool)
    return (rows * k + np.arange(k) if case.combine == "concat" else rows)[kept].tolist()


@examples(60)
@given(strategies.blooms())
def test_the_probed_rows_or_slices_of_hashed_ids(case):
    slices = case.hashing.num_hash_functions if case.combine == "concat" else 1
    layer = _layers.bloom(case)
    assert_form(layer.backward(case.ids, case.grad_out), layer, probed(case, case.ids), slices)


@examples(60)
@given(strategies.bloom_bags())
def test_the_probed_rows_or_slices_of_bags(case):
    slices = case.hashing.num_hash_functions if case.combine == "concat" else 1
    layer = _layers.bag(case)
    grad = layer.backward(case.indices, case.grad_out, **_layers.bag_arguments(case))
    assert_form(grad, layer, probed(case, case.indices), slices)


def backward(layer, grad_out):
    """Return the gradient of one entry for each row of `grad_out`."""
    ids = list(range(1, 1 + len(grad_out)))
    arguments = {"offsets": list(range(len(ids)))} if is_bag(layer) else {}
    return layer.backward(ids, grad_out, **arguments, sparse=True)


@pytest.mark.parametrize("name", LAYERS)
def test_an_empty_batch_has_no_rows(name):
    layer = LAYERS[name]()
    grad = backward(layer, np.zeros((0, DIM)))
    assert_same_bits(grad, RowGrad(np.zeros(0, dtype=np.int64), np.zeros((0, DIM), dtype=np.float32), len(layer.weight)))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_of_any_floating_kind_are_rounded_to_the_tables_dtype_first(name, dtype):
    rows = 5 if name.startswith("Bloom") else _layers.ROWS
    layer = LAYERS[name](weight=_layers.table(rows, dtype=dtype))
    values = gradient((3, DIM), np.float64) / 3  # not exact in float32
    expected = backward(layer, values.astype(dtype))
    for form in (
        values,
        values.tolist(),
        tuple(map(tuple, values.tolist())),
        values.astype(">f8"),
        np.asfortranarray(values),
        np.repeat(values, 2, axis=0)[::2],
        np.frombuffer(values.tobytes()).reshape(values.shape),
        values.astype(np.longdouble),
    ):
        assert_same_bits(backward(layer, form), expected)
    eighths = gradient((3, DIM), np.float16)
    assert_same_bits(backward(layer, eighths), backward(layer, eighths.astype(dtype)))


def test_a_gradient_too_large_for_float32_is_infinite():
    grad = backward(LAYERS["ScaledEmbedding"](), np.full((1, DIM), -1e300))
    assert np.isneginf(grad.values).all()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("kind", [int, np.uint8, bool, complex, object, "U1", "M8[s]"])
def test_gradients_of_another_kind_are_a_type_error(name, kind):
    with pytest.raises(TypeError, match="`grad_out` must"):
        backward(LAYERS[name](), np.zeros((2, DIM), dtype=kind))
    with pytest.raises(TypeError, match="`grad_out` must"):
        backward(LAYERS[name](), np.ma.zeros((2, DIM)))


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_another_shape_are_a_value_error(name):
    layer = LAYERS[name]()
    for shape in ((2, DIM + 1), (3, DIM), (2,), (2, DIM, 1), (2 * DIM,), (1, 2, DIM), (2, 0), ()):
        offsets = ([0, 1],) if is_bag(layer) else ()
        with pytest.raises(ValueError, match="`grad_out` must have shape"):
            layer.backward([1, 2], np.zeros(shape), *offsets)


@pytest.mark.parametrize(
    ("given_dtype", "dtype"), [("f4", "f4"), (">f4", "f4"), ("f8", "f8"), (">f8", "f8"), ("f2", "f8"), ("g", "f8"), (list, "f8")]
)
def test_functions_without_a_table_keep_float32_and_float64(given_dtype, dtype):
    grad_out = [[0.5, 0.25]] if given_dtype is list else np.array([[0.5, 0.25]], dtype=given_dtype)
    for grad in (nb.ops.embedding_backward([1], grad_out, 3), nb.ops.bloom_backward([1], grad_out, nb.HashSpec(3, 2, 1))):
        assert grad.values.dtype == dtype
        assert grad.values.tolist() == [[0.5, 0.25]]


@examples(50)
@given(strategies.lookups(lane="special"))
def test_gradients_are_not_written_to_and_not_kept(case):
    before = case.grad_out.copy()
    grad = _layers.embedding(case).backward(case.ids, case.grad_out, sparse=True)
    assert_same_bits(case.grad_out, before)
    assert not np.shares_memory(grad.values, case.grad_out)
