"""
Parity with torch.nn.functional.embedding_bag in float64.

Cases vary modes, offsets, weights, padding, max_norm and frequencies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.backends._torch import assert_close, bag_call, bags_one_by_one, functional, leaf, limits, tensor, total
from tests.support._layers import bag, bag_arguments
from tests.support.strategies import Bags, bags

cases = st.sampled_from(["small", "full"]).flatmap(lambda lane: bags(lane, np.float64))


def describe(case: Bags) -> str:
    """Return a case's features as text."""
    form = "2-D" if case.partition.offsets is None else "last" if case.partition.include_last_offset else "offsets"
    return f"{case.mode}, {form}, weights: {case.per_sample_weights is not None}, padding: {case.padding_idx is not None}"


def scales(case: Bags) -> tuple[float, float]:
    """Return bounds of the sums in forward and backward."""
    factor = 1 if case.per_sample_weights is None else np.abs(case.per_sample_weights).max(initial=0)
    return total(case.weight) * max(1, case.indices.size) * factor, total(case.grad_out) * max(1, case.indices.size) * factor


@given(cases)
def test_forward_and_backward(case: Bags) -> None:
    event(describe(case))
    event(f"an empty bag: {any(not counted for counted in case.counted)}")
    weight = leaf(case.weight)
    weights: Any = None if case.per_sample_weights is None else leaf(case.per_sample_weights)
    call = bag_call(case)
    factors = None if weights is None else weights.reshape(call["input"].shape)
    out = functional.embedding_bag(
        weight=weight, mode=case.mode, per_sample_weights=factors, padding_idx=case.padding_idx, **call
    )
    layer = bag(case)
    forward_scale, backward_scale = scales(case)
    assert_close(layer(case.indices, **bag_arguments(case)), out, forward_scale)
    out.backward(tensor(case.grad_out))
    grad = layer.backward(case.indices, case.grad_out, **bag_arguments(case))
    assert isinstance(grad, nb.RowGrad)
    assert_close(grad.to_dense(), weight.grad, backward_scale)
    counted = {int(case.indices.ravel()[i]) for entries in case.counted for i in entries}
    assert grad.rows.tolist() == sorted(counted)
    if weights is not None:
        found = layer.backward_per_sample_weights(case.indices, case.grad_out, case.partition.offsets)
        assert found.shape == case.indices.shape
        assert_close(found, weights.grad, total(case.weight) * total(case.grad_out))


@given(cases, st.sampled_from([2.0, 1.0, 3.0, np.inf]), st.data())
def test_max_norm_scales_the_same_rows(case: Bags, p: float, data: st.DataObject) -> None:
    before = np.linalg.norm(case.weight, ord=p, axis=1)
    max_norm = data.draw(st.sampled_from(limits(before)))
    event(f"scaled: {bool((before[np.unique(case.indices)] > max_norm).any())}")
    weight = leaf(case.weight)
    call = bag_call(case)
    weights = None if case.per_sample_weights is None else tensor(case.per_sample_weights).reshape(call["input"].shape)
    out = functional.embedding_bag(
        weight=weight,
        mode=case.mode,
        per_sample_weights=weights,
        padding_idx=case.padding_idx,
        max_norm=max_norm,
        norm_type=p,
        **call,
    )
    layer = bag(case, max_norm=max_norm, norm_type=p)
    assert_close(layer(case.indices, **bag_arguments(case)), out, scales(case)[0])
    assert_close(layer.weight, weight, 0)


@given(cases)
def test_frequencies_are_those_of_each_id_as_in_torchs_embedding(case: Bags) -> None:
    """
    torch's own embedding counts right.

    Bags made of it one by one are what its CPU bag should compute (L11).
    """
    event(describe(case))
    weight = leaf(case.weight)
    flat = tensor(case.indices.reshape(-1))
    vectors = functional.embedding(flat, weight, case.padding_idx, scale_grad_by_freq=True)
    weights = None if case.per_sample_weights is None else tensor(case.per_sample_weights)
    out = bags_one_by_one(vectors, case, weights)
    layer = bag(case, scale_grad_by_freq=True)
    forward_scale, backward_scale = scales(case)
    assert_close(layer(case.indices, **bag_arguments(case)), out, forward_scale)
    if out.requires_grad and out.numel():
        out.backward(tensor(case.grad_out))
    expected = np.zeros_like(case.weight) if weight.grad is None else weight.grad
    assert_close(layer.backward(case.indices, case.grad_out, sparse=False, **bag_arguments(case)), expected, backward_scale)


@pytest.mark.parametrize("dim", [1, 7, 64, 65])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_many_bags_in_several_threads(mode: str, dim: int) -> None:
    rng = np.random.default_rng(dim)
    table = rng.standard_normal((1000, dim))
    ids = rng.zipf(1.3, 20_000) % 1000
    offsets = np.sort(np.concatenate([[0], rng.integers(0, 20_001, 2_999)]))
    grad_out = rng.standard_normal((3000, dim))
    weight = leaf(table)
    out = functional.embedding_bag(tensor(ids), weight, tensor(offsets), mode=mode, padding_idx=3)
    out.backward(tensor(grad_out))
    layer = nb.ScaledEmbeddingBag(1000, dim, mode=mode, padding_idx=3, weight=table.copy())
    with nb.num_threads(3):
        np.testing.assert_allclose(layer(ids, offsets), out.detach().numpy(), rtol=1e-12, atol=1e-11)
        grad = layer.backward(ids, grad_out, offsets, sparse=False)
    np.testing.assert_allclose(grad, weight.grad.numpy(), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_torchs_cpu_bag_divides_by_the_count_of_another_id(mode: str) -> None:
    """torch 2.13 divides the u-th distinct id by the count of the u-th entry (pytorch#190063)."""
    table, ids = np.zeros((3, 1)), np.array([0, 0, 0, 1, 2, 2])
    weight = leaf(table)
    functional.embedding_bag(tensor(ids), weight, tensor(np.array([0])), mode=mode, scale_grad_by_freq=True).sum().backward()
    layer = nb.ScaledEmbeddingBag(3, 1, scale_grad_by_freq=True, mode=mode, weight=table)
    ours = layer.backward(ids, np.ones((1, 1)), [0], sparse=False)
    share = 1 if mode == "sum" else 1 / 6
    counts = np.array([[3.0], [1.0], [2.0]])
    assert_close(ours, counts * share / counts, 1)
    entry_counts = counts[ids[[0, 1, 2]]]  # of id 0 three times, where the ids are 0, 1 and 2
    assert_close(weight.grad.numpy(), counts * share / entry_counts, 1)


def test_torch_refuses_frequencies_for_max_and_npbloom_does_not() -> None:
    with pytest.raises(ValueError, match="max mode does not support"):
        functional.embedding_bag(tensor(np.array([[0, 0]])), leaf(np.zeros((1, 1))), mode="max", scale_grad_by_freq=True)
    layer = nb.ScaledEmbeddingBag(1, 1, scale_grad_by_freq=True, mode="max", weight=np.zeros((1, 1)))
    assert layer.backward([[0, 0]], np.ones((1, 1)), sparse=False).tolist() == [[0.5]]
