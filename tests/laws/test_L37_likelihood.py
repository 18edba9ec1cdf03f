"""L37: an item's likelihood is the sum over its bits, in float64 from +0.0, bit by bit.

It is rounded once.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import event, given

import npbloom as nb
from npbloom.coding import BloomCoder
from npbloom.ops import coding as ops
from npbloom.reference import coding as reference
from tests.laws import _coding
from tests.support._bits import assert_same_bits
from tests.support._threads import COUNTS, split_everything, watch


@given(_coding.codings(most_instances=20))
def test_likelihoods_are_loops_over_python_floats(case):
    event(f"dtype {case.log_probs.dtype}")
    event(f"groups: {-(-len(case.log_probs) // 8)}")
    event("no prior" if case.prior is None else f"prior {case.prior.dtype}")
    expected = _coding.likelihoods(case.bits, case.log_probs, case.prior)
    assert_same_bits(reference.log_likelihood(case.log_probs, case.hashing, case.prior), expected)
    for threads in COUNTS:
        with split_everything(threads):
            assert_same_bits(case.coder.log_likelihood(case.log_probs, case.prior), expected)


@pytest.mark.parametrize("prior", [None, np.random.default_rng(2).standard_normal(2000)], ids=["no prior", "prior"])
@pytest.mark.parametrize("kind", ["table", "murmur"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_items_and_instances_in_blocks(monkeypatch, kind, dtype, prior):
    coder = BloomCoder(2000, 300, 4, rng=0) if kind == "table" else BloomCoder.murmur(2000, 300)
    log_probs = np.random.default_rng(1).standard_normal((45, 300)).astype(dtype)
    expected = reference.log_likelihood(log_probs, coder._hashing, prior)
    assert_same_bits(coder.log_likelihood(log_probs, prior), expected)
    for items, entries in ((700, 2**24), (2**16, 2 * 8 * 300), (1, 1)):
        monkeypatch.setattr(ops, "ITEMS", items)
        monkeypatch.setattr(ops, "ENTRIES", entries)
        assert_same_bits(coder.log_likelihood(log_probs, prior), expected)
    with watch(2) as seen:
        monkeypatch.setattr(ops, "ENTRIES", 2**24)
        assert_same_bits(coder.log_likelihood(log_probs, prior), expected)
    assert seen.most_tasks == 2


def test_a_float32_sum_is_rounded_once():
    coder = BloomCoder(1, 4, table=[[0, 1, 2, 3]])
    one, tiny = np.float32(1), np.float32(2**-24)  # one + tiny rounds to one in float32, and twice more so
    assert coder.log_likelihood(np.array([[one, tiny, tiny, tiny]])).item() == 1 + 2**-22  # 3 * 2**-24, rounded to the last bit
    assert coder.log_likelihood(np.array([[-0.0] * 4])).item().hex() == "0x0.0p+0"


def test_a_float32_prior_counts_in_float64_and_comes_first():
    coder = BloomCoder(2, 2, table=[[0, 1], [1, 0]])
    one, tiny = np.float32(1), np.float32(2**-24)
    assert coder.log_likelihood(np.array([[tiny, tiny]]), prior=[one, -one]).tolist() == [[1 + 2**-23, -1 + 2**-23]]
    assert coder.log_likelihood([[2.0**60, -(2.0**60)]], prior=[1.0, 1.0]).tolist() == [[0, 0]]  # lost in the first addition
    assert coder.log_likelihood([[-0.0, -0.0]], prior=[-0.0, 0.0])[0, 0].hex() == "-0x0.0p+0"


@pytest.mark.parametrize(
    ("prior", "error", "sentence"),
    [
        ([0.0], ValueError, "`prior` must have shape (3,), not (1,)."),
        ([[0.0, 0.0, 0.0]], ValueError, "`prior` must have shape (3,), not (1, 3)."),
        (0.0, ValueError, "`prior` must have shape (3,), not ()."),
        ([1, 2, 3], TypeError, "`prior` must be a real floating array, not int64."),
    ],
)
def test_a_prior_that_is_refused(prior, error, sentence):
    coder = BloomCoder(3, 2, 2, rng=0)
    for call in (coder.log_likelihood, lambda values, prior: coder.top_k(values, 1, prior=prior)):
        with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
            call([[0.0, 0.0]], prior=prior)


def test_a_bit_that_an_item_has_twice_is_added_twice():
    assert BloomCoder(2, 2, table=[[0, 0], [0, 1]]).log_likelihood([[-1.0, -5.0]]).tolist() == [[-2, -6]]


def test_one_hash_is_the_hashing_trick():
    coder = BloomCoder(50, 10, 1, rng=0)
    log_probs = np.random.default_rng(0).standard_normal((3, 10))
    assert_same_bits(coder.log_likelihood(log_probs), log_probs[:, coder.table[:, 0]])
    assert_same_bits(coder.encode(np.arange(50)[:, np.newaxis])[0], coder.table[:, 0].astype(np.int64))


@pytest.mark.parametrize(("kind", "dtype"), [(">f4", np.float32), (np.float16, np.float64), ("list", np.float64)])
def test_other_floats(kind, dtype):
    coder = BloomCoder(3, 2, table=[[0, 1]] * 3)
    given_as = [[-1.5, -2.0]] if kind == "list" else np.array([[-1.5, -2.0]], dtype=kind)
    assert_same_bits(coder.log_likelihood(given_as), np.full((1, 3), -3.5, dtype=dtype))
    transposed = np.array([[-1.5], [-2.0]], dtype=np.float32).T
    assert_same_bits(coder.log_likelihood(transposed), np.full((1, 3), -3.5, dtype=np.float32))


@pytest.mark.parametrize(
    ("log_probs", "error", "sentence"),
    [
        ([0.0, 0.0], ValueError, "`log_probs` must have shape (n, 2), not (2,)."),
        ([[0.0]], ValueError, "`log_probs` must have shape (n, 2), not (1, 1)."),
        ([[[0.0, 0.0]]], ValueError, "`log_probs` must have shape (n, 2), not (1, 1, 2)."),
        ([[0, 0]], TypeError, "`log_probs` must be a real floating array, not int64."),
        ([[0j, 0j]], TypeError, "`log_probs` must be a real floating array, not complex128."),
    ],
)
def test_what_is_refused(log_probs, error, sentence):
    coder = BloomCoder(3, 2, 2, rng=0)
    for call in (coder.log_likelihood, lambda values: coder.top_k(values, 1)):
        with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
            call(log_probs)


def test_nothing_is_written_to():
    coder, log_probs = BloomCoder(9, 5, rng=0), np.zeros((3, 5))
    log_probs.flags.writeable = False
    assert coder.log_likelihood(log_probs).flags.writeable
    assert nb.get_num_threads() >= 1
    assert coder.log_likelihood(np.empty((0, 5))).shape == (0, 9)
