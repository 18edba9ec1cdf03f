"""The stable sort that every scatter uses, against NumPy's stable argsort."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.ops import _pairs
from npbloom.ops._pairs import split_pairs


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make buckets and parts small.

    Little batches then have many of them, and more than one pass inside a bucket.
    """
    monkeypatch.setattr(_pairs, "FEW", 2)
    monkeypatch.setattr(_pairs, "MOST_BUCKETS", 3)
    monkeypatch.setattr(_pairs, "LEAST_LOW", 2)
    monkeypatch.setattr(_pairs, "GRAIN", 128)
    return


def check(rows: np.ndarray, num_rows: int, slices: int, reserved: int, bag_of: np.ndarray | None, spread: bool = False) -> None:
    """Compare with a stable argsort of the keys that are kept."""
    n, k = rows.shape
    how = {"slices": slices, "reserved": reserved, "bag_of": bag_of, "spread": spread}
    parts = split_pairs(lambda lo, hi: rows[lo:hi], n, k, num_rows, work=0, **how).sort_and(lambda part: part)
    probes = np.arange(k) if slices > 1 else np.zeros(k, int)
    keys = rows.astype(np.int64) * slices + probes
    indices = np.repeat(np.arange(n) if bag_of is None else bag_of, k)
    if spread:
        indices = indices * slices + np.tile(probes, n)
    kept = rows.ravel() != reserved
    order = np.argsort(keys.ravel()[kept], kind="stable")
    touched, starts = np.unique(keys.ravel()[kept][order], return_index=True)
    np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), touched)
    np.testing.assert_array_equal(
        np.concatenate([part.indptr[:-1] for part in parts] + [[kept.sum()]]), np.append(starts, kept.sum())
    )
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        assert part.indptr[-1] == (kept.sum() if after is None else after.indptr[0])
        np.testing.assert_array_equal(part.indices, indices[kept][order][: part.indptr[-1]])  # and nothing is left unsorted


@pytest.mark.usefixtures("_small_parts")
@given(st.data())
def test_pairs_are_sorted_stably(data: st.DataObject) -> None:
    num_rows = data.draw(st.sampled_from([1, 2, 3, 7, 64, 1000, 2**20 + 3, 2**31]), label="num_rows")
    n, k = data.draw(st.integers(0, 40), label="n"), data.draw(st.integers(1, 4), label="k")
    few = data.draw(st.booleans(), label="few rows")
    top = min(num_rows, 3) if few else num_rows
    seed = data.draw(st.integers(0, 2**32), label="seed")
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, top, (n, k)).astype(data.draw(st.sampled_from([np.int64, np.int32])))
    if data.draw(st.booleans(), label="last row"):
        rows[rng.random((n, k)) < 0.3] = num_rows - 1
    bag_of = np.sort(rng.integers(0, 5, n)) if data.draw(st.booleans(), label="bag_of") else None
    slices = data.draw(st.sampled_from([1, k]), label="slices")
    event(f"many pairs: {n * k > 32}, slices: {slices > 1}")
    with nb.num_threads(data.draw(st.sampled_from([1, 2, 3, 7]), label="threads")):
        check(
            rows,
            num_rows,
            slices,
            data.draw(st.sampled_from([-1, 0]), label="reserved"),
            bag_of,
            slices > 1 and data.draw(st.booleans()),
        )


@pytest.mark.parametrize("num_rows", [300, 200_000, 10**9])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_large_batch_is_sorted_stably(num_rows: int, threads: int) -> None:
    rng = np.random.default_rng(0)
    rows = (num_rows * rng.random((30_000, 4)) ** 3).astype(np.int32)
    with nb.num_threads(threads):
        check(rows, num_rows, 1, 0, None)
        check(rows, num_rows, 4, -1, None)
