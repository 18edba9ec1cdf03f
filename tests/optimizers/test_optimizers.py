"""
Optimizers as objects: settings, state, known layers, copies.

A call that raises writes nothing.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npbloom as nb

EVERY: dict[str, Callable[..., Any]] = {
    "sgd": lambda layers: nb.SGD(layers, lr=0.1),
    "sgd momentum": lambda layers: nb.SGD(layers, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adagrad": lambda layers: nb.Adagrad(layers, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.5),
    "rowwise_adagrad": lambda layers: nb.RowWiseAdagrad(layers, lr=0.1, weight_decay=0.01),
    "adam": lambda layers: nb.Adam(layers, lr=0.1, weight_decay=0.01),
}
STATE = {
    "sgd": set(),
    "sgd momentum": {"momentum_buffer"},
    "adagrad": {"sum", "step"},
    "rowwise_adagrad": {"sum"},
    "adam": {"exp_avg", "exp_avg_sq", "step"},
}
LAYERS: dict[str, Callable[[], Any]] = {
    "embedding": lambda: nb.ScaledEmbedding(30, 4, padding_idx=2, rng=0),
    "bag": lambda: nb.ScaledEmbeddingBag(30, 4, padding_idx=2, rng=0),
    "bloom": lambda: nb.BloomEmbedding(150, 4, rng=0),
    "bloom no padding": lambda: nb.BloomEmbedding(150, 4, padding_idx=None, rng=0),
    "bloom concat": lambda: nb.BloomEmbedding(150, 4, combine="concat", rng=0),
    "bloom bag": lambda: nb.BloomEmbeddingBag(150, 4, mode="max", combine="concat", num_hash_functions=2, rng=0),
}
IDS = np.array([[1, 2, 5], [5, 5, 29], [0, 2, 28]])


@pytest.fixture(params=list(EVERY))
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of one of the optimizers, SGD twice."""
    return str(request.param)


@pytest.fixture(params=list(LAYERS))
def layer(request: pytest.FixtureRequest) -> Any:
    """Return one layer of every kind that gradients distinguish."""
    return LAYERS[request.param]()


def bytes_of(optimizer: Any, layer: Any) -> dict[str, bytes]:
    """Return every bit that a step may change."""
    return {"weight": layer.weight.tobytes(), **{key: array.tobytes() for key, array in optimizer.state(layer).items()}}


def grad_for(layer: Any, seed: int = 0) -> np.ndarray:
    """Return a gradient of the output for IDS."""
    return np.random.default_rng(seed).standard_normal(layer(IDS).shape).astype(np.float32)


def test_update_is_step_after_backward(name: str, layer: Any) -> None:
    fused, apart = copy.deepcopy(layer), copy.deepcopy(layer)
    one, two = EVERY[name](fused), EVERY[name](apart)
    for seed in range(3):
        grad = grad_for(layer, seed)
        one.update(fused, IDS, grad)
        two.step(apart, apart.backward(IDS, grad, sparse=True))
        assert bytes_of(one, fused) == bytes_of(two, apart)
    assert fused.weight.tobytes() != layer.weight.tobytes()


def test_a_dense_step_moves_all_rows_but_the_reserved_ones(name: str, layer: Any) -> None:
    optimizer = EVERY[name](layer)
    dense = np.ones_like(layer.weight)
    before = layer.weight.copy()
    optimizer.step(layer, dense)
    moved = (layer.weight != before).all(axis=1)
    still = set(np.flatnonzero(~moved))
    assert still == ({2} if isinstance(layer, nb.ScaledEmbedding | nb.ScaledEmbeddingBag) else set(layer.reserved_rows))


def test_state_has_torch_s_names_and_is_live(name: str, layer: Any) -> None:
    optimizer = EVERY[name](layer)
    state = optimizer.state(layer)
    assert set(state) == STATE[name]
    for key, array in state.items():
        if key == "step":
            assert array.shape == ()
            assert array.dtype == np.int64
        elif name == "rowwise_adagrad":
            slices = layer.num_hash_functions if getattr(layer, "combine", "") == "concat" else 1
            assert array.shape == (layer.weight.shape[0] * slices,)
        else:
            assert array.shape == layer.weight.shape
    before = bytes_of(optimizer, layer)
    optimizer.update(layer, IDS, grad_for(layer))
    after = bytes_of(optimizer, layer)
    assert all(before[key] != after[key] for key in before)
    optimizer.reset_state(layer)
    reset = {key: value for key, value in bytes_of(optimizer, layer).items() if key != "weight"}
    assert reset == {key: value for key, value in before.items() if key != "weight"}
    assert all(optimizer.state(layer)[key] is state[key] for key in state)


def test_a_start_beyond_float32_is_infinite() -> None:
    layer = nb.ZeroEmbedding(2, 1)
    optimizer = nb.Adagrad(layer, initial_accumulator_value=1e308)  # nothing warns: it rounds as IEEE 754 says (L33)
    assert np.isposinf(optimizer.state(layer)["sum"]).all()
    optimizer.reset_state(layer)
    assert np.isposinf(optimizer.state(layer)["sum"]).all()


def test_a_row_gradient_that_names_a_reserved_row_is_refused(name: str, layer: Any) -> None:
    optimizer = EVERY[name](layer)
    if not (layer.reserved_rows):
        return
    view = layer.gradient_view(layer.weight)
    last_reserved = layer.reserved_rows.stop * layer.num_slices - 1
    rows = np.array([last_reserved, last_reserved + 5])
    grad = nb.RowGrad(rows, np.ones((2, view.shape[1]), np.float32), view.shape[0])
    before = bytes_of(optimizer, layer)
    with pytest.raises(ValueError, match=f"row {last_reserved}, which is reserved"):
        optimizer.step(layer, grad)
    assert bytes_of(optimizer, layer) == before


@pytest.mark.parametrize(
    ("grad", "error"),
    [
        (np.ones((30, 4), dtype=int), TypeError),
        (np.ones((30, 4), dtype=complex), TypeError),
        (np.ones((30, 5)), ValueError),
        (np.ones((29, 4)), ValueError),
        (nb.RowGrad(np.array([1]), np.ones((1, 4)), 30), TypeError),
        (nb.RowGrad(np.array([1]), np.ones((1, 3), np.float32), 30), ValueError),
        (nb.RowGrad(np.array([1]), np.ones((1, 4), np.float32), 31), ValueError),
        ("gradient", TypeError),
    ],
    ids=["integer", "complex", "wide", "short", "float64 rows", "narrow rows", "tall rows", "text"],
)
def test_a_gradient_that_does_not_fit_writes_nothing(name: str, grad: Any, error: type[Exception]) -> None:
    layer = nb.ScaledEmbedding(30, 4, rng=0)
    optimizer = EVERY[name](layer)
    before = bytes_of(optimizer, layer)
    with pytest.raises(error, match="`grad`"):
        optimizer.step(layer, grad)
    assert bytes_of(optimizer, layer) == before


def test_rows_written_into_a_gradient_after_its_checks_are_found(name: str) -> None:
    layer = nb.ScaledEmbedding(30, 4, rng=0)
    optimizer = EVERY[name](layer)
    grad = layer.backward([1, 2], np.ones((2, 4)), sparse=True)
    assert isinstance(grad, nb.RowGrad)
    grad.rows[1] = 10**9
    before = bytes_of(optimizer, layer)
    with pytest.raises(IndexError, match="1000000000"):
        optimizer.step(layer, grad)
    assert bytes_of(optimizer, layer) == before


@pytest.mark.parametrize(
    ("ids", "grad", "error"),
    [
        ([30], np.ones((1, 4)), IndexError),
        ([-1], np.ones((1, 4)), IndexError),
        ([1.0], np.ones((1, 4)), TypeError),
        ([1], np.ones((2, 4)), ValueError),
        ([1], np.ones((1, 3)), ValueError),
        ([1], np.ones((1, 4), dtype=int), TypeError),
    ],
)
def test_an_update_that_raises_writes_nothing(name: str, ids: Any, grad: Any, error: type[Exception]) -> None:
    layer = nb.ScaledEmbedding(30, 4, rng=0)
    optimizer = EVERY[name](layer)
    before = bytes_of(optimizer, layer)
    with pytest.raises(error):
        optimizer.update(layer, ids, grad)
    assert bytes_of(optimizer, layer) == before


def test_the_table_itself_may_be_the_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npbloom.ops._steps.BLOCK", 8)  # two rows are applied before the next two are summed
    layer, twin = nb.ScaledEmbedding(30, 4, rng=0), nb.ScaledEmbedding(30, 4, rng=0)
    ids = np.arange(29, -1, -1)
    one, two = EVERY[name](layer), EVERY[name](twin)
    one.update(layer, ids, layer.weight)
    two.update(twin, ids, twin.weight.copy())
    assert bytes_of(one, layer) == bytes_of(two, twin)


def test_an_empty_batch_only_counts(name: str, layer: Any) -> None:
    optimizer = EVERY[name](layer)
    before = bytes_of(optimizer, layer)
    shape = (0, 3) if hasattr(layer, "mode") else (0,)
    optimizer.update(layer, np.zeros(shape, dtype=int), np.zeros((0, 4)))
    after = bytes_of(optimizer, layer)
    assert {key for key in before if before[key] != after[key]} == STATE[name] & {"step"}


def test_a_strange_layer_is_a_key_error_with_a_sentence(name: str) -> None:
    layer, strange = nb.ScaledEmbedding(5, 2), nb.ScaledEmbedding(5, 2)
    optimizer = EVERY[name]([layer])
    for call in (
        lambda: optimizer.step(strange, np.zeros((5, 2))),
        lambda: optimizer.update(strange, [1], [[1.0, 1.0]]),
        lambda: optimizer.state(strange),
        lambda: optimizer.reset_state(strange),
        lambda: optimizer.state([1]),
    ):
        with pytest.raises(KeyError, match="was not constructed on"):
            call()


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_of_layers_and_optimizer_know_each_other(name: str, layer: Any, twin_of: Callable[[Any], Any]) -> None:
    optimizer = EVERY[name](layer)
    optimizer.update(layer, IDS, grad_for(layer))
    twin_optimizer, twin = twin_of((optimizer, layer))
    assert repr(twin_optimizer) == repr(optimizer)
    assert bytes_of(twin_optimizer, twin) == bytes_of(optimizer, layer)
    optimizer.update(layer, IDS, grad_for(layer, 1))
    assert bytes_of(twin_optimizer, twin) != bytes_of(optimizer, layer)
    twin_optimizer.update(twin, IDS, grad_for(layer, 1))
    assert bytes_of(twin_optimizer, twin) == bytes_of(optimizer, layer)


def test_one_optimizer_serves_several_layers_of_different_dtypes(name: str) -> None:
    layers = [nb.ScaledEmbedding(9, 2, rng=0), nb.ZeroEmbedding(4, 3, dtype="float64")]
    optimizer = EVERY[name](iter(layers))
    assert optimizer.layers == tuple(layers)
    for layer in layers:
        optimizer.update(layer, [1], np.ones((1, layer.embedding_dim)))
        for key, array in optimizer.state(layer).items():
            assert key == "step" or array.dtype == layer.dtype


def test_only_the_rate_can_be_assigned(name: str) -> None:
    layer = nb.ScaledEmbedding(9, 2, rng=0)
    optimizer = EVERY[name](layer)
    before = layer.weight.copy()
    optimizer.lr = 0.0
    optimizer.update(layer, [1], [[1.0, 1.0]])
    np.testing.assert_array_equal(layer.weight, before)
    for bad, error in ((-1.0, ValueError), (float("nan"), ValueError), ("fast", TypeError)):
        with pytest.raises(error, match="`lr`"):
            optimizer.lr = bad
    assert optimizer.lr == 0.0
    with pytest.raises(AttributeError, match="fixed at construction"):
        optimizer.weight_decay = 0.5


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda layer: nb.SGD(layer, lr=-0.1), ValueError, "`lr`"),
        (lambda layer: nb.SGD(layer, 0.1, momentum=-1), ValueError, "`momentum`"),
        (lambda layer: nb.SGD(layer, 0.1, weight_decay=float("nan")), ValueError, "`weight_decay`"),
        (lambda layer: nb.Adagrad(layer, eps=-1), ValueError, "`eps`"),
        (lambda layer: nb.Adagrad(layer, lr_decay=-1), ValueError, "`lr_decay`"),
        (lambda layer: nb.Adagrad(layer, initial_accumulator_value=-1), ValueError, "`initial_accumulator_value`"),
        (lambda layer: nb.RowWiseAdagrad(layer, eps="small"), TypeError, "`eps`"),
        (lambda layer: nb.Adam(layer, betas=(0.9, 1.0)), ValueError, r"`betas\[1\]`"),
        (lambda layer: nb.Adam(layer, betas=(-0.1, 0.9)), ValueError, r"`betas\[0\]`"),
        (lambda layer: nb.Adam(layer, betas=0.9), ValueError, "`betas`"),
        (lambda layer: nb.SGD([layer, layer], 0.1), ValueError, "position 1 occurs before"),
        (lambda layer: nb.SGD([], 0.1), ValueError, "at least one"),
        (lambda layer: nb.SGD([layer.weight], 0.1), TypeError, "ndarray at position 0"),
    ],
)
def test_settings_out_of_range_are_refused(call: Callable[[Any], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(nb.ScaledEmbedding(5, 2, rng=0))


def test_features_that_do_not_exist_have_no_argument() -> None:
    layer = nb.ScaledEmbedding(5, 2, rng=0)
    for make, argument in ((nb.SGD, "nesterov"), (nb.SGD, "dampening"), (nb.Adam, "amsgrad"), (nb.Adam, "decoupled")):
        with pytest.raises(TypeError, match=argument):
            make(layer, lr=0.1, **{argument: True})
