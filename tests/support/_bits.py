"""Equality of bits (L5, L6): dtype, shape and every bit; any NaN equals any NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.types import RowGrad


def assert_same_bits(actual: Any, expected: Any) -> None:
    """
    Fail unless both are the same array, RowGrad, or tuple of them, bit for bit.

    The message names the first difference.
    """
    __tracebackhide__ = True
    if isinstance(expected, (tuple, list)):
        assert type(actual) is type(expected), f"{type(actual).__name__}, expected {type(expected).__name__}"
        assert len(actual) == len(expected), f"{len(actual)} arrays, expected {len(expected)}"
        for one, other in zip(actual, expected, strict=True):
            assert_same_bits(one, other)
    elif isinstance(expected, RowGrad):
        assert isinstance(actual, RowGrad), f"{type(actual).__name__}, expected a RowGrad"
        assert actual.num_rows == expected.num_rows, f"num_rows {actual.num_rows}, expected {expected.num_rows}"
        assert_same_bits(actual.rows, expected.rows)
        assert_same_bits(actual.values, expected.values)
    else:
        _assert_same_array(actual, expected)


def _assert_same_array(actual: Any, expected: Any) -> None:
    """Fail unless two arrays of a number dtype are equal bit for bit."""
    __tracebackhide__ = True
    assert isinstance(actual, np.ndarray), f"{type(actual).__name__}, expected an array"
    assert isinstance(expected, np.ndarray), f"the expected value is no array but {type(expected).__name__}"
    assert actual.dtype == expected.dtype, f"dtype {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    assert expected.dtype.kind in "biuf", f"no bits to compare in {expected.dtype}"
    same = _bits(actual) == _bits(expected)
    if expected.dtype.kind == "f":
        same |= np.isnan(actual) & np.isnan(expected)
    if not same.all():
        where = tuple(int(i) for i in np.argwhere(~same)[0])
        raise AssertionError(
            f"{int((~same).sum())} of {same.size} values differ, the first at {where}: "
            f"{_shown(actual[where])}, expected {_shown(expected[where])}"
        )


def _bits(array: np.ndarray[Any, Any]) -> Any:
    """Return the array's items as unsigned integers of the same width and shape."""
    return np.array(array, order="C").view(f"{array.dtype.byteorder}u{array.dtype.itemsize}")


def _shown(value: Any) -> str:
    """Return a number as text, a float with its bits."""
    return f"{value} ({float(value).hex()})" if value.dtype.kind == "f" else str(value)
