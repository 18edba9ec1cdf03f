"""Parity with torch.nn.functional.embedding_bag in float64: modes, offsets, weights, padding, max_norm, frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

import npbloom as nb
from tests._layers import bag, bag_arguments
from tests.backends._torch import assert_close, bag_call, bags_one_by_one, functional, leaf, tensor, total
from tests.strategies import Bags, bags

cases = st.sampled_from(["small", "full"]).flatmap(lambda lane: bags(lane, np.float64))


def describe(case: Bags) -> str:
    """What a case is like."""
    form = "2-D" if case.partition.offsets is None else "last" if case.partition.include_last_offset else "offsets"
    return f"{case.mode}, {form}, weights: {case.per_sample_weights is not None}, padding: {case.padding_idx is not None}"


def scales(case: Bags) -> tuple[float, float]:
    """Bounds of the sums that forward and backward make."""
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


@given(cases, st.sampled_from([2.0, 1.0, 3.0, np.inf]), st.floats(0, 4) | st.floats(0, 1e6))
def test_max_norm_scales_the_same_rows(case: Bags, p: float, max_norm: float) -> None:
    before = np.linalg.norm(case.weight, ord=p, axis=1)
    assume((np.abs(before - max_norm) > 1e-9 * max_norm).all())
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
    """torch's own embedding counts right; bags made of it, one by one, are what its CPU bag should be (L11)."""
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


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_torchs_cpu_bag_divides_by_the_count_of_another_id(mode: str) -> None:
    """pytorch#190063, alive in torch 2.13: the u-th distinct id is divided by how often the u-th entry of the batch occurs."""
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
