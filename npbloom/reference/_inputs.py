"""
Checks of the reference's arguments: ids never wrap, bags partition, gradients fit.

No line of it is shared with `ops`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.types import FloatArray, IntArray, refuse_masked, unmasked


def ids(value: Any, bound: int, name: str = "ids") -> IntArray:
    """
    Return an index array (L1) as int64.

    An IndexError names the first value outside ``[0, bound)`` (L2).
    """
    refuse_masked(value, name)
    listed = isinstance(value, (list, tuple, range, int))
    array = (
        np.asarray(value, dtype=object) if listed else unmasked(value, name)
    )  # integers of any size, compared as Python compares them
    if not (all(map(_is_integer, array.ravel())) if listed else array.dtype.kind in "iu"):
        raise TypeError(f"`{name}` must be an integer array, not {np.asarray(value).dtype}.")
    outside = np.argwhere((array < 0) | (array >= bound))
    if len(outside):
        where = tuple(int(i) for i in outside[0])
        place = f" at position {where[0] if len(where) == 1 else where}" if where else ""
        raise IndexError(f"`{name}` must lie in [0, {bound}), not {array[where]}{place}.")
    as_int64: IntArray = array.astype(np.int64)
    return as_int64


def _is_integer(item: Any) -> bool:
    """Return True for an integer in a list; a bool is none."""
    return isinstance(item, (int, np.integer)) and not isinstance(item, bool)


def padding_row(padding_idx: int | None, num_rows: int, name: str = "padding_idx") -> int:
    """
    Return `padding_idx` as a row, negative ones counted from the end.

    -1, which is no row, for None (L9).
    """
    if padding_idx is None:
        return -1
    if not -num_rows <= padding_idx < num_rows:
        raise ValueError(f"`{name}` must lie in [{-num_rows}, {num_rows}), not {padding_idx}.")
    return int(padding_idx) % num_rows


def choice(value: str, name: str, *words: str) -> None:
    """Raise a ValueError for a word that is not among `words` (L34)."""
    if value not in words:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, words))}, not {value!r}.")


@np.errstate(all="ignore")
def floats(value: Any, shape: tuple[int, ...], dtype: Any, name: str) -> FloatArray:
    """
    Return a real floating array of exactly this shape, rounded to `dtype` (L24).

    A size of -1 stands for any size of at least 1, and a dtype of None for the array's own.
    """
    array = unmasked(value, name)
    if array.dtype.kind != "f":
        raise TypeError(f"`{name}` must be a real floating array, not {array.dtype}.")
    fits = array.ndim == len(shape) and all(
        size == want or want < 0 < size for size, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"`{name}` must have shape {shape}, not {array.shape}.")
    if dtype is None:
        dtype = np.float32 if array.dtype.newbyteorder("=") == np.float32 else np.float64
    return array.astype(dtype)


def bag_bounds(indices: IntArray, offsets: Any, include_last_offset: bool) -> IntArray:
    """Return the starts of all bags, and the end of the last: (bags + 1,) (L13)."""
    n = len(indices) if indices.ndim else 0
    if indices.ndim == 2 and offsets is None:
        bounds: IntArray = np.arange(n + 1) * indices.shape[1]
        return bounds
    if indices.ndim != 1:
        raise ValueError(f"`indices` must have 1 dimension, or 2 without `offsets`, not {indices.ndim}.")
    if offsets is None:
        raise ValueError("`offsets` must be given for 1-D indices.")
    try:
        starts = ids(offsets, n + 1, "offsets")
    except IndexError as error:
        raise ValueError(str(error)) from None
    if starts.ndim != 1:
        raise ValueError(f"`offsets` must have one dimension, not {starts.ndim}.")
    if len(starts) == 0:
        if n:
            raise ValueError(f"`offsets` must not be empty: there are {n} indices.")
        return np.zeros(1, dtype=np.int64)
    if starts[0] != 0:
        raise ValueError(f"`offsets` must start at 0, not {starts[0]}.")
    if (starts[1:] < starts[:-1]).any():
        raise ValueError("`offsets` must never decrease.")
    if include_last_offset and starts[-1] != n:
        raise ValueError(f"`offsets` must end with the number of indices, {n}, not {starts[-1]}.")
    return starts if include_last_offset else np.append(starts, n)
