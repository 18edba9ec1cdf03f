"""Huge integers, also those with more digits than Python prints, are refused with a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from tests.support._layers import LAYERS

HUGE = 10**30
ENDLESS = 10**5000  # more digits than Python prints

SIZES: list[Callable[[int], Any]] = [
    lambda size: nb.ScaledEmbedding(size, 4),
    lambda size: nb.ScaledEmbedding(4, size),
    lambda size: nb.ScaledEmbedding(4, 4, size),
    lambda size: nb.ScaledEmbedding(4, 4, max_norm=size),
    lambda size: nb.ScaledEmbedding(4, 4, max_norm=1.0, norm_type=size),
    lambda size: nb.ScaledEmbeddingBag(size, 4),
    lambda size: nb.BloomEmbedding(size, 4),
    lambda size: nb.BloomEmbedding(size, 4, num_rows=9),
    lambda size: nb.BloomEmbedding(9, 4, size),
    lambda size: nb.BloomEmbedding(9, 4, num_rows=size),
    lambda size: nb.BloomEmbedding(9, 4, num_rows=9, num_hash_functions=size),
    lambda size: nb.BloomEmbedding(9, 4, num_rows=9, padding_idx=size),
    lambda size: nb.BloomEmbeddingBag(size, 4),
    lambda size: nb.HashSpec(size, 4),
    lambda size: nb.HashSpec(4, size),
    lambda size: nb.HashSpec(4, 4, size),
    lambda size: nb.coding.BloomCoder(size, 4),
    lambda size: nb.coding.BloomCoder.murmur(4, size),
    lambda size: nb.coding.plan(size, 4),
    lambda size: nb.coding.frequent_hash_table([1, 2], size),
    lambda size: nb.set_num_threads(size),
    lambda size: nb.SGD(LAYERS["ZeroEmbedding"](), lr=size),
    lambda size: nb.Adam(LAYERS["ZeroEmbedding"](), betas=(size, 0.5)),
    lambda size: nb.ops.embedding_backward([1], [[1.0]], size),
    lambda size: nb.RowGrad(np.array([1]), np.ones((1, 1)), size),
    lambda size: nb.RowGrad(np.array([1]), np.ones((1, 1)), 5).clip_norm(size),
    lambda size: nb.RowGrad(np.array([1]), np.ones((1, 1)), 5) * size,
    lambda size: nb.hashing.murmurhash3_32([1], seed=size),
    lambda size: nb.recommend.Interactions([0, 1], [0, 1], num_users=size),
    lambda size: nb.recommend.ImplicitFactorizationModel(embedding_dim=size),
]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: nb.ScaledEmbedding(HUGE, 4), ValueError),
        (lambda: nb.ZeroEmbedding(2**62, 4), ValueError),
        (lambda: nb.ScaledEmbeddingBag(4, HUGE), ValueError),
        (lambda: nb.BloomEmbedding(HUGE, 4), ValueError),
        (lambda: nb.BloomEmbedding(9, HUGE, num_rows=9), ValueError),
        (lambda: nb.BloomEmbedding(9, 4, num_rows=HUGE), ValueError),
        (lambda: nb.BloomEmbedding(9, 4, num_rows=9, num_hash_functions=HUGE), ValueError),
        (lambda: nb.ScaledEmbedding(4, 4, padding_idx=-HUGE), ValueError),
        (lambda: nb.ScaledEmbedding(4, 4, max_norm=10**400), ValueError),
        (lambda: nb.SGD(LAYERS["ZeroEmbedding"](), lr=10**400), ValueError),
        (lambda: LAYERS["ZeroEmbedding"]()(HUGE), IndexError),
        (lambda: LAYERS["ZeroEmbedding"]()([1, -HUGE]), IndexError),
        (lambda: LAYERS["ZeroEmbedding"]()(np.array([1, HUGE])), TypeError),
        (lambda: LAYERS["ScaledEmbeddingBag"]()([1, 2], [0, HUGE]), ValueError),
        (lambda: nb.ops.embedding_backward([1], [[1.0]], HUGE), ValueError),
        (lambda: nb.HashSpec(HUGE, 4), ValueError),
        (lambda: nb.HashSpec(2, 4, table=[[HUGE, 1], [1, 1]]), TypeError),
        (lambda: nb.hashing.murmurhash3_32([HUGE]), ValueError),
        (lambda: nb.hashing.murmurhash3_32([1], seed=HUGE), ValueError),
        (lambda: nb.RowGrad(np.array([1]), np.ones((1, 1)), -HUGE), IndexError),
        *((lambda size=size, make=make: make(size), ValueError) for size in (10**400, ENDLESS, -ENDLESS) for make in SIZES),
        (lambda: nb.BloomEmbedding(100, 4, 1e308), ValueError),
        (lambda: nb.BloomEmbedding(100, 4, 1e308, num_rows=5), ValueError),
        (lambda: nb.BloomEmbedding(2**63, 4, 1e300), ValueError),
        (lambda: nb.BloomEmbedding(2**63 + 1, 4, num_rows=5), ValueError),
        (lambda: LAYERS["ZeroEmbedding"]()(ENDLESS), IndexError),
        (lambda: LAYERS["ZeroEmbedding"]()([1, -ENDLESS]), IndexError),
        (lambda: LAYERS["ScaledEmbeddingBag"]()([1, 2], [0, ENDLESS]), ValueError),
        (lambda: nb.hashing.murmurhash3_32([ENDLESS]), ValueError),
        (lambda: nb.hashing.hash_keys([ENDLESS]), ValueError),
        (lambda: nb.hashing.hash_rows([ENDLESS], nb.HashSpec(9, 5)), IndexError),
    ],
)
def test_integers_beyond_all_bounds_are_refused_in_a_sentence(call: Callable[[], Any], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
