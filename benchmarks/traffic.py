"""
Bytes that a step must move between memory and processor, and this machine's speed of copying.

A step is a forward and an update. Memory moves in cache lines, so a table's row counts with every
line it lies on, and a line that two rows share counts once. In each of the two passes a touched
line counts once, however often it is touched:

- forward: ids; touched rows of the table, read; output, written.
- update: output gradients, read; touched rows of the table and of the optimizer's state, read
  and written.

Ids count in the forward only, because the update finds them in a cache. The rows that they hash to
do not count at all. No cache can promise that a pass meets each line once. The second pass reads
the table's rows again if the cache is smaller than the batch's rows (uniform ids: 37 MB). With
Zipf's ids the rows are fewer, and some of these bytes come from the last-level cache.

Writes count once. A store that reads its line first moves more than this. A copy of n bytes moves 2
n.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from npbloom.optimizers import BY_NAME

LINE = 64
COPIED = 256 * 2**20  # bytes of one copy: eight times the last-level cache of the machine this was written on


def touched_bytes(items: npt.NDArray[np.int64], width: int) -> int:
    """
    Return the bytes of the cache lines that distinct, sorted items of `width` bytes lie on.

    The array begins on a line.
    """
    if not len(items):
        return 0
    first = items * width // LINE
    last = ((items + 1) * width - 1) // LINE
    met_before = np.concatenate([[-1], last[:-1]])
    return int((last - np.maximum(first, met_before + 1) + 1).sum()) * LINE


def forward_bytes(ids: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], dim: int, itemsize: int) -> dict[str, int]:
    """Return the bytes that the forward of a Bloom layer that hashes its ids must move."""
    return {
        "ids": 8 * ids.size,
        "table, read": touched_bytes(np.unique(rows), dim * itemsize),
        "output, written": ids.size * dim * itemsize,
    }


def update_bytes(rows: npt.NDArray[np.int64], dim: int, itemsize: int, optimizer: str) -> dict[str, int]:
    """Return the bytes that the update must move."""
    touched = np.unique(rows)
    table = touched_bytes(touched, dim * itemsize)
    spec = BY_NAME[optimizer].state_spec((1, dim), np.dtype(f"f{itemsize}"))  # of a table of one row
    state = sum(touched_bytes(touched, array.nbytes) for array in spec.values() if array.shape)
    return {
        "gradients, read": len(rows) * dim * itemsize,
        "table, read and written": 2 * table,
        "state, read and written": 2 * state,
    }


class Copy:
    """
    Copy of a large array by several threads, a part each.

    NumPy's copy releases the interpreter's lock.
    """

    def __init__(self, threads: int, size: int = COPIED) -> None:
        self._pool = ThreadPoolExecutor(threads)
        source = np.ones(size // 8)
        target = np.zeros_like(source)
        self._parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
        self.bytes = 2 * source.nbytes

    def __call__(self) -> Any:
        """Copy once."""
        wait([self._pool.submit(np.copyto, target, source) for target, source in self._parts])

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
