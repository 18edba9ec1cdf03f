"""Output gradients to gradients of rows: one sum for each touched row, over its segment."""

from __future__ import annotations

import numpy as np

from npbloom._kernels.jit import helper, kernel
from npbloom._kernels.segments import Segments, grad_row_of, sum_segment
from npbloom.types import FloatArray, IntArray, Number


@kernel
def sum_rows_range(grad: FloatArray, segments: Segments, values: FloatArray, lo: int, hi: int) -> None:
    """
    Sum segments ``[lo, hi)`` into ``values[0 : hi - lo]`` (L5).

    `grad` is (outputs, d), `values` at least (hi - lo, d).
    """
    indptr, indices, bag_of, weights = segments
    for q in range(lo, hi):
        sum_segment(grad, indices, bag_of, weights, None, indptr[q], indptr[q + 1], None, values, q - lo)


@helper
def _over(value: Number, divisor: Number | None) -> Number:
    """
    Return a quotient, or the value where there is no divisor.

    The branch is taken when the kernel is compiled.
    """
    return value if divisor is None else value / divisor


@helper
def _weight_of(weights: FloatArray | None, entry: int) -> Number:
    """Return the weight of an entry; 1 where there are none, which changes no bit."""
    return np.float64(1.0) if weights is None else np.float64(weights[entry])


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
    acc: FloatArray,
    lo: int,
    hi: int,
) -> None:
    """
    Sum segments ``[lo, hi)`` where terms are divided, sliced or won (L5).

    A term is ``(G * w) / divisor``; with `by_frequency` a sum is divided by its number of terms.
    `grad` is (outputs, slices * width), `rows` (u,) the keys ``row * slices + j``, `winners`
    (outputs, slices * width) the entry that takes each gradient, `values` (hi - lo, width), and
    `acc` a float64 row (1, width) to sum in.
    """
    indptr, indices, bag_of, weights = segments
    width = acc.shape[1]
    total = acc[0]
    for q in range(lo, hi):
        offset = 0 if slices == 1 else (rows[q] % slices) * width
        first, last = indptr[q], indptr[q + 1]
        for c in range(width):
            total[c] = 0.0
        for s in range(first, last):
            entry = indices[s]
            b = grad_row_of(indices, bag_of, s)
            # A view: an offset added to every index would stop vectorisation.
            part = grad[b, offset : offset + width]
            if winners is not None:
                won = winners[b, offset : offset + width]
                for c in range(width):
                    if won[c] == entry:
                        total[c] += _over(np.float64(part[c]), divisor)
            else:
                scale = _weight_of(weights, entry)
                for c in range(width):
                    total[c] += _over(np.float64(part[c]) * scale, divisor)
        if by_frequency:
            for c in range(width):
                total[c] /= np.float64(last - first)
        for c in range(width):
            values[q - lo, c] = total[c]
