"""Unusual arrays: read-only, replaced, of other kinds, empty, enormous, full of NaN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from tests.support._bits import assert_same_bits
from tests.support._layers import DIM, LAYERS, OPTIMIZERS, gradient, is_bag

MODES = ("sum", "mean", "max")


# ---- arrays of the caller's that change under an optimizer ---------------------------------------


def closed(layer: Any, optimizer: Any) -> None:
    layer.weight.flags.writeable = False


def reshaped(layer: Any, optimizer: Any) -> None:
    layer.weight.shape = (layer.weight.size // 2, 2)


def closed_state(layer: Any, optimizer: Any) -> None:
    optimizer.state(layer)["sum"].flags.writeable = False


def reshaped_state(layer: Any, optimizer: Any) -> None:
    optimizer.state(layer)["sum"].shape = (-1,)


def replaced_state(layer: Any, optimizer: Any) -> None:
    optimizer.state(layer)["sum"] = np.zeros((1, 1), np.float32)


def wider_state(layer: Any, optimizer: Any) -> None:
    optimizer.state(layer)["sum"] = optimizer.state(layer)["sum"].astype(np.float64)


def missing_state(layer: Any, optimizer: Any) -> None:
    del optimizer.state(layer)["sum"]


def step_as_a_number(layer: Any, optimizer: Any) -> None:
    optimizer.state(layer)["step"] = 3


SPOILERS = [closed, reshaped, closed_state, reshaped_state, replaced_state, wider_state, missing_state, step_as_a_number]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("name", LAYERS)
def test_what_was_spoiled_after_construction_is_refused_before_a_step(name: str, spoil: Callable[..., None]) -> None:
    layer = LAYERS[name](weight=None, rng=0)
    optimizer = nb.Adagrad(layer)
    spoil(layer, optimizer)
    before = [np.array(array) for array in (layer.weight, *optimizer.state(layer).values())]
    shape = (2, DIM) if is_bag(layer) else (2, 2, DIM)
    dense = np.ones(layer.table_shape, np.float32)
    for call in (lambda: optimizer.update(layer, [[1, 2], [3, 3]], gradient(shape)), lambda: optimizer.step(layer, dense)):
        with pytest.raises((ValueError, TypeError), match=r"`(weight|state)"):
            call()
    assert_same_bits([np.array(array) for array in (layer.weight, *optimizer.state(layer).values())], before)


# ---- kinds of arrays -----------------------------------------------------------------------------


class Strange(np.ndarray):
    """A subclass of ndarray with rules of its own; computing with it raises an error."""

    def __array_ufunc__(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("a ufunc was called on the caller's class")

    def __getitem__(self, key: Any) -> Any:
        raise AssertionError("the caller's class was indexed")


@pytest.mark.parametrize("name", LAYERS)
def test_subclasses_are_read_as_the_arrays_they_are(name: str) -> None:
    results = []
    for kind in (np.ndarray, Strange):
        table = LAYERS[name]().weight.copy().view(kind)
        layer = LAYERS[name](weight=table)
        assert layer.weight is table
        optimizer = nb.Adam(layer)
        ids = np.array([[1, 2], [6, 6]]).view(kind)
        out = layer(ids)
        assert type(out) is np.ndarray
        optimizer.update(layer, ids, gradient(out.shape).view(kind))
        optimizer.step(layer, np.ones(layer.weight.shape, np.float32).view(kind))
        results.append([out, table.view(np.ndarray), layer.backward(ids, gradient(out.shape).view(kind), sparse=True)])
    assert_same_bits(results[1], results[0])


@pytest.mark.parametrize("order", [">", "<"])
def test_either_byte_order_is_read(order: str) -> None:
    layer, twin = LAYERS["BloomEmbeddingBag"](mode="sum"), LAYERS["BloomEmbeddingBag"](mode="sum")
    arguments = ([1, 2, 6], [0, 2], [0.5, 2.0, 1.0])
    indices, offsets, weights = (np.array(a).astype(f"{order}{kind}8") for a, kind in zip(arguments, "iif", strict=True))
    assert_same_bits(layer(indices, offsets, weights), twin(*arguments))
    nb.Adagrad(layer).update(layer, indices, gradient((2, DIM)).astype(f"{order}f8"), offsets=offsets, per_sample_weights=weights)
    nb.Adagrad(twin).update(twin, arguments[0], gradient((2, DIM)), offsets=arguments[1], per_sample_weights=arguments[2])
    assert_same_bits(layer.weight, twin.weight)


# ---- nothing at all ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("name", LAYERS)
def test_empty_batches_of_every_shape(name: str, make: Any) -> None:
    layer = LAYERS[name]()
    before = layer.weight.copy()
    optimizer = make([layer])
    shapes = [((0,), []), ((0, 3), None), ((0, 0), None), ((3, 0), None)] if is_bag(layer) else [(0,), (0, 3), (3, 0), (2, 0, 4)]
    for shape in shapes:
        if is_bag(layer):
            shape, offsets = shape
            count = shape[0] if len(shape) == 2 else 0
            more = {"offsets": offsets}
        else:
            count, more = shape, {}
        ids = np.empty(shape, np.int64)
        leading = (count,) if isinstance(count, int) else count
        out = layer(ids, **more)
        assert out.shape == (*leading, DIM)
        assert not out.any()
        grad = np.ones((*leading, DIM))
        found = layer.backward(ids, grad, **more, sparse=True)
        assert (found.rows.size, found.values.shape) == (0, (0, DIM))
        assert not layer.backward(ids, grad, **more, sparse=False).any()
        optimizer.update(layer, ids, grad, **more)
        optimizer.step(layer, found)
    assert_same_bits(layer.weight, before)


# ---- numbers -------------------------------------------------------------------------------------

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40, 5e-324, 2.5e-308, 3.4e38, 1e-38, 1.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_numbers_are_the_reference_s_in_every_place(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        values = np.array(SPECIAL).astype(dtype)
        for number in range(20):
            table, grad, state = (rng.choice(values, size) for size in ((9, 8), (24, 8), (9, 8)))
            ids = rng.integers(0, 9, (24, 3))
            weights = rng.choice(values, (24, 3))
            state = np.abs(state)
            for mode in MODES:
                more = {"per_sample_weights": weights} if mode == "sum" else {}
                found = [module.embedding_bag_forward(table, ids, mode=mode, **more) for module in (nb.ops, nb.reference)]
                assert_same_bits(*found)
                found = [module.embedding_bag_backward(table, ids, grad, mode=mode, **more) for module in (nb.ops, nb.reference)]
                assert_same_bits(*found)
            row_grad = found[0]
            scalars = {"weight_decay": float(number % 2)}
            assert_updates_agree("sgd_update", [table], row_grad, **scalars)
            assert_updates_agree("adagrad_update", [table, state], row_grad, **scalars)
            assert_updates_agree("rowwise_adagrad_update", [table, state[:, 0].copy()], row_grad, **scalars)
            written = [table.copy(), state.copy(), state.copy()]
            nb.ops.adam_update(*written, row_grad, 0.1, 3)
            assert_same_bits(tuple(written), nb.reference.adam_update(table, state, state, row_grad, 0.1, 3))


def assert_updates_agree(name: str, arrays: list[np.ndarray], grad: nb.RowGrad, **options: Any) -> None:
    """Check that both modules compute the same update."""
    written = [array.copy() for array in arrays]
    getattr(nb.ops, name)(*written, grad, 0.1, **options)
    assert_same_bits(tuple(written), getattr(nb.reference, name)(*arrays, grad, 0.1, **options))


# ---- beyond 32 bits ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD with momentum", "Adagrad", "RowWiseAdagrad", "Adam"])
@pytest.mark.parametrize("shape", [(2**31 + 3, 1), (2**21 + 3, 1024)], ids=["rows", "items"])
def test_rows_beyond_the_reach_of_32_bits(shape: tuple[int, int], name: str, tmp_path: Path) -> None:
    rows, dim = shape
    make = OPTIMIZERS[name]
    table = np.memmap(tmp_path / "weight", np.float32, "w+", shape=shape)  # 8.6 GB, of which a few pages are ever there
    last = np.array([0, 1, rows // 2, rows - 2, rows - 1])
    table[last] = small = np.random.default_rng(0).standard_normal((5, dim), np.float32)
    layer, twin = nb.ScaledEmbedding(rows, dim, weight=table), nb.ScaledEmbedding(5, dim, weight=small.copy())
    small_optimizer = make([twin])
    state = {
        name: np.memmap(tmp_path / name, array.dtype, "w+", shape=(rows, *array.shape[1:]) if array.ndim else ())
        for name, array in small_optimizer.state(twin).items()
    }
    for name, array in small_optimizer.state(twin).items():
        state[name][... if array.ndim == 0 else last] = array
    settings = {name: getattr(small_optimizer, name) for name in small_optimizer.hyperparameters}
    optimizer = type(small_optimizer)(layer, **settings, state={layer: state})
    ids = np.random.default_rng(1).integers(0, 5, 300)
    for step in range(2):
        grad = np.random.default_rng(step).standard_normal((300, dim), np.float32)
        assert_same_bits(layer(last[ids]), twin(ids))
        found, expected = layer.backward(last[ids], grad, sparse=True), twin.backward(ids, grad, sparse=True)
        assert_same_bits(found.rows, last[expected.rows])
        assert_same_bits(found.values, expected.values)
        optimizer.update(layer, last[ids], grad)
        small_optimizer.update(twin, ids, grad)
        optimizer.step(layer, found)
        small_optimizer.step(twin, expected)
    assert_same_bits(np.array(table[last]), twin.weight)
    bag = nb.ScaledEmbeddingBag(rows, dim, weight=table, mode="max")
    small_bag = nb.ScaledEmbeddingBag(5, dim, weight=twin.weight, mode="max")
    assert_same_bits(bag(last[ids].reshape(-1, 3)), small_bag(ids.reshape(-1, 3)))
    for path in tmp_path.iterdir():
        path.unlink()


def test_a_bloom_table_of_the_largest_height(tmp_path: Path) -> None:
    table = np.memmap(tmp_path / "weight", np.float32, "w+", shape=(2**31, 4))
    layer = nb.BloomEmbedding(2**40, 4, num_rows=2**31, combine="concat", weight=table)  # slices up to 2**33
    ids = np.array([0, 1, 2**31, 2**40 - 1, 1])
    state = np.memmap(tmp_path / "sum", np.float32, "w+", shape=(2**33,))
    optimizer = nb.RowWiseAdagrad(layer, lr=1.0, state={layer: {"sum": state}})
    grad = layer.backward(ids, np.ones((5, 4), np.float32))
    assert isinstance(grad, nb.RowGrad)
    assert grad.num_rows == 2**33
    expected = nb.reference.bloom_backward(ids, np.ones((5, 4), np.float32), layer.hashing, combine="concat")
    assert_same_bits(grad, expected)
    optimizer.update(layer, ids, np.ones((5, 4), np.float32))
    assert_same_bits(np.array(state[grad.rows]), np.square(grad.values[:, 0]))
    assert (layer(ids)[1:] < 0).all()
    for path in tmp_path.iterdir():
        path.unlink()
