"""Public functions `save`, `load` and `verify`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from npbloom import _check
from npbloom.checkpoint import _folder, _format, _replace, _structure
from npbloom.layers import Layer
from npbloom.optimizers import Optimizer

LONGEST_REASON = 400  # characters


class Checkpoint(NamedTuple):
    """
    The content of a file.

    Parameters
    ----------
    layers : dict of str to layer
        Layers, under the names and in the order of `save`.
    optimizer : Optimizer or None
        Optimizer of these layers. ``checkpoint.optimizer.state(checkpoint.layers["items"])`` is the
        restored state.
    metadata : dict of str to str
        Metadata of the caller.

    Examples
    --------
    >>> Checkpoint({}, None, {"note": "empty"}).metadata
    {'note': 'empty'}
    """

    layers: dict[str, Any]
    optimizer: Optimizer | None
    metadata: dict[str, str]


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
        File to write. It is replaced only when the new one is complete and on the disk. A symbolic
        link is followed. With sharded tables it is a folder, and the call collective.
    layers : dict of str to layer
        Different layers of any class, with the names for their tensors. Two layers on the same
        table still share it after a load.
    optimizer : Optimizer, optional
        Optimizer whose current hyperparameters are saved, with the state of each of its layers. All
        of these must be in `layers`.
    metadata : dict of str to str, optional
        Text of the caller, which every safetensors reader can read. The keys ``npbloom``,
        ``npbloom.header_sha256`` and ``npbloom.data_sha256`` are reserved.

    Raises
    ------
    TypeError
        `layers`, `optimizer` or `metadata` is of another kind.
    ValueError
        A layer of the optimizer is not in `layers`, a layer is given twice, two tables overlap
        without being the same, a table was reshaped, a state was replaced by one that does not fit,
        or a name is empty, reserved, or cannot be encoded in UTF-8.
    OSError
        The file cannot be written. The old file is still there.

    Notes
    -----
    - A save that is killed at any moment, or runs out of disk space, leaves the old file or the new
      one, complete. It writes beside the file, flushes, renames, and flushes the directory. The
      next save of the same file removes what a killed one left beside it.
    - Tables are copied, hashed and written in pieces. While another thread trains them, each row is
      written as it was at some moment, but not all rows at the same moment.
    - A `hash_table` is saved as rows of 32-bit integers.
    - A read-only table is writable after a load.
    - torch and others read the tensors: ``safetensors.torch.load_file(path)["items.weight"]``.

    Examples
    --------
    >>> import tempfile
    >>> items = nb.ScaledEmbedding(3, 2, rng=0)
    >>> optimizer = nb.Adagrad(items, lr=0.5)
    >>> optimizer.update(items, [1, 1], [[1.0, 0.0], [2.0, 0.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/model.safetensors", {"items": items}, optimizer, {"epoch": "1"})
    ...     found = load(f"{folder}/model.safetensors")
    >>> found.optimizer.state(found.layers["items"])["sum"].tolist(), found.metadata
    ([[0.0, 0.0], [9.0, 0.0], [0.0, 0.0]], {'epoch': '1'})
    >>> np.array_equal(found.layers["items"].weight, items.weight)
    True
    """
    target = os.path.realpath(os.fsdecode(path))
    if isinstance(layers, dict) and any(getattr(layer, "ranks", None) is not None for layer in layers.values()):
        _folder.save(target, layers, optimizer, metadata)
        return
    tensors, structure = _structure.describe(layers, optimizer)
    text = json.dumps(structure, ensure_ascii=False, allow_nan=False)
    words = _structure.check_metadata(metadata) | {_format.KEY: text}
    _replace.replace(target, lambda file: _format.write(file, tensors, words))


def load(path: str | os.PathLike[str], *, mmap: bool = False) -> Checkpoint:
    """
    Read a file that `save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file, or the folder of sharded tables, which become plain layers.
    mmap : bool, default False
        Map the file instead of reading it: pages of tables and state are read from the disk when a
        lookup or a step needs them. Written values stay in the memory of this process and never
        reach the file.

    Returns
    -------
    Checkpoint
        Its `layers`, its `optimizer` or None, and its `metadata`.

    Raises
    ------
    OSError
        The file cannot be opened or read.
    ValueError
        The file is damaged, is no checkpoint of npbloom, or has another format; the message says
        which.

    Notes
    -----
    - Names, dtypes, shapes and metadata are always compared with their digest. The bytes of the
      tensors are compared with theirs unless `mmap` is True; `verify` compares them later.
    - Training that continues after a load gives the same bits as uninterrupted training.
    - Nothing in the file is executed: the classes that it may name are a fixed list.
    - Memory grows with the file's size, whatever its content (docs/guarantees.md).

    Examples
    --------
    See `save`.

    >>> load("no such file")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no such file'
    """
    _check.flag(mmap, "mmap")
    name = os.fsdecode(path)
    if os.path.exists(os.path.join(name, _folder.MANIFEST)):
        if mmap:
            raise ValueError("`mmap` must be False for a folder: the rows of a table lie in several files.")
        with named(name):
            manifest = _folder.read_manifest(name)
            layers, optimizer = _structure.restore(manifest.structure, _folder.read_rows(name, manifest, {}))
        return Checkpoint(layers, optimizer, manifest.metadata)
    with named(name), _format.opened(name) as file:
        header = _format.read_header(file)
        structure = _format.structure_of(header)
        tensors = _format.map_tensors(file, header) if mmap else _format.read_tensors(file, header)
        layers, optimizer = _structure.restore(structure, tensors)
    metadata = {key: value for key, value in header.metadata.items() if key not in _format.OWN_KEYS}
    return Checkpoint(layers, optimizer, metadata)


def verify(path: str | os.PathLike[str]) -> None:
    """
    Read a whole file and compare both digests, without keeping it in memory.

    Parameters
    ----------
    path : str or path-like
        The file, such as one that ``load(path, mmap=True)`` did not compare.

    Raises
    ------
    OSError
        The file cannot be opened or read.
    ValueError
        The file is damaged, is no checkpoint of npbloom, or has another format; the message says
        which.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "biases")
    ...     save(path, {"biases": nb.ZeroEmbedding(3, 2)})
    ...     verify(path)                                             # no error
    ...     _ = path.write_bytes(path.read_bytes()[:-1] + bytes([1]))
    ...     try:
    ...         verify(path)
    ...     except ValueError as error:
    ...         print(str(error).split(": ", 1)[1])
    the bytes of its tensors are not those that were written: their SHA-256 differs.
    """
    name = os.fsdecode(path)
    if os.path.exists(os.path.join(name, _folder.MANIFEST)):
        with named(name):
            _folder.verify(name)
        return
    with named(name), _format.opened(name) as file:
        header = _format.read_header(file)
        _format.structure_of(header)
        _format.read_through(file, header)


@contextmanager
def named(path: str) -> Iterator[None]:
    """Turn any error about the content of a file into a ValueError that names the file."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole checkpoint of npbloom: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    """Return an error as the end of a one-line message, cut if it quotes too much."""
    if isinstance(error, KeyError):
        text = f"there is no {error.args[0]!r}"
    else:
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."
