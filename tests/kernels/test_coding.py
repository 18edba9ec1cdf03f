"""Kernels of the coder against the reference at sizes that also run un-jitted.

Groups, tiles and heaps are empty, partly full and full.
"""

from __future__ import annotations

import numpy as np
import pytest

import npbloom as nb
from npbloom._kernels import coding as kernels
from npbloom.ops import coding as ops
from npbloom.reference import coding as reference
from npbloom.types import HashSpec
from tests.support._bits import assert_same_bits


@pytest.fixture(autouse=True)
def one_thread():
    """Run in one thread.

    Un-jitted, NumPy's scalars warn where IEEE 754 has an answer; `errstate` holds for one thread
    only.
    """
    with nb.num_threads(1), np.errstate(all="ignore"):
        yield


def mapping(num_items: int, num_bits: int, k: int, hashed: bool = False) -> HashSpec:
    """Return a drawn table, or murmur."""
    if hashed:
        return HashSpec(num_items, num_bits, k)
    return HashSpec(num_items, num_bits, table=ops.draw_table(num_items, num_bits, k, np.random.default_rng(k)))


@pytest.mark.parametrize(("m", "k"), [(1, 1), (3, 3), (9, 1), (9, 4), (40, 12)])
def test_drawn_tables(m, k):
    drawn, expected = (module.draw_table(25, m, k, np.random.default_rng(0)) for module in (ops, reference))
    assert_same_bits(drawn, expected.astype(np.int32))


@pytest.mark.parametrize("hashed", [False, True])
def test_codes(hashed):
    rng = np.random.default_rng(0)
    spec = mapping(30, 19, 4, hashed)
    items, offsets = rng.integers(0, 30, 120), np.array([0, 0, 1, 5, 5, 60, 119, 120])
    assert_same_bits(ops.encode(items, spec, offsets), reference.encode(items, spec, offsets))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 14, 41])
def test_distinct_values_by_sorting_and_by_marks(size):
    for values in (np.arange(size), np.arange(size)[::-1], np.random.default_rng(size).integers(0, 9, size)):
        bits, counts = np.empty(size, dtype=np.int64), np.empty(1, dtype=np.int64)
        for bound, marks in ((size + 9, 0), (size + 9, size + 10), (1000, 1001)):  # none, marks that pay, marks that do not
            kernels.distinct_range(values.astype(np.int32), np.array([0, size]), bound, bits, counts, np.empty((2, marks)), 0, 1)
            assert bits[: counts[0]].tolist() == np.unique(values).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("instances", [1, 7, 8, 9])
def test_likelihoods_and_the_best_of_them(monkeypatch, dtype, instances):
    monkeypatch.setattr(ops, "TILE", 5)
    spec = mapping(17, 11, 3)
    log_probs = (np.random.default_rng(instances).integers(-3, 1, (instances, 11)) * 0.3).astype(dtype)  # ties, and roundings
    log_probs[0, 3:5] = np.nan, -np.inf
    prior = np.arange(17) / 4
    assert_same_bits(ops.log_likelihood(log_probs, spec), reference.log_likelihood(log_probs, spec))
    assert_same_bits(ops.log_likelihood(log_probs, spec, prior), reference.log_likelihood(log_probs, spec, prior))
    exclude = [list(range(one, 17, 2)) for one in range(instances)]
    for k in (1, 4, 9, 17):
        assert_same_bits(ops.top_k(log_probs, spec, k), reference.top_k(log_probs, spec, k))
        assert_same_bits(ops.top_k(log_probs, spec, k, prior=prior), reference.top_k(log_probs, spec, k, prior=prior))
        excluded = reference.top_k(log_probs, spec, k, _flat(exclude))
        assert_same_bits(ops.top_k(log_probs, spec, k, exclude), excluded)


def _flat(lists):
    """Return one array, and the start of each list in it."""
    return np.concatenate([np.array(one, dtype=np.int64) for one in lists]), np.cumsum([0, *map(len, lists)])[: len(lists)]


@pytest.mark.parametrize(("num_bits", "k"), [(30, 4), (6, 3), (5, 4), (4, 1)])
def test_shared_bits(num_bits, k):
    rng = np.random.default_rng(num_bits)
    items, offsets = rng.geometric(0.3, 60) % 12, np.arange(0, 60, 5)
    spec = mapping(40, num_bits, k)
    found, expected = (module.with_cooccurrence(items, spec, offsets, np.random.default_rng(1)) for module in (ops, reference))
    assert_same_bits(found, expected.astype(np.int32))
    assert not np.array_equal(found, spec.table)
