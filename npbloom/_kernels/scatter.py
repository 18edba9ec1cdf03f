"""Output gradients to gradients of rows: one sum for each touched row, over its segment."""

from __future__ import annotations

import numpy as np

from npbloom._kernels.jit import helper, kernel
from npbloom._kernels.segments import RUN, Segments, grad_row_of, sum_segment
from npbloom.types import FloatArray, IntArray, Number


@kernel
def sum_rows_range(grad: FloatArray, segments: Segments, values: FloatArray, lo: int, hi: int) -> None:
    """
    Sum segments ``[lo, hi)`` into ``values[0 : hi - lo]`` (L5).

    `grad` is (outputs, d), `values` at least (hi - lo, d).
    """
    indptr, indices, bag_of, weights = segments
    for q in range(lo, hi):
        sum_segment(grad, indices, bag_of, weights, None, indptr[q], indptr[q + 1], None, None, values, q - lo)


@helper
def _over(value: Number, divisor: Number | None) -> Number:
    """
    Return a quotient, or the value where there is no divisor.

    The branch is taken when the kernel is compiled.
    """
    return value if divisor is None else value / divisor


@helper
def _times(value: Number, weights: FloatArray | None, entry: int) -> Number:
    """Return a product with the weight of an entry, or the value where there are no weights."""
    return value if weights is None else value * weights[entry]


@helper
def _add_term(
    run: FloatArray,
    part: FloatArray,
    won: IntArray | None,
    weights: FloatArray | None,
    entry: int,
    divisor: Number | None,
    frequency: Number | None,
) -> None:
    """Add ``((G * w) / divisor) / frequency`` to a run, or what the entry won of it."""
    for c in range(run.shape[0]):
        if won is None or won[c] == entry:
            run[c] += _over(_over(_times(part[c], weights, entry), divisor), frequency)


@kernel
def sum_terms_range(
    grad: FloatArray,
    segments: Segments,
    rows: IntArray,
    slices: int,
    winners: IntArray | None,
    divisor: Number | None,
    by_frequency: bool,
    values: FloatArray,
    runs: FloatArray,
    acc: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Sum segments ``[lo, hi)`` where terms are divided, sliced or won (L5).

    A term is ``((G * w) / divisor) / frequency``; without `by_frequency` the frequency is 1, else
    the number of terms. `grad` is (outputs, slices * width), `rows` (u,) the keys
    ``row * slices + j``, `winners` (outputs, slices * width) the entry that takes each gradient,
    `values` (hi - lo, width), `runs` a row (1, width) and `acc` a float64 row (1, width) to sum in.
    """
    indptr, indices, bag_of, weights = segments
    width = acc.shape[1]
    total, run = acc[0], runs[0]
    for q in range(lo, hi):
        offset = 0 if slices == 1 else (rows[q] % slices) * width
        first, last = indptr[q], indptr[q + 1]
        frequency = grad.dtype.type(last - first)
        for c in range(width):
            total[c] = 0.0
        for start in range(first, last, RUN):
            for c in range(width):
                run[c] = 0.0
            for s in range(start, min(start + RUN, last)):
                entry = indices[s]
                b = grad_row_of(indices, bag_of, s)
                # A view: an offset added to every index would stop vectorisation.
                part = grad[b, offset : offset + width]
                won = None if winners is None else winners[b, offset : offset + width]
                if by_frequency:
                    _add_term(run, part, won, weights, entry, divisor, frequency)
                else:
                    _add_term(run, part, won, weights, entry, divisor, None)
            for c in range(width):
                total[c] += np.float64(run[c])
        for c in range(width):
            values[q - lo, c] = total[c]
