"""Layers and optimizers as tensors and JSON, and back; classes come from a fixed list."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from npbloom.checkpoint._format import FORMAT, OWN_KEYS, Tensors
from npbloom.layers import BloomEmbedding, BloomEmbeddingBag, Layer, ScaledEmbedding, ScaledEmbeddingBag, ZeroEmbedding
from npbloom.optimizers import BY_NAME, ArraySpec, Optimizer
from npbloom.optimizers._state import check_values

LAYERS: Final[dict[str, Any]] = {
    cls.__name__: cls for cls in (BloomEmbedding, BloomEmbeddingBag, ScaledEmbedding, ScaledEmbeddingBag, ZeroEmbedding)
}
OPTIMIZERS: Final[dict[str, type[Optimizer]]] = {cls.__name__: cls for cls in BY_NAME.values()}
RETIRED: Final = "precompute_hashes"  # an option in files of earlier versions

Described = dict[str, Any]


# ---- to a file -----------------------------------------------------------------------------------


def describe(layers: Any, optimizer: Any) -> tuple[Tensors, Described]:
    """Return the tensors of layers and of an optimizer, if any, and what names them in a file."""
    tensors, described = _describe_layers(layers)
    structure: Described = {"format": FORMAT, "layers": described}
    if optimizer is not None:
        state, structure["optimizer"] = _describe_optimizer(optimizer, layers)
        tensors |= state
    return tensors, structure


def _describe_layers(layers: Any) -> tuple[Tensors, Described]:
    """Return the tensors of the layers, and the description that constructs layers around them."""
    if not isinstance(layers, dict):
        raise TypeError(f"`layers` must be a dict of names to layers, not {type(layers).__name__}.")
    tensors: Tensors = {}
    described: Described = {}
    for name, layer in layers.items():
        _check_text(name, "layers")
        if type(layer) not in LAYERS.values() and getattr(layer, "ranks", None) is None:
            raise TypeError(f"`layers` must hold layers, not {type(layer).__name__} under {name!r}.")
        for other in described:
            if layers[other] is layer:
                raise ValueError(f"`layers` must be different layers; {name!r} is {other!r} again.")
        described[name] = entry = {
            "class": type(layer).__name__ if layer.ranks is None else layer.ranks.kind.__name__,
            "num_embeddings": layer.num_embeddings,
            "embedding_dim": layer.embedding_dim,
            "options": {key: _plain(value) for key, value in layer.options.items()},
            "weight": _shared(layer, name, layers, described) or f"{name}.weight",
        }
        if entry["weight"] == f"{name}.weight":
            tensors[entry["weight"]] = layer.checked_table()
        table = getattr(getattr(layer, "hashing", None), "_rows", None)
        if table is not None:
            entry["hash_table"] = f"{name}.hash_table"
            tensors[entry["hash_table"]] = table
    return tensors, described


def _shared(layer: Layer, name: str, layers: dict[str, Layer], described: Described) -> str | None:
    """Return the name of the tensor of an earlier layer on the same table, or None."""
    table = layer.checked_table()
    for other, entry in described.items():
        known = layers[other].checked_table()
        if np.may_share_memory(table, known):
            kinds = [(array.ctypes.data, array.shape, array.dtype) for array in (table, known)]
            if kinds[0] != kinds[1]:
                raise ValueError(f"`layers` must not hold tables that overlap without being the same, as {other!r} and {name!r}.")
            return str(entry["weight"])
    return None


def _describe_optimizer(optimizer: Any, layers: dict[str, Layer]) -> tuple[Tensors, Described]:
    """Return the state of every layer of an optimizer, and the description that constructs it."""
    if type(optimizer) not in OPTIMIZERS.values():
        raise TypeError(f"`optimizer` must be an optimizer of npbloom, not {type(optimizer).__name__}.")
    names = {layer: name for name, layer in layers.items()}
    for position, layer in enumerate(optimizer.layers):
        if layer not in names:
            raise ValueError(f"`layers` must hold every layer of `optimizer`; its layer {position}, {layer!r}, is missing.")
    order = [names[layer] for layer in optimizer.layers]
    settings = {key: getattr(optimizer, key) for key in optimizer.hyperparameters}
    hyperparameters = {key: _plain(value) for key, value in settings.items()}
    described = {"class": type(optimizer).__name__, "layers": order, "hyperparameters": hyperparameters}
    tensors: Tensors = {}
    for name in order:
        state = optimizer.state(layers[name])
        found = {key: (np.shape(array), getattr(array, "dtype", None)) for key, array in state.items()}
        if found != _state_spec(type(optimizer), layers[name], settings):
            raise ValueError(f"`optimizer` must have the state of its kind for the layer {name!r}, of the shape of its table.")
        check_values(state)
        tensors |= {f"optimizer.{name}.{key}": array for key, array in state.items()}
    return tensors, described


def _plain(value: Any) -> Any:
    """
    Return an option in a form that JSON keeps exactly.

    JSON has no infinity, which becomes text.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, numbers.Integral):
        return int(value)
    number = float(value)
    return "inf" if number == math.inf else number


def check_metadata(metadata: Any) -> dict[str, str]:
    """Return a copy of the caller's metadata, checked."""
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise TypeError(f"`metadata` must be a dict of str to str, not {type(metadata).__name__}.")
    for key, value in metadata.items():
        _check_text(key, "metadata")
        if not isinstance(value, str):
            raise TypeError(f"`metadata` must hold text, not {type(value).__name__} under {key!r}.")
        _check_text(value or "empty", "metadata")
    for key in OWN_KEYS:
        if key in metadata:
            raise ValueError(f"`metadata` must not have the key {key!r}: the checkpoint's own entry is there.")
    return dict(metadata)


def _check_text(value: Any, name: str) -> None:
    """Check that a name is a non-empty string that UTF-8 can encode."""
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must have names of type str, not {type(value).__name__}.")
    if not value:
        raise ValueError(f"`{name}` must not have an empty name.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"`{name}` must hold text that UTF-8 can encode, not {value!r}.") from None


# ---- from a file ---------------------------------------------------------------------------------


def restore(
    structure: Any, tensors: Tensors, maker: Callable[[str, Any], Any] | None = None
) -> tuple[dict[str, Any], Optimizer | None]:
    """
    Return layers and optimizer around the tensors of a file; every tensor must be named.

    ``maker(name, class)`` constructs the layer of that name; without it the class does.
    """
    layers = dict(_restore_layers(structure["layers"], tensors, maker or (lambda name, kind: kind)))
    optimizer = _restore_optimizer(structure["optimizer"], layers, tensors) if "optimizer" in structure else None
    if tensors:
        raise ValueError(f"nothing names the tensor {min(tensors)!r}")
    return layers, optimizer


def _restore_layers(described: Described, tensors: Tensors, maker: Callable[[str, Any], Any]) -> Iterator[tuple[str, Any]]:
    """Construct every layer around its table; layers that shared a table share it again."""
    tables: Tensors = {}
    for name, entry in described.items():
        options = {key: _from_plain(value) for key, value in entry["options"].items() if key != RETIRED}
        weight = _name(entry, "weight")
        if weight not in tables:
            tables[weight] = tensors.pop(weight)
        if "hash_table" in entry:
            options["hash_table"] = tensors.pop(_name(entry, "hash_table"))
        make = maker(name, LAYERS[_name(entry, "class")])
        yield name, make(entry["num_embeddings"], entry["embedding_dim"], weight=tables[weight], **options)


def _restore_optimizer(described: Described, layers: dict[str, Any], tensors: Tensors) -> Optimizer:
    """Return the optimizer on its layers, with the states of the file."""
    make: Any = OPTIMIZERS[_name(described, "class")]
    settings = {key: _from_plain(value) for key, value in described["hyperparameters"].items()}
    order = [_name(described["layers"], position) for position in range(len(described["layers"]))]
    states = {}
    for name in dict.fromkeys(order):
        spec = _state_spec(make, layers[name], settings)
        states[layers[name]] = state = {key: tensors.pop(f"optimizer.{name}.{key}") for key in spec}
        for key, array in state.items():
            if (array.shape, array.dtype) != spec[key]:
                raise ValueError(f"the tensor 'optimizer.{name}.{key}' does not fit the layer {name!r}")
    optimizer: Optimizer = make([layers[name] for name in order], **settings, state=states)
    return optimizer


def _state_spec(kind: type[Optimizer], layer: Layer, settings: dict[str, Any]) -> dict[str, ArraySpec]:
    """Return names, shapes and dtypes of the state of a layer."""
    return kind.state_spec(layer.table_shape, layer.dtype, layer.num_slices, **settings)


def _name(described: Any, key: str | int) -> str:
    """Return the name under a key of a description, which is of a class, a tensor or a layer."""
    value = described[key]
    if not isinstance(value, str):
        what = repr(key) if isinstance(key, str) else "a layer of the optimizer"
        raise ValueError(f"{what} is named by a {type(value).__name__}, not by text")
    return value


def _from_plain(value: Any) -> Any:
    """Return the option that `_plain` packed; no option is the word "inf"."""
    if isinstance(value, list):
        return tuple(_from_plain(item) for item in value)
    return math.inf if value == "inf" else value
