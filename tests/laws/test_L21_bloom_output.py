"""L21: an id's vector is the sum, mean or concatenation of its k rows.

Rows come from hashes made before or on the fly, or from a table of the user's own.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _expected, _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._layers import OPTIMIZERS


@given(strategies.blooms())
def test_output_and_gradient_are_the_loop(case):
    event(f"{case.combine}, {'table' if case.hashing.table is not None else 'hash'}")
    layer = _layers.bloom(case)
    assert_same_bits(layer.forward(case.ids), _expected.bloom_forward(case))
    assert_same_bits(layer.backward(case.ids, case.grad_out), _expected.bloom_backward(case))


@examples(60)
@given(strategies.blooms(), st.data())
def test_hashed_or_given_as_a_table_the_bits_are_the_same(case, data):
    if case.hashing.num_embeddings > 2**20:
        return
    case.hashing = nb.HashSpec(
        *[getattr(case.hashing, name) for name in ("num_embeddings", "num_rows", "num_hash_functions")],
        case.hashing.padding_idx,
        case.hashing.share_padding_row,
    )
    rows = nb.ops.hash_rows(range(case.hashing.num_embeddings), case.hashing)
    layers = [_layers.bloom(case), _layers.bloom(case, hash_table=rows)]
    for layer in layers:
        assert_same_bits(layer.forward(case.ids), _expected.bloom_forward(case))
        assert_same_bits(layer.backward(case.ids, case.grad_out), _expected.bloom_backward(case))
        nb.Adagrad(layer).update(layer, case.ids, case.grad_out)
        assert_same_bits(layer.weight, layers[0].weight)


def test_it_is_a_sum_and_no_average():
    layer = nb.BloomEmbedding(2, 1, num_rows=3, hash_table=[[0, 0], [1, 2]], weight=np.array([[9.0], [1.0], [10.0]]))
    assert layer.forward([1]).item() == 11
    mean = nb.BloomEmbedding(2, 1, num_rows=3, hash_table=[[0, 0], [1, 2]], combine="mean", weight=layer.weight)
    assert mean.forward([1]).item() == 5.5
    assert mean.backward([1], [[3.0]]).values.ravel().tolist() == [1.5, 1.5]


def concatenated(**options):
    """Return two probes, slices of two columns."""
    table = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    return nb.BloomEmbedding(3, 4, num_rows=3, hash_table=[[0, 0], [1, 2], [2, 2]], combine="concat", weight=table, **options)


def test_a_concatenation_reads_one_slice_a_probe():
    layer = concatenated()
    assert layer.forward([1, 2, 0]).tolist() == [[1, 2, 7, 8], [5, 6, 7, 8], [0, 0, 0, 0]]
    grad = layer.backward([1, 2], [[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]])
    assert grad.rows.tolist() == [2, 4, 5]  # r * k + j: row 1 probe 0, row 2 probe 0, row 2 probe 1
    assert grad.values.tolist() == [[1, 2], [10, 20], [33, 44]]
    assert grad.num_rows == 6
    dense = layer.backward([1, 2], [[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]], sparse=False)
    assert dense.tolist() == [[0, 0, 0, 0], [1, 2, 0, 0], [10, 20, 33, 44]]


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_the_state_of_a_concatenation(rule):
    layer = concatenated()
    optimizer = OPTIMIZERS[rule](layer)
    for name, array in optimizer.state(layer).items():
        assert array.shape == (() if name == "step" else (6,) if rule.startswith("RowWise") else (3, 4))
    before = layer.weight.copy()
    optimizer.update(layer, [1], np.ones((1, 4)))
    assert np.argwhere(layer.weight != before).tolist() == [[1, 0], [1, 1], [2, 2], [2, 3]]  # other slices of the row stay


@pytest.mark.parametrize(("k", "dim"), [(4, 6), (3, 8), (5, 4), (2, 1)])
def test_k_must_divide_the_dimension_of_a_concatenation(k, dim):
    for kind in (nb.BloomEmbedding, nb.BloomEmbeddingBag):
        with pytest.raises(ValueError, match=rf"(?s)concat.*{k}|{k}.*concat|divide"):
            kind(10, dim, num_rows=5, num_hash_functions=k, combine="concat")
        kind(10, dim, num_rows=5, num_hash_functions=k)
    with pytest.raises(ValueError, match="divide"):
        nb.ops.bloom_forward(np.zeros((5, dim)), [1], nb.HashSpec(10, 5, k), combine="concat")
    with pytest.raises(ValueError, match="divide"):
        nb.ops.bloom_backward([1], np.zeros((1, dim)), nb.HashSpec(10, 5, k), combine="concat")


def make(table, **options):
    """Return a layer of three ids and four rows on a hash table."""
    return nb.BloomEmbedding(3, 2, num_rows=4, hash_table=table, **options)


def test_the_width_of_a_hash_table_is_k():
    for width in (1, 3, 4, 30):  # the limit of 24 is the hash's
        layer = make(np.full((3, width), 3))
        assert layer.num_hash_functions == width
        assert layer.hash_rows([1]).tolist() == [[3] * width]
    assert make(np.full((3, 2), 3), num_hash_functions=2).num_hash_functions == 2
    for k in (1, 3, 5):
        with pytest.raises(ValueError, match="`num_hash_functions` must"):
            make(np.full((3, 2), 3), num_hash_functions=k)


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i4", "i8", "u8", list])
def test_a_hash_table_of_any_integer_kind_is_copied(dtype):
    table = [[0, 0], [1, 2], [3, 3]] if dtype is list else np.array([[0, 0], [1, 2], [3, 3]], dtype=dtype)
    layer = make(table)
    table[1][0] = 3
    assert layer.hash_rows([1]).tolist() == [[1, 2]]


def test_entries_of_a_hash_table():
    for bad in (4, -1, 2**40):
        with pytest.raises(ValueError, match=f"`hash_table` must name rows in .* not {bad} at position"):
            make([[0, 0], [1, bad], [3, 3]])
    for ignored in (4, -1, 2**40):
        layer = make([[ignored, 0], [1, 2], [3, 3]])
        assert layer.hash_rows([0]).tolist() == [[0, 0]]
        with pytest.raises(ValueError, match="`hash_table` must name rows"):
            make([[ignored, 0], [1, 2], [3, 3]], padding_idx=None)
    shared = make([[0, 0], [1, 0], [3, 3]], weight=np.array([[7.0, 7.0], [1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]))
    assert shared.forward([1]).tolist() == [[1, 2]]  # row 0 adds zero
    with pytest.raises(ValueError, match="not 0 at position"):
        make([[0, 0], [1, 0], [3, 3]], share_padding_row=False)
    make([[0, 0], [1, 1], [3, 3]], share_padding_row=False)


def test_a_hash_table_of_another_shape_or_kind():
    for shape in ((2, 2), (4, 2), (3,), (3, 0), (3, 2, 1)):
        with pytest.raises(ValueError, match="`hash_table` must have shape"):
            make(np.ones(shape, dtype=int))
    for table in (np.ones((3, 2)), np.ones((3, 2), dtype=bool), np.ma.ones((3, 2), dtype=int), [[1.0, 1.0]] * 3, "table"):
        with pytest.raises(TypeError, match=r"`hash_table` must (be an integer array|not be a masked array)"):
            make(table)


@pytest.mark.parametrize("choice", [True, False])
@pytest.mark.parametrize("kind", [nb.BloomEmbedding, nb.BloomEmbeddingBag])
def test_precomputed_hashes_are_deprecated(kind, choice):
    with pytest.warns(DeprecationWarning, match=r"^`precompute_hashes` has no effect any more.*`hash_table`\.$") as caught:
        layer = kind(1000, 2, precompute_hashes=choice, rng=0)
    assert [warning.filename for warning in caught] == [__file__]
    plain = kind(1000, 2, rng=0)
    assert repr(layer) == repr(plain)
    assert_same_bits(layer([[1, 2]]), plain([[1, 2]]))


@pytest.mark.parametrize("combine", ["max", "", None, 1])
def test_other_ways_to_combine_are_refused(combine):
    with pytest.raises(ValueError, match="`combine` must be one of"):
        nb.BloomEmbedding(10, 4, combine=combine)
