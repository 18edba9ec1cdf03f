"""Targets of a softmax, sparse in its logits: the logits at the targets, and their gradients.

The targets of row b are the bits ``bits[indptr[b]:indptr[b + 1]]``, which differ. `logits` and
`grads` are (n, num_bits), `indptr` is (n + 1,).
"""

from __future__ import annotations

import numpy as np

from npbloom._kernels.jit import kernel
from npbloom.types import FloatArray, IntArray

ZERO = np.float64(0.0)  # float64 also un-jitted, where 0.0 plus a float32 is a float32


@kernel
def pick_range(logits: FloatArray, bits: IntArray, indptr: IntArray, picked: FloatArray, lo: int, hi: int) -> None:
    """
    Write the mean of each row's logits at its bits, in float64, into `picked` (n,); 0 of none.
    """
    for b in range(lo, hi):
        total = ZERO
        for i in range(indptr[b], indptr[b + 1]):
            total += logits[b, bits[i]]
        picked[b] = total / max(1, indptr[b + 1] - indptr[b])


@kernel
def subtract_range(grads: FloatArray, bits: IntArray, indptr: IntArray, weight: float, lo: int, hi: int) -> None:
    """Subtract `weight`, in equal shares, from each row's gradients at its bits."""
    for b in range(lo, hi):
        share = weight / max(1, indptr[b + 1] - indptr[b])
        for i in range(indptr[b], indptr[b + 1]):
            grads[b, bits[i]] = ZERO + grads[b, bits[i]] - share
