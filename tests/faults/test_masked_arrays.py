"""Masked arrays are refused, alone and wherever NumPy would drop their mask silently."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from tests.faults.test_shared_memory import Interface
from tests.support._bits import assert_same_bits
from tests.support._layers import DIM, LAYERS, gradient


def test_masked_arrays_are_refused_wherever_a_mask_would_be_dropped() -> None:
    whole, real = np.ma.array([1, 2], mask=[0, 1]), np.ma.ones((2, DIM), np.float32)
    layer, bag = LAYERS["ScaledEmbedding"](), LAYERS["ScaledEmbeddingBag"](mode="sum")
    optimizer = nb.Adagrad(layer)
    calls: list[Callable[[], Any]] = [
        lambda: layer(whole),
        lambda: layer.backward([1, 2], real),
        lambda: bag([1, 2], whole),
        lambda: bag([[1, 2]], per_sample_weights=np.ma.ones((1, 2), np.float32)),
        lambda: optimizer.update(layer, whole, gradient((2, DIM))),
        lambda: optimizer.step(layer, np.ma.ones(layer.weight.shape, np.float32)),
        lambda: nb.ScaledEmbedding(2, DIM, weight=real),
        lambda: nb.HashSpec(2, 5, table=np.ma.ones((2, 3), int)),
        lambda: nb.RowGrad(whole, np.ones((2, 3)), 5),
        lambda: nb.RowGrad(np.array([1, 2]), np.ma.ones((2, 3)), 5),
        lambda: nb.RowGrad.from_dense(real),
        lambda: nb.hashing.murmurhash3_32(whole),
        lambda: nb.ops.adagrad_update(np.ones((2, DIM), np.float32), real, np.ones((2, DIM)), 0.1),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"masked|MaskedArray"):
            call()


def nested(masked: np.ma.MaskedArray) -> dict[str, Any]:
    """Return values with a masked array. NumPy would read its numbers and drop the mask."""
    holds_itself: list[Any] = [masked]
    holds_itself.append(holds_itself)
    return {
        "list": [masked],
        "later": [masked.data, masked],
        "tuple": (masked.data, masked),
        "deep": [[masked.data], (masked,)],
        "items": [[*masked.data[:-1], masked[-1:].reshape(())]],
        "deque": deque([masked]),
        "interface": Interface(masked),
        "interface in a list": [Interface(masked)],
        "itself": holds_itself,
    }


@pytest.mark.parametrize("how", nested(np.ma.array([1, 2], mask=[0, 1])))
def test_masked_arrays_in_other_things_are_refused(how: str) -> None:
    ids = nested(np.ma.array([1, 2], mask=[0, 1]))[how]
    real = nested(np.ma.array(np.ones(DIM, np.float32), mask=[0] * (DIM - 1) + [1]))[how]
    layer, bag = LAYERS["ScaledEmbedding"](), LAYERS["ScaledEmbeddingBag"](mode="sum")
    optimizer = nb.Adagrad(layer)
    calls: list[Callable[[], Any]] = [
        lambda: layer(ids),
        lambda: bag(ids),
        lambda: bag([1, 2], ids),
        lambda: bag([1, 2], [0], real),
        lambda: layer.backward([1], real),
        lambda: optimizer.update(layer, [1], real),
        lambda: optimizer.step(layer, real),
        lambda: nb.HashSpec(1, 5, table=ids),
        lambda: nb.BloomEmbedding(1, 4, num_rows=5, hash_table=ids),
        lambda: nb.coding.BloomCoder(1, 5, table=ids),
        lambda: nb.coding.frequent_hash_table(ids, 9),
        lambda: nb.RowGrad(ids, np.ones((2, 3)), 5),
        lambda: nb.RowGrad(np.array([1]), real, 5),
        lambda: nb.RowGrad.from_dense(real),
        lambda: nb.hashing.murmurhash3_32(ids),
        lambda: nb.recommend.Interactions(ids, [1, 2]),
        lambda: nb.recommend.Interactions([1, 2], [1, 2], ratings=ids),
        lambda: nb.recommend.Interactions([0, 1], [0, 1], user_labels=ids),
        lambda: nb.recommend.losses.regression([1.0, 2.0], ids),
        lambda: nb.reference.embedding_forward(np.ones((9, DIM)), ids),
        lambda: nb.reference.embedding_backward([1], real, 9),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError), match=r"masked|`keys` must be an array: its rows differ in length"):
            call()


def test_lists_without_masks_are_read() -> None:
    layer = LAYERS["ScaledEmbedding"]()
    expected = layer(np.array([[1, 2], [3, 4]]))
    for ids in ([[1, 2], [3, 4]], ([1, 2], (3, 4)), [np.array([1, 2]), [3, 4]], deque([[1, 2], np.array([3, 4])])):
        assert_same_bits(layer(ids), expected)
    assert_same_bits(layer([np.int8(1), 2, np.array(3), 4]), expected.reshape(4, DIM))
    assert layer([]).shape == (0, DIM)
    assert layer(range(3)).shape == (3, DIM)
