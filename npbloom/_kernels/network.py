"""Targets of a softmax, sparse in its logits: what they pick, and what they take off the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom._kernels.jit import kernel

ZERO = np.float64(0.0)  # of this type un-jitted, too: 0.0 plus a float32 is a float32 there


@kernel
def pick_range(logits: Any, bits: Any, starts: Any, picked: Any, lo: int, hi: int) -> None:
    """The mean of each row's logits at its bits ``bits[starts[b]:starts[b + 1]]``, in float64; 0 where there are none."""
    for b in range(lo, hi):
        total = ZERO
        for i in range(starts[b], starts[b + 1]):
            total += logits[b, bits[i]]
        picked[b] = total / max(1, starts[b + 1] - starts[b])


@kernel
def subtract_range(grads: Any, bits: Any, starts: Any, weight: Any, lo: int, hi: int) -> None:
    """Take `weight`, in equal shares, off each row's gradients at its bits, which are different."""
    for b in range(lo, hi):
        share = weight / max(1, starts[b + 1] - starts[b])
        for i in range(starts[b], starts[b + 1]):
            grads[b, bits[i]] = ZERO + grads[b, bits[i]] - share
