"""`save`, `load` and `verify`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from npbloom import _check
from npbloom.checkpoint import _format, _replace, _structure
from npbloom.layers import Layer
from npbloom.optimizers import Optimizer

LONGEST_REASON = 400  # characters


class Checkpoint(NamedTuple):
    """
    The content of a file.

    Parameters
    ----------
    layers : dict of str to layer
        Under the names and in the order they were saved with.
    optimizer : Optimizer or None
        On these layers: ``checkpoint.optimizer.state(checkpoint.layers["items"])`` is the restored
        state.
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
        The file to write. It is replaced only when the new one is whole and on the disk; a symbolic
        link is followed.
    layers : dict of str to layer
        Different layers of any class, by names that the tensors will carry. Two layers on one table
        keep sharing it.
    optimizer : Optimizer, optional
        Its hyperparameters as they are now, and the state of each of its layers, all of which must
        be in `layers`.
    metadata : dict of str to str, optional
        Text of the caller's own, readable by every safetensors reader. The keys ``npbloom``,
        ``npbloom.header_sha256`` and ``npbloom.data_sha256`` are taken.

    Raises
    ------
    TypeError
        `layers`, `optimizer` or `metadata` is of another kind.
    ValueError
        A layer of the optimizer is not in `layers`, a layer is there twice, two tables overlap
        without being the same, a table was reshaped or a state replaced by what does not fit, or a
        name is empty, taken, or not text that UTF-8 can encode.
    OSError
        The file cannot be written. What was there before is still there then.

    Notes
    -----
    - Killed at any moment, or out of disk space, a save leaves the old file or the new one, whole.
      It writes beside the file, flushes, renames, and flushes the directory. What killed saves of a
      file leave beside it, the next save of it removes.
    - Tables are copied, hashed and written piece by piece, not as a whole. While another thread
      trains them, each row is written as it was at some moment, not all at the same one.
    - A `hash_table` is kept, as rows of 32-bit integers.
    - A table that was read-only is writable when loaded.
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
    tensors, described = _structure.describe_layers(layers)
    structure: dict[str, Any] = {"format": _format.FORMAT, "layers": described}
    if optimizer is not None:
        state, structure["optimizer"] = _structure.describe_optimizer(optimizer, layers)
        tensors |= state
    text = json.dumps(structure, ensure_ascii=False, allow_nan=False)
    words = _structure.check_metadata(metadata) | {_format.KEY: text}
    _replace.replace(target, lambda file: _format.write(file, tensors, words))


def load(path: str | os.PathLike[str], *, mmap: bool = False) -> Checkpoint:
    """
    Read what `save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.
    mmap : bool, default False
        Map the file instead of reading it: tables and state are read from the disk page by page
        where a lookup or a step needs them. What is written to them stays in the memory of this
        process and never reaches the file.

    Returns
    -------
    Checkpoint
        Its `layers`, its `optimizer` or None, its `metadata`.

    Raises
    ------
    OSError
        The file cannot be opened or read.
    ValueError
        It is damaged, no checkpoint of npbloom, or one of another format; the sentence says which.

    Notes
    -----
    - Names, dtypes, shapes and metadata are compared with their digest, always; the bytes of the
      tensors with theirs unless `mmap` is True, where `verify` does it whenever there is time.
    - Training that goes on after a load gives the same bits as training that was never interrupted.
    - Nothing in the file is executed: it names classes of a fixed list.
    - Memory follows the file's size, whatever stands in it (docs/guarantees.md).

    Examples
    --------
    See `save`.

    >>> load("no such file")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no such file'
    """
    _check.flag(mmap, "mmap")
    name = os.fsdecode(path)
    with _named(name), _format.opened(name) as file:
        header = _format.read_header(file)
        structure = _format.structure_of(header)
        tensors = _format.map_tensors(file, header) if mmap else _format.read_tensors(file, header)
        layers, optimizer = _structure.restore(structure, tensors)
    metadata = {key: value for key, value in header.metadata.items() if key not in _format.OWN_KEYS}
    return Checkpoint(layers, optimizer, metadata)


def verify(path: str | os.PathLike[str]) -> None:
    """
    Read a whole file and compare both digests, without keeping any of it in memory.

    Parameters
    ----------
    path : str or path-like
        The file: what ``load(path, mmap=True)`` took on trust.

    Raises
    ------
    OSError
        The file cannot be opened or read.
    ValueError
        It is damaged, no checkpoint of npbloom, or one of another format; the sentence says which.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "biases")
    ...     save(path, {"biases": nb.ZeroEmbedding(3, 2)})
    ...     verify(path)                                             # nothing to complain about
    ...     _ = path.write_bytes(path.read_bytes()[:-1] + bytes([1]))
    ...     try:
    ...         verify(path)
    ...     except ValueError as error:
    ...         print(str(error).split(": ", 1)[1])
    the bytes of its tensors are not those that were written: their SHA-256 differs.
    """
    name = os.fsdecode(path)
    with _named(name), _format.opened(name) as file:
        header = _format.read_header(file)
        _format.structure_of(header)
        _format.read_through(file, header)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Turn any error about the content of a file into a ValueError that names the file."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole checkpoint of npbloom: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    """An error as the end of a sentence of one line, cut where it quotes too much."""
    if isinstance(error, KeyError):
        text = f"there is no {error.args[0]!r}"
    else:
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."
