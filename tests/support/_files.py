"""
Layers to save, training that continues, and readers of files, for the tests of
`npbloom.checkpoint`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import numpy as safetensors_numpy
from safetensors import safe_open

import npbloom as nb
from npbloom import checkpoint
from tests.support._bits import assert_same_bits

IDS = np.array([[1, 2, 5], [5, 5, 6], [0, 2, 3]])
HASH_TABLE = np.array([[0, 0], [1, 2], [2, 2], [3, 0], [4, 3], [0, 1], [3, 3]])
LAYERS: dict[str, Callable[[], Any]] = {
    "scaled": lambda: nb.ScaledEmbedding(
        7, 4, -1, max_norm=0.75, norm_type=math.inf, scale_grad_by_freq=True, sparse=True, rng=0
    ),
    "zero": lambda: nb.ZeroEmbedding(7, 1, max_norm=math.inf, dtype="float64"),
    "bag": lambda: nb.ScaledEmbeddingBag(7, 4, 0.5, 1, True, "max", padding_idx=2, include_last_offset=True, rng=0),
    "bloom": lambda: nb.BloomEmbedding(7, 4, 0.7, 3, bag=True, padding_idx=5, share_padding_row=False, rng=0),
    "rows": lambda: nb.BloomEmbedding(2**63, 4, num_rows=9, padding_idx=None, combine="concat", dtype="float64", rng=0),
    "table": lambda: nb.BloomEmbedding(7, 4, num_rows=5, hash_table=HASH_TABLE, combine="mean", rng=0),
    "fly": lambda: nb.BloomEmbedding(7, 4, 1.5, rng=0),
    "bloom bag": lambda: nb.BloomEmbeddingBag(7, 4, 0.9, 2, "sum", combine="concat", include_last_offset=True, rng=0),
    "table bag": lambda: nb.BloomEmbeddingBag(7, 4, num_rows=5, hash_table=HASH_TABLE, mode="max", rng=0),
}


def bytes_of(layer: Any, optimizer: Any = None) -> dict[str, bytes]:
    """Return every bit that training may change."""
    state = {} if optimizer is None else optimizer.state(layer)
    return {"weight": layer.weight.tobytes(), **{key: array.tobytes() for key, array in state.items()}}


def train(layer: Any, optimizer: Any, seed: int) -> None:
    """Take one step."""
    grad_out = np.random.default_rng(seed).standard_normal(layer(IDS).shape)
    optimizer.update(layer, IDS, grad_out.astype(layer.dtype))


def assert_same_layer(found: Any, layer: Any) -> None:
    """Fail unless both have the same class, options, table and behaviour."""
    assert type(found) is type(layer)
    found, layer = copy.deepcopy(found), copy.deepcopy(layer)  # a forward with max_norm writes
    assert repr(found) == repr(layer)
    assert_same_bits(np.asarray(found.weight), layer.weight)
    assert_same_bits(found(IDS), layer(IDS))
    grad_out = np.linspace(-1, 1, layer(IDS).size, dtype=layer.dtype).reshape(layer(IDS).shape)
    assert_same_bits(found.backward(IDS, grad_out, sparse=True), layer.backward(IDS, grad_out, sparse=True))
    assert type(found.backward(IDS, grad_out)) is type(layer.backward(IDS, grad_out))
    if hasattr(layer, "hash_rows"):
        assert_same_bits(found.hash_rows(IDS), layer.hash_rows(IDS))


def sealed(tensors: dict[str, Any], metadata: dict[str, str]) -> dict[str, str]:
    """Return metadata with the two digests of docs/checkpoints.md, computed without the package."""
    words = {key: value for key, value in metadata.items() if not key.endswith("_sha256")}
    words["npbloom.data_sha256"] = hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors))).hexdigest()
    kinds = {"float64": "F64", "int64": "I64", "float32": "F32", "int32": "I32"}
    names = {name: [kinds.get(array.dtype.name, "?"), list(array.shape)] for name, array in tensors.items()}
    described = {"metadata": dict(sorted(words.items())), "tensors": dict(sorted(names.items()))}
    text = json.dumps(described, ensure_ascii=False, separators=(",", ":"))
    return {**words, "npbloom.header_sha256": hashlib.sha256(text.encode()).hexdigest()}


def contents(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return tensors and metadata as the library of the format reads them."""
    with safe_open(path, framework="numpy") as file:
        return safetensors_numpy.load_file(path), file.metadata()


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """
    Change the structure in a file's metadata, and update its digests.

    The file is not damaged but forged.
    """
    tensors, metadata = contents(path)
    structure = json.loads(metadata["npbloom"])
    change(structure)
    safetensors_numpy.save_file(tensors, path, sealed(tensors, {**metadata, "npbloom": json.dumps(structure)}))


def write_example(path: Path) -> Path:
    """Write a file with two layers and an optimizer."""
    layers = {"users": LAYERS["scaled"](), "items": LAYERS["table"]()}
    optimizer = nb.Adam(list(layers.values()))
    for layer in layers.values():
        train(layer, optimizer, 0)
    checkpoint.save(path, layers, optimizer, {"note": "käse"})
    return path
