"""L38: the k highest likelihoods come best first: ties by item, NaN last.

Excluded items never occur. Missing places hold -1.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from npbloom.coding import BloomCoder
from npbloom.ops import coding as ops
from npbloom.reference import coding as reference
from tests.laws import _coding
from tests.support._bits import assert_same_bits
from tests.support._threads import COUNTS, split_everything


@given(_coding.codings(most_instances=20), st.booleans(), st.data())
def test_the_best_are_those_of_a_sorted_list(case, excluding, data):
    k = data.draw(st.integers(1, case.hashing.num_embeddings))
    scores = _coding.likelihoods(case.bits, case.log_probs, case.prior)
    excluded = case.instances if excluding else [[]] * len(scores)
    expected = np.array([_coding.best(row.tolist(), k, met) for row, met in zip(scores, excluded, strict=True)])
    items = expected.astype(np.int64).reshape(len(scores), k)
    values = np.where(items < 0, -np.inf, np.take_along_axis(scores, np.maximum(items, 0), axis=1)).astype(scores.dtype)
    event(f"ties: {any(len(set(row)) < len(row) for row in scores.tolist())}")
    event(f"missing: {(items < 0).any()}")
    event(f"NaN: {np.isnan(values).any()}")
    exclude = (case.items, case.offsets) if excluding else None
    assert_same_bits(reference.top_k(case.log_probs, case.hashing, k, exclude, case.prior), (items, values))
    for threads in COUNTS:
        with split_everything(threads):
            assert_same_bits(case.coder.top_k(case.log_probs, k, exclude, case.prior), (items, values))


@given(_coding.codings())
def test_excluded_items_in_every_form(case):
    k = case.hashing.num_embeddings
    expected = case.coder.top_k(case.log_probs, k, (case.items, case.offsets))
    assert_same_bits(case.coder.top_k(case.log_probs, k, case.instances), expected)
    assert_same_bits(case.coder.top_k(case.log_probs, k, [np.array(one, dtype=np.uint8) for one in case.instances]), expected)
    if case.offsets is None:
        assert_same_bits(case.coder.top_k(case.log_probs, k, case.items), expected)
    everything = np.tile(np.arange(k), (len(case.instances), 1))
    items, scores = case.coder.top_k(case.log_probs, k, everything)
    assert (items == -1).all()
    assert (scores == -np.inf).all()


@pytest.mark.parametrize("prior", [None, np.arange(2000) % 97 / 2], ids=["no prior", "prior"])
@pytest.mark.parametrize("kind", ["table", "murmur"])
@pytest.mark.parametrize("k", [1, 7, 500, 2000])
def test_many_items_in_blocks(monkeypatch, kind, k, prior):
    rng = np.random.default_rng(k)
    coder = BloomCoder(2000, 300, 4, rng=0) if kind == "table" else BloomCoder.murmur(2000, 300)
    log_probs = rng.integers(-40, 0, (21, 300)).astype(np.float32) / 4  # many ties
    met = [rng.integers(0, 2000, size) for size in rng.integers(0, 1900, 21)]
    exclude = np.concatenate(met), np.append(0, np.cumsum([len(one) for one in met]))[:-1]
    expected = reference.top_k(log_probs, coder._hashing, k, exclude, prior)
    assert_same_bits(coder.top_k(log_probs, k, exclude, prior), expected)
    for items, entries in ((700, 2**24), (2**16, 8 * 300), (300, 1)):
        monkeypatch.setattr(ops, "ITEMS", items)
        monkeypatch.setattr(ops, "ENTRIES", entries)
        assert_same_bits(coder.top_k(log_probs, k, exclude, prior), expected)


def test_nan_and_infinity():
    coder = BloomCoder(5, 5, table=[[0], [1], [2], [3], [4]])
    nan, inf = np.nan, np.inf
    log_probs = np.array([[nan, -inf, -1.0, nan, -1.0], [nan] * 5, [inf, nan, nan, nan, -inf]])
    items, scores = coder.top_k(log_probs, 5)
    assert items.tolist() == [[2, 4, 1, 0, 3], [0, 1, 2, 3, 4], [0, 4, 1, 2, 3]]
    assert_same_bits(scores, np.take_along_axis(log_probs, items, axis=1))
    assert coder.top_k(log_probs, 1)[0].tolist() == [[2], [0], [0]]
    assert coder.top_k(log_probs, 3)[0].tolist() == [[2, 4, 1], [0, 1, 2], [0, 4, 1]]


def test_equal_after_rounding_is_equal():
    coder = BloomCoder(3, 4, table=[[0, 1], [0, 2], [0, 3]])
    log_probs = np.array([[1.0, 2**-30, 2**-28, 0.0]])
    assert coder.top_k(log_probs, 3)[0].tolist() == [[1, 0, 2]]
    assert coder.top_k(log_probs.astype(np.float32), 3)[0].tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("k", "exclude", "error", "sentence"),
    [
        (0, None, ValueError, "`k` must be at least 1, not 0."),
        (4, None, ValueError, "`k` must be at most the number of items, 3, not 4."),
        (1.0, None, TypeError, "`k` must be an integer, not 1.0."),
        (1, ([0], [0]), ValueError, "`exclude` must have one entry for each row of `log_probs`, 2, not 1."),
        (1, [[0]], ValueError, "`exclude` must have one entry for each row of `log_probs`, 2, not 1."),
        (1, ([0], [0], [0]), ValueError, "`exclude` must be a pair (items, offsets), not 3 arrays."),
        (1, ([0, 3], [0, 1]), IndexError, "`exclude` must lie in [0, 3), not 3 at position 1."),
        (1, [[], [-1]], IndexError, "`exclude` must lie in [0, 3), not -1 at position 0."),
        (1, np.array([[0], [3]]), IndexError, "`exclude` must lie in [0, 3), not 3 at position (1, 0)."),
        (1, np.ones((2, 3), dtype=bool), TypeError, "`exclude` must be an integer array, not bool."),
    ],
)
def test_what_is_refused(k, exclude, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        BloomCoder(3, 4, rng=0).top_k(np.zeros((2, 4)), k, exclude)
