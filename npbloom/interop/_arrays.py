"""Arrays from the dicts of other packages, and tables that are imported and exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from npbloom import _check
from npbloom.layers import Layer
from npbloom.types import FloatArray

Convert = Callable[[np.ndarray[Any, Any]], Any]


def as_array(value: Any, name: str) -> np.ndarray[Any, Any]:
    """View a tensor of torch, or anything NumPy can view, as an array; share memory if possible."""
    if callable(getattr(value, "detach", None)):
        value = value.detach().cpu()
        try:
            return np.asarray(value)
        except TypeError:
            kind = f"{value.dtype}, {value.layout}"
            raise ValueError(f"`{name}` must be a dense tensor of a dtype that NumPy has, not {kind}.") from None
    return _check._array(value, name)


def keys_of(state_dict: Any, name: str = "state_dict") -> Any:
    """Return the keys of a dict; raise a TypeError for anything else."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"`{name}` must be a dict, not {type(state_dict).__name__}.")
    return state_dict.keys()


def entry(state_dict: Any, key: str, name: str = "state_dict") -> Any:
    """Return the value under a key; raise a ValueError with the keys that exist."""
    if key not in keys_of(state_dict, name):
        raise ValueError(f"`{name}` must have the key {key!r}, not only {listed(state_dict)}.")
    return state_dict[key]


def listed(keys: Any) -> str:
    """Return a few keys as text."""
    words = [repr(key) for key in keys]
    return (", ".join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "")) or "nothing"


def table_of(value: Any, name: str, copy: bool) -> FloatArray:
    """Return a table (rows, dim) in native byte order and C order: a copy or the given memory."""
    array = as_array(value, name)
    if array.dtype.newbyteorder("=") not in _check.FLOAT_DTYPES:
        raise ValueError(f"`{name}` must be float32 or float64, not {array.dtype}.")
    if _check.flag(copy, "copy"):
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C", subok=False)
    return _check.table(array, name)


def weight_of(layer: Layer) -> FloatArray:
    """Return the table of a layer, after a check that it is unchanged."""
    layer.checked_table()
    return layer.weight


def exported(table: FloatArray, copy: bool, convert: Convert | None) -> Any:
    """Return a table to export, copied and converted as asked."""
    array = table.copy() if _check.flag(copy, "copy") else table
    return array if convert is None else convert(array)
