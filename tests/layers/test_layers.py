"""Behaviour that all five layers share: tables, attributes, options, copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npbloom as nb

Make = Callable[..., nb.layers.Layer]

EVERY: dict[str, Make] = {
    "ScaledEmbedding": lambda **more: nb.ScaledEmbedding(20, 4, padding_idx=3, **more),
    "ZeroEmbedding": lambda **more: nb.ZeroEmbedding(20, 4, **more),
    "ScaledEmbeddingBag": lambda **more: nb.ScaledEmbeddingBag(20, 4, mode="sum", **more),
    "BloomEmbedding": lambda **more: nb.BloomEmbedding(100, 4, **more),
    "BloomEmbeddingBag": lambda **more: nb.BloomEmbeddingBag(100, 4, combine="concat", **more),
}
IDS = np.array([[1, 2, 2], [7, 19, 1]])


@pytest.fixture(params=list(EVERY))
def make(request: pytest.FixtureRequest) -> Make:
    """Return a constructor of one of the five, 20 rows of 4 columns each."""
    return EVERY[request.param]


def run(layer: nb.layers.Layer) -> tuple[np.ndarray, nb.RowGrad]:
    """Run one forward and one sparse backward."""
    out = layer(IDS)  # type: ignore[operator]
    return out, layer.backward(IDS, np.ones_like(out), sparse=True)  # type: ignore[attr-defined]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_attributes_describe_the_table(make: Make, dtype: str) -> None:
    layer = make(dtype=dtype, rng=0)
    assert layer.weight.shape == (20, 4)
    assert layer.dtype == dtype == layer.weight.dtype
    assert layer.embedding_dim == 4
    assert layer.num_parameters == 80
    assert layer.nbytes == 80 * np.dtype(dtype).itemsize
    out, grad = run(layer)
    assert out.dtype == dtype == grad.values.dtype


def test_the_default_table_is_float32(make: Make) -> None:
    assert make().dtype == np.float32


def test_repr_is_the_constructor_call(make: Make) -> None:
    text = repr(make(rng=0, dtype="float64"))
    call, parameters = text.split("  # ")
    assert parameters == "80 parameters"
    again = eval(call, vars(nb))
    assert repr(again) == text


def test_a_weight_is_adopted_and_stays_the_same_array(make: Make) -> None:
    table = np.arange(80, dtype=np.float64).reshape(20, 4)
    before = table.copy()
    layer = make(weight=table)
    assert layer.weight is table
    np.testing.assert_array_equal(table, before)  # the padding row too (L8)
    with pytest.raises(AttributeError):
        layer.weight = table.copy()  # type: ignore[misc]
    table[:] = 1.0
    assert layer(IDS).max() >= 1.0  # type: ignore[operator]


def test_a_memmap_serves_as_table(make: Make, tmp_path: Path) -> None:
    table = np.memmap(tmp_path / "table", dtype=np.float32, mode="w+", shape=(20, 4))
    table[:] = 1.0
    layer = make(weight=table)
    assert layer.weight is table
    out, grad = run(layer)
    nb.SGD(layer, lr=1.0).step(layer, grad)
    table.flush()
    written = np.fromfile(tmp_path / "table", dtype=np.float32)
    assert (written != 1.0).any()
    assert type(out) is np.ndarray


def test_a_read_only_table_makes_a_layer_that_only_looks_up(make: Make) -> None:
    table = np.ones((20, 4), dtype=np.float32)
    table.flags.writeable = False
    layer = make(weight=table)
    run(layer)
    with pytest.raises(ValueError, match="read-only"):
        nb.SGD(layer, lr=0.1)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert not twin.weight.flags.writeable


@pytest.mark.parametrize(
    "table",
    [
        np.zeros((20, 5), np.float32),
        np.zeros((19, 4), np.float32),
        np.zeros(80, np.float32),
        np.zeros((20, 4), np.float16),
        np.zeros((20, 4), np.int64),
        np.zeros((20, 4), ">f4"),
        np.zeros((20, 8), np.float32)[:, ::2],
        np.asfortranarray(np.zeros((20, 4), np.float32)),
    ],
    ids=["wide", "short", "flat", "float16", "integer", "big-endian", "strided", "fortran"],
)
def test_a_table_that_does_not_fit_is_refused(make: Make, table: np.ndarray) -> None:
    with pytest.raises(ValueError, match="`weight`"):
        make(weight=table)


def test_what_contradicts_a_weight_is_refused(make: Make) -> None:
    table = np.zeros((20, 4), np.float32)
    with pytest.raises(ValueError, match="`dtype`"):
        make(weight=table, dtype="float64")
    with pytest.raises(ValueError, match="`rng`"):
        make(weight=table, rng=0)
    with pytest.raises(TypeError, match="`weight`"):
        make(weight=table.tolist())
    assert make(weight=table, dtype="float32").weight is table


@pytest.mark.parametrize(("rng", "error"), [("seed", TypeError), (1.5, TypeError), (-1, ValueError)])
def test_a_source_of_randomness_that_is_none_is_refused(make: Make, rng: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="`rng`"):
        make(rng=rng)


def test_a_generator_gives_each_layer_values_of_its_own() -> None:
    rng = np.random.default_rng(0)
    first, second = nb.ScaledEmbedding(50, 4, rng=rng), nb.ScaledEmbedding(50, 4, rng=rng)
    assert (first.weight != second.weight).all()
    again = nb.ScaledEmbedding(50, 4, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(first.weight, again.weight)
    assert (nb.ScaledEmbedding(50, 4).weight != nb.ScaledEmbedding(50, 4).weight).any()


def test_layers_compare_by_identity(make: Make) -> None:
    table = np.zeros((20, 4), np.float32)
    one, other = make(weight=table), make(weight=table)
    assert one == one
    assert one != other
    assert len({one, other}) == 2


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_look_up_the_same_and_train_apart(make: Make, twin_of: Callable[[Any], Any]) -> None:
    layer = make(rng=1)
    out, grad = run(layer)
    twin = twin_of(layer)
    assert repr(twin) == repr(layer)
    twin_out, twin_grad = run(twin)
    np.testing.assert_array_equal(out, twin_out)
    assert grad == twin_grad
    nb.SGD(twin, lr=1.0).step(twin, grad)
    np.testing.assert_array_equal(layer(IDS), out)


def test_pickles_hold_the_rows_of_a_hash_table() -> None:
    hashed = nb.BloomEmbedding(100_000, 1, num_rows=10, rng=0)
    assert len(pickle.dumps(hashed)) < 5_000
    table = np.zeros((100_000, 2), dtype=np.int64)
    own = nb.BloomEmbedding(100_000, 1, num_rows=10, hash_table=table, rng=0)
    assert len(pickle.dumps(own)) > 100_000  # the user's own rows cannot be computed again


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: nb.ScaledEmbedding(0, 4), ValueError, "num_embeddings"),
        (lambda: nb.ScaledEmbedding(4, 0), ValueError, "embedding_dim"),
        (lambda: nb.ScaledEmbedding(4.0, 4), TypeError, "num_embeddings"),
        (lambda: nb.ScaledEmbedding(4, 4, padding_idx=4), ValueError, "padding_idx"),
        (lambda: nb.ScaledEmbedding(4, 4, padding_idx=-5), ValueError, "padding_idx"),
        (lambda: nb.ScaledEmbedding(4, 4, padding_idx=1.0), TypeError, "padding_idx"),
        (lambda: nb.ScaledEmbedding(4, 4, max_norm=-1), ValueError, "max_norm"),
        (lambda: nb.ScaledEmbedding(4, 4, max_norm=float("nan")), ValueError, "max_norm"),
        (lambda: nb.ScaledEmbedding(4, 4, norm_type=0), ValueError, "norm_type"),
        (lambda: nb.ScaledEmbedding(4, 4, max_norm="1"), TypeError, "max_norm"),
        (lambda: nb.ScaledEmbedding(4, 4, scale_grad_by_freq=1), TypeError, "scale_grad_by_freq"),
        (lambda: nb.ScaledEmbedding(4, 4, sparse="no"), TypeError, "sparse"),
        (lambda: nb.ScaledEmbedding(4, 4, dtype="float16"), ValueError, "dtype"),
        (lambda: nb.ScaledEmbedding(4, 4, dtype=int), ValueError, "dtype"),
        (lambda: nb.ScaledEmbeddingBag(4, 4, mode="median"), ValueError, "mode"),
        (lambda: nb.ScaledEmbeddingBag(4, 4, include_last_offset=0), TypeError, "include_last_offset"),
        (lambda: nb.BloomEmbedding(100, 4, compression_ratio=0.0), ValueError, "compression_ratio"),
        (lambda: nb.BloomEmbedding(100, 4, compression_ratio=float("inf")), ValueError, "compression_ratio"),
        (lambda: nb.BloomEmbedding(100, 4, compression_ratio=0.01), ValueError, "a ratio of 0.02 or more"),
        (lambda: nb.BloomEmbedding(100, 4, compression_ratio=0.009, padding_idx=None), ValueError, "0.01 or more"),
        (lambda: nb.BloomEmbedding(2**40, 4), ValueError, "2\\*\\*31"),
        (lambda: nb.BloomEmbedding(100, 4, 0.5, num_rows=10), ValueError, "compression_ratio"),
        (lambda: nb.BloomEmbedding(100, 4, num_rows=1), ValueError, "num_rows"),
        (lambda: nb.BloomEmbedding(100, 4, num_rows=2**31 + 1), ValueError, "num_rows"),
        (lambda: nb.BloomEmbedding(100, 4, num_hash_functions=25), ValueError, "num_hash_functions"),
        (lambda: nb.BloomEmbedding(100, 4, padding_idx=100), ValueError, "padding_idx"),
        (lambda: nb.BloomEmbedding(100, 6, combine="concat"), ValueError, "divides the embedding dimension 6"),
        (lambda: nb.BloomEmbedding(100, 6, combine="max"), ValueError, "combine"),
        (lambda: nb.BloomEmbedding(100, 4, bag=1), TypeError, "bag"),
        (lambda: nb.BloomEmbeddingBag(9, 4, 1.0, mode="first"), ValueError, "mode"),
    ],
)
def test_options_out_of_range_are_refused(call: Callable[[], Any], error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name):
        call()


def test_weights_have_gradients_only_in_sums() -> None:
    for layer in (nb.ScaledEmbeddingBag(9, 2, rng=0), nb.BloomEmbeddingBag(9, 2, 1.0, mode="max", rng=0)):
        with pytest.raises(ValueError, match="'sum'"):
            layer.backward_per_sample_weights([[1]], [[1.0, 1.0]])


@pytest.mark.parametrize("padding_idx", [0, 7, None])
@pytest.mark.parametrize("share", [True, False])
def test_rows_are_those_of_the_reference_and_of_ops(padding_idx: int | None, share: bool) -> None:
    layer = nb.BloomEmbedding(500, 2, 0.1, padding_idx=padding_idx, share_padding_row=share, rng=0)
    ids = np.arange(500)
    np.testing.assert_array_equal(layer.hash_rows(ids), nb.reference.hash_rows(ids, layer.hashing))
    spec = nb.HashSpec(500, 50, padding_idx=padding_idx, share_padding_row=share)
    np.testing.assert_array_equal(layer.hash_rows(ids), nb.ops.hash_rows(ids, spec))


def test_strings_and_64_bit_ids_train_an_open_vocabulary() -> None:
    layer = nb.BloomEmbedding(2**63, 4, num_rows=1000, rng=0)
    ids = nb.hashing.hash_keys(["film:12", "film:13", "Amélie", "film:12"])
    out = layer(ids)
    np.testing.assert_array_equal(out[0], out[3])
    assert (out[0] != out[1]).any()
    before = layer.weight.copy()
    nb.Adagrad(layer).update(layer, ids, np.ones_like(out))
    moved = np.flatnonzero((before != layer.weight).any(axis=1))
    assert set(moved) == set(layer.hash_rows(ids).ravel()) - {0}
    largest = layer(2**63 - 1)
    assert largest.shape == (4,)
    with pytest.raises(IndexError, match=r"9223372036854775808"):
        layer([2**63])
