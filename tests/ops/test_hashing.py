"""Ids to rows: the specification, scikit-learn as in Spotlight, bad input, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32 as sklearn_murmurhash3_32

from npbloom import ops, reference
from npbloom._threads import num_threads
from npbloom.ops._ids import check_ids, rows_of
from npbloom.types import SPOTLIGHT_SEEDS, HashSpec
from tests.support._bits import assert_same_bits


@st.composite
def specs(draw: st.DrawFn) -> HashSpec:
    """Return every kind: few and many ids, with and without padding, a table of one's own."""
    num_embeddings = draw(st.integers(1, 9) | st.sampled_from([2**31 - 1, 2**31, 2**31 + 1, 2**63]))
    padding_idx = draw(st.none() | st.integers(0, min(num_embeddings, 9) - 1))
    num_rows = draw(st.integers(2, 9) | st.integers(2, 2**31))
    share = draw(st.booleans())
    if num_embeddings < 10 and draw(st.booleans()):
        rows = st.integers(0 if share or padding_idx is None else 1, num_rows - 1)
        width = draw(st.integers(1, 30))
        table = draw(st.lists(st.lists(rows, min_size=width, max_size=width), min_size=num_embeddings, max_size=num_embeddings))
        return HashSpec(num_embeddings, num_rows, width, padding_idx, share, table)
    return HashSpec(num_embeddings, num_rows, draw(st.integers(1, 24)), padding_idx, share)


@given(specs(), st.data())
def test_rows_are_the_specifications(hashing: HashSpec, data: st.DataObject) -> None:
    last = hashing.num_embeddings - 1
    known = [0, last, *([] if hashing.padding_idx is None else [hashing.padding_idx])]
    ids = np.array(data.draw(st.lists(st.sampled_from(known) | st.integers(0, last), max_size=12)), dtype=np.int64)
    if data.draw(st.booleans()) and ids.size % 2 == 0:
        ids = ids.reshape(2, -1, 1)
    event(f"table {hashing.table is not None}, padding {hashing.padding_idx is not None}, wide {last >= 2**31}")
    rows = ops.hash_rows(ids, hashing)
    assert rows.shape == (*ids.shape, hashing.num_hash_functions)
    assert_same_bits(rows, reference.hash_rows(ids, hashing))
    assert ((rows >= 0) & (rows < hashing.num_rows)).all()
    assert not rows[ids == hashing.padding_idx].any()
    if hashing.padding_idx is not None and not hashing.share_padding_row:
        assert rows[ids != hashing.padding_idx].all()


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("kind", ["hash", "wide", "table"])
def test_any_number_of_threads_gives_the_same_rows(kind: str, threads: int) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(0, 777, (1000, 3)) if kind == "table" else None
    hashing = HashSpec(2**40 if kind == "wide" else 1000, 777, 4 if table is None else 3, 5, table=table)
    ids = rng.integers(0, hashing.num_embeddings, 7 * 4096 + 3)
    with num_threads(threads):
        assert_same_bits(ops.hash_rows(ids, hashing), reference.hash_rows(ids, hashing))


@pytest.mark.parametrize("num_rows", [2, 7, 1000, 1024, 20_000, 2**31 - 1])
@pytest.mark.parametrize("num_hash_functions", [1, 4, 24])
def test_spotlights_mapping_by_scikit_learn(num_rows: int, num_hash_functions: int) -> None:
    """Compare with `BloomEmbedding._get_hashed_indices` of Spotlight.

    Its default padding id is 0 (L20).
    """

    def spotlight_hash(indices: np.ndarray, seed: int) -> Any:
        result = sklearn_murmurhash3_32(indices, seed=seed)
        result[0] = 0
        return result % num_rows

    indices = np.arange(100_000, dtype=np.int32)
    expected = np.stack([spotlight_hash(indices, seed) for seed in SPOTLIGHT_SEEDS[:num_hash_functions]], axis=1)
    hashing = HashSpec(100_000, num_rows, num_hash_functions, padding_idx=0)
    assert_same_bits(ops.hash_rows(indices, hashing), expected.astype(np.int64))


def test_ids_of_any_dtype_and_layout_are_the_same_ids() -> None:
    hashing = HashSpec(100, 50)
    expected = ops.hash_rows(np.arange(100), hashing)
    for dtype in ("i1", "u1", ">i2", "<u4", ">i8", "u8"):
        ids = np.arange(100).astype(dtype)
        assert_same_bits(ops.hash_rows(ids, hashing), expected)
        assert_same_bits(ops.hash_rows(ids[::-3], hashing), expected[::-3])
    assert_same_bits(ops.hash_rows(list(range(100)), hashing), expected)
    assert_same_bits(ops.hash_rows(7, hashing), expected[7])
    assert_same_bits(ops.hash_rows([], hashing), expected[:0])


def test_ids_are_not_written_to_and_rows_are_the_callers_own() -> None:
    ids = np.arange(6)
    hashing = HashSpec(6, 4, table=np.zeros((6, 2), dtype=np.int32))
    rows = ops.hash_rows(ids, hashing)
    rows[:] = 3
    assert ids.tolist() == list(range(6))
    assert ids.flags.writeable
    assert not ops.hash_rows(ids, hashing).any()


@given(
    st.integers(1, 3), st.integers(1, 30_000), st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), min_size=1, max_size=3)
)
def test_the_first_id_out_of_range_is_named(threads: int, size: int, bad: list[tuple[int, bool]]) -> None:
    ids = np.zeros((size, 2), dtype=np.int64)
    for at, below in bad:
        ids.flat[at % ids.size] = -5 if below else 10
    first = int(np.flatnonzero(ids.ravel())[0])
    event(f"several chunks: {size * 2 >= 8192}")
    with num_threads(threads), pytest.raises(IndexError) as caught:
        check_ids(ids, 10, "indices")
    where = f"at position ({first // 2}, {first % 2})"
    assert str(caught.value) == f"`indices` must lie in [0, 10), not {ids.flat[first]} {where}."


@pytest.mark.parametrize(
    ("ids", "error", "words"),
    [
        (-1, IndexError, "`ids` must lie in [0, 10), not -1."),
        ([3, 10], IndexError, "`ids` must lie in [0, 10), not 10 at position 1."),
        ([2**64], IndexError, "`ids` must lie in [0, 10), not 18446744073709551616 at position 0."),
        (
            np.array([[1, 2**63]], dtype=np.uint64),
            IndexError,
            "`ids` must lie in [0, 10), not 9223372036854775808 at position (0, 1).",
        ),
        ([1.0], TypeError, "`ids` must be an integer array, not float64."),
        ([True], TypeError, "`ids` must be an integer array, not bool."),
        (
            np.ma.array([1]),
            TypeError,
            "`ids` must not be a masked array: its mask would be dropped; pass `.filled(...)` or `.data`.",
        ),
    ],
)
def test_bad_ids_are_refused(ids: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        ops.hash_rows(ids, HashSpec(10, 4))
    assert str(caught.value) == words


def test_a_hash_must_be_a_spec() -> None:
    number: Any = 10
    with pytest.raises(TypeError, match=r"^`hashing` must be a HashSpec, not int\.$"):
        ops.hash_rows([1], number)


def test_the_last_id_of_all_is_an_id() -> None:
    hashing = HashSpec(2**63, 1000)
    assert_same_bits(rows_of(check_ids([2**63 - 1], 2**63), hashing), reference.hash_rows([2**63 - 1], hashing).astype(np.int32))
