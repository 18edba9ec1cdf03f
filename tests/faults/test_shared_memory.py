"""Inputs that share memory with the written arrays are read as they were; state may not share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from tests.support._bits import assert_same_bits
from tests.support._layers import DIM, LAYERS, OPTIMIZERS, ROWS, gradient


def everything(optimizer: Any, layer: Any) -> list[np.ndarray]:
    """Return copies of table and state."""
    return [layer.weight.copy(), *(array.copy() for array in optimizer.state(layer).values())]


class Interface:
    """An array that gives its memory by `__array__`."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array


@pytest.mark.parametrize("wrap", [np.asarray, memoryview, Interface], ids=["array", "buffer", "interface"])
@pytest.mark.parametrize("source", ["weight", "state"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_gradient_in_memory_that_the_step_writes_to(make: Any, source: str, wrap: Any) -> None:
    rows = 64
    results = []
    for copied in (True, False):
        layer = nb.ScaledEmbedding(rows, DIM, rng=0)
        optimizer = make([layer])
        for array in optimizer.state(layer).values():
            array[...] = 1
        arrays = [layer.weight, *(array for array in optimizer.state(layer).values() if array.shape == (rows, DIM))]
        grad = arrays[0] if source == "weight" else arrays[-1]
        ids = np.arange(rows)[::-1]  # the first id's gradient is the last row
        optimizer.update(layer, ids, grad.copy() if copied else wrap(grad))
        shifted = nb.RowGrad(np.arange(10, rows), grad[:-10].copy() if copied else grad[:-10], rows)
        optimizer.step(layer, shifted)
        results.append(everything(optimizer, layer))
    assert_same_bits(results[1], results[0])


@pytest.mark.parametrize("dim", [1, 4])
@pytest.mark.parametrize("name", ["SGD", "SGD with momentum", "Adagrad", "RowWiseAdagrad", "Adam"])
@pytest.mark.parametrize("source", ["weight", "state"])
def test_rows_of_a_gradient_in_memory_that_the_step_writes_to(source: str, name: str, dim: int) -> None:
    count = 500
    results = []
    for copied in (True, False):
        layer = nb.ScaledEmbedding(count + 1, dim, weight=np.zeros((count + 1, dim)))
        optimizer = OPTIMIZERS[name]([layer])
        arrays = [array for array in optimizer.state(layer).values() if array.ndim]
        memory = arrays[-1] if source == "state" and arrays else layer.weight
        rows = memory.reshape(-1).view(np.int64)[:count]
        rows[:] = np.arange(1, count + 1)  # tiny numbers; a step on row 1 overwrites the second, and so on
        values = np.ones((count, dim))
        optimizer.step(layer, nb.RowGrad(rows.copy() if copied else rows, values, count + 1))
        results.append(everything(optimizer, layer))
    assert_same_bits(results[1], results[0])


@pytest.mark.parametrize("name", ["ScaledEmbeddingBag", "BloomEmbeddingBag"])
def test_weights_of_samples_in_the_table(name: str) -> None:
    results = []
    for copied in (True, False):
        layer = LAYERS[name](weight=None, rng=0, mode="sum")
        weights = layer.weight.reshape(-1)[: ROWS * 2].reshape(ROWS, 2)
        optimizer = nb.SGD(layer, lr=0.5)
        indices = np.arange(2 * ROWS).reshape(ROWS, 2)[::-1] % ROWS
        grad = gradient((ROWS, DIM))
        optimizer.update(layer, indices, grad, per_sample_weights=weights.copy() if copied else weights)
        results.append(everything(optimizer, layer))
    assert_same_bits(results[1], results[0])


def test_a_dense_gradient_that_overlaps_the_table() -> None:
    for update, state in ((nb.ops.sgd_update, 0), (nb.ops.adagrad_update, 1), (nb.ops.rowwise_adagrad_update, 1)):
        memory = np.linspace(-1, 1, 240).astype(np.float32)
        for first in (0, 20, 40):
            base = memory.copy()
            table, grad = base[20:220].reshape(50, 4), base[first : first + 200].reshape(50, 4)
            sums = [np.ones((50,) if update is nb.ops.rowwise_adagrad_update else (50, 4), np.float32) for _ in range(2)]
            expected = table.copy()
            update(expected, *sums[:state], grad.copy(), 0.5)
            update(table, *sums[1 : 1 + state], grad, 0.5)
            assert_same_bits(table, expected)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_ids_and_weights_in_a_table_that_max_norm_scales(kind: Any) -> None:
    for name in ("ScaledEmbedding", "ZeroEmbedding", "ScaledEmbeddingBag"):
        results = []
        for copied in (True, False):
            weight = np.full((20, 4), 3.0, kind)
            ids = weight[6, :2].view(np.int64)  # row 6, which is looked up and scaled
            ids[0], ids[1:] = 6, 5
            weight[5, 0] = 2.0
            more: dict[str, Any] = {"mode": "sum"} if name.endswith("Bag") else {}
            layer = getattr(nb, name)(20, 4, max_norm=1e-300, norm_type=np.inf, weight=weight, **more)
            arguments: list[Any] = [ids.copy() if copied else ids]
            if more:
                factors = weight[5][: len(ids)]
                arguments += [[0, 1], factors.copy() if copied else factors]
            with np.errstate(over="ignore"):
                results.append([layer(*arguments), weight])
        assert_same_bits(results[1], results[0])
        assert not np.array_equal(results[0][1][6].view(np.int64)[:1], [6])  # row 6 was scaled: its ids are others now


def state_arrays(rows: int = 9) -> dict[str, tuple[Callable[..., None], tuple[str, ...]]]:
    """Return functions that write to state, and the names of their state."""
    return {
        "sgd": (lambda w, g, b: nb.ops.sgd_update(w, g, 0.1, momentum=0.5, momentum_buffer=b), ("momentum_buffer",)),
        "adagrad": (lambda w, g, s: nb.ops.adagrad_update(w, s, g, 0.1), ("state_sum",)),
        "rowwise": (lambda w, g, s: nb.ops.rowwise_adagrad_update(w, s.reshape(-1)[: len(w)], g, 0.1), ("state_sum",)),
        "adam": (lambda w, g, m, v: nb.ops.adam_update(w, m, v, g, 0.1, 1), ("exp_avg", "exp_avg_sq")),
    }


@pytest.mark.parametrize("name", state_arrays())
def test_functions_refuse_state_in_the_table_and_in_other_state(name: str) -> None:
    update, names = state_arrays()[name]
    memory = np.ones((30, DIM))
    weight, grad = memory[:9], nb.RowGrad(np.array([1, 4]), np.ones((2, DIM)), 9)
    for overlapping in (memory[:9], memory[4:13]):
        for place in range(len(names)):
            state = [np.ones((9, DIM)) for _ in names]
            state[place] = overlapping
            with pytest.raises(ValueError, match=rf"^`{names[place]}` must be memory of its own; it overlaps `weight`\.$"):
                update(weight, grad, *state)
    if len(names) == 2:
        with pytest.raises(ValueError, match=r"^`exp_avg_sq` must be memory of its own; it overlaps `exp_avg`\.$"):
            update(weight, grad, memory[10:19], memory[18:27])
    assert_same_bits(memory, np.ones((30, DIM)))


@pytest.mark.parametrize("spoil", ["flat", "deeper", "rows deeper", "moved", "narrow"])
def test_a_row_grad_that_was_changed_is_refused(spoil: str) -> None:
    layer = nb.ScaledEmbedding(9, DIM, rng=0)
    grad = nb.RowGrad(np.array([1, 4]), np.ones((2, DIM), np.float32), 9)
    if spoil == "flat":
        grad.values.shape = (2 * DIM,)
    elif spoil == "deeper":
        grad.values.shape = (2, DIM, 1)
    elif spoil == "rows deeper":
        grad.rows.shape = (1, 2)
    elif spoil == "moved":
        grad.rows[1] = 9
    else:
        grad.values.shape = (2 * DIM, 1)
    before = layer.weight.copy()
    with pytest.raises((ValueError, IndexError), match=r"^`(values|rows)` must "):
        nb.SGD(layer, lr=0.1).step(layer, grad)
    assert_same_bits(layer.weight, before)
