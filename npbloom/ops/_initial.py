"""Initial values of tables and states: zeros and normal values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npbloom import _arrays, _parallel
from npbloom.types import FloatArray

BLOCK = 2**18  # values that one random stream fills, whatever the number of threads (L8)
EAGER = 2**30  # bytes up to which zeros are written at once


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> FloatArray:
    """
    Return a zeroed array, written at once where it is small enough.

    Pages of `np.zeros` come one by one when they are first touched: 300 ms for 100,000 random rows
    of 256 MB, where filling all of `np.empty`, which has huge pages, takes 35 ms. Beyond `EAGER`
    bytes only what is touched shall take memory.
    """
    if math.prod(shape) * dtype.itemsize > EAGER:
        return _arrays.zeros(shape, dtype)
    array: FloatArray = _arrays.empty(shape, dtype)
    array.fill(0)
    return array


def fill_normal(table: FloatArray, deviation: float, rng: np.random.Generator) -> None:
    """
    Fill a table with normal values of mean 0.

    Blocks have a fixed size and a stream of their own, so threads do not matter (L8).
    """
    root = np.random.SeedSequence([int(word) for word in rng.integers(0, 2**32, size=4)])
    flat = table.reshape(-1)
    starts = range(0, flat.size, BLOCK)
    streams = root.spawn(len(starts))
    scale = table.dtype.type(deviation)

    def fill(lo: int, hi: int) -> None:
        for block in range(lo, hi):
            part = flat[block * BLOCK : (block + 1) * BLOCK]
            source = np.random.Generator(np.random.PCG64(streams[block]))
            source.standard_normal(out=part, dtype=part.dtype.type)
            part *= scale
            _arrays.let_go(part)

    _parallel.run_range(fill, len(starts), grain=1)
