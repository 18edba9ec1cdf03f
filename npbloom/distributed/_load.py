"""Checkpoints of sharded tables: `load` on any number of ranks, and `reshard`."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from npbloom import _check
from npbloom.checkpoint import Checkpoint, _folder, _structure
from npbloom.checkpoint._checkpoint import named
from npbloom.distributed._channel import channel_of
from npbloom.distributed._table import ShardedTable
from npbloom.ops._sharded import block_bounds


def load(path: str | os.PathLike[str], *, comm: Any = None) -> Checkpoint:
    """
    Read a folder that `npbloom.checkpoint.save` wrote, on any number of ranks; collective.

    Parameters
    ----------
    path : str or path-like
        The folder.
    comm : mpi4py.MPI.Intracomm, optional
        Communicator; all processes by default.

    Returns
    -------
    Checkpoint
        Layers that were sharded are ShardedTables with this rank's rows, others are plain layers.
        The optimizer has the state of these rows.

    Raises
    ------
    ImportError
        mpi4py is not installed.
    OSError
        A file cannot be read, on any rank.
    ValueError
        The folder is damaged or no checkpoint of sharded tables, on any rank.

    Notes
    -----
    Training that goes on has the bits of training that was never interrupted, also on another
    number of ranks (L42). A rank reads the parts that hold its rows, and compares their digests.

    Examples
    --------
    .. code-block:: python

        found = nb.distributed.load("model/")
        users, optimizer = found.layers["users"], found.optimizer
    """
    channel, folder = channel_of(comm), os.fsdecode(path)

    def read() -> tuple[_folder.Manifest, Any]:
        with named(folder):
            manifest = _folder.read_manifest(folder)
            wanted = {}
            for name, factor in _folder.row_factors(manifest.structure, manifest.shapes, manifest.sharded).items():
                bounds = block_bounds(manifest.shapes[name][0] // factor, channel.size) * factor
                wanted[name] = (int(bounds[channel.rank]), int(bounds[channel.rank + 1]))
            return manifest, _folder.read_rows(folder, manifest, wanted)

    manifest, tensors = channel.agree("load", -1, read)
    makers = {name: partial(ShardedTable, comm=comm) for name in manifest.sharded}

    def maker(name: str, kind: Any) -> Any:
        return partial(makers[name], kind) if name in makers else kind

    layers, optimizer = _structure.restore(manifest.structure, tensors, maker)
    return Checkpoint(layers, optimizer, manifest.metadata)


def reshard(old: str | os.PathLike[str], new: str | os.PathLike[str], ranks: int) -> None:
    """
    Write a checkpoint of sharded tables again, in the parts of another number of ranks.

    Parameters
    ----------
    old : str or path-like
        Folder that `npbloom.checkpoint.save` wrote.
    new : str or path-like
        Folder to write, which must not exist.
    ranks : int
        Number of parts, at least 1.

    Raises
    ------
    OSError
        A file cannot be read or written, or `new` exists.
    ValueError
        `old` is damaged or no checkpoint of sharded tables, or `ranks` is below 1.

    Notes
    -----
    In one process, without MPI. One part of `new` is in memory at a time. `load` needs no
    resharding; it saves reading parts of which a rank needs little.

    Examples
    --------
    .. code-block:: python

        nb.distributed.reshard("model/", "model-of-8/", 8)
    """
    count = _check.positive_int(ranks, "ranks")
    with named(os.fsdecode(old)):
        _folder.reshard(os.fsdecode(old), os.fsdecode(new), count)
