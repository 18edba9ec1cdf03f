"""Products of matrices against NumPy in the same order."""

from __future__ import annotations

import numpy as np
import pytest

from npbloom._kernels import spectral as kernels


@pytest.mark.parametrize(("rows", "columns", "dim"), [(1, 1, 1), (3, 2, 4), (4, 5, 3), (9, 6, 8), (6, kernels.TILE + 3, 5)])
def test_products_are_summed_from_left_to_right(rows: int, columns: int, dim: int) -> None:
    rng = np.random.default_rng(rows * columns + dim)
    left, right = rng.normal(size=(rows, dim)), rng.normal(size=(dim, columns))
    out = np.full((rows, columns), np.nan)
    for lo, hi in ((0, rows // 2), (rows // 2, rows)):
        kernels.product_range(left, right, out, lo, hi)
    expected = np.zeros((rows, columns))
    for c in range(dim):
        expected = expected + left[:, c, np.newaxis] * right[c]
    np.testing.assert_array_equal(out, expected)
