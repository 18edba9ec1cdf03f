"""Lookup kernels against the reference.

Every operation and option runs on drawn structures, and on shapes that reach every loop.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npbloom.types import HashSpec
from tests.kernels import _tiny
from tests.support import _twins
from tests.support._examples import examples
from tests.support.strategies import COMBINES, MODES

DTYPES = ("f4", "f8")
TWINS = _tiny.twins_of("hash_rows", "_forward")


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
@examples(12)
@given(data=st.data())
def test_drawn_cases(twin, data):
    _tiny.draw_and_check(twin, data)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 3, 17, 40])
def test_rows_of_every_width(dtype, dim):
    _tiny.agree(_twins.embedding_forward, _tiny.lookup(dtype, dim))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm_type", [1, 2, 2.5, 0.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 1.5, math.inf])
def test_norms(dtype, norm_type, max_norm):
    _tiny.agree(_twins.embedding_forward, _tiny.lookup(dtype, 3), max_norm=max_norm, norm_type=norm_type)
    _tiny.agree(_twins.embedding_bag_forward, _tiny.bags(dtype, 3, "mean"), max_norm=max_norm, norm_type=norm_type)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 17])
@pytest.mark.parametrize("mode", MODES)
def test_bags_of_many_entries(dtype, dim, mode):
    _tiny.agree(_twins.embedding_bag_forward, _tiny.bags(dtype, dim, mode))
    if mode == "sum":
        _tiny.agree(_twins.embedding_bag_forward, _tiny.bags(dtype, dim, mode, weighted=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("k", [1, 2, 4, 5, 9])
def test_any_number_of_probes(dtype, combine, k):
    for spec in _tiny.specs(k):
        _tiny.agree(_twins.bloom_forward, _tiny.bloom(dtype, 2 * k, spec, combine))


@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("mode", MODES)
def test_bags_of_hashed_ids(mode, combine):
    for k, dtype in ((1, "f8"), (4, "f4"), (5, "f4")):
        for spec in _tiny.specs(k):
            _tiny.agree(_twins.bloom_bag_forward, _tiny.bags(dtype, k, mode, False, spec, combine))
            if mode == "sum":
                _tiny.agree(_twins.bloom_bag_forward, _tiny.bags(dtype, k, mode, True, spec, combine))


@pytest.mark.parametrize("num_embeddings", [_tiny.ROWS, 2**31, 2**31 + 1, 2**63])
@pytest.mark.parametrize("padding_idx", [None, 0, 3])
def test_rows_of_ids(num_embeddings, padding_idx):
    for share in (True, False):
        for k in (1, 24):
            spec = HashSpec(num_embeddings, 5, k, padding_idx, share)
            _tiny.agree(_twins.hash_rows, _tiny.bloom("f4", 2, spec, "sum"))
