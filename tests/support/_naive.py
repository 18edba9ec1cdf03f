"""
Third implementation of the laws: plain Python loops over Python floats, without array operations.

Python floats are float64, and every sum here starts at 0.0 and goes in input order (L5); `rounded`
is the one rounding. Vectors are lists, tables lists of lists, gradients dictionaries from row to
list.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Vector = list[float]


def rounded(values: Any, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return Python floats, each rounded once to `dtype`."""
    with np.errstate(all="ignore"):
        return np.array(values, dtype=np.float64).reshape(shape).astype(dtype)


def split(n: int, offsets: Sequence[int], include_last_offset: bool) -> list[list[int]]:
    """Return the entries of every bag."""
    starts = list(offsets) if include_last_offset else [*offsets, n]
    return [list(range(lo, hi)) for lo, hi in itertools.pairwise(starts)]


def bloom_vector(table: Sequence[Vector], probes: Sequence[int], reserved: int | None, combine: str) -> Vector:
    """Return the sum, mean or concatenation of the probed rows. The reserved row adds nothing."""
    dim, k = len(table[0]), len(probes)
    vector = [0.0] * dim
    for j, row in enumerate(probes):
        if row == reserved:
            continue
        for c in range(dim):
            if combine != "concat" or j * (dim // k) <= c < (j + 1) * (dim // k):
                vector[c] += table[row][c]
    return [value / k for value in vector] if combine == "mean" else vector


def winner(values: Sequence[float]) -> int:
    """Return the position of the first NaN, else of the first maximum."""
    best = 0
    for at, value in enumerate(values):
        if math.isnan(value):
            return at
        if value > values[best]:
            best = at
    return best


def bag(vectors: Sequence[Vector], dim: int, entries: Sequence[int], mode: str, weights: Sequence[float] | None) -> Vector:
    """Return the vector of one bag, of the entries that count."""
    if not entries:
        return [0.0] * dim
    if mode == "max":
        return [vectors[entries[winner([vectors[i][c] for i in entries])]][c] for c in range(dim)]
    out = [0.0] * dim
    for i in entries:
        for c in range(dim):
            out[c] += vectors[i][c] if weights is None else weights[i] * vectors[i][c]
    return [value / len(entries) for value in out] if mode == "mean" else out


def sent(
    vectors: Sequence[Vector], grad: Vector, entries: Sequence[int], mode: str, weights: Sequence[float] | None
) -> dict[int, Vector]:
    """Return the gradient that a bag sends to each of its entries that count."""
    if mode == "max":
        parts = {i: [0.0] * len(grad) for i in entries}
        for c in range(len(grad) if entries else 0):
            first = entries[winner([vectors[i][c] for i in entries])]
            parts[first][c] = grad[c]
        return parts
    share = [value / len(entries) for value in grad] if mode == "mean" and entries else grad
    return {i: share if weights is None else [value * weights[i] for value in share] for i in entries}


def to_probes(probes: Sequence[int], vector: Vector, reserved: int | None, combine: str) -> Iterable[tuple[int, Vector]]:
    """Yield the pairs (row or slice, contribution) of one id, in order of its probes."""
    k, width = len(probes), len(vector) // len(probes)
    for j, row in enumerate(probes):
        if row == reserved:
            continue
        if combine == "concat":
            yield row * k + j, vector[j * width : (j + 1) * width]
        else:
            yield row, [value / k for value in vector] if combine == "mean" else vector


def scatter(pairs: Iterable[tuple[int, Vector]], frequency: Counter[int] | None = None) -> dict[int, Vector]:
    """Return sums by row, in input order, divided by the frequency of the row."""
    totals: dict[int, Vector] = {}
    for row, vector in pairs:
        total = totals.setdefault(row, [0.0] * len(vector))
        for c, value in enumerate(vector):
            total[c] += value
    if frequency is not None:
        totals = {row: [value / frequency[row] for value in total] for row, total in totals.items()}
    return dict(sorted(totals.items()))


def dot(vector: Vector, grad: Vector) -> float:
    """Return a dot product in column order."""
    total = 0.0
    for one, other in zip(vector, grad, strict=True):
        total += other * one
    return total


def norm(values: Vector, p: float) -> float:
    """Return the p-norm."""
    if p == math.inf:
        return math.nan if any(map(math.isnan, values)) else max(abs(value) for value in values)
    total = 0.0
    for value in values:
        total += abs(value) if p == 1 else value * value if p == 2 else power(abs(value), p)
    return total if p == 1 else math.sqrt(total) if p == 2 else power(total, 1 / p)


def power(base: float, exponent: float) -> float:
    """Return C's pow, where overflow is infinite."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


def renormalized(table: Sequence[Vector], rows: Iterable[int], max_norm: float, p: float) -> list[Vector]:
    """
    Return the table, not yet rounded, with every distinct row scaled once if its norm is greater
    than `max_norm`.
    """
    out = [list(row) for row in table]
    for row in set(rows):
        length = norm(list(table[row]), p)
        if length > max_norm:
            out[row] = [value * (max_norm / (length + 1e-7)) for value in table[row]]
    return out
