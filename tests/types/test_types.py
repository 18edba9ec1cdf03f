"""RowGrad and HashSpec: accepted and refused arguments, and the arithmetic of row gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from npbloom.types import HashSpec, RowGrad


def grad(rows: list[int], values: list[list[float]], num_rows: int = 6, dtype: str = "float32") -> RowGrad:
    """Return a RowGrad from lists."""
    return RowGrad(np.array(rows, dtype=np.int64), np.array(values, dtype=dtype).reshape(len(rows), -1 if rows else 1), num_rows)


@st.composite
def dense_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw two dense gradients of one table, most of whose rows are zero."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 3)))
    values = st.sampled_from([0.0, 0.0, 0.0, 1.0, -2.5, 3e-5, 7e6])
    return draw(hnp.arrays(dtype, shape, elements=values)), draw(hnp.arrays(dtype, shape, elements=values))


@given(dense_pairs())
def test_merging_is_dense_addition(pair: tuple[np.ndarray, np.ndarray]) -> None:
    left, right = (RowGrad.from_dense(dense) for dense in pair)
    event(f"rows in both: {len(np.intersect1d(left.rows, right.rows)) > 0}")
    total = left + right
    expected = (pair[0].astype(np.float64) + pair[1].astype(np.float64)).astype(pair[0].dtype)
    np.testing.assert_array_equal(total.to_dense(), expected)
    np.testing.assert_array_equal(total.rows, np.union1d(left.rows, right.rows))
    assert total.values.dtype == pair[0].dtype


def test_rows_whose_sum_is_zero_stay() -> None:
    total = grad([1], [[2.0]]) + grad([1], [[-2.0]])
    assert total == grad([1], [[0.0]])


def test_scaling_keeps_rows_and_dtype() -> None:
    for scaled in (grad([0, 2], [[1.0], [2.0]]) * 0.5, 0.5 * grad([0, 2], [[1.0], [2.0]])):
        assert scaled == grad([0, 2], [[0.5], [1.0]])
        assert scaled.values.dtype == np.float32
    with pytest.raises(TypeError):
        grad([0], [[1.0]]) * "2"  # type: ignore[operator]


def test_norm_and_clipping() -> None:
    long = grad([0, 3], [[3.0], [4.0]])
    assert long.norm() == 5.0
    assert long.clip_norm(10.0) == long
    clipped = long.clip_norm(1.0)
    assert clipped.norm() == pytest.approx(1.0)
    np.testing.assert_allclose(clipped.values, [[0.6], [0.8]], rtol=1e-6)
    assert grad([], []).norm() == 0.0
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="`max`"):
            long.clip_norm(bad)


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(1, 5), st.integers(1, 4)),
        elements=st.sampled_from([0.0, 1.0, -2.5, 0.1, 3e-5, 7e6, 1e38, 1e-40]) | st.floats(-10, 10, width=32),
    ),
    st.sampled_from([0.0, 1.0, 0.1, 1e-3, 3.0, 1e-38, 1e-44, 1e10]),
)
def test_no_norm_is_above_the_limit_after_clipping(values: np.ndarray, limit: float) -> None:
    whole = RowGrad(np.arange(len(values)), values, 6)
    clipped = whole.clip_norm(limit)
    event(f"clipped: {clipped is not whole}")
    assert clipped.norm() <= limit
    assert clipped.values.dtype == values.dtype
    if whole.norm() > limit:
        short = np.finfo(values.dtype).tiny * 1e8
        assert clipped.norm() >= limit * (1 - 1e-5) or limit < short
        expected = values.astype(np.float64) * (limit / whole.norm())
        np.testing.assert_allclose(clipped.values, expected, rtol=1e-5, atol=float(np.finfo(values.dtype).tiny))


@pytest.mark.parametrize("seed", range(20))
def test_clipping_that_was_within_the_limit_keeps_its_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for dtype in ("float32", "float64"):
        values = (5 * rng.standard_normal((8, 4))).astype(dtype)
        whole = RowGrad(np.arange(8), values, 8)
        plain = RowGrad(np.arange(8), values * values.dtype.type(1.0 / whole.norm()), 8)
        clipped = whole.clip_norm(1.0)
        if plain.norm() <= 1:
            assert clipped == plain
        else:
            np.testing.assert_allclose(clipped.values, plain.values, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("values", "norm", "clipped"),
    [
        ([[1e200, 1e200]], 1e200 * 2**0.5, [[2**-0.5, 2**-0.5]]),
        ([[3e-200, 4e-200]], 5e-200, None),
        ([[3e-170], [4e-170]], 5e-170, None),
        ([[5e-324]], 5e-324, None),
        ([[1e308, 1e308, 1e308, 1e308]], np.inf, [[0.5, 0.5, 0.5, 0.5]]),
        ([[1e200, 0.0]], 1e200, [[1.0, 0.0]]),
    ],
)
def test_norms_whose_squares_leave_float64(values: list[list[float]], norm: float, clipped: list[list[float]] | None) -> None:
    whole = RowGrad(np.arange(len(values)), np.array(values), 6)
    np.testing.assert_allclose(whole.norm(), norm, rtol=1e-15)
    found = whole.clip_norm(1.0)
    np.testing.assert_allclose(found.values, values if clipped is None else clipped, rtol=1e-15)
    assert (found is whole) == (clipped is None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_what_has_no_finite_norm_is_not_clipped(bad: float, dtype: str) -> None:
    whole = grad([0, 3], [[1.0, 2.0], [3.0, bad]], dtype=dtype)
    np.testing.assert_equal(whole.norm(), abs(bad))
    for limit in (0.0, 1.0, 1e308):
        with pytest.raises(ValueError, match=rf"^`values` must be finite to be clipped, not {bad} at position \(1, 1\)\.$"):
            whole.clip_norm(limit)
    assert whole.clip_norm(np.inf) is whole


@pytest.mark.parametrize("limit", ["1", b"1", True, None, [1.0, 2.0], 1j])
def test_what_is_no_number_is_no_limit(limit: Any) -> None:
    with pytest.raises(TypeError, match=r"^`max` must be a real number, not .*\.$"):
        grad([0], [[3.0]]).clip_norm(limit)


def test_a_norm_below_all_squares_is_clipped_too() -> None:
    short = RowGrad(np.arange(2), np.array([[3e-200], [4e-200]]), 6)
    np.testing.assert_allclose(short.clip_norm(1e-200).values, [[6e-201], [8e-201]], rtol=1e-15)
    assert not short.clip_norm(0.0).values.any()


def test_equality_is_by_value_and_nan_equals_nan() -> None:
    nan = float("nan")
    assert grad([1], [[nan]]) == grad([1], [[nan]])
    assert grad([1], [[1.0]]) != grad([2], [[1.0]])
    assert grad([1], [[1.0]]) != grad([1], [[1.0]], num_rows=7)
    assert grad([1], [[1.0]]) != grad([1], [[1.0]], dtype="float64")
    assert grad([1], [[1.0]]) != "a gradient"
    with pytest.raises(TypeError, match="unhashable"):
        hash(grad([1], [[1.0]]))


def test_astype_nbytes_and_from_dense() -> None:
    one = grad([1, 4], [[1.0, 2.0], [3.0, 4.0]])
    assert one.nbytes == 2 * 8 + 4 * 4
    assert one.astype(np.float64).values.dtype == np.float64
    assert RowGrad.from_dense(one.to_dense()) == one
    assert RowGrad.from_dense([[0.0], [float("nan")]]).rows.tolist() == [1]
    with pytest.raises(ValueError, match="two dimensions"):
        RowGrad.from_dense([1.0])


@pytest.mark.parametrize(
    ("rows", "values", "height", "error", "words"),
    [
        ([1.0], [[1.0]], 3, TypeError, "`rows` must be an integer array"),
        ([1], [[1]], 3, TypeError, "`values` must be float32 or float64"),
        ([[1]], [[1.0]], 3, ValueError, "`rows` must have one dimension"),
        ([1], [1.0], 3, ValueError, "`values` must have shape"),
        ([1, 2], [[1.0]], 3, ValueError, "`values` must have shape"),
        ([1, 1], [[1.0], [1.0]], 3, ValueError, "increase strictly, not 1, 1 at position 1"),
        ([2, 1], [[1.0], [1.0]], 3, ValueError, "increase strictly"),
        ([3], [[1.0]], 3, IndexError, r"`rows` must lie in \[0, 3\), not 3 at position 0"),
        ([-1, 1], [[1.0], [1.0]], 3, IndexError, "not -1 at position 0"),
        ([1], [[1.0]], 3.5, TypeError, "`num_rows` must be an integer"),
    ],
)
def test_a_row_gradient_that_does_not_fit_is_refused(
    rows: list, values: list, height: float, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        RowGrad(np.array(rows), np.array(values), height)  # type: ignore[arg-type]


def test_gradients_of_different_tables_do_not_add() -> None:
    with pytest.raises(ValueError, match="one table"):
        grad([1], [[1.0]]) + grad([1], [[1.0]], num_rows=9)
    with pytest.raises(ValueError, match="one table"):
        grad([1], [[1.0]]) + grad([1], [[1.0, 2.0]])
    with pytest.raises(TypeError, match="one dtype"):
        grad([1], [[1.0]]) + grad([1], [[1.0]], dtype="float64")
    with pytest.raises(TypeError):
        grad([1], [[1.0]]) + 1  # type: ignore[operator]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"num_embeddings": 0, "num_rows": 3}, ValueError, "`num_embeddings`"),
        ({"num_embeddings": 2**63 + 1, "num_rows": 3}, ValueError, "`num_embeddings`"),
        ({"num_embeddings": 5.0, "num_rows": 3}, TypeError, "`num_embeddings`"),
        ({"num_embeddings": True, "num_rows": 3}, TypeError, "`num_embeddings`"),
        ({"num_embeddings": 5, "num_rows": 0}, ValueError, "`num_rows`"),
        ({"num_embeddings": 5, "num_rows": 2**31 + 1}, ValueError, "`num_rows`"),
        ({"num_embeddings": 5, "num_rows": 1, "padding_idx": 0}, ValueError, "row 0 is reserved"),
        ({"num_embeddings": 5, "num_rows": 3, "padding_idx": 5}, ValueError, "`padding_idx`"),
        ({"num_embeddings": 5, "num_rows": 3, "padding_idx": -1}, ValueError, "`padding_idx`"),
        ({"num_embeddings": 5, "num_rows": 3, "num_hash_functions": 0}, ValueError, "`num_hash_functions`"),
        ({"num_embeddings": 5, "num_rows": 3, "num_hash_functions": 25}, ValueError, "`num_hash_functions`"),
        ({"num_embeddings": 2, "num_rows": 3, "table": [[0], [3]]}, ValueError, r"not 3 at position \(1, 0\)"),
        ({"num_embeddings": 2, "num_rows": 3, "table": [[0], [-1]]}, ValueError, r"not -1 at position \(1, 0\)"),
        ({"num_embeddings": 2, "num_rows": 3, "table": [[0.0], [1.0]]}, TypeError, "integer array"),
        ({"num_embeddings": 3, "num_rows": 3, "table": [[0], [1]]}, ValueError, r"shape \(3, k\)"),
        ({"num_embeddings": 2, "num_rows": 3, "table": [[], []]}, (TypeError, ValueError), "`hash_table`"),
        ({"num_embeddings": 2, "num_rows": 3, "num_hash_functions": 3, "table": [[0], [1]]}, ValueError, "width"),
        (
            {"num_embeddings": 2, "num_rows": 3, "padding_idx": 1, "share_padding_row": False, "table": [[0], [1]]},
            ValueError,
            r"\[1, 3\), not 0 at position \(0, 0\)",
        ),
    ],
)
def test_a_hashing_that_cannot_be_is_refused(arguments: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        HashSpec(**arguments)


def test_a_hash_table_is_a_copy_whose_padding_entries_are_row_zero() -> None:
    given = np.array([[1, 2], [99, -7], [0, 1]])
    spec = HashSpec(3, 4, padding_idx=1, table=given)
    given[:] = 77
    assert spec.table is not None
    assert spec.table.tolist() == [[1, 2], [0, 0], [0, 1]]
    assert spec.num_hash_functions == 2
    with pytest.raises(ValueError, match="read-only"):
        spec.table[0, 0] = 3
