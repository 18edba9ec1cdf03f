"""Ids: their range check, and the table rows that they probe."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from npbloom import _check
from npbloom._kernels import hashing as kernels
from npbloom._parallel import run_range
from npbloom.types import SPOTLIGHT_SEEDS, WIDE_IDS, HashSpec, IntArray

CHECKS: Final = 2**18  # ids to check below which a second thread does not pay
PROBES: Final = 2**17  # probes to hash below which it does not
_SEEDS: Final = np.array(SPOTLIGHT_SEEDS, dtype=np.uint32)
_SEEDS.flags.writeable = False  # kernels are compiled for read-only inputs


def check_ids(value: Any, bound: int, name: str = "ids") -> IntArray:
    """
    Return an index array (L1) of any shape whose values lie in ``[0, bound)``.

    An IndexError names the first value outside (L2).
    """
    ids = _check.ids(value, name, bound)
    run_range(partial(check_range, ids, bound, name), ids.size, grain=CHECKS)
    return ids


def check_range(ids: IntArray, bound: int, name: str, lo: int, hi: int) -> None:
    """Check the range of the ids at flat positions ``[lo, hi)``."""
    flat = kernels.first_outside_range(ids.reshape(-1), bound - 1, lo, hi)
    if flat >= 0:
        raise _check.outside(flat, ids, bound, name)


def _fill_rows(ids: IntArray, hashing: HashSpec, rows: npt.NDArray[Any], lo: int, hi: int) -> None:
    """Write the probes of the checked, flat ids ``[lo, hi)`` into those places of `rows` (n, k)."""
    padding = -1 if hashing.padding_idx is None else hashing.padding_idx
    if hashing._rows is not None:
        kernels.table_rows_range(ids, hashing._rows, padding, rows, lo, hi)
    else:
        first_row = 0 if hashing.padding_idx is None or hashing.share_padding_row else 1
        seeds = _SEEDS[: hashing.num_hash_functions]
        wide = hashing.num_embeddings > WIDE_IDS
        kernels.hash_rows_range(ids, seeds, hashing.num_rows, wide, padding, first_row, rows, lo, hi)


def checked_rows_range(ids: IntArray, hashing: HashSpec, name: str, lo: int, hi: int) -> npt.NDArray[np.int32]:
    """
    Check the ids at flat positions ``[lo, hi)`` and return their probes.

    One task does both.
    """
    check_range(ids, hashing.num_embeddings, name, lo, hi)
    rows = np.empty((hi - lo, hashing.num_hash_functions), dtype=np.int32)
    flat = ids.reshape(-1)
    _fill_rows(flat if hi - lo == flat.size else flat[lo:hi], hashing, rows, 0, hi - lo)
    return rows


def rows_of(ids: IntArray, hashing: HashSpec, dtype: type[np.signedinteger[Any]] = np.int32) -> npt.NDArray[Any]:
    """Return the probes (n, k) of checked, flat ids."""
    rows = np.empty((ids.size, hashing.num_hash_functions), dtype=dtype)
    run_range(partial(_fill_rows, ids, hashing, rows), ids.size, grain=max(1, PROBES // hashing.num_hash_functions))
    return rows
