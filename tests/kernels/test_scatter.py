"""Scatter kernels against the reference.

Every operation and option runs on drawn structures, and on shapes that reach every loop.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from tests.kernels import _tiny
from tests.support import _twins
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support.strategies import COMBINES, MODES

DTYPES = ("f4", "f8")
TWINS = _tiny.twins_of("_backward", "_backward_weights")


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
@examples(12)
@given(data=st.data())
def test_drawn_cases(twin, data):
    _tiny.draw_and_check(twin, data)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 3, 17, 40])
@pytest.mark.parametrize("frequency", [False, True])
def test_hot_rows_of_every_width(dtype, dim, frequency):
    _tiny.agree(_twins.embedding_backward, _tiny.lookup(dtype, dim), scale_grad_by_freq=frequency)


@pytest.mark.parametrize("bits", [3, 11, 12, 13, 20, 24, 36, 47, 62])
@pytest.mark.parametrize("spread", [1, 40])
@pytest.mark.parametrize("n", [2, 40, 150])
def test_tables_of_any_height_in_every_number_of_passes(bits, spread, n):
    rng = np.random.default_rng(bits)
    centers = rng.integers(0, 2**bits, 3)
    ids = np.clip(centers[rng.integers(0, 3, n)] + rng.integers(-spread, spread, n), 0, 2**bits - 1)
    grad_out = rng.standard_normal((n, 2))
    with nb.num_threads(1):
        for padding_idx in (None, int(ids[0])):
            grads = [
                module.embedding_backward(ids, grad_out, 2**bits, padding_idx=padding_idx) for module in (nb.ops, nb.reference)
            ]
            assert_same_bits(*grads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 17])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frequency", [False, True])
def test_bags_of_many_entries(dtype, dim, mode, frequency):
    for weighted in (False, True) if mode == "sum" else (False,):
        _tiny.agree(_twins.embedding_bag_backward, _tiny.bags(dtype, dim, mode, weighted), scale_grad_by_freq=frequency)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("k", [1, 2, 4, 5, 9])
def test_any_number_of_probes(dtype, combine, k):
    for spec in _tiny.specs(k):
        _tiny.agree(_twins.bloom_backward, _tiny.bloom(dtype, 2 * k, spec, combine))


@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("mode", MODES)
def test_bags_of_hashed_ids(mode, combine):
    for k, dtype in ((1, "f8"), (4, "f4"), (5, "f4")):
        for spec in _tiny.specs(k):
            for weighted in (False, True) if mode == "sum" else (False,):
                _tiny.agree(_twins.bloom_bag_backward, _tiny.bags(dtype, k, mode, weighted, spec, combine))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_weights(dtype):
    _tiny.agree(_twins.embedding_bag_backward_weights, _tiny.bags(dtype, 9, "sum"))
    for combine in COMBINES:
        for spec in _tiny.specs(3):
            _tiny.agree(_twins.bloom_bag_backward_weights, _tiny.bags(dtype, 9, "sum", False, spec, combine))
