"""Ids to table rows: MurmurHash3 probes, and hash tables of the caller's own."""

from __future__ import annotations

import numpy as np

from npbloom.ops._bloom import check_hashing
from npbloom.ops._ids import check_ids, rows_of
from npbloom.types import ArrayLike, HashSpec, IntArray

__all__ = ["hash_rows"]


def hash_rows(ids: ArrayLike, hashing: HashSpec) -> IntArray:
    r"""
    Return the table rows that ids read.

    Probe j of an id is

    .. math:: r_j = f + \bigl( h_j \bmod (m - f) \bigr),

    where :math:`h_j` is MurmurHash3_x86_32 of the id's little-endian bytes with the j-th of
    `SPOTLIGHT_SEEDS`, read as a signed 32-bit integer, :math:`\bmod` has the sign of its divisor,
    :math:`m` is the number of rows, and :math:`f` is 1 where a padding id keeps row 0 to itself,
    else 0.

    Parameters
    ----------
    ids : int array, any shape
        Ids in ``[0, hashing.num_embeddings)``, of any integer dtype. Never written to.
    hashing : HashSpec
        Number of ids, rows and hash functions, the padding id, or a table of rows instead of the
        hash.

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
    - An id is hashed as four bytes, or as eight by a spec of more than 2**31 ids; the dtype it
      arrives in does not matter (L20).
    - The padding id is decided before hashing: all its probes are row 0. With
      ``share_padding_row=False`` no other id probes row 0 (L22).
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
    check_hashing(hashing)
    checked = check_ids(ids, hashing.num_embeddings)
    return rows_of(checked.reshape(-1), hashing, np.int64).reshape(*checked.shape, hashing.num_hash_functions)
