"""Bloom layers against torch operations: look up rows, combine probes, reduce bags."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.backends._torch import assert_close, bags_one_by_one, combine_rows, leaf, tensor, total
from tests.support._layers import bag, bag_arguments, bloom
from tests.support.strategies import Bags, Bloom, bloom_bags, blooms

lanes = st.sampled_from(["small", "full"])


def without_padding_row(case: Any) -> Any:
    """Return the case with zeros in the reserved row: torch would add its values (L22)."""
    if case.hashing.padding_idx is not None:
        case.weight[0] = 0
    return case


@given(lanes.flatmap(lambda lane: blooms(lane, np.float64)).map(without_padding_row))
def test_forward_and_backward(case: Bloom) -> None:
    rows = nb.ops.hash_rows(case.ids, case.hashing)
    meeting = bool((np.diff(np.sort(rows, axis=-1), axis=-1) == 0).any())
    event(f"{case.combine}, padding: {case.reserved is not None}, two probes of an id meet: {meeting}")
    weight = leaf(case.weight)
    out = combine_rows(rows, weight, case.combine, case.reserved is not None)
    out.backward(tensor(case.grad_out))
    layer = bloom(case)
    scale = total(case.weight) * case.hashing.num_hash_functions
    assert_close(layer(case.ids), out, scale)
    grad = layer.backward(case.ids, case.grad_out, sparse=False)
    assert_close(grad, weight.grad, total(case.grad_out) * case.hashing.num_hash_functions)


@given(lanes.flatmap(lambda lane: bloom_bags(lane, np.float64)).map(without_padding_row))
def test_bags_of_hashed_ids(case: Bags) -> None:
    event(f"{case.mode} of {case.combine}, padding: {case.padding_idx is not None}")
    rows = nb.ops.hash_rows(case.indices.reshape(-1), case.hashing)
    weight = leaf(case.weight)
    weights = None if case.per_sample_weights is None else leaf(case.per_sample_weights)
    vectors = combine_rows(rows, weight, case.combine, case.padding_idx is not None)
    out = bags_one_by_one(vectors, case, weights)
    layer = bag(case)
    factor = 1 if case.per_sample_weights is None else np.abs(case.per_sample_weights).max(initial=0)
    size = max(1, case.indices.size) * case.hashing.num_hash_functions * factor
    assert_close(layer(case.indices, **bag_arguments(case)), out, total(case.weight) * size)
    if out.requires_grad:
        out.backward(tensor(case.grad_out))
    expected = np.zeros_like(case.weight) if weight.grad is None else weight.grad
    grad = layer.backward(case.indices, case.grad_out, sparse=False, **bag_arguments(case))
    assert_close(grad, expected, total(case.grad_out) * size)
    if weights is not None:
        found = layer.backward_per_sample_weights(case.indices, case.grad_out, case.partition.offsets)
        missing = weights.grad is None  # no entry counts
        expected = np.zeros_like(found) if missing else weights.grad
        assert_close(found, expected, total(case.weight) * total(case.grad_out) * size)
