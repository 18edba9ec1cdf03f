"""Print the name of the runtime, and a digest of a table after three steps."""

from __future__ import annotations

import hashlib

import numpy as np
from mpi4py import MPI

import npbloom as nb
from npbloom.distributed import ShardedTable

if __name__ == "__main__":
    comm = MPI.COMM_WORLD
    table = ShardedTable(nb.BloomEmbedding, 10_000, 8, rng=0)
    optimizer = nb.Adagrad(table)
    source = np.random.default_rng(comm.Get_rank())
    for _ in range(3):
        ids = source.integers(0, 10_000, 300)
        optimizer.update(table, ids, table.forward(ids) - 1)
    whole = table.gather()
    if whole is not None:
        digest = hashlib.sha256(whole.weight.tobytes()).hexdigest()
        print(MPI.Get_library_version().splitlines()[0], digest)
