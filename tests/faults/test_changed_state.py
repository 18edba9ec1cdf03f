"""
State of optimizers that was changed after construction.

It is refused before a step, a file or a reset, and never shared.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

import npbloom as nb
from npbloom import checkpoint
from tests.support._bits import assert_same_bits
from tests.support._files import contents, sealed
from tests.support._layers import DIM, LAYERS, OPTIMIZERS, ROWS, gradient, table


@pytest.mark.parametrize("step", [-1, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("make", [nb.Adam, nb.Adagrad])
def test_a_counter_that_nothing_has_counted_is_refused(make: Any, step: int, tmp_path: Path) -> None:
    layer = LAYERS["ScaledEmbedding"]()
    optimizer = make(layer, lr=0.5)
    optimizer.state(layer)["step"][...] = step
    before = layer.weight.copy()
    calls = [
        lambda: optimizer.update(layer, [1], gradient((1, DIM))),
        lambda: optimizer.step(layer, np.ones((ROWS, DIM), np.float32)),
        lambda: checkpoint.save(tmp_path / "model", {"it": layer}, optimizer),
        lambda: make(layer, state={layer: optimizer.state(layer)}),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^`state\['step'\]` must be (at least 0|less than 2\*\*63 - 1), not "):
            call()
    assert not (tmp_path / "model").exists()
    assert_same_bits(layer.weight, before)
    optimizer.reset_state(layer)
    optimizer.update(layer, [1], gradient((1, DIM)))
    assert np.isfinite(layer.weight).all()


@pytest.mark.parametrize("make", [nb.Adam, nb.Adagrad])
def test_every_counter_that_a_step_leaves_is_saved(make: Any, tmp_path: Path) -> None:
    layer = LAYERS["ScaledEmbedding"]()
    optimizer = make(layer, lr=0.5)
    optimizer.state(layer)["step"][...] = 2**63 - 3
    optimizer.update(layer, [1], gradient((1, DIM)))
    checkpoint.save(tmp_path / "model", {"it": layer}, optimizer)
    found = checkpoint.load(tmp_path / "model")
    assert found.optimizer is not None
    assert found.optimizer.state(found.layers["it"])["step"] == 2**63 - 2
    for last, its in ((optimizer, layer), (found.optimizer, found.layers["it"])):
        with pytest.raises(ValueError, match=r"^`state\['step'\]` must be less than 2\*\*63 - 2, not 9223372036854775806\.$"):
            last.update(its, [1], gradient((1, DIM)))
        assert last.state(its)["step"] == 2**63 - 2


@pytest.mark.parametrize(("make", "key"), [(nb.Adam, "exp_avg_sq"), (nb.Adagrad, "sum"), (nb.RowWiseAdagrad, "sum")])
def test_squares_below_zero_are_neither_adopted_nor_saved(make: Any, key: str, tmp_path: Path) -> None:
    layer = LAYERS["ScaledEmbedding"]()
    optimizer = make(layer, lr=0.5)
    squares = optimizer.state(layer)[key]
    squares[0] = np.nan  # what a step on NaN leaves (L33)
    checkpoint.save(tmp_path / "nan", {"it": layer}, optimizer)
    make(layer, state={layer: optimizer.state(layer)})
    for bad in (-1.5, -np.inf, -1e-40):
        squares[1] = bad
        for call in (
            lambda: checkpoint.save(tmp_path / "model", {"it": layer}, optimizer),
            lambda: make(layer, state={layer: optimizer.state(layer)}),
        ):
            with pytest.raises(
                ValueError, match=rf"^`state\['{key}'\]` must be at least 0, not -\S+ at position (1|\(1, 0\))\.$"
            ):
                call()
    assert not (tmp_path / "model").exists()
    optimizer.state(layer)[key] = squares.copy()
    with pytest.raises(ValueError, match=rf"^`state\['{key}'\]` must be at least 0, not "):
        optimizer.update(layer, [1], gradient((1, DIM)))


def test_squares_below_zero_are_refused_where_the_tensors_are_read(saved: Path, tmp_path: Path) -> None:
    tensors, metadata = contents(saved)
    tensors["optimizer.users.exp_avg_sq"][2, 1] = -1
    safetensors_numpy.save_file(tensors, saved, sealed(tensors, metadata))
    words = re.escape("`state['exp_avg_sq']` must be at least 0, not -1 at position (2, 1).")
    with pytest.raises(ValueError, match=f": {words}$"):
        checkpoint.load(saved)
    mapped = checkpoint.load(saved, mmap=True)
    with pytest.raises(ValueError, match=f"^{words}$"):
        checkpoint.save(tmp_path / "again", mapped.layers, mapped.optimizer)


def test_squares_of_mapped_files_are_not_read(tmp_path: Path) -> None:
    layer = nb.ZeroEmbedding(ROWS, DIM)
    mapped = np.lib.format.open_memmap(tmp_path / "sum.npy", "w+", np.float32, (ROWS,))
    mapped[0] = -1
    optimizer = nb.RowWiseAdagrad(layer, state={layer: {"sum": mapped}})
    with pytest.raises(ValueError, match=r"^`state\['sum'\]` must be at least 0, not -1 at position 0\.$"):
        checkpoint.save(tmp_path / "model", {"it": layer}, optimizer)


@pytest.mark.parametrize("name", ["Adam", "SGD with momentum", "Adagrad", "RowWiseAdagrad"])
def test_state_that_is_replaced_by_memory_of_another_is_refused(name: str) -> None:
    first, second = LAYERS["ScaledEmbedding"](), LAYERS["ZeroEmbedding"]()
    optimizer = OPTIMIZERS[name]([first, second])
    state = optimizer.state(first)
    key = next(iter(state))
    own = state[key]
    size = own.size
    taken = [first.weight, second.weight, optimizer.state(second)[key], *(state[k] for k in state if k not in (key, "step"))]
    for other in taken:
        state[key] = other.reshape(-1)[:size].reshape(own.shape)
        for call in (
            lambda: optimizer.update(first, [1], gradient((1, DIM))),
            lambda: optimizer.step(first, np.ones((ROWS, DIM), np.float32)),
        ):
            with pytest.raises(ValueError, match=r"^`state\['\w+'\]` must be memory of its own; it overlaps "):
                call()
    state[key] = own.copy()
    optimizer.update(first, [1], gradient((1, DIM)))
    assert state[key].any()


@pytest.mark.parametrize("name", ["Adam", "SGD with momentum", "Adagrad", "RowWiseAdagrad"])
def test_a_state_that_cannot_be_reset_is_left_as_it_is(name: str) -> None:
    layer = LAYERS["ScaledEmbedding"]()
    optimizer = OPTIMIZERS[name]([layer])
    optimizer.update(layer, [1], gradient((1, DIM)))
    state = optimizer.state(layer)
    before = {key: array.copy() for key, array in state.items()}
    last = [key for key in state if key != "step"][-1]
    state[last].flags.writeable = False
    with pytest.raises(ValueError, match=r"^`state\['\w+'\]` must be writable"):
        optimizer.reset_state(layer)
    assert_same_bits(tuple(state.values()), tuple(before.values()))


def test_layers_that_read_the_same_memory_as_other_numbers_are_not_saved(tmp_path: Path) -> None:
    wide = table(4, 2, np.float64)
    narrow = np.ndarray((4, 2), np.float32, wide)
    layers = {"wide": nb.ScaledEmbedding(4, 2, weight=wide), "narrow": nb.ScaledEmbedding(4, 2, weight=narrow)}
    with pytest.raises(ValueError, match=r"^`layers` must not hold tables that overlap .* 'wide' and 'narrow'\.$"):
        checkpoint.save(tmp_path / "model", layers)
    assert not (tmp_path / "model").exists()
