"""Draws of ids."""

from __future__ import annotations

import numpy as np
import pytest

import npbloom as nb
from benchmarks import ids as draws


@pytest.mark.parametrize("kind", draws.KINDS)
def test_ids_are_in_range_and_never_padding(kind):
    ids = draws.draw(kind, 5_000, 100, np.random.default_rng(0))
    assert ids.shape == (5_000,)
    assert ids.dtype == np.int64
    assert ids.min() >= 1
    assert ids.max() <= 99


def test_zipf_is_zipf():
    counts = np.bincount(draws.draw("zipf", 200_000, 1_000, np.random.default_rng(0)))
    frequent = np.sort(counts)[::-1]
    weights = np.arange(1, 1_000.0) ** -draws.EXPONENT
    np.testing.assert_allclose(frequent[:5] / 200_000, weights[:5] / weights.sum(), rtol=0.05)
    assert np.abs(np.diff(np.argsort(counts)[::-1][:5])).min() > 1  # shuffled: frequent ids are not neighbours


def test_no_probe_meets_the_reserved_row():
    layer = nb.BloomEmbedding(2_000, 1, num_rows=20, rng=0)
    assert (layer.hash_rows(np.arange(1, 2_000)) == 0).any()
    ids, rows = draws.draw_for(layer, "uniform", 3_000, np.random.default_rng(0))
    assert ids.shape == (3_000,)
    assert rows.all()
    assert rows.flags.c_contiguous
    np.testing.assert_array_equal(rows, layer.hash_rows(ids))
