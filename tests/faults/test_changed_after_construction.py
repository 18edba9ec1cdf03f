"""Checks of constructors hold later: attributes cannot be set, and calls refuse changed tables."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from npbloom import checkpoint, interop
from npbloom.coding import BloomCoder
from tests.faults._small_layers import ONE_BAG, layer_of
from tests.support._bits import assert_same_bits
from tests.support._layers import DIM, LAYERS, gradient, is_bag

# ---- the table -----------------------------------------------------------------------------------


def transposed(weight: np.ndarray) -> None:
    weight.shape = weight.shape[::-1]


def flattened(weight: np.ndarray) -> None:
    weight.shape = (1, weight.size)


def deeper(weight: np.ndarray) -> None:
    weight.shape = (*weight.shape, 1)


def shorter(weight: np.ndarray) -> None:
    weight.resize((2, weight.shape[1]), refcheck=False)


def longer(weight: np.ndarray) -> None:
    weight.resize((1000, weight.shape[1]), refcheck=False)


def emptied(weight: np.ndarray) -> None:
    weight.resize((0, 0), refcheck=False)


def retyped(weight: np.ndarray) -> None:
    weight.dtype = np.int32  # type: ignore[misc]


def widened(weight: np.ndarray) -> None:
    weight.dtype = np.float64  # type: ignore[misc]


def turned(weight: np.ndarray) -> None:
    weight.dtype = weight.dtype.newbyteorder()  # type: ignore[misc]


def strided(weight: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        weight.strides = (weight.strides[1], weight.strides[1])  # type: ignore[misc]


SPOILERS = [transposed, flattened, deeper, shorter, longer, emptied, retyped, widened, turned, strided]


def uses(layer: Any, optimizer: Any, path: Path) -> dict[str, Callable[[], Any]]:
    """Return all calls that read or write a table."""
    grad = gradient((1, DIM)) if is_bag(layer) else gradient((1, 3, DIM))
    calls: dict[str, Callable[[], Any]] = {
        "lookup": lambda: layer(ONE_BAG),
        "update": lambda: optimizer.update(layer, ONE_BAG, grad),
        "step": lambda: optimizer.step(layer, np.ones((layer.table_shape), np.float32)),
        "sparse step": lambda: optimizer.step(
            layer, nb.RowGrad(np.array([1]), np.ones((1, DIM), np.float32), layer.table_shape[0])
        ),
        "reset": lambda: layer.reset_parameters(rng=0),
        "save": lambda: checkpoint.save(path, {"it": layer}),
        "save with state": lambda: checkpoint.save(path, {"it": layer}, optimizer),
        "save beside another": lambda: checkpoint.save(path, {"other": nb.ZeroEmbedding(2, 2), "it": layer}),
        "pickle": lambda: pickle.dumps(layer),
        "deepcopy": lambda: copy.deepcopy(layer),
        "optimizer": lambda: nb.Adagrad(layer),
    }
    if is_bag(layer):
        calls["bag's backward"] = lambda: layer.backward(ONE_BAG, grad)
        calls["weights' backward"] = lambda: layer.backward_per_sample_weights(ONE_BAG, grad)
    if isinstance(layer, nb.BloomEmbedding):
        calls["to_spotlight"] = lambda: interop.to_spotlight(layer)
    elif not isinstance(layer, nb.BloomEmbeddingBag):
        calls["to_torch"] = lambda: interop.to_torch(layer)
        calls["max_norm"] = lambda: layer(ONE_BAG)
    return calls


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("kind", [*LAYERS, *(f"{name} max_norm" for name in LAYERS if "Bloom" not in name)])
def test_a_table_that_was_changed_is_refused_by_every_call(kind: str, spoil: Callable[[Any], None], tmp_path: Path) -> None:
    name, *norm = kind.split()
    options = {"max_norm": 0.1} if norm else {}
    layer = layer_of(name, **options, **({"mode": "sum"} if name.endswith("Bag") else {}))
    optimizer = nb.Adagrad(layer)
    path = tmp_path / "model"
    checkpoint.save(path, {"it": layer}, optimizer)
    whole = path.read_bytes()
    spoil(layer.weight)
    before = np.array(layer.weight, subok=False)
    for what, call in uses(layer, optimizer, path).items():
        with pytest.raises(ValueError, match=r"^`weight` must ") as caught:
            call()
        assert "\n" not in str(caught.value), what
    assert np.array_equal(before, layer.weight, equal_nan=True)
    assert all(array.sum() == 0 for array in optimizer.state(layer).values())
    assert path.read_bytes() == whole


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("name", ["ScaledEmbeddingBag", "BloomEmbeddingBag"])
def test_a_maximum_of_a_changed_table_has_no_gradient(name: str, spoil: Callable[[Any], None]) -> None:
    layer = layer_of(name, mode="max")
    spoil(layer.weight)
    for call in (lambda: layer(ONE_BAG), lambda: layer.backward(ONE_BAG, gradient((1, DIM)))):
        with pytest.raises(ValueError, match=r"^`weight` must "):
            call()


def test_the_gradient_of_a_plain_lookup_needs_no_table() -> None:
    for name in ("ScaledEmbedding", "BloomEmbedding"):
        layer, twin = layer_of(name), layer_of(name)
        transposed(layer.weight)
        for sparse in (True, False):
            grads = [each.backward([1, 2], gradient((2, DIM)), sparse=sparse) for each in (layer, twin)]
            assert_same_bits(*grads)
        assert layer.dtype == twin.dtype


@pytest.mark.parametrize("name", LAYERS)
def test_a_table_that_is_what_it_was_again_is_used_again(name: str) -> None:
    layer, twin = layer_of(name), layer_of(name)
    shape = layer.weight.shape
    transposed(layer.weight)
    layer.weight.shape = shape
    assert_same_bits(layer(ONE_BAG), twin(ONE_BAG))
    layer.weight.resize((100_000, DIM), refcheck=False)  # moves the memory
    layer.weight.resize(shape, refcheck=False)
    assert_same_bits(layer(ONE_BAG), twin(ONE_BAG))


@pytest.mark.parametrize("name", LAYERS)
def test_values_may_be_written_and_a_table_closed_and_opened(name: str) -> None:
    layer = layer_of(name)
    layer.weight[...] = 1
    once = layer(ONE_BAG)
    layer.weight *= 2
    assert_same_bits(layer(ONE_BAG), 2 * once)
    layer.weight.flags.writeable = False
    expected = layer(ONE_BAG)
    copied = pickle.loads(pickle.dumps(layer))
    assert not copied.weight.flags.writeable
    assert_same_bits(copied(ONE_BAG), expected)
    layer.weight.flags.writeable = True
    nb.SGD(layer, lr=1.0).update(layer, ONE_BAG, gradient((1, DIM) if is_bag(layer) else (1, 3, DIM)))


# ---- tables of hashes ----------------------------------------------------------------------------


def specs() -> dict[str, nb.HashSpec]:
    """Return specs with a table, from constructors, copies and pickles."""
    given = np.arange(20).reshape(10, 2) % 7
    spec = nb.HashSpec(10, 7, padding_idx=0, table=given)
    before = nb.HashSpec(10, 7, 2).with_rows(nb.hashing.hash_rows(np.arange(10), nb.HashSpec(10, 7, 2)).astype(np.int32))
    layer = nb.BloomEmbedding(10, DIM, num_rows=7, hash_table=given, rng=0)
    coder = BloomCoder(10, 7, table=given)
    made = {"given": spec, "computed": before, "layer": layer.hashing, "coder": coder._hashing}
    for word, copied in (("copy", copy.copy), ("deep", copy.deepcopy), ("pickled", lambda it: pickle.loads(pickle.dumps(it)))):
        made |= {f"{word} {name}": copied(it) for name, it in list(made.items())[:4]}
        made[f"{word} in a layer"] = copied(layer).hashing
        made[f"{word} in a coder"] = copied(coder)._hashing
    return made


@pytest.mark.parametrize("name", specs())
def test_a_hash_table_cannot_be_written_or_opened_or_resized(name: str) -> None:
    spec = specs()[name]
    rows = spec.table
    assert rows is not None
    with pytest.raises(ValueError, match="read-only"):
        rows[...] = 2**30
    with pytest.raises(ValueError, match="WRITEABLE"):
        rows.flags.writeable = True
    with pytest.raises(ValueError, match="resize"):
        rows.resize((1, 1), refcheck=False)
    with pytest.raises(AttributeError):
        spec.table = None  # type: ignore[misc]


@pytest.mark.parametrize("name", specs())
def test_a_hash_table_that_was_reshaped_changes_no_lookup(name: str, tmp_path: Path) -> None:
    spec = specs()[name]
    expected = nb.hashing.hash_rows(np.arange(10), spec)
    spec.table.shape = (2, 10)
    assert_same_bits(nb.hashing.hash_rows(np.arange(10), spec), expected)
    spec.table.dtype = np.int8
    assert_same_bits(nb.hashing.hash_rows(np.arange(10), spec), expected)
    assert_same_bits(nb.hashing.hash_rows(np.arange(10), copy.deepcopy(spec)), expected)


def test_a_layer_with_a_reshaped_hash_table_is_saved_as_it_was_made(tmp_path: Path) -> None:
    layer = nb.BloomEmbedding(10, DIM, num_rows=7, hash_table=np.arange(20).reshape(10, 2) % 7, rng=0)
    expected = layer(np.arange(10))
    layer.hashing.table.shape = (2, 10)  # type: ignore[union-attr]
    checkpoint.save(tmp_path / "model", {"it": layer})
    assert_same_bits(checkpoint.load(tmp_path / "model").layers["it"](np.arange(10)), expected)
    assert_same_bits(layer(np.arange(10)), expected)


def test_a_coder_with_a_reshaped_table_ranks_as_it_did() -> None:
    coder = BloomCoder(50, 9, 2, rng=0)
    log_probs = np.linspace(-3, -1, 9)[None]
    expected = (coder.log_likelihood(log_probs), coder.encode([[1, 2, 49]])[0], coder.top_k(log_probs, 3)[0])
    coder.table.shape = (2, 50)  # type: ignore[union-attr]
    assert_same_bits((coder.log_likelihood(log_probs), coder.encode([[1, 2, 49]])[0], coder.top_k(log_probs, 3)[0]), expected)


def test_threads_that_look_up_beside_changed_attributes_see_none() -> None:
    layer = layer_of("BloomEmbedding")
    expected = layer(ONE_BAG)
    failures: list[Any] = []

    def look_up() -> None:
        for _ in range(200):
            try:
                assert_same_bits(layer(ONE_BAG), expected)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=look_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        with pytest.raises(AttributeError):
            layer.num_hash_functions = 1
    for thread in threads:
        thread.join()
    assert not failures
