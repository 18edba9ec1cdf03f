"""Learned codes: refused arguments, and ids that come later."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npbloom.coding import learn_codes, learned_hash_tables
from npbloom.ops import hash_rows
from npbloom.types import HashSpec
from tests.support._bits import assert_same_bits


@pytest.mark.parametrize(
    ("error", "sentence", "change"),
    [
        (ValueError, "`user_ids` must not be empty: codes are learned from interactions.", {"user_ids": [], "item_ids": []}),
        (ValueError, "interactions must be of at least 2 users, not 1: there is nothing to tell apart.", {"user_ids": [1, 1, 1]}),
        (ValueError, "interactions must be of at least 2 items, not 1: there is nothing to tell apart.", {"item_ids": [1, 1, 1]}),
        (ValueError, "`user_ids` must not be empty", {"user_ids": [0, 0, 0], "user_padding": 0}),
        (IndexError, "`user_ids` must lie in [0, 9), not 9 at position 2.", {"user_ids": [1, 2, 9]}),
        (IndexError, "`item_ids` must lie in [0, 8), not -1 at position 0.", {"item_ids": [-1, 2, 3]}),
        (ValueError, "`item_ids` must be as many as `user_ids`, 3, not 2.", {"item_ids": [1, 2]}),
        (ValueError, "`user_ids` must have one dimension, not 2.", {"user_ids": [[1, 2, 3]]}),
        (TypeError, "`user_ids`", {"user_ids": [0.5, 1, 2]}),
        (ValueError, "`user_rows` must lie in [2, 9], not 10.", {"user_rows": 10}),
        (ValueError, "`item_rows` must lie in [2, 8], not 1.", {"item_rows": 1}),
        (ValueError, "`rank` must be a multiple of `num_hashes`, 3, not 4.", {"num_hashes": 3}),
        (ValueError, "`num_hashes` must lie in [1, 24], not 25.", {"num_hashes": 25, "rank": 50}),
        (ValueError, "`user_padding`", {"user_padding": 9}),
        (TypeError, "`progress`", {"progress": 1}),
        (ValueError, "`num_users` times `num_items` must be at most 2**63", {"num_users": 2**40, "num_items": 2**40}),
    ],
)
def test_what_does_not_fit_is_refused(error, sentence, change):
    usual = {
        "user_ids": [1, 2, 3],
        "item_ids": [1, 2, 3],
        "num_users": 9,
        "num_items": 8,
        "user_rows": 3,
        "item_rows": 3,
        "rank": 4,
    }
    with pytest.raises(error, match=re.escape(sentence)):
        learned_hash_tables(**(usual | {"num_hashes": 2} | change))


def test_later_ids_cannot_be_fewer_than_before():
    sizes = {"user_rows": 3, "item_rows": 3, "rank": 4}
    codes = learn_codes(np.arange(5), np.arange(5) % 4, num_users=5, num_items=4, **sizes, rng=0)
    with pytest.raises(ValueError, match=re.escape("`num_items` must be at least 4, as many as there are codes for, not 3.")):
        codes.extend([1], [1], num_users=5, num_items=3)


USERS, ITEMS = np.array([1, 1, 2, 2, 3, 3, 4]), np.array([1, 2, 1, 2, 3, 4, 3])
SIZES = {"num_users": 9, "num_items": 9, "user_rows": 4, "item_rows": 4, "rank": 4, "num_hashes": 2}
PADDED = {"user_padding": 0, "item_padding": 0}


@pytest.mark.parametrize("kind", [np.uint8, np.uint64, np.int8, np.int64])
def test_sizes_of_numpy_s_kinds_are_those_of_python(kind):
    plain = learned_hash_tables(USERS, ITEMS, **SIZES, **PADDED, rng=0)
    sizes = {name: kind(value) for name, value in (SIZES | {"user_padding": 8}).items()}
    assert_same_bits(learned_hash_tables(USERS, ITEMS, **sizes, item_padding=kind(0), rng=0)[1], plain[1])
    codes = learn_codes(USERS, ITEMS, **SIZES, **PADDED, rng=0)
    longer = codes.extend([kind(9)], [kind(1)], num_users=kind(10), num_items=kind(9))[0]
    assert_same_bits(longer, codes.extend([9], [1], num_users=10, num_items=9)[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rank": 1026}, "`rank` must be at most 1024, not 1026."),
        ({"rank": 2**64}, "`rank` must be at most 1024, not 18446744073709551616."),
        ({"num_users": 2**62}, "`num_users` must be at most 2**40, not 4611686018427387904."),
        (
            {"num_users": np.int64(2**40), "num_items": np.int64(2**40)},
            "`num_users` times `num_items` must be at most 2**63, not 1208925819614629174706176.",
        ),
    ],
)
def test_sizes_that_no_machine_has_room_for_are_refused(change, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        learned_hash_tables(USERS, ITEMS, **(SIZES | change), rng=0)


def test_later_sizes_are_refused_in_the_same_words():
    codes = learn_codes(USERS, ITEMS, **SIZES, rng=0)
    with pytest.raises(ValueError, match=r"^`num_users` must be at most 2\*\*40, not 10{30}\.$"):
        codes.extend([9], [1], num_users=10**30, num_items=9)


def test_a_later_id_that_met_nothing_known_has_the_hash_s_rows():
    """Neither padding nor items without training interactions give later users a vector."""
    codes = learn_codes(USERS, ITEMS, **SIZES, **PADDED, rng=0)
    longer = codes.extend([9, 10, 11], [0, 8, 1], num_users=12, num_items=9)[0]
    by_hash = 1 + hash_rows([9, 10, 11], HashSpec(12, 3, 2))
    assert_same_bits(longer[[9, 10]], by_hash[:2])
    known = codes.extend([11, 11], [1, 8], num_users=12, num_items=9)[0]
    assert_same_bits(known[11], longer[11])  # its unknown items have no effect


@pytest.mark.parametrize("scale", [np.inf, 1e31])
def test_a_scale_beyond_float32_is_refused(scale):
    codes = learn_codes(USERS, ITEMS, **SIZES, rng=0)
    with pytest.raises(ValueError, match=r"^`scale` must be at most 1e\+30, not"):
        codes.layers(scale=scale)
    assert all(np.isfinite(layer.weight).all() for layer in codes.layers(scale=1e30, rng=0))
