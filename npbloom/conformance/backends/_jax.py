"""
Helpers of the adapters on JAX: padded arrays, and dtypes.

XLA compiles for every shape, so arrays are padded to few shapes.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np


def bucket(size: int) -> int:
    """Return the smallest power of four that is at least 4 and at least a size."""
    power = 4
    while power < size:
        power *= 4
    return power


def padded(array: Any, *shape: int) -> Any:
    """Return an array in the corner of zeros."""
    larger = np.zeros(shape, dtype=array.dtype)
    larger[tuple(slice(0, size) for size in array.shape)] = array
    return larger


def given(array: Any, dtype: str) -> Any:
    """Return a floating array of a case in the dtype of its table; bfloat16 bit by bit."""
    if dtype == "bfloat16":
        array = (array.view(np.uint32) >> 16).astype(np.uint16).view(jnp.bfloat16)
    return jnp.asarray(array)


def array(values: Any) -> Any:
    """Return a new NumPy array; bfloat16 becomes float32 of the same bits."""
    found = np.array(values)
    if found.dtype == jnp.bfloat16:
        found = (found.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return found
