"""L10: forward scales every distinct looked-up row whose norm exceeds max_norm.

It scales a row once, in place, and writes nothing else.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.support import _layers, _naive, strategies
from tests.support._bits import assert_same_bits
from tests.support._layers import DIM, ROWS

limits = st.sampled_from([0.0, 0.5, 1.0, 3.0, 1e3, math.inf]) | st.floats(0, 20)
powers = st.sampled_from([1, 2, math.inf, 3, 0.5, 2.0, 1.5]) | st.floats(0.1, 50)


def scaled(weight, ids, max_norm, norm_type):
    """Return the table after forward, by plain loops."""
    rows = _naive.renormalized(weight.tolist(), ids.ravel().tolist(), max_norm, norm_type)
    return _naive.rounded(rows, weight.dtype, weight.shape)


@given(strategies.lookups(), limits, powers)
def test_lookups(case, max_norm, norm_type):
    layer = _layers.embedding(case, max_norm=max_norm, norm_type=norm_type)
    out = layer.forward(case.ids)
    expected = scaled(case.weight, case.ids, max_norm, norm_type)
    event("scaled" if (expected != case.weight).any() else "not scaled")
    assert_same_bits(layer.weight, expected)
    assert_same_bits(out, np.array(expected[case.ids]))


@given(strategies.bags(), limits, powers)
def test_bags(case, max_norm, norm_type):
    layer, arguments = _layers.bag(case, max_norm=max_norm, norm_type=norm_type), _layers.bag_arguments(case)
    out = layer.forward(case.indices, **arguments)
    expected = scaled(case.weight, case.indices, max_norm, norm_type)
    assert_same_bits(layer.weight, expected)
    case.weight = expected
    assert_same_bits(out, _layers.bag(case).forward(case.indices, **arguments))


@pytest.mark.parametrize(
    ("norm_type", "norm"), [(1, 14), (2, 10), (3, (6**3 + 8**3) ** (1 / 3)), (math.inf, 8), (0.5, (6**0.5 + 8**0.5) ** 2)]
)
def test_the_norm_and_the_constant(norm_type, norm):
    layer = nb.ScaledEmbedding(1, 2, max_norm=5, norm_type=norm_type, weight=np.array([[6.0, -8.0]]))
    layer.forward([0])
    assert layer.weight[0] == pytest.approx(np.array([6.0, -8.0]) * 5 / norm, rel=2e-8)
    # The constant makes a row a bit shorter than max_norm, as in torch: 5 * norm / (norm + 1e-7).
    shortened = Fraction(layer.weight[0, 0]) / Fraction(6 * 5 / norm)
    assert float(1 - shortened) == pytest.approx(1e-7 / norm, rel=1e-6)


def test_a_row_is_scaled_once_however_often_it_is_looked_up():
    weight = np.array([[3.0, 4.0], [30.0, 40.0]])
    for ids in ([1], [1, 1, 1, 0], [[0, 1], [1, 1]]):
        layer = nb.ScaledEmbedding(2, 2, max_norm=5.0, weight=weight.copy())
        layer.forward(ids)
        assert layer.weight[1].tolist() == [30 * (5 / (50 + 1e-7)), 40 * (5 / (50 + 1e-7))]
        assert_same_bits(layer.weight[:1], weight[:1])  # 5 does not exceed 5


@pytest.mark.parametrize("padding_idx", [0, -1])
def test_the_padding_row_is_scaled_too(padding_idx):
    weight = np.full((3, 2), 10.0)
    layer = nb.ScaledEmbedding(3, 2, padding_idx=padding_idx, max_norm=1.0, weight=weight.copy())
    layer.forward([padding_idx % 3])
    assert (layer.weight != weight).any(axis=1).nonzero()[0].tolist() == [padding_idx % 3]
    bags = nb.ScaledEmbeddingBag(3, 2, padding_idx=padding_idx, max_norm=1.0, weight=weight.copy())
    assert bags.forward([padding_idx % 3], [0]).tolist() == [[0, 0]]
    assert_same_bits(bags.weight, layer.weight)


@pytest.mark.parametrize("norm_type", [1, 2, 3, 0.5, math.inf])
def test_a_row_of_unknown_length_keeps_its_bits(norm_type):
    weight = np.array([[math.nan, 1e30], [1e30, math.nan], [math.inf, 1.0], [-math.inf, -0.0]])
    layer = nb.ScaledEmbedding(4, 2, max_norm=1.0, norm_type=norm_type, weight=weight.copy())
    layer.forward([0, 1, 2, 3])
    assert_same_bits(layer.weight[:2], weight[:2])
    assert_same_bits(layer.weight[2:], np.array([[math.nan, 0.0], [math.nan, -0.0]]))  # inf * 0 and 1 * 0


def test_a_length_beyond_float64_is_infinite():
    weight = np.array([[1e200, 1.0]])
    for norm_type, after in ((2, 0.0), (3, 0.0), (1, 1.0), (math.inf, 1.0)):
        layer = nb.ScaledEmbedding(1, 2, max_norm=1.0, norm_type=norm_type, weight=weight.copy())
        layer.forward([0])
        assert layer.weight[0, 0] == after, norm_type


def test_without_max_norm_forward_writes_nothing():
    for make in (nb.ScaledEmbedding, nb.ZeroEmbedding, nb.ScaledEmbeddingBag):
        weight = np.full((ROWS, DIM), 1e6, dtype=np.float32)
        weight.flags.writeable = False  # a write would raise
        layer = make(ROWS, DIM, weight=weight)
        layer.forward([[1, 2]])
        assert layer.weight.min() == layer.weight.max() == 1e6


def test_backward_and_update_scale_nothing():
    layer = _layers.LAYERS["ScaledEmbedding"](max_norm=0.1)
    before = layer.weight.copy()
    layer.backward([1, 2], np.zeros((2, DIM)))
    nb.SGD(layer, lr=1.0).update(layer, [1, 2], np.zeros((2, DIM)))
    assert_same_bits(layer.weight, before)


@pytest.mark.parametrize("make", [nb.ScaledEmbedding, nb.ZeroEmbedding, nb.ScaledEmbeddingBag])
def test_max_norm_on_a_read_only_table_is_refused_at_construction(make):
    weight = np.zeros((3, 2))
    weight.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        make(3, 2, max_norm=1.0, weight=weight)
    make(3, 2, weight=weight)
    with pytest.raises(ValueError, match="read-only"):
        nb.ops.embedding_forward(weight, [0], max_norm=1.0)
    with pytest.raises(ValueError, match="read-only"):
        nb.ops.embedding_bag_forward(weight, [0], [0], max_norm=1.0)


@pytest.mark.parametrize("make", [nb.ScaledEmbedding, nb.ZeroEmbedding, nb.ScaledEmbeddingBag])
def test_limits_and_powers_out_of_range_are_refused(make):
    for options in ({"max_norm": -1.0}, {"max_norm": math.nan}, {"norm_type": 0}, {"norm_type": -2}, {"norm_type": math.nan}):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
            make(3, 2, **{"max_norm": 1.0, **options})
    for options in ({"max_norm": "1"}, {"norm_type": None}, {"norm_type": "inf"}, {"max_norm": True}):
        with pytest.raises(TypeError, match=f"`{next(iter(options))}` must be"):
            make(3, 2, **{"max_norm": 1.0, **options})
