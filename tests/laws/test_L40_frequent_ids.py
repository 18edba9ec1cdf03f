"""L40: the most frequent ids have rows of their own, and the others hash into the rest.

Padding has row 0.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.coding import frequent_hash_table
from npbloom.reference import coding as reference
from tests.support._bits import assert_same_bits


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=30),
    st.integers(2, 40),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.999]),
    st.data(),
)
def test_tables_are_the_reference_s(counts, rows, k, share, data):
    padding = data.draw(st.none() | st.integers(-len(counts), len(counts) - 1))
    table = frequent_hash_table(counts, rows, k, share=share, padding_idx=padding)
    expected = reference.frequent_hash_table(counts, rows, k, share=share, padding_idx=padding)
    event(f"own rows: {len(np.unique(table)) > 2}")
    assert_same_bits(table, expected.astype(np.int32))


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=60), st.integers(3, 80), st.floats(0, 0.999))
def test_rows_of_the_frequent_are_nobody_else_s(counts, rows, share):
    """State the law without a hash.

    The test says which ids have a row to themselves, and which rows the other ids may have.
    """
    table = frequent_hash_table(counts, rows, 3, share=share)
    exact = min(int(share * (rows - 1)), sum(count > 0 for count in counts[1:]))
    order = sorted(range(1, len(counts)), key=lambda i: (-counts[i], i))
    assert (table[0] == 0).all()
    for place, i in enumerate(order[:exact]):
        assert (table[i] == 1 + place).all()
    others = table[order[exact:]]
    assert ((others > exact) & (others < rows)).all()


def test_the_hash_is_that_of_a_table_of_the_rows_that_are_left():
    counts = np.arange(1000)
    table = frequent_hash_table(counts, 101, 2, share=0.3)
    rest = nb.BloomEmbedding(1000, 2, num_rows=70, num_hash_functions=2, padding_idx=None, rng=0).hash_rows(np.arange(1, 970))
    np.testing.assert_array_equal(table[1:970], rest + 31)


@pytest.mark.parametrize("combine", ["mean", "concat"])
def test_a_frequent_id_is_looked_up_and_trained_alone(combine):
    counts = np.array([0, 9, 1, 8, 1, 1, 1])
    table = frequent_hash_table(counts, 6, 2, share=0.4)
    layer = nb.BloomEmbedding(7, 4, num_rows=6, hash_table=table, combine=combine, rng=0)
    np.testing.assert_array_equal(layer([1, 3]), layer.weight[[1, 2]])
    before = layer.weight.copy()
    nb.SGD(layer, lr=1.0).update(layer, [1, 1], np.ones((2, 4)))
    np.testing.assert_array_equal(layer.weight[1], before[1] - 2)
    np.testing.assert_array_equal(np.delete(layer.weight, 1, axis=0), np.delete(before, 1, axis=0))


@pytest.mark.parametrize(
    ("error", "sentence", "arguments"),
    [
        (TypeError, "`counts` must be a real array, not bool.", ([True], 3)),
        (TypeError, "`counts` must be a real array, not <U1.", (["a"], 3)),
        (ValueError, "`counts` must have shape (num_ids,), with at least one id, not (0,).", (np.zeros(0), 3)),
        (ValueError, "`counts` must have shape (num_ids,), with at least one id, not (1, 1).", ([[1]], 3)),
        (ValueError, "`counts` must be finite and at least 0, not -2 at position 1.", ([1, -2], 3)),
        (ValueError, "`counts` must be finite and at least 0, not nan at position 0.", ([np.nan], 3)),
        (ValueError, "`num_rows` must lie in [2, 2**31], not 1.", ([1, 2], 1)),
        (ValueError, "`num_rows` must lie in [2, 2**31], not 2147483649.", ([1, 2], 2**31 + 1)),
        (ValueError, "`num_hashes` must lie in [1, 24], not 25.", ([1, 2], 3, 25)),
    ],
)
def test_what_is_refused(error, sentence, arguments):
    with pytest.raises(error, match=re.escape(sentence)):
        frequent_hash_table(*arguments)


@pytest.mark.parametrize("share", [-0.1, 1.0, np.nan])
def test_shares_leave_a_row_for_the_rest(share):
    with pytest.raises(ValueError, match="`share`"):
        frequent_hash_table([1, 2], 3, share=share)


def test_padding_is_in_range():
    with pytest.raises(ValueError, match="`padding_idx`"):
        frequent_hash_table([1, 2], 3, padding_idx=2)
