"""
Third implementation of the laws: plain Python loops over numbers, without array operations.

`Real` is the dtype of the table. Numbers of it are rounded by each operation, Python floats are
float64; `rounded` is the rounding at the end (L5). Vectors are lists, tables lists of lists,
gradients dictionaries from row to list.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Vector = list[Any]
Real = type[np.floating[Any]]
RUN = 16


def rounded(values: Any, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return Python floats, each rounded once to `dtype`."""
    with np.errstate(all="ignore"):
        return np.array(values, dtype=np.float64).reshape(shape).astype(dtype)


def split(n: int, offsets: Sequence[int], include_last_offset: bool) -> list[list[int]]:
    """Return the entries of every bag."""
    starts = list(offsets) if include_last_offset else [*offsets, n]
    return [list(range(lo, hi)) for lo, hi in itertools.pairwise(starts)]


def run_sum(terms: Iterable[tuple[int, Any]], real: Real) -> float:
    """Return the sum of pairs (place, number): runs of 16 places in the dtype, runs in float64."""
    total = 0.0
    for _, run in itertools.groupby(terms, key=lambda term: term[0] // RUN):
        part = real(0)
        for _, value in run:
            part = part + value
        total += float(part)
    return total


def eight_parts(values: Iterable[float]) -> float:
    """Return the sum of the numbers of a row's columns, in eight partial sums."""
    p = [0.0] * 8
    for c, value in enumerate(values):
        p[c % 8] += value
    return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]))


def bloom_vector(table: Sequence[Vector], probes: Sequence[int], reserved: int | None, combine: str, real: Real) -> Vector:
    """Return the sum, mean or concatenation of the probed rows. The reserved row adds nothing."""
    dim, k = len(table[0]), len(probes)
    live = [(j, row) for j, row in enumerate(probes) if row != reserved]
    if combine == "concat":
        return [real(sum(real(0) + table[row][c] for j, row in live if c // (dim // k) == j)) for c in range(dim)]
    sums = [run_sum([(j, table[row][c]) for j, row in live], real) for c in range(dim)]
    return [real(value / k if combine == "mean" else value) for value in sums]


def winner(values: Sequence[float]) -> int:
    """Return the position of the first NaN, else of the first maximum."""
    best = 0
    for at, value in enumerate(values):
        if math.isnan(value):
            return at
        if value > values[best]:
            best = at
    return best


def bag(vectors: Sequence[Vector], dim: int, places: dict[int, int], mode: str, weights: Vector | None, real: Real) -> Vector:
    """Return the vector of one bag, of the entries that count; `places` has theirs in the bag."""
    entries = list(places)
    if not entries:
        return [real(0)] * dim
    if mode == "max":
        return [vectors[entries[winner([vectors[i][c] for i in entries])]][c] for c in range(dim)]
    sums = []
    for c in range(dim):
        terms = [(place, vectors[i][c] if weights is None else weights[i] * vectors[i][c]) for i, place in places.items()]
        sums.append(run_sum(terms, real))
    return [real(value / len(entries) if mode == "mean" else value) for value in sums]


def sent(
    vectors: Sequence[Vector], grad: Vector, entries: Sequence[int], mode: str, weights: Vector | None, real: Real
) -> dict[int, Vector]:
    """Return the gradient that a bag sends to each of its entries that count."""
    if mode == "max":
        parts = {i: [real(0)] * len(grad) for i in entries}
        for c in range(len(grad) if entries else 0):
            first = entries[winner([vectors[i][c] for i in entries])]
            parts[first][c] = grad[c]
        return parts
    share = [value / real(len(entries)) for value in grad] if mode == "mean" and entries else grad
    return {i: share if weights is None else [value * weights[i] for value in share] for i in entries}


def to_probes(
    probes: Sequence[int], vector: Vector, reserved: int | None, combine: str, real: Real
) -> Iterable[tuple[int, Vector]]:
    """Yield the pairs (row or slice, contribution) of one id, in order of its probes."""
    k, width = len(probes), len(vector) // len(probes)
    for j, row in enumerate(probes):
        if row == reserved:
            continue
        if combine == "concat":
            yield row * k + j, vector[j * width : (j + 1) * width]
        else:
            yield row, [value / real(k) for value in vector] if combine == "mean" else vector


def scatter(pairs: Iterable[tuple[int, Vector]], real: Real, by_frequency: bool = False) -> dict[int, list[float]]:
    """Return sums by row, of contributions divided by the frequency of the row if asked to."""
    received: dict[int, list[Vector]] = {}
    for row, vector in pairs:
        received.setdefault(row, []).append(vector)
    totals = {}
    for row, vectors in sorted(received.items()):
        if by_frequency:
            vectors = [[value / real(len(vectors)) for value in vector] for vector in vectors]
        totals[row] = [run_sum(enumerate(column), real) for column in zip(*vectors, strict=True)]
    return totals


def dot(vector: Vector, grad: Vector) -> float:
    """Return a dot product."""
    return eight_parts(float(one) * float(other) for one, other in zip(vector, grad, strict=True))


def norm(values: Sequence[float], p: float) -> float:
    """Return the p-norm."""
    if p == math.inf:
        return math.nan if any(map(math.isnan, values)) else max(abs(value) for value in values)
    total = eight_parts(abs(value) if p == 1 else value * value if p == 2 else power(abs(value), p) for value in values)
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
