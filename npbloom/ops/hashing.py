"""Ids to table rows: range checks, MurmurHash3 probes, and hash tables of the caller's own."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from npbloom import _check
from npbloom._kernels.hashing import first_outside_range, hash_rows_range, table_rows_range
from npbloom._parallel import run_range
from npbloom.types import SPOTLIGHT_SEEDS, WIDE_IDS, ArrayLike, HashSpec, IntArray

CHECKS: Final = 2**18  # ids to check below which a second thread does not pay
PROBES: Final = 2**17  # probes to hash below which it does not
_SEEDS: Final = np.array(SPOTLIGHT_SEEDS, dtype=np.uint32)
_SEEDS.flags.writeable = False  # kernels are compiled for read-only inputs


def check_ids(value: Any, bound: int, name: str = "ids") -> IntArray:
    """An index array (L1) of any shape whose values lie in ``[0, bound)``, else an IndexError for the first outside (L2)."""
    ids = _check.ids(value, name, bound)
    run_range(partial(check_range, ids, bound, name), ids.size, grain=CHECKS)
    return ids


def check_range(ids: IntArray, bound: int, name: str, lo: int, hi: int) -> None:
    """The range check of the ids at flat positions ``[lo, hi)``."""
    flat = first_outside_range(ids.reshape(-1), bound - 1, lo, hi)
    if flat >= 0:
        raise _check.outside(flat, ids, bound, name)


def _fill_rows(ids: IntArray, hashing: HashSpec, rows: npt.NDArray[Any], lo: int, hi: int) -> None:
    """Write the probes of the checked, flat ids ``[lo, hi)`` into those places of `rows` (n, k)."""
    padding = -1 if hashing.padding_idx is None else hashing.padding_idx
    if hashing._rows is not None:
        table_rows_range(ids, hashing._rows, padding, rows, lo, hi)
    else:
        first_row = 0 if hashing.padding_idx is None or hashing.share_padding_row else 1
        seeds = _SEEDS[: hashing.num_hash_functions]
        wide = hashing.num_embeddings > WIDE_IDS
        hash_rows_range(ids, seeds, hashing.num_rows, wide, padding, first_row, rows, lo, hi)


def checked_rows_range(ids: IntArray, hashing: HashSpec, name: str, lo: int, hi: int) -> npt.NDArray[np.int32]:
    """The probes of ids at flat positions ``[lo, hi)``, which are checked first: one trip to a thread does both."""
    check_range(ids, hashing.num_embeddings, name, lo, hi)
    rows = np.empty((hi - lo, hashing.num_hash_functions), dtype=np.int32)
    flat = ids.reshape(-1)
    _fill_rows(flat if hi - lo == flat.size else flat[lo:hi], hashing, rows, 0, hi - lo)
    return rows


def rows_of(ids: IntArray, hashing: HashSpec, dtype: type[np.signedinteger[Any]] = np.int32) -> npt.NDArray[Any]:
    """The probes (n, k) of checked, flat ids."""
    rows = np.empty((ids.size, hashing.num_hash_functions), dtype=dtype)
    run_range(partial(_fill_rows, ids, hashing, rows), ids.size, grain=max(1, PROBES // hashing.num_hash_functions))
    return rows


def hash_rows(ids: ArrayLike, hashing: HashSpec) -> IntArray:
    r"""
    The table rows that ids read.

    Probe j of an id is

    .. math:: r_j = f + \bigl( h_j \bmod (m - f) \bigr),

    where :math:`h_j` is MurmurHash3_x86_32 of the id's little-endian bytes with the j-th of `SPOTLIGHT_SEEDS`, read as a signed
    32-bit integer, :math:`\bmod` has the sign of its divisor, :math:`m` is the number of rows, and :math:`f` is 1 where a
    padding id keeps row 0 to itself, else 0.

    Parameters
    ----------
    ids : int array, any shape
        Ids in ``[0, hashing.num_embeddings)``, of any integer dtype. Never written to.
    hashing : HashSpec
        Number of ids, rows and hash functions, the padding id, or a table of rows instead of the hash.

    Returns
    -------
    int64 array, shape ids.shape + (k,)
        Rows in ``[0, hashing.num_rows)``.

    Raises
    ------
    TypeError
        `ids` is not an integer array, or `hashing` is not a HashSpec.
    IndexError
        An id is out of range; the message names the first one and its position.

    Notes
    -----
    - An id is hashed as four bytes, or as eight by a spec of more than 2**31 ids; the dtype it arrives in does not matter (L20).
    - The padding id is decided before hashing: all its probes are row 0. With ``share_padding_row=False`` no other id
      probes row 0 (L22).
    - With ``hashing.table`` the rows are the table's (L21).
    - Bit-compatible with Spotlight for ``padding_idx=0`` and ``share_padding_row=True``.

    References
    ----------
    .. [1] A. Appleby, MurmurHash3 in SMHasher, https://github.com/aappleby/smhasher
    .. [2] M. Kula, Spotlight, ``spotlight.layers.BloomEmbedding``, https://github.com/maciejkula/spotlight

    Examples
    --------
    >>> hash_rows([0, 1, 2], HashSpec(3, 100, num_hash_functions=2, padding_idx=0))
    array([[ 0,  0],
           [ 1, 32],
           [61, 52]])
    >>> hash_rows([[2], [1]], HashSpec(3, 10, table=[[0, 9], [1, 8], [5, 5]]))
    array([[[5, 5]],
    <BLANKLINE>
           [[1, 8]]])
    """
    if not isinstance(hashing, HashSpec):
        raise TypeError(f"`hashing` must be a HashSpec, not {type(hashing).__name__}.")
    checked = check_ids(ids, hashing.num_embeddings)
    return rows_of(checked.reshape(-1), hashing, np.int64).reshape(*checked.shape, hashing.num_hash_functions)
