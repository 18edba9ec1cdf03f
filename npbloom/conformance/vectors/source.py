"""
Numbers for golden vectors: hashes of a counter, the same on every platform, in every language.

Word i of stream s is
``murmurhash3_x86_32(little-endian bytes of the 32-bit integer i, seed s)``. An integer in
[lo, hi) is ``lo + word % (hi - lo)``. This needs no random generator, and no function of a
maths library.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from npbloom import reference

Array = np.ndarray[Any, Any]


class Source:
    """A stream of integers that depends on its number only."""

    def __init__(self, stream: int) -> None:
        self._stream, self._at = stream, 0

    def words(self, count: int) -> Array:
        """Return the next unsigned 32-bit words, as int64."""
        counter = np.arange(self._at, self._at + count, dtype=np.uint32)
        self._at += count
        return reference.murmurhash3_32(counter, self._stream).astype(np.int64)

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> Array:
        """Return integers in [low, high)."""
        return (low + self.words(prod(shape)) % (high - low)).reshape(shape)

    def integer(self, low: int, high: int) -> int:
        """Return one integer in [low, high)."""
        return int(self.integers(low, high, (1,))[0])

    def choice(self, *values: Any) -> Any:
        """Return one of the values."""
        return values[self.integer(0, len(values))]

    def signs(self, shape: tuple[int, ...]) -> Array:
        """Return -1 or 1."""
        return 2 * self.integers(0, 2, shape) - 1

    def ranks(self, rows: int, width: int) -> Array:
        """
        Return in each column the integers 1 to `rows`, shuffled (Fisher and Yates).

        No two rows tie.
        """
        columns = np.tile(np.arange(1, rows + 1)[:, None], (1, width))
        for column in range(width):
            for last in range(rows - 1, 0, -1):
                other = self.integer(0, last + 1)
                columns[[last, other], column] = columns[[other, last], column]
        return columns

    def floats(self, shape: tuple[int, ...], reach: int = 6) -> Array:
        """Return floats of 24 bits, between 2**-reach and 2**reach in size: exact in float32."""
        mantissa = (2**23 + self.integers(0, 2**23, shape)) * self.signs(shape)
        powers = np.array([2.0**exponent for exponent in range(-reach - 23, reach - 23)])
        floats: Array = mantissa * powers[self.integers(0, len(powers), shape)]
        return floats
