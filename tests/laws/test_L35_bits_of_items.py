"""L35: a drawn row holds k different bits, and every choice is equally likely.

A given table stays. Rows by murmur are those of L20.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.coding import BloomCoder
from npbloom.ops import coding as ops
from npbloom.reference import coding as reference
from tests.support._bits import assert_same_bits
from tests.support._threads import COUNTS, split_everything


@given(st.integers(1, 20), st.integers(1, 9), st.data(), st.integers(0, 2**32))
def test_drawn_tables_are_the_reference_s_on_any_number_of_threads(n, m, data, seed):
    k = data.draw(st.integers(1, m))
    event(f"all bits: {k == m}")
    expected = reference.draw_table(n, m, k, np.random.default_rng(seed))
    for threads in COUNTS:
        with split_everything(threads):
            assert_same_bits(ops.draw_table(n, m, k, np.random.default_rng(seed)), expected.astype(np.int32))
    assert_same_bits(BloomCoder(n, m, k, rng=seed).table, expected.astype(np.int32))


@given(st.integers(1, 20), st.integers(1, 9), st.data())
def test_ranks_become_bits_not_yet_used(n, m, data):
    """State the law in Python.

    Ranks are drawn column by column, and each takes its bit off a list of those that are left.
    """
    k, seed = data.draw(st.integers(1, m)), data.draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    columns = [rng.integers(0, m - j, size=n).tolist() for j in range(k)]
    expected = []
    for ranks in zip(*columns, strict=True):
        left = list(range(m))
        expected.append([left.pop(rank) for rank in ranks])
    assert BloomCoder(n, m, k, rng=seed).table.tolist() == expected


def test_every_choice_and_order_is_equally_likely():
    rows, each = BloomCoder(120_000, 5, 3, rng=1).table, 2000
    counts = np.unique(rows, axis=0, return_counts=True)
    assert [tuple(row) for row in counts[0]] == list(itertools.permutations(range(5), 3))
    assert np.abs(counts[1] - each).max() < 5 * np.sqrt(each)


@pytest.mark.parametrize(("m", "k"), [(1, 1), (4, 4), (30, 30)])
def test_as_many_hashes_as_bits_are_all_bits(m, k):
    table = BloomCoder(50, m, k, rng=0).table
    assert (np.sort(table, axis=1) == np.arange(m)).all()


def test_a_million_items_have_different_bits_each():
    coder = BloomCoder(1_000_000, 200_000, rng=0)
    ordered = np.sort(coder.table, axis=1)
    assert coder.table.shape == (1_000_000, 4)
    assert coder.nbytes == 16_000_000
    assert (ordered[:, 1:] > ordered[:, :-1]).all()
    assert 0 <= ordered.min() <= ordered.max() < 200_000


def test_one_seed_is_one_table():
    assert_same_bits(BloomCoder(50, 20, rng=3).table, BloomCoder(50, 20, 4, rng=np.random.default_rng(3)).table)
    assert not np.array_equal(BloomCoder(50, 20, rng=3).table, BloomCoder(50, 20, rng=4).table)
    assert not np.array_equal(BloomCoder(50, 20).table, BloomCoder(50, 20).table)


def test_a_given_table_is_copied_and_taken_as_it_is():
    table = np.array([[3, 3], [0, 1]])
    coder = BloomCoder(2, 4, table=table)
    table[:] = 0
    assert coder.table.tolist() == [[3, 3], [0, 1]]
    assert (coder.num_items, coder.num_bits, coder.num_hashes) == (2, 4, 2)
    with pytest.raises(ValueError, match="read-only"):
        coder.table[0, 0] = 1
    assert BloomCoder(2, 4, 2, table=[[3, 3], [0, 1]]).hash_rows([[1]]).tolist() == [[[0, 1]]]
    assert BloomCoder(2, 1, table=np.zeros((2, 3), dtype=np.uint8)).num_hashes == 3  # more hashes than bits


@given(st.integers(1, 50) | st.sampled_from([2**31, 2**31 + 1, 2**40]), st.integers(1, 9), st.integers(1, 24))
def test_bits_on_the_fly_are_the_rows_of_a_bloom_layer(n, m, k):
    coder = BloomCoder.murmur(n, m, k)
    layer = nb.BloomEmbedding(n, 1, num_rows=m, num_hash_functions=k, padding_idx=None)
    some = np.unique([0, n // 2, n - 1])
    assert coder.table is None
    assert coder.nbytes == 0
    assert_same_bits(coder.hash_rows(some), layer.hash_rows(some))


def test_a_layer_can_have_a_coder_s_table():
    coder = BloomCoder(20, 9, 3, rng=0)
    layer = nb.BloomEmbedding(20, 2, num_rows=9, hash_table=coder.table, padding_idx=None)
    assert_same_bits(layer.hash_rows(np.arange(20)), coder.hash_rows(np.arange(20)))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((0, 5), {}, ValueError, "`num_items` must be at least 1, not 0."),
        ((5, 0), {}, ValueError, "`num_bits` must be at least 1, not 0."),
        ((5, 2**31 + 1), {}, ValueError, "`num_bits` must lie in [1, 2**31], not 2147483649."),
        ((5, 5, 0), {}, ValueError, "`num_hashes` must be at least 1, not 0."),
        ((5, 3), {}, ValueError, "`num_hashes` must be at most `num_bits`, 3, for different bits, not 4."),
        ((5.0, 3), {}, TypeError, "`num_items` must be an integer, not 5.0."),
        ((5, True), {}, TypeError, "`num_bits` must be an integer, not True."),
        ((5, 9), {"rng": -1}, ValueError, "`rng` must be a Generator or a seed of at least 0, not -1."),
        ((2, 9), {"table": [[0], [1]], "rng": 0}, ValueError, "`rng` must be None with a `table`, which is taken as it is."),
        ((2, 9, 3), {"table": [[0], [1]]}, ValueError, "`num_hashes` must be the width of the table, 1, not 3."),
        ((2, 9), {"table": [[0, 1]]}, ValueError, "`table` must have shape (2, k) with k >= 1, not (1, 2)."),
        ((2, 9), {"table": [0, 1]}, ValueError, "`table` must have shape (2, k) with k >= 1, not (2,)."),
        ((2, 9), {"table": [[], []]}, ValueError, "`table` must have shape (2, k) with k >= 1, not (2, 0)."),
        ((2, 9), {"table": [[0, 1], [9, 0]]}, ValueError, "`table` must hold bits in [0, 9), not 9 at position (1, 0)."),
        ((2, 9), {"table": [[0, -1], [8, 0]]}, ValueError, "`table` must hold bits in [0, 9), not -1 at position (0, 1)."),
        ((2, 9), {"table": [[0.0], [1.0]]}, TypeError, "`table` must be an integer array, not float64."),
        ((2, 9), {"table": [[0], [1, 2]]}, ValueError, "`table` must be an array: its rows differ in length."),
    ],
)
def test_what_is_refused(arguments, options, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        BloomCoder(*arguments, **options)


def test_hashes_on_the_fly_are_up_to_24():
    assert BloomCoder.murmur(5, 3, 24).num_hashes == 24
    with pytest.raises(ValueError, match=re.escape("`num_hashes` must lie in [1, 24], not 25.")):
        BloomCoder.murmur(5, 3, 25)
    with pytest.raises(ValueError, match=re.escape("`num_items` must lie in [1, 2**63], not 9223372036854775809.")):
        BloomCoder.murmur(2**63 + 1, 3)
    with pytest.raises(IndexError, match=re.escape("`ids` must lie in [0, 5), not 5 at position 0.")):
        BloomCoder.murmur(5, 3).hash_rows([5])
