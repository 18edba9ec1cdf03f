"""Attributes of a layer refuse to be set or deleted; pickles of earlier versions are read."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from npbloom import checkpoint
from tests.faults._small_layers import ONE_BAG, layer_of
from tests.support._bits import assert_same_bits
from tests.support._layers import DIM, LAYERS, gradient, is_bag

VALUES = (None, 0, 2, -1, -1.0, "median", True, np.float64, [[0, 1]])
EVERY = {
    *("num_embeddings", "embedding_dim", "padding_idx", "dtype", "weight", "rng"),
    *("num_parameters", "nbytes", "_shape", "_weight", "_options", "_dtype", "_fixed"),
    *("options", "table_shape", "reserved_rows", "num_slices"),
}
PLAIN = {"max_norm", "norm_type", "scale_grad_by_freq"}
HASHED = {
    *("num_hash_functions", "compression_ratio", "compressed_num_embeddings", "num_rows", "hash_table", "hashing", "combine"),
    *("share_padding_row", "precompute_hashes"),
}
BAGS = {"mode", "include_last_offset"}
NAMES = {
    "ScaledEmbedding": EVERY | PLAIN | {"sparse"},
    "ZeroEmbedding": EVERY | PLAIN | {"sparse"},
    "ScaledEmbeddingBag": EVERY | PLAIN | BAGS,
    "BloomEmbedding": EVERY | HASHED | {"bag"},
    "BloomEmbeddingBag": EVERY | HASHED | BAGS,
}


def relatives(layer: Any) -> dict[str, Any]:
    """Return a layer, and layers made from it by copies and pickles."""
    folder = copy.copy(layer)
    return {"made": layer, "copied": folder, "deep": copy.deepcopy(layer), "pickled": pickle.loads(pickle.dumps(layer))}


@pytest.mark.parametrize("name", LAYERS)
def test_no_attribute_can_be_set_or_deleted(name: str, tmp_path: Path) -> None:
    layer = layer_of(name)
    checkpoint.save(tmp_path / "model", {"it": layer})
    others = relatives(layer) | {"loaded": checkpoint.load(tmp_path / "model").layers["it"]}
    assert set(vars(layer)) <= NAMES[name] | {"_padding"}
    expected, whole = layer(ONE_BAG), repr(layer)
    for other in others.values():
        for attribute in sorted(NAMES[name]):
            for value in VALUES:
                with pytest.raises(AttributeError, match=rf"^`{attribute}` (is fixed|can be written into).*\.$") as caught:
                    setattr(other, attribute, value)
                assert "layer.weight" in str(caught.value)
            with pytest.raises(AttributeError, match=rf"^`{attribute}` "):
                delattr(other, attribute)
        assert_same_bits(other(ONE_BAG), expected)
        assert repr(other) == whole


def test_attributes_of_the_caller_s_own_may_be_set() -> None:
    for layer in relatives(layer_of("BloomEmbedding")).values():
        layer.note = "users"
        layer.note = "items"
        copied = copy.deepcopy(layer)
        copied.note = "others"
        assert (layer.note, copied.note) == ("items", "others")
        del layer.note
        assert not hasattr(layer, "note")


@pytest.mark.parametrize("name", LAYERS)
def test_pickles_of_earlier_versions_are_read(name: str) -> None:
    layer = layer_of(name)
    state = layer.__getstate__()
    for late in ("_dtype", "_fixed"):
        del state[late]
    if "hashing" in state:
        spec = object.__new__(nb.HashSpec)
        spec.__setstate__({key: value for key, value in vars(state["hashing"]).items() if key != "_rows"})
        state["hashing"] = spec
    old = object.__new__(type(layer))
    old.__setstate__(state)
    assert_same_bits(old(ONE_BAG), layer(ONE_BAG))
    with pytest.raises(AttributeError, match="fixed"):
        old.padding_idx = 1
    optimizer = nb.Adam(layer)
    state = dict(vars(optimizer))
    del state["_found"]
    older = object.__new__(nb.Adam)
    older.__setstate__(state)
    grad = gradient((1, DIM) if is_bag(layer) else (1, 3, DIM))
    older.update(layer, ONE_BAG, grad)
    assert older.state(layer)["step"] == 1
