"""L22: the vector of the padding id is exactly zero and has no gradient.

Table row 0 is reserved, and its stored values have no effect.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._layers import OPTIMIZERS


@given(strategies.blooms(), st.sampled_from([0.0, np.nan, np.inf, 7.0]))
def test_what_row_zero_holds_does_not_matter(case, poison):
    if case.hashing.padding_idx is None:
        event("no padding id")
        return
    event("padding looked up" if case.hashing.padding_idx in case.ids else "not looked up")
    clean = _layers.bloom(case)
    clean.weight[0] = 0
    expected = clean.forward(case.ids)
    layer = _layers.bloom(case)
    layer.weight[0] = poison
    out = layer.forward(case.ids)
    assert_same_bits(out, expected)
    assert_same_bits(out[case.ids == case.hashing.padding_idx], np.zeros_like(out[case.ids == case.hashing.padding_idx]))
    grad = layer.backward(case.ids, case.grad_out)
    reserved = case.hashing.num_hash_functions if case.combine == "concat" else 1
    assert (grad.rows >= reserved).all()


@given(strategies.blooms())
def test_without_a_padding_id_row_zero_is_like_any_other(case):
    if case.hashing.padding_idx is not None:
        return
    layer = _layers.bloom(case)
    touched = np.unique(layer.hash_rows(case.ids))
    grad = layer.backward(case.ids, case.grad_out)
    rows = grad.rows // case.hashing.num_hash_functions if case.combine == "concat" else grad.rows
    assert np.unique(rows).tolist() == touched.tolist()
    other = _layers.bloom(case, share_padding_row=not case.hashing.share_padding_row)  # has nothing to decide
    assert_same_bits(other.forward(case.ids), layer.forward(case.ids))


@pytest.mark.parametrize("padding_idx", [0, 1, 57, 99])
def test_any_id_may_be_padding(padding_idx):
    layer = nb.BloomEmbedding(100, 3, padding_idx=padding_idx, rng=1)
    layer.weight[0] = 5
    out = layer.forward(range(100))
    assert out[padding_idx].tolist() == [0, 0, 0]
    assert (out.any(axis=1)).sum() == 99
    assert layer.hash_rows(padding_idx).tolist() == [0, 0, 0, 0]
    assert layer.backward([padding_idx], np.ones((1, 3))).rows.size == 0


def test_the_padding_id_is_decided_before_hashing():
    free, padded = nb.HashSpec(100, 10), nb.HashSpec(100, 10, padding_idx=57)
    assert nb.ops.hash_rows(57, free).any()
    assert not nb.ops.hash_rows(57, padded).any()
    others = np.delete(np.arange(100), 57)
    assert (nb.ops.hash_rows(others, free) == nb.ops.hash_rows(others, padded)).all()


def test_by_default_other_ids_lose_a_probe_of_row_zero():
    layer = nb.BloomEmbedding(5000, 1, num_rows=50, weight=np.ones((50, 1)))
    rows, out = layer.hash_rows(range(1, 5000)), layer.forward(range(1, 5000))
    assert (out[:, 0] == (rows != 0).sum(axis=1)).all()
    lost = (rows == 0).any(axis=1).mean()
    assert 0.7 < lost / (4 / 50) < 1.3  # about k / m of all ids


def test_a_row_of_its_own_for_padding():
    layer = nb.BloomEmbedding(5000, 1, num_rows=50, share_padding_row=False, weight=np.ones((50, 1)))
    rows = layer.hash_rows(range(5000))
    assert rows[0].tolist() == [0, 0, 0, 0]
    assert (rows[1:].min(), rows[1:].max()) == (1, 49)
    assert (layer.forward(range(1, 5000)) == 4).all()
    two = nb.BloomEmbedding(9, 1, num_rows=2, share_padding_row=False)
    assert (two.hash_rows(range(1, 9)) == 1).all()


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_row_zero_is_never_trained(rule):
    layer = nb.BloomEmbedding(20, 2, num_rows=3, padding_idx=4, rng=1)
    layer.weight[0] = [-0.0, np.nan]
    before, optimizer = layer.weight[0].tobytes(), OPTIMIZERS[rule](layer)
    for _ in range(2):
        optimizer.update(layer, range(20), np.ones((20, 2)))
        optimizer.step(layer, layer.backward(range(20), np.ones((20, 2)), sparse=False))
    assert layer.weight[0].tobytes() == before
    assert np.isfinite(layer.weight[1:]).all()


@pytest.mark.parametrize("padding_idx", [-1, 100])
def test_a_padding_id_lies_among_the_ids(padding_idx):
    with pytest.raises(ValueError, match=rf"`padding_idx` must lie in \[0, 100\), not {padding_idx}"):
        nb.BloomEmbedding(100, 2, padding_idx=padding_idx)
