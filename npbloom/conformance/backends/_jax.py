"""Helpers of the adapters on JAX: arrays of few shapes, as XLA compiles for every shape, and dtypes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np


def bucket(size: int) -> int:
    """The power of four, at least 4, that is not below a size."""
    power = 4
    while power < size:
        power *= 4
    return power


def padded(array: Any, *shape: int) -> Any:
    """An array in the corner of zeros."""
    larger = np.zeros(shape, dtype=array.dtype)
    larger[tuple(slice(0, size) for size in array.shape)] = array
    return larger


def given(array: Any, dtype: str) -> Any:
    """A floating array of a case in the dtype of its table; bfloat16 bit by bit."""
    if dtype == "bfloat16":
        array = (array.view(np.uint32) >> 16).astype(np.uint16).view(jnp.bfloat16)
    return jnp.asarray(array)


def array(values: Any) -> Any:
    """A NumPy array of its own; bfloat16 as float32 of the same bits."""
    found = np.array(values)
    if found.dtype == jnp.bfloat16:
        found = (found.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return found
