"""Kernels of the network's targets against loops over Python floats."""

from __future__ import annotations

import numpy as np
import pytest

from npbloom._kernels import network as kernels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_are_picked_and_taken_off(dtype):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 6)).astype(dtype)
    bits, starts = np.array([5, 0, 2, 3, 1, 4]), np.array([0, 2, 2, 3, 6])
    picked, grads = np.empty(4), logits.copy()
    for lo, hi in ((0, 1), (1, 4)):
        kernels.pick_range(logits, bits, starts, picked, lo, hi)
        kernels.subtract_range(grads, bits, starts, 0.25, lo, hi)
    expected = logits.copy()
    for row in range(4):
        own = bits[starts[row] : starts[row + 1]]
        values = [float(logits[row, bit]) for bit in own]
        assert picked[row] == (sum(values) / len(values) if values else 0.0)
        for bit in own:
            expected[row, bit] = float(logits[row, bit]) - 0.25 / len(own)
    np.testing.assert_array_equal(grads, expected)
