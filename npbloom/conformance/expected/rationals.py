"""Intervals of rational numbers: all results of a formula whose operations round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SCALE = 2**160  # denominators stay below it: a hundred digits more than any float has


@dataclass(frozen=True)
class Interval:
    """
    All numbers between two rationals.

    An operation returns an interval of all its results on numbers of its operands.
    """

    lo: Fraction
    hi: Fraction

    @classmethod
    def of(cls, value: Any) -> Interval:
        """Return the interval that holds one float or integer, exactly."""
        exact = Fraction(value)
        return cls(exact, exact)

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.lo - other.hi, self.hi - other.lo)

    def __mul__(self, other: Interval) -> Interval:
        return self._of_corners(other, lambda left, right: left * right)

    def __truediv__(self, other: Interval) -> Interval:
        if other.lo <= 0 <= other.hi:
            raise ZeroDivisionError("The divisor may be zero.")
        return self._of_corners(other, lambda left, right: left / right)

    def _of_corners(self, other: Interval, operation: Callable[[Fraction, Fraction], Fraction]) -> Interval:
        """Return the interval of a product or quotient from the ends of both operands."""
        corners = [operation(left, right) for left in (self.lo, self.hi) for right in (other.lo, other.hi)]
        return Interval(min(corners), max(corners))

    def squared(self) -> Interval:
        """Return the interval of the squares: both factors are the same number."""
        largest = max(self.lo**2, self.hi**2)
        return Interval(Fraction(0) if self.lo <= 0 <= self.hi else min(self.lo**2, self.hi**2), largest)

    def sqrt(self) -> Interval:
        """
        Return the interval of square roots, rounded outwards.

        The root of a square is exact.
        """
        return Interval(_root(self.lo, up=False), _root(self.hi, up=True))

    def power(self, exponent: int) -> Interval:
        """Return the interval of a power of numbers >= 0."""
        return Interval(self.lo**exponent, self.hi**exponent)

    def widened(self, relative: Fraction, absolute: Fraction = Fraction(0)) -> Interval:
        """Return the interval widened by an error, rounded outwards to small denominators."""
        if not relative and not absolute:
            return self
        reach = max(abs(self.lo), abs(self.hi)) * relative + absolute
        low, high = (self.lo - reach) * SCALE, (self.hi + reach) * SCALE
        return Interval(Fraction(low.numerator // low.denominator, SCALE), -Fraction(-high.numerator // high.denominator, SCALE))


def _root(value: Fraction, up: bool) -> Fraction:
    """Return the square root, exact if it is rational, else to 160 bits rounded up or down."""
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    scaled = value.numerator * SCALE * SCALE // value.denominator
    return Fraction(isqrt(scaled) + up, SCALE)


def floats_within(intervals: list[Interval], shape: tuple[int, ...], dtype: str) -> tuple[Array, Array]:
    """Return the smallest and the largest float within each interval."""
    lows = [_nearest(each.lo, dtype, up=True) for each in intervals]
    highs = [_nearest(each.hi, dtype, up=False) for each in intervals]
    low, high = (np.array(values, dtype=dtype).reshape(shape) for values in (lows, highs))
    if not (low <= high).all():
        raise ValueError(f"No {dtype} lies in an interval.")
    return low, high


def _nearest(value: Fraction, dtype: str, up: bool) -> Any:
    """Return the nearest float above or below a rational; the rational itself if it is a float."""
    real = np.dtype(dtype).type
    # Integer division rounds once; the cast may round again, which is corrected.
    found = real(float(value))
    toward = real(np.inf if up else -np.inf)
    while (Fraction(float(found)) < value) if up else (Fraction(float(found)) > value):
        found = np.nextafter(found, toward)
    while True:
        closer = np.nextafter(found, -toward)
        if not np.isfinite(closer) or ((Fraction(float(closer)) < value) if up else (Fraction(float(closer)) > value)):
            return found
        found = closer
