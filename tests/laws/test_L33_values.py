"""L33: NaN and infinity propagate as IEEE 754 says.

Arguments out of bounds are a ValueError. A read-only layer has no optimizer.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given

import npbloom as nb
from tests.support import _expected, _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._layers import LAYERS, OPTIMIZERS

KINDS = {name: getattr(nb, name) for name in LAYERS}
PLAIN = ("ScaledEmbedding", "ZeroEmbedding", "ScaledEmbeddingBag")
BLOOM = ("BloomEmbedding", "BloomEmbeddingBag")
BELOW_ZERO = (-1e-300, -1.0, -math.inf, math.nan)


@examples(60)
@given(strategies.lookups(lane="special"), strategies.bags(lane="special"), strategies.blooms(lane="special"))
def test_nan_and_infinity_flow_through_forward_and_backward(lookup, bag, bloom):
    layer = _layers.embedding(lookup)
    assert_same_bits(layer.backward(lookup.ids, lookup.grad_out, sparse=True), _expected.embedding_backward(lookup, False))
    assert_same_bits(_layers.bag(bag).forward(bag.indices, **_layers.bag_arguments(bag)), _expected.bag_forward(bag))
    assert_same_bits(_layers.bloom(bloom).forward(bloom.ids), _expected.bloom_forward(bloom))


def test_infinities_of_both_signs_make_a_nan_and_only_there():
    layer = nb.ScaledEmbeddingBag(3, 2, mode="sum", weight=np.array([[math.inf, 1.0], [-math.inf, 2.0], [5.0, math.nan]]))
    assert_same_bits(layer.forward([0, 1, 2], [0, 2]), np.array([[math.nan, 3.0], [5.0, math.nan]]))


def constructor_faults():
    """Return (kind of layer, options, their name).

    Every bounded argument is set just outside its bounds.
    """
    for name in LAYERS:
        for argument, value in product(("num_embeddings", "embedding_dim"), (0, -1, -(2**70))):
            yield name, {argument: value}, argument
        for dtype in (np.float16, "int64", np.longdouble, ">f4", "complex64"):
            yield name, {"dtype": dtype}, "dtype"
    for name in PLAIN:
        for value in BELOW_ZERO:
            yield name, {"max_norm": value}, "max_norm"
        for value in (0, *BELOW_ZERO):
            yield name, {"norm_type": value}, "norm_type"
    for name in BLOOM:
        for value in (0, -1, 25, 2**70):
            yield name, {"num_hash_functions": value}, "num_hash_functions"
        for value in (0, math.inf, *BELOW_ZERO):
            yield name, {"compression_ratio": value}, "compression_ratio"
        yield name, {"num_embeddings": 2**63 + 1, "num_rows": 5}, "num_embeddings"


FAULTS = [*constructor_faults()]


@pytest.mark.parametrize(("name", "options", "argument"), FAULTS, ids=[f"{name}-{options}" for name, options, _ in FAULTS])
def test_arguments_of_layers_have_bounds(name, options, argument):
    with pytest.raises(ValueError, match=f"`{argument}` must"):
        KINDS[name](**{"num_embeddings": 100, "embedding_dim": 4, **options})


@pytest.mark.parametrize("name", LAYERS)
def test_the_bounds_themselves_are_allowed(name):
    KINDS[name](**{"num_embeddings": 1, "embedding_dim": 1, **({"num_rows": 2} if name in BLOOM else {})})
    for dtype in (np.float32, np.float64, "f4", "float64", float, np.dtype("f8")):
        assert KINDS[name](100, 2, dtype=dtype).dtype == np.dtype(dtype)
    if name in PLAIN:
        KINDS[name](10, 2, max_norm=0.0, norm_type=1e-300)
        KINDS[name](10, 2, max_norm=math.inf, norm_type=math.inf)
    else:
        for k in (1, 24):
            assert KINDS[name](100, 2, num_hash_functions=k).num_hash_functions == k


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("argument", ["num_embeddings", "embedding_dim"])
@pytest.mark.parametrize("value", [1.0, "1", None, True, np.array([3])])
def test_sizes_of_another_kind_are_a_type_error(name, argument, value):
    with pytest.raises(TypeError, match=f"`{argument}` must be an integer"):
        KINDS[name](**{"num_embeddings": 100, "embedding_dim": 4, argument: value})


@pytest.mark.parametrize("name", ["ScaledEmbeddingBag", "BloomEmbeddingBag"])
@pytest.mark.parametrize("mode", ["min", "SUM", "", None, 1])
def test_unknown_modes(name, mode):
    with pytest.raises(ValueError, match="`mode` must be one of"):
        KINDS[name](10, 2, mode=mode)


RULES = {
    nb.SGD: ("lr", "momentum", "weight_decay"),
    nb.Adagrad: ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"),
    nb.RowWiseAdagrad: ("lr", "weight_decay", "eps"),
    nb.Adam: ("lr", "eps", "weight_decay"),
}
HYPERPARAMETERS = [(rule, name) for rule, names in RULES.items() for name in names]


@pytest.mark.parametrize(("rule", "name"), HYPERPARAMETERS, ids=[f"{rule.__name__}-{name}" for rule, name in HYPERPARAMETERS])
def test_hyperparameters_are_at_least_zero(rule, name):
    layer = nb.ZeroEmbedding(3, 2)
    for value in BELOW_ZERO:
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            rule(layer, **{"lr": 0.1, name: value})
    for value in ("0.1", None, 1j, True, [0.1]):
        with pytest.raises(TypeError, match=f"`{name}` must be a real number"):
            rule(layer, **{"lr": 0.1, name: value})
    for value in (0, 0.0, 1, np.float32(0.5)):
        assert getattr(rule(layer, **{"lr": 0.1, name: value}), name) == value


@pytest.mark.parametrize(
    "betas", [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, math.nan), (math.inf, 0.9), (0.9,), (0.9, 0.9, 0.9), 0.9]
)
def test_betas_lie_below_one(betas):
    with pytest.raises((ValueError, TypeError), match="`betas"):
        nb.Adam(nb.ZeroEmbedding(3, 2), betas=betas)
    with pytest.raises((ValueError, TypeError), match="`betas"):
        nb.ops.adam_update(*(np.zeros((3, 2)) for _ in range(4)), 0.1, 1, betas=betas)
    nb.Adam(nb.ZeroEmbedding(3, 2), betas=(0, 0.9999999999))


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_a_rate_is_checked_when_it_is_assigned(rule):
    layer = nb.ScaledEmbedding(3, 2, rng=1)
    optimizer = OPTIMIZERS[rule](layer)
    for value in BELOW_ZERO:
        with pytest.raises(ValueError, match="`lr` must be"):
            optimizer.lr = value
        assert optimizer.lr == 0.5
    optimizer.lr = 0
    before = layer.weight.copy()
    optimizer.update(layer, [1], [[1.0, 1.0]])
    assert_same_bits(layer.weight, before)


@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_read_only_layer_looks_up_but_is_not_trained(name, rule):
    weight = _layers.table(5 if name in BLOOM else _layers.ROWS)
    weight.flags.writeable = False
    layer = LAYERS[name](weight=weight)
    layer.forward([[1, 2]])
    layer.backward([[1, 2]], np.zeros((1, _layers.DIM) if name.endswith("Bag") else (1, 2, _layers.DIM)))
    with pytest.raises(ValueError, match="read-only"):
        OPTIMIZERS[rule](layer)
    with pytest.raises(ValueError, match="read-only"):
        OPTIMIZERS[rule]([LAYERS[name](), layer])
