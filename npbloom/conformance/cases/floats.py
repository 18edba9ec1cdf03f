"""Formats of floats: their storage in a case, and their roundoff."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

STORED = {"float16": "float16", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
# Half of the spacing of floats at 1.0.
ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
# The smallest subnormal numbers.
SMALLEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}
# Every integer up to these is exact.
INTEGERS = {name: int(1 / roundoff) for name, roundoff in ROUNDOFF.items()}
# Accumulators that a backend may claim: a dtype, or a dtype for runs of so many terms, which are
# then added in float64, as npbloom does (L5).
ACCUMULATORS = {**{name: (name, 0) for name in ROUNDOFF}, "float32x16": ("float32", 16)}


def stored(values: Any, dtype: str) -> Array:
    """
    Return an array as a case of this dtype holds it.

    bfloat16 is float32 with the low half of the bits rounded away.
    """
    array = np.asarray(values).astype(STORED[dtype])
    return to_bfloat16(array) if dtype == "bfloat16" else array


def to_bfloat16(array: Array) -> Array:
    """Return float32 values rounded to bfloat16, ties to even."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(array), np.float32(np.nan), rounded.view(np.float32))
