"""Output gradients -> gradients of rows: one sum for each touched row, over the pairs that `pairs` has sorted."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom._kernels.jit import helper, kernel
from npbloom._kernels.rows import sum_row, term_row


@kernel
def sum_rows_range(grad: Any, sources: Any, owner: Any, weights: Any, starts: Any, values: Any, lo: int, hi: int) -> None:
    """Gradient of each touched row in ``[lo, hi)`` into ``values[0 : hi - lo]``: the sum of its terms (L5)."""
    for q in range(lo, hi):
        sum_row(grad, sources, owner, weights, None, starts[q], starts[q + 1], None, values, q - lo)


@helper
def _over(value: Any, divisor: Any) -> Any:
    """A quotient, or the value where there is nothing to divide by: decided when the kernel is compiled."""
    return value if divisor is None else value / divisor


@kernel
def sum_terms_range(
    grad: Any, sources: Any, starts: Any, touched: Any, slices: int, owner: Any, weights: Any, winners: Any, divisor: Any,
    by_frequency: bool, values: Any, acc: Any, lo: int, hi: int,
) -> None:  # fmt: skip
    """The same where terms are divided, sliced or won: (G * w) / divisor, summed, over the frequency (L5)."""
    width = acc.shape[1]
    total = acc[0]
    for q in range(lo, hi):
        offset = 0 if slices == 1 else (touched[q] % slices) * width
        first, last = starts[q], starts[q + 1]
        for c in range(width):
            total[c] = 0.0
        for s in range(first, last):
            source = sources[s]
            b = term_row(sources, owner, s)
            part = grad[b, offset : offset + width]  # a view: an offset added to every index would stop vectorisation
            if winners is not None:
                won = winners[b, offset : offset + width]
                for c in range(width):
                    if won[c] == source:
                        total[c] += _over(np.float64(part[c]), divisor)
            elif weights is not None:
                scale = np.float64(weights[source])
                for c in range(width):
                    total[c] += _over(np.float64(part[c]) * scale, divisor)
            else:
                for c in range(width):
                    total[c] += _over(np.float64(part[c]), divisor)
        if by_frequency:
            for c in range(width):
                total[c] /= np.float64(last - first)
        for c in range(width):
            values[q - lo, c] = total[c]
