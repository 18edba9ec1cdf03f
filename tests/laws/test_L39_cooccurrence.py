"""L39: pairs more frequent than the average item share a bit, the most frequent last.

The bit is drawn, in order, from those that neither item has.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from npbloom import num_threads
from npbloom.coding import BloomCoder
from npbloom.ops import coding as ops
from npbloom.reference import coding as reference
from tests.laws import _coding
from tests.support._bits import assert_same_bits
from tests.support._threads import COUNTS, split_everything


@given(_coding.codings(most_items=6, most_instances=8, lane="small"), st.integers(0, 2**32))
def test_tables_are_those_of_counters_and_sets(case, seed):
    num_items, num_bits = case.hashing.num_embeddings, case.hashing.num_rows
    pairs = _coding.frequent_pairs(case.instances, num_items)
    expected = np.array(_coding.share_bits(case.bits, num_bits, pairs, np.random.default_rng(seed)), dtype=np.int64)
    event(f"pairs: {min(len(pairs), 3)}")
    event(f"changed: {expected.tolist() != case.bits}")
    found = reference.with_cooccurrence(case.items, case.hashing, case.offsets, np.random.default_rng(seed))
    assert_same_bits(found, expected)
    before = case.coder.hash_rows(np.arange(num_items))
    for threads in COUNTS:
        with split_everything(threads):
            coder = case.coder.with_cooccurrence(case.items, case.offsets, rng=seed)
        assert_same_bits(coder.table, expected.astype(np.int32))
    assert (coder.num_items, coder.num_bits, coder.num_hashes) == (num_items, num_bits, case.hashing.num_hash_functions)
    assert_same_bits(case.coder.hash_rows(np.arange(num_items)), before)


ITEMS = 600


def sample(seed: int = 0, instances: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return instances of items of very different frequency.

    Some items are repeated, and most are in none.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 12, instances)
    return rng.geometric(0.06, sizes.sum()) - 1, np.append(0, np.cumsum(sizes))[:-1]


def test_many_pairs_in_blocks_of_draws(monkeypatch):
    items, offsets = sample()
    coder = BloomCoder(ITEMS, 40, 3, rng=0)
    instances = [part.tolist() for part in np.split(items, offsets[1:])]
    pairs = _coding.frequent_pairs(instances, ITEMS)
    assert len(pairs) > 100
    bits = coder.table.tolist()
    expected = np.array(_coding.share_bits(bits, 40, pairs, np.random.default_rng(5)), dtype=np.int32)
    assert_same_bits(coder.with_cooccurrence(items, offsets, rng=5).table, expected)
    monkeypatch.setattr(ops, "PAIRS", 7)
    for threads in COUNTS:
        with num_threads(threads), split_everything(threads) as seen:
            assert_same_bits(coder.with_cooccurrence(items, offsets, rng=5).table, expected)
        assert seen.most_tasks == threads


def test_rows_keep_different_bits_and_the_last_pair_shares_one():
    items, offsets = sample(1)
    coder = BloomCoder(ITEMS, 40, 3, rng=0).with_cooccurrence(items, offsets, rng=0)
    ordered = np.sort(coder.table, axis=1)
    assert (ordered[:, 1:] > ordered[:, :-1]).all()
    a, b = _coding.frequent_pairs([part.tolist() for part in np.split(items, offsets[1:])], ITEMS)[-1]
    assert np.intersect1d(coder.table[a], coder.table[b]).size >= 1


def test_a_pair_at_the_average_is_left_out():
    """Count six events over three items, two an item.

    A pair must occur together three times.
    """
    coder = BloomCoder(3, 9, table=[[0, 1], [2, 3], [4, 5]])
    assert_same_bits(coder.with_cooccurrence([[0, 1], [0, 1], [2, 2], [2, 2]], rng=0).table, coder.table)
    changed = coder.with_cooccurrence([0, 1, 0, 1, 0, 1, 2], [0, 2, 4, 6], rng=0).table  # seven events, pairs from 7/3
    assert (changed != coder.table).sum() == 2
    assert np.intersect1d(changed[0], changed[1]).size == 1
    assert changed[2].tolist() == [4, 5]


def test_an_item_repeated_in_an_instance_counts_once():
    coder = BloomCoder(4, 9, 2, rng=0)
    once = coder.with_cooccurrence([0, 1, 0, 1, 2], [0, 2, 4], rng=3)
    assert_same_bits(coder.with_cooccurrence([0, 1, 1, 0, 1, 0, 0, 2, 2], [0, 3, 7], rng=3).table, once.table)
    assert not np.array_equal(once.table, coder.table)


def test_pairs_that_have_all_bits_between_them_are_passed_over():
    coder, larger = (BloomCoder(3, m, table=[[0, 1], [2, 3], [0, 1]]) for m in (4, 5))
    assert_same_bits(coder.with_cooccurrence([[0, 1]] * 3, rng=0).table, coder.table)
    assert not np.array_equal(larger.with_cooccurrence([[0, 1]] * 3, rng=0).table, larger.table)


def test_the_only_bit_that_neither_has_is_taken():
    for seed in range(20):
        table = BloomCoder(3, 5, table=[[0, 4], [3, 1], [0, 0]]).with_cooccurrence([[0, 1]] * 3, rng=seed).table
        assert (table == 2).sum(axis=1).tolist() == [1, 1, 0]


def test_one_seed_is_one_table():
    items, offsets = sample()
    coder = BloomCoder(ITEMS, 40, 3, rng=0)
    first = coder.with_cooccurrence(items, offsets, rng=1).table
    assert_same_bits(coder.with_cooccurrence(items, offsets, rng=np.random.default_rng(1)).table, first)
    assert not np.array_equal(coder.with_cooccurrence(items, offsets, rng=2).table, first)
    assert not np.array_equal(coder.with_cooccurrence(items, offsets).table, coder.with_cooccurrence(items, offsets).table)


def test_bits_on_the_fly_become_a_table():
    items, offsets = sample()
    coder = BloomCoder.murmur(ITEMS, 40, 3)
    shared = coder.with_cooccurrence(items, offsets, rng=0)
    assert shared.table is not None
    assert coder.table is None
    rare = np.setdiff1d(np.arange(ITEMS), items)
    assert_same_bits(shared.hash_rows(rare), coder.hash_rows(rare))


@pytest.mark.parametrize("items", [np.zeros((0, 2), dtype=int), np.zeros((2, 0), dtype=int), [[0], [1]]])
def test_without_pairs_nothing_changes(items):
    coder = BloomCoder(3, 5, 2, rng=0)
    assert_same_bits(coder.with_cooccurrence(items, rng=0).table, coder.table)
