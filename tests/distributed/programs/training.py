"""
Train two sharded tables, and save after each step; go on where a folder has been left.

Usage: ``mpiexec -n 3 python -m mpi4py -m tests.distributed.programs.training FOLDER OPTIMIZER STEPS
[RANK CALL]``. The rank kills itself before that call of MPI. Rank 0 prints a digest of all tables
and states at the end.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from typing import Any

import numpy as np
from mpi4py import MPI

import npbloom as nb
from npbloom.distributed import ShardedTable, load
from npbloom.distributed._channel import Channel

COMM = MPI.COMM_WORLD
RANK, SIZE = COMM.Get_rank(), COMM.Get_size()


def die_at(number: int) -> None:
    """Kill this process before its call of MPI of this number."""
    begin, calls = Channel._begin, [0]

    def counted(self: Channel, make: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return begin(self, make)

    Channel._begin = counted  # type: ignore[method-assign]


def start(folder: str, kind: str) -> tuple[dict[str, Any], Any, int]:
    """Return tables and optimizer of the folder, or new ones, and the number of steps they have."""
    if os.path.exists(os.path.join(folder, "manifest.json")):
        found = load(folder)
        return found.layers, found.optimizer, int(found.metadata["steps"])
    rows = np.random.default_rng(4).integers(0, 9, (20, 2))
    layers = {
        "users": ShardedTable(nb.BloomEmbedding, 50, 4, num_rows=13, num_hash_functions=2, combine="concat", rng=1),
        "items": ShardedTable(nb.ScaledEmbeddingBag, 4, 4, padding_idx=2, mode="sum", rng=2),
        "codes": ShardedTable(nb.BloomEmbedding, 20, 4, num_rows=9, hash_table=rows, rng=3),
        "bias": nb.ScaledEmbedding(3, 2, rng=5),
    }
    return layers, getattr(nb, kind)([layers["users"], layers["items"]], lr=0.1), 0


def main(folder: str, kind: str, steps: int) -> None:
    """Train, save, and print."""
    layers, optimizer, first = start(folder, kind)
    users, items = layers["users"], layers["items"]
    for step in range(first, steps):
        source = np.random.default_rng(step)
        ids, bags, grad = source.integers(0, 50, 11), source.integers(0, 4, (11, 3)), source.normal(size=(11, 4))
        part = slice(RANK * 11 // SIZE, (RANK + 1) * 11 // SIZE)
        users.forward(ids[part])
        optimizer.update(users, ids[part], grad[part])
        optimizer.update(items, bags[part], grad[part])
        nb.checkpoint.save(folder, layers, optimizer, {"steps": str(step + 1)})
    sha = hashlib.sha256()
    if RANK == 0:
        found = nb.checkpoint.load(folder)
        for layer in found.layers.values():
            sha.update(layer.weight.tobytes())
        for layer in found.optimizer.layers:
            for array in found.optimizer.state(layer).values():
                sha.update(array.tobytes())
    whole = users.gather()
    if whole is not None:
        assert whole.weight.tobytes() == found.layers["users"].weight.tobytes()
        print(sha.hexdigest())


if __name__ == "__main__":
    if len(sys.argv) > 4 and int(sys.argv[4]) == RANK:
        die_at(int(sys.argv[5]))
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
