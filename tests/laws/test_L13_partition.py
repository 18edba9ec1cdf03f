"""L13: indices and offsets make bags in the same way for every mode and dtype.

Anything else is a ValueError.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support.strategies import MODES

KINDS = {
    "ScaledEmbeddingBag": lambda **options: nb.ScaledEmbeddingBag(5, 2, weight=_layers.table(5, 2), **options),
    "BloomEmbeddingBag": lambda **options: nb.BloomEmbeddingBag(5, 2, num_rows=4, weight=_layers.table(4, 2), **options),
}


@pytest.mark.parametrize("cases", [strategies.bags, strategies.bloom_bags])
@examples(60)
@given(data=st.data())
def test_every_bag_is_what_a_loop_over_bags_gives(cases, data):
    case = data.draw(cases())
    layer, flat = _layers.bag(case, include_last_offset=False), case.indices.ravel()
    out = _layers.bag(case).forward(case.indices, **_layers.bag_arguments(case))
    for one, entries in zip(out, case.partition.entries, strict=True):
        weights = None if case.per_sample_weights is None else case.per_sample_weights.ravel()[entries]
        assert_same_bits(one, layer.forward(flat[entries], [0], weights)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", [list, np.int32, np.uint8, ">i8", tuple])
def test_offsets_of_any_integer_kind(kind, mode, form):
    layer = KINDS[kind](mode=mode)
    offsets = form([0, 2, 2]) if form in (list, tuple) else np.array([0, 2, 2], dtype=form)
    assert_same_bits(layer.forward([1, 2, 3], offsets), layer.forward([1, 2, 3], [0, 2, 2]))


@pytest.mark.parametrize("kind", KINDS)
def test_two_dimensions_are_a_bag_a_row(kind):
    for include_last_offset in (False, True):
        layer = KINDS[kind](mode="sum", include_last_offset=include_last_offset)
        flat = KINDS[kind](mode="sum").forward([1, 2, 3, 4, 1, 1], [0, 3])
        assert_same_bits(layer.forward([[1, 2, 3], [4, 1, 1]]), flat)
        assert layer.forward(np.zeros((3, 0), dtype=int)).tolist() == [[0, 0]] * 3
        assert layer.forward(np.zeros((0, 3), dtype=int)).shape == (0, 2)
        with pytest.raises(ValueError, match="`offsets` must be None for 2-D"):
            layer.forward([[1, 2]], [0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_bag_runs_to_the_end_and_the_last_offset_is_no_bag(kind):
    layer, last = KINDS[kind](mode="sum"), KINDS[kind](mode="sum", include_last_offset=True)
    expected = layer.forward([1, 2, 3], [0, 1])
    assert expected.shape == (2, 2)
    assert_same_bits(last.forward([1, 2, 3], [0, 1, 3]), expected)
    assert_same_bits(layer.forward([1, 2, 3], [0, 1, 3])[:2], expected)
    assert layer.forward([1, 2, 3], [0, 1, 3])[2].tolist() == [0, 0]
    assert last.forward([], [0]).shape == (0, 2)
    assert layer.forward([], [0]).tolist() == [[0, 0]]
    for either in (layer, last):
        assert either.forward([], []).shape == (0, 2)  # no indices, no bags


BAD = {
    "none": ([1, 2], None, False),
    "empty": ([1, 2], [], False),
    "empty, last": ([1, 2], [], True),
    "start after 0": ([1, 2], [1], False),
    "start before 0": ([1, 2], [-1, 1], False),
    "go down": ([1, 2, 3], [0, 2, 1], False),
    "too far": ([1, 2], [0, 3], False),
    "too far, last": ([1, 2], [0, 3], True),
    "last too early": ([1, 2], [0, 1], True),
    "last missing": ([1, 2], [0], True),
    "two dimensions": ([1, 2], [[0, 1]], False),
    "no dimension": ([1, 2], 0, False),
    "beyond int64": ([1, 2], [0, 2**64], False),
    "beyond int64, unsigned": ([1, 2], np.array([0, 2**63], dtype=np.uint64), False),
    "first of none": ([], [1], False),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("indices", "offsets", "last"), BAD.values(), ids=BAD)
def test_other_offsets_are_a_value_error_in_every_call(indices, offsets, last, mode, kind):
    layer = KINDS[kind](mode=mode, include_last_offset=last)
    optimizer, before = nb.SGD(layer, lr=1.0), layer.weight.copy()
    for bags in (0, 1, 2):
        grad_out = np.zeros((bags, 2))
        calls = [
            lambda: layer.forward(indices, offsets),
            lambda grad_out=grad_out: layer.backward(indices, grad_out, offsets),
            lambda grad_out=grad_out: optimizer.update(layer, indices, grad_out, offsets=offsets),
        ]
        if mode == "sum":
            calls.append(lambda grad_out=grad_out: layer.backward_per_sample_weights(indices, grad_out, offsets))
        for call in calls:
            with pytest.raises(ValueError, match="`offsets` must"):
                call()
    assert_same_bits(layer.weight, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offsets", [[0.0], [True], np.array([0], dtype=object), ["0"], np.ma.masked_array([0])])
def test_offsets_of_another_kind_are_a_type_error(kind, offsets):
    with pytest.raises(TypeError, match="`offsets` must"):
        KINDS[kind]().forward([1, 2], offsets)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offsets", [None, [0]])
def test_indices_of_no_or_three_dimensions_are_a_value_error(kind, offsets):
    for indices in (1, [[[1]]], np.zeros((0, 1, 2), dtype=int)):
        with pytest.raises(ValueError, match="`indices` must have 1 or 2 dimensions"):
            KINDS[kind]().forward(indices, offsets)
