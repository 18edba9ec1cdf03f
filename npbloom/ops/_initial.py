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
    fill_normal_part(table, 0, deviation, seed_words(rng))


def seed_words(rng: np.random.Generator) -> list[int]:
    """Draw the words from which all streams of a table follow."""
    return [int(word) for word in rng.integers(0, 2**32, size=4)]


def fill_normal_part(part: FloatArray, first: int, deviation: float, words: list[int]) -> None:
    """
    Fill rows of a table, whose values follow `first` others, as `fill_normal` fills the whole.

    A block that begins before the part is drawn from its beginning.
    """
    flat = part.reshape(-1)
    scale = part.dtype.type(deviation)
    earliest = first // BLOCK

    def fill(lo: int, hi: int) -> None:
        for block in range(earliest + lo, earliest + hi):
            begin = block * BLOCK - first
            piece = flat[max(begin, 0) : begin + BLOCK]
            source = np.random.Generator(np.random.PCG64(np.random.SeedSequence(words, spawn_key=(block,))))
            if begin >= 0:
                source.standard_normal(out=piece, dtype=piece.dtype.type)
            else:
                piece[:] = source.standard_normal(piece.size - begin, dtype=piece.dtype.type)[-begin:]
            piece *= scale
            _arrays.let_go(piece)

    if flat.size:
        _parallel.run_range(fill, (first + flat.size - 1) // BLOCK + 1 - earliest, grain=1)
