"""Instances of the coder: items by instance, checked and flat, and the distinct values of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from npbloom import _check, _parallel
from npbloom._kernels import coding as kernels
from npbloom.ops._ids import check_ids
from npbloom.types import IntArray


def read_instances(items: Any, offsets: Any, num_items: int, name: str = "items") -> tuple[IntArray, IntArray]:
    """
    Return the items of all instances, flat, and the bounds of the instances (L1, L2, L13).

    The bounds are the start of each instance and the end of the last.
    """
    array = _check.ids(items, name, num_items)
    if array.ndim not in (1, 2):
        raise ValueError(f"`{name}` must have 1 or 2 dimensions, not {array.ndim}.")
    if array.ndim == 1 and offsets is None:
        raise ValueError(f"`offsets` must be given for 1-D `{name}`: where each instance starts.")
    starts = _check.offsets(offsets, array, False)
    return check_ids(array, num_items, name).reshape(-1), _check.read_only(starts)


def distinct_values(values: npt.NDArray[Any], starts: IntArray, bound: int) -> tuple[IntArray, IntArray]:
    """
    Return the distinct values, below `bound`, of each part in increasing order, and bounds.

    The bounds are the start of each part and the end of the last.
    """
    sorted_parts, counts = (np.empty(len(values), dtype=np.int64), np.empty(len(starts) - 1, dtype=np.int64))
    bounds = _parallel.balanced_bounds(starts, 4096)
    largest = int(np.diff(starts).max(initial=0))
    marks = bound + 1 if largest * kernels.MARKS >= bound else 0
    _parallel.run_range(
        kernels.distinct_range, bounds, values, starts, bound, sorted_parts, counts, scratch=[((2, marks), np.float64)]
    )
    packed_starts = np.append(0, np.cumsum(counts))
    packed = np.empty(int(packed_starts[-1]), dtype=np.int64)
    _parallel.run_range(kernels.pack_range, bounds, sorted_parts, starts, packed_starts, packed)
    return packed, packed_starts


def read_excluded(exclude: Any, size: int, num_items: int) -> tuple[IntArray, IntArray]:
    """
    Return the items that each instance must not get, increasing, flat, and bounds.

    The bounds are the start of each instance's items and the end of the last.
    """
    if exclude is None:
        return _check.read_only(np.empty(0, dtype=np.int64)), np.zeros(size + 1, dtype=np.int64)
    if isinstance(exclude, tuple):
        if len(exclude) != 2:
            raise ValueError(f"`exclude` must be a pair (items, offsets), not {len(exclude)} arrays.")
        items, offsets = exclude
    elif isinstance(exclude, list):
        parts = [_check.ids(part, "exclude", num_items).reshape(-1) for part in exclude]
        items = np.concatenate([np.empty(0, dtype=np.int64), *parts])
        offsets = np.cumsum([0, *map(len, parts)])[: len(parts)]
    else:
        items, offsets = exclude, None
    ids, starts = read_instances(items, offsets, num_items, "exclude")
    if len(starts) - 1 != size:
        raise ValueError(f"`exclude` must have one entry for each row of `log_probs`, {size}, not {len(starts) - 1}.")
    distinct, ends = distinct_values(ids, starts, num_items)
    return _check.read_only(distinct), ends
