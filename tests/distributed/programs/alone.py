"""Fail on one rank between two calls; the others wait in the next one."""

from __future__ import annotations

from mpi4py import MPI

import npbloom as nb
from npbloom.distributed import ShardedTable

if __name__ == "__main__":
    table = ShardedTable(nb.ZeroEmbedding, 10, 2)
    if MPI.COMM_WORLD.Get_rank() == 1:
        1 / 0  # noqa: B018
    table.forward([1])
