"""Learned codes: what is refused, in which words."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npbloom.coding import learn_codes, learned_hash_tables


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
