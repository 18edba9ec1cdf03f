"""L36: an instance's code is the union of its items' bits, each once, in order.

Each instance has one offset.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.coding import BloomCoder
from npbloom.reference import coding as reference
from tests.laws import _coding
from tests.support._bits import assert_same_bits
from tests.support._threads import COUNTS, split_everything


@given(_coding.codings(most_instances=9))
def test_codes_are_unions_of_sets(case):
    codes = _coding.codes(case.bits, case.instances)
    event(f"instances: {len(codes)}")
    event("rows" if case.offsets is None else "flat")
    expected = np.array([bit for code in codes for bit in code], dtype=np.int64), np.cumsum([0, *map(len, codes)])[: len(codes)]
    assert_same_bits(reference.encode(case.items, case.hashing, case.offsets), expected)
    for threads in COUNTS:
        with split_everything(threads):
            assert_same_bits(case.coder.encode(case.items, case.offsets), expected)


@given(_coding.codings(), st.sampled_from([np.float32, np.float64, bool, np.int8, np.float16]))
def test_dense_codes_are_zeros_and_ones(case, dtype):
    expected = np.zeros((len(case.instances), case.hashing.num_rows), dtype=dtype)
    for row, code in zip(expected, _coding.codes(case.bits, case.instances), strict=True):
        for bit in code:
            row[bit] = True
    assert_same_bits(case.coder.encode_dense(case.items, case.offsets, dtype=dtype), expected)
    assert_same_bits(reference.encode_dense(case.items, case.hashing, case.offsets, dtype=dtype), expected)


def test_dense_codes_are_float32_by_default():
    assert BloomCoder(3, 5, rng=0).encode_dense([0], [0]).dtype == np.float32
    with pytest.raises(ValueError, match=re.escape("`dtype` must be of real numbers or bool, not complex128.")):
        BloomCoder(3, 5, rng=0).encode_dense([0], [0], dtype=complex)


def test_many_instances_of_very_different_size():
    rng = np.random.default_rng(0)
    coder = BloomCoder(5000, 900, 3, rng=0)
    offsets = np.sort(rng.integers(0, 30_000, 2000) // 100 * rng.integers(1, 100, 2000) % 30_000)
    offsets[0] = 0
    items = rng.integers(0, 5000, 30_000)
    expected = reference.encode(items, coder._hashing, offsets)
    for threads in COUNTS:
        with nb.num_threads(threads):
            assert_same_bits(coder.encode(items, offsets), expected)


def test_a_code_feeds_a_bag_and_repeated_bits_count_once():
    coder = BloomCoder(3, 4, table=[[0, 1], [1, 2], [3, 3]])
    bag = nb.ScaledEmbeddingBag(4, 4, mode="sum", weight=np.eye(4))
    assert_same_bits(bag.forward(*coder.encode([0, 1, 0, 2], [0, 3])), coder.encode_dense([0, 1, 0, 2], [0, 3], dtype=float))


@given(_coding.codings(), st.sampled_from([np.int32, np.uint8, ">i8", "list"]))
def test_items_and_offsets_of_any_integer_kind(case, kind):
    def given_as(array):
        return array if array is None else array.tolist() if kind == "list" else array.astype(kind)

    expected = case.coder.encode(case.items, case.offsets)
    if not (kind == "list" and case.items.size == 0 and case.offsets is None):  # [] has one dimension, not two
        assert_same_bits(case.coder.encode(given_as(case.items), given_as(case.offsets)), expected)
    assert expected[0].dtype == expected[1].dtype == np.int64


@pytest.mark.parametrize(
    ("items", "offsets", "error", "sentence"),
    [
        ([3], [0], IndexError, "`items` must lie in [0, 3), not 3 at position 0."),
        ([[0, 1], [2, -1]], None, IndexError, "`items` must lie in [0, 3), not -1 at position (1, 1)."),
        ([0.5], [0], TypeError, "`items` must be an integer array, not float64."),
        ([0], None, ValueError, "`offsets` must be given for 1-D `items`: where each instance starts."),
        (0, [0], ValueError, "`items` must have 1 or 2 dimensions, not 0."),
        ([[0]], [0], ValueError, "`offsets` must be None for 2-D indices: each row is a bag."),
        ([0], [1], ValueError, "`offsets` must start at 0, not 1."),
        ([0], [0, 2], ValueError, "`offsets` must end at or before 1, not 2 at position 1."),
        ([0, 1], [0, 1, 0], ValueError, "`offsets` must never decrease, not from 1 to 0 at position 2."),
        ([0], [], ValueError, "`offsets` must not be empty: there are 1 indices."),
        ([0], [0.0], TypeError, "`offsets` must be an integer array, not float64."),
    ],
)
def test_what_is_refused(items, offsets, error, sentence):
    coder = BloomCoder(3, 5, rng=0)
    for call in (coder.encode, coder.encode_dense, coder.with_cooccurrence):
        with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
            call(items, offsets)
