"""
Layers and optimizers in safetensors files, never pickle.

A layer saved as ``items`` gives the tensor ``items.weight``, and ``items.hash_table`` if it has a table of the caller's own; its
state in an optimizer gives ``optimizer.items.sum`` and the like, under torch's names. Everything else, classes, options,
hyperparameters and their order, is JSON under the key ``npbloom`` of the file's metadata, beside the caller's own keys.
"""

from __future__ import annotations

import json
import math
import numbers
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from npbloom import _check
from npbloom.layers import BloomEmbedding, BloomEmbeddingBag, Layer, ScaledEmbedding, ScaledEmbeddingBag, ZeroEmbedding
from npbloom.optimizers import SGD, Adagrad, Adam, Optimizer, RowWiseAdagrad

__all__ = ["Checkpoint", "load", "save"]

KEY: Final = "npbloom"  # of the metadata; the structure is there
FORMAT: Final = 1
MAX_HEADER: Final = 100_000_000  # bytes; readers of safetensors refuse longer ones

_LAYERS: Final[dict[str, Any]] = {
    cls.__name__: cls for cls in (BloomEmbedding, BloomEmbeddingBag, ScaledEmbedding, ScaledEmbeddingBag, ZeroEmbedding)
}
_OPTIMIZERS: Final[dict[str, Any]] = {cls.__name__: cls for cls in (SGD, Adagrad, Adam, RowWiseAdagrad)}
_DTYPES: Final = {"F64": "<f8", "I64": "<i8", "F32": "<f4", "I32": "<i4"}  # widest first: so all tensors are aligned
_WORDS: Final = {np.dtype(code).name: word for word, code in _DTYPES.items()}

Tensors = dict[str, np.ndarray[Any, Any]]


class Checkpoint(NamedTuple):
    """
    What a file holds.

    Parameters
    ----------
    layers : dict of str to layer
        Under the names and in the order they were saved with.
    optimizer : Optimizer or None
        On these layers: ``checkpoint.optimizer.state(checkpoint.layers["items"])`` is the restored state.
    metadata : dict of str to str
        The caller's own.

    Examples
    --------
    >>> Checkpoint({}, None, {"note": "empty"}).metadata
    {'note': 'empty'}
    """

    layers: dict[str, Any]
    optimizer: Optimizer | None
    metadata: dict[str, str]


# ---- saving ---------------------------------------------------------------------------------------------------------------


def save(
    path: str | os.PathLike[str],
    layers: dict[str, Layer],
    optimizer: Optimizer | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """
    Write layers, and the optimizer that trains them, to a safetensors file.

    Parameters
    ----------
    path : str or path-like
        The file to write. It is replaced only when the new one is whole; a symbolic link is followed.
    layers : dict of str to layer
        Different layers of any class, by names that the tensors will carry. Two layers on one table keep sharing it.
    optimizer : Optimizer, optional
        Its hyperparameters as they are now, and the state of each of its layers, all of which must be in `layers`.
    metadata : dict of str to str, optional
        Text of the caller's own, readable by every safetensors reader. The key ``npbloom`` is taken.

    Raises
    ------
    TypeError
        `layers`, `optimizer` or `metadata` is of another kind.
    ValueError
        A layer of the optimizer is not in `layers`, a layer is there twice, two tables overlap without being the same, or a
        name is empty, taken, or not text that UTF-8 can encode.
    OSError
        The file cannot be written. What was there before is still there then.

    Notes
    -----
    - Probes computed before are left out: they are computed again. A table of the caller's own is kept.
    - A table that was read-only is writable when loaded.
    - torch and others read the tensors: ``safetensors.torch.load_file(path)["items.weight"]``.

    Examples
    --------
    >>> import tempfile
    >>> items = ScaledEmbedding(3, 2, rng=0)
    >>> optimizer = Adagrad(items, lr=0.5)
    >>> optimizer.update(items, [1, 1], [[1.0, 0.0], [2.0, 0.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/model.safetensors", {"items": items}, optimizer, {"epoch": "1"})
    ...     found = load(f"{folder}/model.safetensors")
    >>> found.optimizer.state(found.layers["items"])["sum"].tolist(), found.metadata
    ([[0.0, 0.0], [9.0, 0.0], [0.0, 0.0]], {'epoch': '1'})
    >>> np.array_equal(found.layers["items"].weight, items.weight)
    True
    """
    target = os.path.realpath(path)
    tensors, described = _describe_layers(layers)
    structure: dict[str, Any] = {"format": FORMAT, "layers": described}
    if optimizer is not None:
        state, structure["optimizer"] = _describe_optimizer(optimizer, layers)
        tensors |= state
    words = _check_metadata(metadata) | {KEY: json.dumps(structure, ensure_ascii=False, allow_nan=False)}
    _write(target, tensors, words)


def _describe_layers(layers: Any) -> tuple[Tensors, dict[str, Any]]:
    """The tensors of the layers, and what is needed to construct them around those."""
    if not isinstance(layers, dict):
        raise TypeError(f"`layers` must be a dict of names to layers, not {type(layers).__name__}.")
    tensors: Tensors = {}
    described: dict[str, Any] = {}
    for name, layer in layers.items():
        _check_text(name, "layers")
        if type(layer) not in _LAYERS.values():
            raise TypeError(f"`layers` must hold layers, not {type(layer).__name__} under {name!r}.")
        for other in described:
            if layers[other] is layer:
                raise ValueError(f"`layers` must be different layers; {name!r} is {other!r} again.")
        described[name] = entry = {
            "class": type(layer).__name__,
            "num_embeddings": layer.num_embeddings,
            "embedding_dim": layer.embedding_dim,
            "options": {key: _plain(value) for key, value in layer._options.items()},
            "weight": _shared(layer, name, layers, described) or f"{name}.weight",
        }
        if entry["weight"] == f"{name}.weight":
            tensors[entry["weight"]] = layer.weight
        table = getattr(getattr(layer, "hashing", None), "table", None)
        if table is not None:
            entry["hash_table"] = f"{name}.hash_table"
            tensors[entry["hash_table"]] = table
    return tensors, described


def _shared(layer: Layer, name: str, layers: dict[str, Layer], described: dict[str, Any]) -> str | None:
    """The tensor of an earlier layer on the same table."""
    table = layer.weight
    for other, entry in described.items():
        known = layers[other].weight
        if np.may_share_memory(table, known):
            if table.__array_interface__["data"][0] != known.__array_interface__["data"][0] or table.shape != known.shape:
                raise ValueError(f"`layers` must not hold tables that overlap without being the same, as {other!r} and {name!r}.")
            return str(entry["weight"])
    return None


def _describe_optimizer(optimizer: Any, layers: dict[str, Layer]) -> tuple[Tensors, dict[str, Any]]:
    """The state of every layer of an optimizer, and what is needed to construct it."""
    if type(optimizer) not in _OPTIMIZERS.values():
        raise TypeError(f"`optimizer` must be an optimizer of npbloom, not {type(optimizer).__name__}.")
    names = {layer: name for name, layer in layers.items()}
    for position, layer in enumerate(optimizer.layers):
        if layer not in names:
            raise ValueError(f"`layers` must hold every layer of `optimizer`; its layer {position}, {layer!r}, is missing.")
    order = [names[layer] for layer in optimizer.layers]
    tensors = {
        f"optimizer.{names[layer]}.{key}": array for layer in optimizer.layers for key, array in optimizer.state(layer).items()
    }
    hyperparameters = {key: _plain(getattr(optimizer, key)) for key in optimizer._names}
    return tensors, {"class": type(optimizer).__name__, "layers": order, "hyperparameters": hyperparameters}


def _plain(value: Any) -> Any:
    """An option as JSON keeps it to the bit; JSON has no infinity, so that one goes as text."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, numbers.Integral):
        return int(value)
    number = float(value)
    return "inf" if number == math.inf else number


def _from_plain(value: Any) -> Any:
    """The option of `_plain`; no option is the word "inf"."""
    if isinstance(value, list):
        return tuple(_from_plain(item) for item in value)
    return math.inf if value == "inf" else value


def _check_text(value: Any, name: str) -> None:
    """A non-empty string that UTF-8 can encode."""
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must have names of type str, not {type(value).__name__}.")
    if not value:
        raise ValueError(f"`{name}` must not have an empty name.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"`{name}` must hold text that UTF-8 can encode, not {value!r}.") from None


def _check_metadata(metadata: Any) -> dict[str, str]:
    """The caller's own metadata, copied."""
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise TypeError(f"`metadata` must be a dict of str to str, not {type(metadata).__name__}.")
    for key, value in metadata.items():
        _check_text(key, "metadata")
        if not isinstance(value, str):
            raise TypeError(f"`metadata` must hold text, not {type(value).__name__} under {key!r}.")
        _check_text(value or "empty", "metadata")
    if KEY in metadata:
        raise ValueError(f"`metadata` must not have the key {KEY!r}: the structure of the layers is there.")
    return dict(metadata)


def _write(target: str, tensors: Tensors, metadata: dict[str, str]) -> None:
    """Write a safetensors file beside the target, then put it in its place."""
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in order:
        array = tensors[name]
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _WORDS[array.dtype.name], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(f"`metadata` must leave a header of at most {MAX_HEADER} bytes, not {len(text)}.")
    beside = Path(target).with_name(f".{Path(target).name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in order:
                array = np.asarray(tensors[name], dtype=_DTYPES[header[name]["dtype"]], order="C")
                file.write(array.reshape(-1).view(np.uint8).data)
        os.replace(beside, target)
    except OSError as error:
        error.filename = target  # the name that the caller knows
        raise
    finally:
        beside.unlink(missing_ok=True)


# ---- loading --------------------------------------------------------------------------------------------------------------


def load(path: str | os.PathLike[str], *, mmap: bool = False) -> Checkpoint:
    """
    Read what `save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.
    mmap : bool, default False
        Map the file instead of reading it: tables and state are read from the disk page by page where a lookup or a step needs
        them. What is written to them stays in the memory of this process and never reaches the file.

    Returns
    -------
    Checkpoint
        Its `layers`, its `optimizer` or None, its `metadata`.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is damaged, no checkpoint of npbloom, or one of a later format.

    Notes
    -----
    Training that goes on after a load gives the same bits as training that was never interrupted. Nothing in the file is
    executed: it names classes of a fixed list.

    Examples
    --------
    See `save`.

    >>> load("no such file")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no such file'
    """
    _check.flag(mmap, "mmap")
    name = os.fspath(path)
    try:
        tensors, metadata = _read(name)
        structure = _structure(metadata.pop(KEY))
        layers = dict(_restore_layers(structure["layers"], tensors, mmap))
        optimizer = _restore_optimizer(structure["optimizer"], layers, tensors, mmap) if "optimizer" in structure else None
        if tensors:
            raise ValueError(f"nothing names the tensor {min(tensors)!r}")
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is not a whole checkpoint of npbloom: {_reason(error)}.") from None
    return Checkpoint(layers, optimizer, metadata)


def _reason(error: Exception) -> str:
    """What was wrong, as the end of a sentence."""
    text = str(error.args[0]) if error.args else type(error).__name__
    return f"there is no {text!r}" if isinstance(error, KeyError) else text.rstrip(".")


def _read(path: str) -> tuple[Tensors, dict[str, str]]:
    """Every tensor, mapped copy-on-write, and the metadata of a safetensors file."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            with safe_open(path, framework="numpy"):  # checks that the header is well formed and the tensors fill the file
                header = json.loads(file.read(length))
        except SafetensorError as error:
            raise ValueError(f"it is no safetensors file or a part of one ({error})") from None
    metadata = header.pop("__metadata__", {})
    if KEY not in metadata:
        raise ValueError(f"its metadata have no key {KEY!r}")
    data = np.memmap(path, dtype=np.uint8, mode="c").view(np.ndarray)[8 + length :]
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"the tensor {name!r} is of type {entry['dtype']}")
        tensors[name] = data[start:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def _structure(text: str) -> Any:
    """What the metadata say about layers and optimizer."""
    structure = json.loads(text)
    if structure["format"] != FORMAT:
        raise ValueError(f"its format is {structure['format']}, and this version reads format {FORMAT}")
    return structure


def _take(tensors: Tensors, name: str, mmap: bool) -> np.ndarray[Any, Any]:
    """A tensor, mapped or in memory, in native byte order."""
    array = tensors.pop(name)
    if mmap and array.flags.aligned and array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="), order="C")


def _restore_layers(described: dict[str, Any], tensors: Tensors, mmap: bool) -> Iterator[tuple[str, Any]]:
    """Construct every layer around its table; layers that shared a table do so again."""
    tables: Tensors = {}
    for name, entry in described.items():
        options = {key: _from_plain(value) for key, value in entry["options"].items()}
        if entry["weight"] not in tables:
            tables[entry["weight"]] = _take(tensors, entry["weight"], mmap)
        if "hash_table" in entry:
            options["hash_table"] = tensors.pop(entry["hash_table"])
        layer = _LAYERS[entry["class"]]
        yield name, layer(entry["num_embeddings"], entry["embedding_dim"], weight=tables[entry["weight"]], **options)


def _restore_optimizer(described: dict[str, Any], layers: dict[str, Any], tensors: Tensors, mmap: bool) -> Optimizer:
    """Construct the optimizer and put its state back."""
    hyperparameters = {key: _from_plain(value) for key, value in described["hyperparameters"].items()}
    order = [layers[name] for name in described["layers"]]
    optimizer: Optimizer = _OPTIMIZERS[described["class"]](order, **hyperparameters)
    for name in described["layers"]:
        state = optimizer.state(layers[name])
        for key, fresh in state.items():
            array = _take(tensors, f"optimizer.{name}.{key}", mmap)
            if (array.dtype, array.shape) != (fresh.dtype, fresh.shape):
                raise ValueError(f"the tensor 'optimizer.{name}.{key}' does not fit the layer {name!r}")
            state[key] = array
    return optimizer
