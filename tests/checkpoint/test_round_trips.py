"""
Round trips: a saved file loads bit for bit and trains on, other programs read it, and a save is
whole or absent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from safetensors import numpy as safetensors_numpy
from safetensors import safe_open

import npbloom as nb
from npbloom import checkpoint
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._files import HASH_TABLE, IDS, LAYERS, assert_same_layer, bytes_of, edit, sealed, train
from tests.support._layers import OPTIMIZERS

# ---- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_every_kind_come_back(name: str, mmap: bool, path: Path) -> None:
    layer = LAYERS[name]()
    checkpoint.save(path, {name: layer})
    found = checkpoint.load(path, mmap=mmap)
    assert list(found.layers) == [name]
    assert found.optimizer is None
    assert found.metadata == {}
    assert_same_layer(found.layers[name], layer)


@given(st.data())
@examples(60)
def test_any_options_come_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    draw = data.draw
    kind = draw(
        st.sampled_from([nb.ScaledEmbedding, nb.ZeroEmbedding, nb.ScaledEmbeddingBag, nb.BloomEmbedding, nb.BloomEmbeddingBag])
    )
    event(kind.__name__)
    options: dict[str, Any] = {"dtype": draw(st.sampled_from(["float32", "float64"])), "rng": 0}
    options["padding_idx"] = draw(st.none() | st.integers(0, 6))
    if "Bag" in kind.__name__:
        options |= {"mode": draw(st.sampled_from(["sum", "mean", "max"])), "include_last_offset": draw(st.booleans())}
    if "Bloom" not in kind.__name__:
        options["max_norm"] = draw(st.none() | st.floats(0, allow_nan=False))
        options["norm_type"] = draw(st.floats(0, exclude_min=True, allow_nan=False) | st.sampled_from([1, 2, math.inf]))
        options["scale_grad_by_freq"] = draw(st.booleans())
        if "Bag" not in kind.__name__:
            options["sparse"] = draw(st.booleans())
    else:
        if draw(st.booleans()):
            options["num_rows"] = draw(st.integers(2, 20))
        else:
            options["compression_ratio"] = draw(st.floats(2 / 7 + 1e-9, 3))
        options["share_padding_row"] = draw(st.booleans())
        options["num_hash_functions"] = draw(st.sampled_from([1, 2, 4]))
        options["combine"] = draw(st.sampled_from(["sum", "mean", "concat"]))
    layer = kind(7, 4, **options)
    file = tmp_path_factory.mktemp("options") / "layer.safetensors"
    checkpoint.save(file, {"one": layer})
    found = checkpoint.load(file).layers["one"]
    for key, value in options.items():
        if key not in ("rng", "dtype", "num_rows"):
            assert getattr(found, key) == value
    assert found.options.keys() == layer.options.keys()
    assert_same_layer(found, layer)


def test_options_that_are_numpy_numbers_come_back_as_pythons(path: Path) -> None:
    layer = nb.ScaledEmbedding(np.int64(7), 4, np.int32(2), max_norm=np.float32(0.1), norm_type=np.int8(1), rng=0)
    checkpoint.save(path, {"one": layer})
    found = checkpoint.load(path).layers["one"]
    assert (found.padding_idx, found.max_norm, found.norm_type) == (2, float(np.float32(0.1)), 1)
    assert_same_bits(found(IDS), layer(IDS))


def test_options_are_saved(path: Path) -> None:
    layer = nb.ScaledEmbedding(7, 3, max_norm=0.5, norm_type=np.inf, sparse=True, rng=0)
    checkpoint.save(path, {"one": layer})
    found = checkpoint.load(path).layers["one"]
    assert (found.max_norm, found.norm_type, found.sparse) == (0.5, np.inf, True)
    assert_same_bits(found(IDS), layer(IDS))


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
def test_training_goes_on_as_if_never_interrupted(optimizer_name: str, mmap: bool, path: Path) -> None:
    layers = {name: make() for name, make in LAYERS.items()}
    optimizer = OPTIMIZERS[optimizer_name](list(layers.values()))
    for seed, layer in enumerate(layers.values()):
        train(layer, optimizer, seed)
        train(layer, optimizer, seed + 1)
    optimizer.lr = 0.1 + 0.2  # as it is now, to the last bit
    checkpoint.save(path, layers, optimizer)
    found = checkpoint.load(path, mmap=mmap)
    assert repr(found.optimizer) == repr(optimizer)
    assert [id(layer) for layer in found.optimizer.layers] == [id(layer) for layer in found.layers.values()]
    for name, layer in layers.items():
        assert bytes_of(found.layers[name], found.optimizer) == bytes_of(layer, optimizer)
        for seed in range(3):
            train(layer, optimizer, seed)
            train(found.layers[name], found.optimizer, seed)
        assert bytes_of(found.layers[name], found.optimizer) == bytes_of(layer, optimizer)


@pytest.mark.parametrize(
    "make",
    [
        lambda layer: nb.SGD(layer, 0.3, 0.2, 0.7),
        lambda layer: nb.Adagrad(layer, 0.3, 0.2, 0.7, 0.6, 1e-3),
        lambda layer: nb.RowWiseAdagrad(layer, 0.3, 0.7, 1e-3),
        lambda layer: nb.Adam(layer, math.inf, (0.3, 0.0), 1e-3, 0.7),
    ],
)
def test_every_hyperparameter_comes_back(make: Callable[[Any], Any], path: Path) -> None:
    layer = LAYERS["zero"]()
    optimizer = make(layer)
    checkpoint.save(path, {"zero": layer}, optimizer)
    found = checkpoint.load(path).optimizer
    assert type(found) is type(optimizer)
    assert {name: getattr(found, name) for name in optimizer.hyperparameters} == {
        name: getattr(optimizer, name) for name in optimizer.hyperparameters
    }


def test_an_optimizer_may_know_some_of_the_layers_in_an_order_of_its_own(path: Path) -> None:
    layers = {name: LAYERS[name]() for name in ("bag", "rows", "zero")}
    checkpoint.save(path, layers, nb.Adagrad([layers["zero"], layers["bag"]], lr=0.5))
    found = checkpoint.load(path)
    assert list(found.layers) == ["bag", "rows", "zero"]
    assert found.optimizer.layers == (found.layers["zero"], found.layers["bag"])
    with pytest.raises(KeyError):
        found.optimizer.state(found.layers["rows"])


def test_layers_on_one_table_stay_on_one_table(path: Path) -> None:
    table = np.arange(28.0).reshape(7, 4)
    layers = {"one": nb.ScaledEmbedding(7, 4, weight=table), "bags": nb.ScaledEmbeddingBag(7, 4, weight=table)}
    optimizer = nb.Adagrad(list(layers.values()), lr=0.5)
    checkpoint.save(path, layers, optimizer)
    assert "bags.weight" not in safetensors_numpy.load_file(path)
    for mmap in (False, True):
        found = checkpoint.load(path, mmap=mmap)
        train(found.layers["one"], found.optimizer, 0)
        assert (found.layers["one"].weight != table).any()
        assert_same_bits(np.asarray(found.layers["bags"].weight), np.asarray(found.layers["one"].weight))


def test_the_callers_metadata_come_back(path: Path) -> None:
    metadata = {"note": 'käse "日本"\n', "empty": "", "format": "pt"}
    checkpoint.save(path, {"näme.with.dots": LAYERS["zero"]()}, metadata=metadata)
    found = checkpoint.load(path)
    assert found.metadata == metadata
    assert list(found.layers) == ["näme.with.dots"]
    with safe_open(path, framework="numpy") as file:
        assert file.metadata()["note"] == metadata["note"]


def test_no_layers_are_layers_too(path: Path) -> None:
    checkpoint.save(path, {}, metadata={"a": "b"})
    assert checkpoint.load(path) == ({}, None, {"a": "b"})


def test_a_read_only_table_is_saved_and_can_be_trained_when_loaded(path: Path) -> None:
    table = np.arange(28.0).reshape(7, 4)
    table.flags.writeable = False
    checkpoint.save(path, {"fixed": nb.ScaledEmbedding(7, 4, weight=table)})
    found = checkpoint.load(path).layers["fixed"]
    nb.SGD(found, 0.5).update(found, [1], np.ones((1, 4)))
    assert found.weight[1].tolist() == [3.5, 4.5, 5.5, 6.5]


# ---- the file -----------------------------------------------------------------------------------


def test_every_reader_finds_the_tensors_under_the_documented_names(saved: Path) -> None:
    tensors = safetensors_numpy.load_file(saved)
    layers, optimizer, _ = checkpoint.load(saved)
    state = {f"optimizer.{name}.{key}" for name in layers for key in ("exp_avg", "exp_avg_sq", "step")}
    assert tensors.keys() == {"users.weight", "items.weight", "items.hash_table", *state}
    assert_same_bits(tensors["users.weight"], layers["users"].weight)
    assert_same_bits(tensors["items.hash_table"][1:], HASH_TABLE[1:].astype(np.int32))
    assert_same_bits(tensors["optimizer.items.exp_avg"], optimizer.state(layers["items"])["exp_avg"])
    assert tensors["optimizer.items.step"] == 1
    assert tensors["optimizer.items.step"].dtype == np.int64


def test_a_file_that_another_writer_wrote_anew_is_the_same_checkpoint(saved: Path) -> None:
    before = checkpoint.load(saved)
    edit(saved, lambda structure: None)  # another order, other offsets
    for mmap in (False, True):
        after = checkpoint.load(saved, mmap=mmap)
        for name, layer in before.layers.items():
            assert_same_layer(after.layers[name], layer)
            assert bytes_of(after.layers[name], after.optimizer) == bytes_of(layer, before.optimizer)


def test_tensors_at_odd_places_are_read(saved: Path) -> None:
    before = checkpoint.load(saved)
    raw = saved.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    for shift in range(1, 8):  # a header may have any length; padding it with spaces is only customary
        saved.write_bytes((length + shift).to_bytes(8, "little") + raw[8 : 8 + length] + b" " * shift + raw[8 + length :])
        for mmap in (False, True):
            assert_same_layer(checkpoint.load(saved, mmap=mmap).layers["users"], before.layers["users"])


# ---- mapped -------------------------------------------------------------------------------------


def test_a_mapped_file_is_not_changed_by_training_and_can_be_saved_over(saved: Path) -> None:
    before = saved.read_bytes()
    found = checkpoint.load(saved, mmap=True)
    for layer in found.layers.values():
        train(layer, found.optimizer, 7)
    assert saved.read_bytes() == before
    expected = {name: bytes_of(layer, found.optimizer) for name, layer in found.layers.items()}
    checkpoint.save(saved, found.layers, found.optimizer)
    again = checkpoint.load(saved)
    assert {name: bytes_of(layer, again.optimizer) for name, layer in again.layers.items()} == expected
    assert {name: bytes_of(layer, found.optimizer) for name, layer in found.layers.items()} == expected


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("choice", [None, False, True])
def test_files_that_ask_for_precomputed_hashes_are_read(choice: bool | None, mmap: bool, path: Path) -> None:
    """
    Load files with an option that earlier versions wrote.

    Ids are hashed at lookup, and nothing warns.
    """
    weight = np.arange(10, dtype=np.float32).reshape(5, 2)
    layers = {}
    for kind, own in (("BloomEmbedding", {"bag": False}), ("BloomEmbeddingBag", {"mode": "mean", "include_last_offset": False})):
        options = {"num_rows": 5, "num_hash_functions": 4, "padding_idx": 0, "combine": "sum", "share_padding_row": True}
        options |= {"precompute_hashes": choice, **own}
        layers[kind] = {"class": kind, "num_embeddings": 100, "embedding_dim": 2, "options": options, "weight": f"{kind}.weight"}
    tensors = {f"{kind}.weight": weight for kind in layers}
    text = json.dumps({"format": 2, "layers": layers})
    safetensors_numpy.save_file(tensors, path, sealed(tensors, {"npbloom": text}))
    found = checkpoint.load(path, mmap=mmap).layers
    ids = np.arange(100).reshape(25, 4)
    for kind, layer in found.items():
        made = getattr(nb, kind)(100, 2, num_rows=5, weight=weight)
        assert_same_bits(layer(ids), made(ids))
        assert repr(layer) == repr(made)
        assert "precompute_hashes" not in layer.options
