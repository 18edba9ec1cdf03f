"""L34: no option is accepted and ignored.

Each option has a value that changes the result of a call. `bag` is the exception.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import npbloom as nb
from tests.support import _layers
from tests.support._layers import DIM, gradient

IDS = [1, 2, 1, 6, 3, 5]


def seen(layer):
    """Return all that a caller sees of a layer.

    These are its table, its output, and its table after that.
    """
    arguments = {"offsets": [0, 2, len(IDS)]} if _layers.is_bag(layer) else {}
    start = layer.weight.copy()
    out = layer.forward(IDS, **arguments)
    grad = layer.backward(IDS, gradient(out.shape), **arguments)
    rows, values = (grad.rows, grad.values) if isinstance(grad, nb.RowGrad) else ("dense", grad)
    return [str(part) for part in (start, out, rows, values, layer.weight, layer.dtype)]


PLAIN = {
    "num_embeddings": (7, 9),
    "embedding_dim": (4, 6),
    "padding_idx": (None, 2),
    "max_norm": (None, 0.5),
    "norm_type": (2, 1),
    "scale_grad_by_freq": (False, True),
    "sparse": (False, True),
    "dtype": (np.float32, np.float64),
    "rng": (1, 2),
    "weight": (None, _layers.table()),
}
BAG = {**PLAIN, "mode": ("mean", "max"), "include_last_offset": (False, True)}
del BAG["sparse"]
BLOOM = {
    "num_embeddings": (70, 90),
    "embedding_dim": (4, 8),
    "compression_ratio": (0.2, 0.4),
    "num_hash_functions": (4, 2),
    "padding_idx": (0, 2),
    "num_rows": (None, 5),
    "hash_table": (None, [[1, 2]] * 70),
    "combine": ("sum", "concat"),
    "share_padding_row": (True, False),
    "dtype": (np.float32, np.float64),
    "rng": (1, 2),
    "weight": (None, _layers.table(14)),
}
LAYERS = {
    nb.ScaledEmbedding: PLAIN,
    nb.ZeroEmbedding: PLAIN,
    nb.ScaledEmbeddingBag: BAG,
    nb.BloomEmbedding: {**BLOOM, "bag": (False, True)},
    nb.BloomEmbeddingBag: {**BLOOM, "mode": ("mean", "max"), "include_last_offset": (False, True)},
}
# `bag` is the documented exception (L23); there is nothing to draw for zeros.
SAME_BITS = {(nb.BloomEmbedding, "bag"), (nb.ZeroEmbedding, "rng")}
OPTIONS = [(kind, option) for kind, options in LAYERS.items() for option in options]


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_every_argument_of_a_constructor_is_looked_at_here(kind):
    retired = {"precompute_hashes"}
    assert set(inspect.signature(kind).parameters) - retired == set(LAYERS[kind])


def build(kind, option, value):
    """Return a layer with one option set; `rng` only where nothing is adopted."""
    given = {name: pair[0] for name, pair in LAYERS[kind].items()}
    given[option] = value
    if option == "norm_type":
        given["max_norm"] = 0.5
    if given["weight"] is not None:
        given["rng"] = None
    if kind is nb.ZeroEmbedding and option not in ("weight", "rng") and given["weight"] is None:
        given |= {"weight": np.arange(given["num_embeddings"] * given["embedding_dim"], dtype=given["dtype"]), "rng": None}
        given["weight"] = given["weight"].reshape(given["num_embeddings"], given["embedding_dim"])
    return kind(**given)


@pytest.mark.parametrize(("kind", "option"), OPTIONS, ids=[f"{kind.__name__}-{option}" for kind, option in OPTIONS])
def test_an_option_changes_what_is_seen(kind, option):
    first, second = (seen(build(kind, option, value)) for value in LAYERS[kind][option])
    if (kind, option) in SAME_BITS:
        assert first == second
    else:
        assert first != second


RULES = {
    nb.SGD: {"lr": (0.1, 0.2), "momentum": (0.0, 0.5), "weight_decay": (0.0, 0.5)},
    nb.Adagrad: {
        "lr": (0.1, 0.2),
        "lr_decay": (0.0, 0.5),
        "weight_decay": (0.0, 0.5),
        "initial_accumulator_value": (0.0, 0.5),
        "eps": (1e-10, 0.5),
    },
    nb.RowWiseAdagrad: {"lr": (0.1, 0.2), "weight_decay": (0.0, 0.5), "eps": (1e-8, 0.5)},
    nb.Adam: {"lr": (0.1, 0.2), "betas": ((0.9, 0.999), (0.5, 0.6)), "eps": (1e-8, 0.5), "weight_decay": (0.0, 0.5)},
}
HYPERPARAMETERS = [(rule, name) for rule, names in RULES.items() for name in names]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_hyperparameter_is_looked_at_here(rule):
    # `state` is no number to change: tests/faults/test_large_tables.py covers it
    assert set(inspect.signature(rule).parameters) - {"state"} == {"layers", *RULES[rule]}


@pytest.mark.parametrize(("rule", "name"), HYPERPARAMETERS, ids=[f"{rule.__name__}-{name}" for rule, name in HYPERPARAMETERS])
@pytest.mark.parametrize("kind", ["ScaledEmbedding", "BloomEmbedding"])
@pytest.mark.parametrize("way", ["update", "sparse step", "dense step"])
def test_a_hyperparameter_changes_the_table(way, kind, rule, name):
    tables = []
    for value in RULES[rule][name]:
        layer = _layers.LAYERS[kind]()
        optimizer = rule(layer, **{"lr": 0.1, name: value})
        for grad_out in (gradient((2, DIM)), gradient((2, DIM)) ** 2):
            if way == "update":
                optimizer.update(layer, [1, 2], grad_out)
            else:
                optimizer.step(layer, layer.backward([1, 2], grad_out, sparse=way == "sparse step"))
        tables.append(layer.weight.copy())
    assert not np.array_equal(*tables)


UNSUPPORTED = ["nesterov", "dampening", "amsgrad", "maximize", "foreach", "fused", "decoupled_weight_decay", "differentiable"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("argument", UNSUPPORTED)
def test_what_is_not_supported_is_not_accepted(rule, argument):
    with pytest.raises(TypeError, match=argument):
        rule(nb.ZeroEmbedding(3, 2), lr=0.1, **{argument: True})


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("argument", ["device", "_weight", "freeze", "requires_grad"])
def test_arguments_of_other_libraries_are_not_accepted(kind, argument):
    with pytest.raises(TypeError, match=argument):
        kind(10, 4, **{argument: None})


def test_arguments_of_calls_that_do_not_apply_are_not_accepted():
    plain, bag = nb.ZeroEmbedding(5, 2), nb.ScaledEmbeddingBag(5, 2)
    optimizer = nb.SGD([plain, bag], lr=0.1)
    with pytest.raises(TypeError):
        plain.forward([1], [0])
    with pytest.raises(TypeError):
        optimizer.update(plain, [1], [[1.0, 1.0]], offsets=[0])
    with pytest.raises(TypeError):
        optimizer.update(bag, [1], [[1.0, 1.0]], offsets=[0], sparse=True)
    with pytest.raises(ValueError, match="`rng` must be None"):
        nb.ZeroEmbedding(5, 2, rng=1, weight=np.zeros((5, 2)))
    with pytest.raises(ValueError, match="`compression_ratio` must be left out"):
        nb.BloomEmbedding(100, 2, 0.5, num_rows=30)
