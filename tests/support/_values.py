"""Hypothesis strategies for values: lanes of numbers, and arrays of them."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

LANES = ("small", "full", "special")
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))

dtypes = st.sampled_from(DTYPES)
lanes = st.sampled_from(LANES)


def elements(dtype: np.dtype, lane: str) -> st.SearchStrategy[float]:
    """
    Return numbers of a dtype: dyadic ones with ties, finite ones of ordinary size, or any bit
    pattern with odd values often.
    """
    width = 8 * dtype.itemsize
    small = st.integers(-8, 8).map(lambda number: number / 4)
    if lane == "small":
        return small
    info = np.finfo(dtype)
    if lane == "full":
        return st.integers(0, 2**20).map(lambda number: _full(number, info.nmant))
    extremes = [float(value) for value in (info.smallest_subnormal, -info.tiny, info.max, -info.max)]
    odd = [0.0, -0.0, np.nan, np.inf, -np.inf, *extremes]
    return st.sampled_from(odd) | st.floats(width=width) | small


def _full(number: int, mantissa_bits: int) -> float:
    """Return a float that uses every bit of the mantissa; size and sign depend on the number."""
    # Exponents are far enough apart that additions round in float64, too. A wrong order shows.
    scrambled = (number + 1) * 0x9E3779B97F4A7C15 % 2**64
    mantissa = 2**mantissa_bits + scrambled % 2**mantissa_bits
    return math.ldexp(mantissa if scrambled >> 63 else -mantissa, (scrambled >> 56) % 48 - 24 - mantissa_bits)


def arrays(dtype: np.dtype, shape: tuple[int, ...], lane: str) -> st.SearchStrategy[np.ndarray]:
    """Return an array of values from one lane."""
    return hnp.arrays(dtype, shape, elements=elements(dtype, lane), fill=st.nothing())
