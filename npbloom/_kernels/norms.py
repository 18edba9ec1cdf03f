"""Norms of rows, and rows that are scaled down to a norm (L10)."""

from __future__ import annotations

import numpy as np

from npbloom._kernels.jit import helper, kernel
from npbloom._kernels.lanes import WIDTH, add_to_lane, load, sum_lanes, wide, wide_zeros
from npbloom._kernels.segments import whole
from npbloom.types import FloatArray, IntArray, Number


@helper
def _norm(weight: FloatArray, row: int, norm_type: float) -> Number:
    """Return the p-norm of a row in float64, summed in eight parts (L5, L10)."""
    d = weight.shape[1]
    if norm_type == np.inf:
        largest = np.float64(0.0)
        for c in range(d):
            value = np.abs(np.float64(weight[row, c]))
            if value > largest or value != value:
                largest = value
            if largest != largest:
                break
        return largest
    parts = wide_zeros()
    if norm_type == 2.0:
        for c in range(0, whole(d), WIDTH):
            lanes = wide(load(weight, row, c))
            parts = parts + lanes * lanes
        for c in range(whole(d), d):
            parts = add_to_lane(parts, c - whole(d), np.float64(weight[row, c]) * np.float64(weight[row, c]))
        return np.sqrt(sum_lanes(parts))
    for c in range(d):
        value = np.abs(np.float64(weight[row, c]))
        parts = add_to_lane(parts, c % WIDTH, value if norm_type == 1.0 else value**norm_type)
    total = sum_lanes(parts)
    return total if norm_type == 1.0 else total ** (np.float64(1.0) / norm_type)


@kernel
def renorm_range(weight: FloatArray, touched: IntArray, max_norm: float, norm_type: float, lo: int, hi: int) -> None:
    """Scale each of the rows `touched` (u,) whose norm exceeds `max_norm`, in place (L10)."""
    for q in range(lo, hi):
        row = touched[q]
        norm = _norm(weight, row, norm_type)
        if norm > max_norm:
            scale = max_norm / (norm + np.float64(1e-7))
            for c in range(weight.shape[1]):
                weight[row, c] = np.float64(weight[row, c]) * scale
