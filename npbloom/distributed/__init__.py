"""
Tables that are cut over the ranks of an MPI communicator.

Needs the extra ``npbloom[mpi]``; mpi4py is imported when a table is made.
"""

from npbloom.distributed._load import load, reshard
from npbloom.distributed._table import ShardedTable

__all__ = ["ShardedTable", "load", "reshard"]
