"""L16: mean divides by the number of entries that are not padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples


@pytest.mark.parametrize("cases", [strategies.bags, strategies.bloom_bags])
@examples(60)
@given(data=st.data())
def test_a_mean_is_a_float64_sum_over_the_count(cases, data):
    case = data.draw(cases(mode="mean", dtype=np.float64))
    mean, total = _layers.bag(case), _layers.bag(case, mode="sum")
    counts = np.array([max(1, len(entries)) for entries in case.counted], dtype=np.float64).reshape(-1, 1)
    arguments = {"offsets": case.partition.offsets}
    with np.errstate(all="ignore"):
        assert_same_bits(mean.forward(case.indices, **arguments), total.forward(case.indices, **arguments) / counts)
        shared = total.backward(case.indices, case.grad_out / counts, **arguments)
    assert_same_bits(mean.backward(case.indices, case.grad_out, **arguments), shared)


def test_duplicates_count_and_padding_does_not():
    layer = nb.ScaledEmbeddingBag(3, 1, padding_idx=0, weight=np.array([[9.0], [1.0], [4.0]]))
    assert layer.mode == "mean"  # the default
    assert layer.forward([1, 0, 1, 2, 0], [0]).item() == 2
    assert layer.backward([1, 0, 1, 2, 0], [[3.0]], [0]).values.ravel().tolist() == [2, 1]


def test_a_hashed_id_without_a_free_probe_counts():
    layer = nb.BloomEmbeddingBag(3, 1, num_rows=2, hash_table=[[0], [0], [1]], weight=np.array([[9.0], [4.0]]))
    assert layer.forward([1, 2, 0], [0]).item() == 2
    assert layer.backward([1, 2, 0], [[3.0]], [0]).values.ravel().tolist() == [1.5]
