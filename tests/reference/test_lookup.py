"""The reference's forward passes: examples worked out by hand, and plain Python loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npbloom import reference
from npbloom.types import HashSpec
from tests.support import _expected, _naive, strategies
from tests.support._bits import assert_same_bits

TABLE = np.array([[1.0, 2.0], [3.0, -4.0], [5.0, 6.0], [-7.0, 8.0]])


def test_a_lookup_copies_rows():
    assert reference.embedding_forward(TABLE, [[2, 0]]).tolist() == [[[5, 6], [1, 2]]]
    assert reference.embedding_forward(TABLE, 3).tolist() == [-7, 8]
    assert reference.embedding_forward(TABLE, []).shape == (0, 2)


def test_a_lookup_copies_bits():
    bits = np.array([[0x7FF4000000000123, 0x8000000000000000, 1]], dtype=np.uint64)
    out = reference.embedding_forward(bits.view(np.float64), [0])
    assert out.view(np.uint64).tolist() == bits.tolist()


def test_a_lookup_is_a_copy():
    for ids in (0, [0], [[0]]):
        reference.embedding_forward(TABLE, ids)[...] = 99
    assert TABLE[0, 0] == 1


@pytest.mark.parametrize("norm_type", [1, 2, 3.5, math.inf])
def test_max_norm_scales_long_rows_once(norm_type):
    before = TABLE.copy()
    out, weight = reference.embedding_forward(TABLE, [1, 1, 0], max_norm=2.5, norm_type=norm_type)
    length = {1: 7.0, 2: 5.0, 3.5: (3**3.5 + 4**3.5) ** (1 / 3.5), math.inf: 4.0}[norm_type]
    np.testing.assert_allclose(weight[1], TABLE[1] * 2.5 / length, rtol=1e-7)
    assert_same_bits(out, weight[[1, 1, 0]])
    assert_same_bits(weight[2:], TABLE[2:])
    assert (weight[0].tolist() == [1, 2]) == (norm_type in (2, 3.5, math.inf))
    assert_same_bits(TABLE, before)


def test_max_norm_leaves_rows_of_unknown_length():
    table = np.array([[math.nan, 5.0], [1e300, 1e300], [math.inf, 1.0]])
    for norm_type in (1, 2, 3, math.inf):
        _, weight = reference.embedding_forward(table, [0, 1, 2], max_norm=1, norm_type=norm_type)
        assert_same_bits(weight[0], table[0])
        expected = 0.0 if norm_type in (2, 3) else 0.5 if norm_type == 1 else 1.0  # the squares of 1e300 are too large
        assert weight[1] == pytest.approx(expected)
        assert math.isnan(weight[2, 0])
        assert weight[2, 1] == 0


@given(strategies.lookups(), st.sampled_from([0.0, 0.5, 1.0, 3.0, math.inf]), st.sampled_from([0.3, 0.5, 1, 2, 3, 7.5, math.inf]))
def test_max_norm_is_the_loop(case, max_norm, norm_type):
    out, weight = reference.embedding_forward(case.weight, case.ids, max_norm=max_norm, norm_type=norm_type)
    rows = case.ids.ravel().tolist()
    expected = _naive.rounded(_naive.renormalized(case.weight.tolist(), rows, max_norm, norm_type), weight.dtype, weight.shape)
    assert_same_bits(weight, expected)
    assert_same_bits(out, np.array(expected[case.ids]))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sum", [[0, 0], [6, 8], [0, 0], [5, 6]]),
        ("mean", [[0, 0], [3, 4], [0, 0], [5, 6]]),
        ("max", [[0, 0], [5, 6], [0, 0], [5, 6]]),
    ],
)
def test_bags_with_empty_ones_and_padding(mode, expected):
    # bags: nothing; rows 2 and 0, padding 3; nothing but padding; row 2
    indices, offsets = [2, 3, 0, 3, 2], [0, 0, 3, 4]
    out = reference.embedding_bag_forward(TABLE, indices, offsets, mode=mode, padding_idx=-1)
    assert out.tolist() == expected
    again = reference.embedding_bag_forward(TABLE, indices, [*offsets, 5], mode=mode, padding_idx=3, include_last_offset=True)
    assert again.tolist() == expected


def test_bags_of_two_dimensions_and_weights():
    assert reference.embedding_bag_forward(TABLE, [[0, 1], [2, 2]]).tolist() == [[2, -1], [5, 6]]
    out = reference.embedding_bag_forward(TABLE, [[0, 1], [2, 2]], None, [[2.0, 0.5], [0.0, -1.0]], mode="sum")
    assert out.tolist() == [[3.5, 2], [-5, -6]]


def test_bags_with_max_norm_read_the_scaled_table():
    out, weight = reference.embedding_bag_forward(TABLE, [1, 1], [0], mode="sum", max_norm=1, padding_idx=0)
    assert weight[1] == pytest.approx([0.6, -0.8])
    assert_same_bits(out[0], weight[1] + weight[1])
    assert_same_bits(weight[[0, 2, 3]], TABLE[[0, 2, 3]])


def test_a_maximum_copies_the_first_of_equals():
    table = np.array([[-0.0, 1.0], [0.0, math.nan], [-1.0, 2.0]])
    out = reference.embedding_bag_forward(table, [0, 1, 2, 1, 0], [0, 3], mode="max")
    assert_same_bits(out, np.array([[-0.0, math.nan], [0.0, math.nan]]))


@given(strategies.bags())
def test_bags_are_the_loop(case):
    options = {"mode": case.mode, "padding_idx": case.padding_idx, "include_last_offset": case.partition.include_last_offset}
    out = reference.embedding_bag_forward(case.weight, case.indices, case.partition.offsets, case.per_sample_weights, **options)
    assert_same_bits(out, _expected.bag_forward(case))


def test_bloom_vectors():
    spec = HashSpec(3, 4, table=[[1, 2], [0, 3], [2, 2]], padding_idx=None)
    assert reference.bloom_forward(TABLE, [0, 1, 2], spec).tolist() == [[8, 2], [-6, 10], [10, 12]]
    assert reference.bloom_forward(TABLE, [[1]], spec, combine="mean").tolist() == [[[-3, 5]]]
    assert reference.bloom_forward(TABLE, 0, spec, combine="concat").tolist() == [3, 6]


def test_the_reserved_row_adds_nothing_whatever_it_holds():
    table = np.array([[math.nan, math.inf], [1.0, 2.0]])
    spec = HashSpec(3, 2, table=[[1, 0], [1, 1], [0, 0]], padding_idx=1)
    for combine, expected in [
        ("sum", [[1, 2], [0, 0], [0, 0]]),
        ("mean", [[0.5, 1], [0, 0], [0, 0]]),
        ("concat", [[1, 0], [0, 0], [0, 0]]),
    ]:
        assert reference.bloom_forward(table, [0, 1, 2], spec, combine=combine).tolist() == expected


@pytest.mark.parametrize("combine", strategies.COMBINES)
def test_a_bloom_vector_is_a_sum_so_minus_zero_becomes_zero(combine):
    out = reference.bloom_forward(np.array([[-0.0]]), [0], HashSpec(1, 1, 1), combine=combine)
    assert_same_bits(out, np.array([[0.0]]))


@given(strategies.blooms())
def test_bloom_vectors_are_the_loop(case):
    assert_same_bits(
        reference.bloom_forward(case.weight, case.ids, case.hashing, combine=case.combine), _expected.bloom_forward(case)
    )


def test_bloom_bags():
    spec = HashSpec(3, 4, table=[[0, 0], [1, 0], [2, 3]], padding_idx=0, share_padding_row=True)
    # vectors: padding; (3, -4); (-2, 14)
    for mode, expected in [("sum", [[1, 10], [0, 0]]), ("mean", [[0.5, 5], [0, 0]]), ("max", [[3, 14], [0, 0]])]:
        assert reference.bloom_bag_forward(TABLE, [1, 0, 2, 0], spec, [0, 3], mode=mode).tolist() == expected


def test_an_entry_on_the_reserved_row_alone_still_counts():
    spec = HashSpec(3, 4, table=[[0, 0], [0, 0], [1, 0]], padding_idx=0)
    assert reference.bloom_bag_forward(TABLE, [1, 2], spec, [0], mode="mean").tolist() == [[1.5, -2]]
    assert reference.bloom_bag_forward(TABLE, [1, 2], spec, [0], mode="max").tolist() == [[3, 0]]


def test_terms_of_a_bloom_bag_are_rounded_vectors():
    table = np.array([[1.0], [2**-24]], dtype=np.float32)
    spec = HashSpec(1, 2, table=[[0, 1]], padding_idx=None)
    assert reference.bloom_forward(table, [0], spec) == 1  # 1 + 2**-24 is rounded to even
    # 3 + 3 * 2**-24 lies nearer to the next number, 3 + 2**-22, than to 3.
    assert reference.bloom_bag_forward(table, [0, 0, 0], spec, [0], mode="sum") == 3


@given(strategies.bloom_bags())
def test_bloom_bags_are_the_loop(case):
    options = {"mode": case.mode, "combine": case.combine, "include_last_offset": case.partition.include_last_offset}
    out = reference.bloom_bag_forward(
        case.weight, case.indices, case.hashing, case.partition.offsets, case.per_sample_weights, **options
    )
    assert_same_bits(out, _expected.bag_forward(case))


@pytest.mark.parametrize(
    ("offsets", "options"),
    [
        (None, {}),
        ([1], {}),
        ([0, 2, 1], {}),
        ([0, 4], {}),
        ([0, 2], {"include_last_offset": True}),
        ([], {}),
        ([[0]], {}),
        ([2**64], {}),
    ],
)
def test_bad_offsets_are_refused(offsets, options):
    with pytest.raises(ValueError, match="`offsets`"):
        reference.embedding_bag_forward(TABLE, [0, 1, 2], offsets, **options)


def test_bad_ids_never_wrap():
    for ids in (-1, [0, 4], np.array([2**63], dtype=np.uint64), [2**64], [-1, 2**63], np.array([-128], dtype=np.int8)):
        with pytest.raises(IndexError, match="must lie in"):
            reference.embedding_forward(TABLE, ids)
    for ids in (True, [True], 1.0, [None], np.array([1], dtype=object), np.ma.masked_array([1], [True]), "1"):
        with pytest.raises(TypeError, match="`ids` must"):
            reference.embedding_forward(TABLE, ids)
    with pytest.raises(ValueError, match="not 0"):
        reference.embedding_bag_forward(TABLE, 1, [0])


def test_unknown_words_are_refused():
    spec = HashSpec(3, 4)
    with pytest.raises(ValueError, match="`mode` must be one of 'sum', 'mean', 'max', not 'min'"):
        reference.embedding_bag_forward(TABLE, [1], [0], mode="min")
    with pytest.raises(ValueError, match="None for mode 'mean'"):
        reference.embedding_bag_forward(TABLE, [1], [0], [1.0], mode="mean")
    with pytest.raises(ValueError, match="`combine` must be one of"):
        reference.bloom_forward(TABLE, [1], spec, combine="max")
    with pytest.raises(ValueError, match="4 hash functions to divide the dimension, 2"):
        reference.bloom_forward(TABLE, [1], spec, combine="concat")
