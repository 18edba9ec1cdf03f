"""Every kernel of lookup, scatter and optim at tiny sizes.

Kernels run jitted, un-jitted or bounds-checked, as the environment says. `tests/laws` compares the
jitted kernels with the reference at length. These tests show that the same Python runs without the
compiler, and that no index leaves its array.
"""

from __future__ import annotations

import os

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from npbloom._kernels import coding, hashing, lookup, network, optim, pairs, ranking, scatter
from tests.support._examples import examples
from tests.support._threads import split_everything
from tests.support._twins import TWINS


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
@examples(10)
@given(data=st.data())
def test_kernels_equal_the_reference(twin, data):
    case = data.draw(twin.cases())
    # Un-jitted, NumPy's scalars warn where IEEE 754 has an answer. `errstate` holds for one thread.
    with np.errstate(all="ignore"), nb.num_threads(1):
        twin.assert_agree(case)
        with split_everything(1):
            twin.assert_agree(case)


def test_kernels_run_as_the_environment_says():
    jitted = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
    for family in (coding, hashing, lookup, network, optim, pairs, ranking, scatter):
        kernels = [value for name, value in vars(family).items() if name.endswith("_range")]
        assert kernels
        assert all(isinstance(kernel, numba.core.dispatcher.Dispatcher) is jitted for kernel in kernels)


def test_a_wrong_index_is_found_where_bounds_are_checked():
    """Ask for two rows of scores where there is one, which `ops` never does."""
    if os.environ.get("NUMBA_BOUNDSCHECK", "0") in ("", "0"):
        assert nb.ops.embedding_forward(np.ones((2, 1)), [1]).item() == 1.0
        return
    with pytest.raises(IndexError):
        ranking.pair_range(np.ones((1, 2)), np.ones((1, 2)), np.empty(1), 0, 2)
