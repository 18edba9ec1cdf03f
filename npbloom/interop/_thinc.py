"""Layers to and from Thinc's `HashEmbed`: its hash as a `hash_table`, its table as `weight`."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom import _check, hashing
from npbloom.interop._arrays import Convert, as_array, exported, table_of, weight_of
from npbloom.layers import BloomEmbedding
from npbloom.types import MAX_TABLE_ROWS, ArrayLike, FloatArray, IntArray

COLUMNS = 4  # of Thinc's hash


def _keys(ids: Any) -> np.ndarray[Any, Any]:
    """Return the keys 0 to n - 1, or given keys, as uint64; negative ones wrap, as in Thinc."""
    if isinstance(ids, (int, np.integer)) and not isinstance(ids, (bool, np.bool_)):
        return np.arange(_check.positive_int(ids, "ids"), dtype=np.uint64)
    array = as_array(ids, "ids")
    if array.size == 0 and not isinstance(ids, np.ndarray):
        array = array.astype(np.uint64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`ids` must be a number of ids or an integer array, not {array.dtype}.")
    return array.astype(np.uint64)


def thinc_hash_rows(ids: ArrayLike, num_rows: int, seed: int) -> IntArray:
    """
    Return the table rows that keys read in a `HashEmbed` of Thinc.

    Parameters
    ----------
    ids : int or int array, any shape
        Keys of 64 bits, such as spaCy's lexeme attributes. A number n stands for the keys 0 to
        n - 1.
    num_rows : int
        Height of the table, Thinc's ``nV``, 1 to ``2**31``.
    seed : int
        Thinc's ``model.attrs["seed"]``, in ``[0, 2**32)``.

    Returns
    -------
    int64 array, shape ids.shape + (4,)
        The four 32-bit words of MurmurHash3_x64_128 of the key's eight little-endian bytes, each
        modulo `num_rows`, unsigned.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> from npbloom.interop import thinc_hash_rows
    >>> thinc_hash_rows([7], 100, seed=3)
    array([[ 9, 33,  3, 16]])
    """
    height = _check.positive_int(num_rows, "num_rows")
    if height > MAX_TABLE_ROWS:
        raise ValueError(f"`num_rows` must lie in [1, 2**31], not {height}.")
    keys = _keys(ids)
    words = hashing.murmurhash3_x64_128(keys, seed).astype("<u8").view("<u4").reshape(*keys.shape, COLUMNS)
    return (words % np.uint32(height)).astype(np.int64)


def from_thinc(table: Any, ids: ArrayLike, seed: int, *, copy: bool = True) -> BloomEmbedding:
    """
    Return a layer with the hash and the table of a `HashEmbed` of Thinc.

    Parameters
    ----------
    table : float array, shape (nV, nO)
        Table of the model, ``model.get_param("E")``.
    ids : int or int array, shape (n,)
        Keys that the layer will look up: its id i is ``ids[i]``. A number n stands for the keys 0
        to n - 1.
    seed : int
        Seed of the model, ``model.attrs["seed"]``.
    copy : bool, default True
        If False, share memory with the table.

    Returns
    -------
    BloomEmbedding
        A layer of n ids with a `hash_table` of four probes and no padding id. Vectors are Thinc's,
        in the same order (L5).

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range.

    Notes
    -----
    Thinc hashes any key on the fly; a `hash_table` is made for the keys of a vocabulary. Layers
    here have no dropout.

    Examples
    --------
    >>> from npbloom.interop import from_thinc
    >>> layer = from_thinc(np.arange(100.0).reshape(100, 1), [7], seed=3)
    >>> layer.forward([0])                        # rows 9, 33, 3 and 16, as `thinc_hash_rows` says
    array([[61.]])
    """
    weight = table_of(table, "table", copy)
    rows = thinc_hash_rows(ids, len(weight), seed)
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"`ids` must have shape (n,) with n >= 1, not {rows.shape[:-1]}.")
    return BloomEmbedding(len(rows), weight.shape[1], num_rows=len(weight), hash_table=rows, padding_idx=None, weight=weight)


def to_thinc(
    layer: BloomEmbedding, ids: ArrayLike, seed: int, *, copy: bool = True, convert: Convert | None = None
) -> FloatArray | Any:
    """
    Return the table of a `HashEmbed` of Thinc that computes the same as a layer.

    Parameters
    ----------
    layer : BloomEmbedding
        Layer with Thinc's hash of `ids` as its `hash_table`, such as one of `from_thinc`.
    ids : int or int array, shape (n,)
        Keys of the layer's ids.
    seed : int
        Seed of the `HashEmbed`.
    copy : bool, default True
        If False, return the table itself.
    convert : callable, optional
        Function that is applied to the array, for devices other than the CPU.

    Returns
    -------
    float array, shape (nV, nO)
        Argument of ``model.set_param("E", table)``, of a model with ``nV`` and ``nO`` of this shape
        and `seed` as ``attrs["seed"]``.

    Raises
    ------
    TypeError, ValueError
        The layer is of another class, or reads other rows than Thinc would.

    Examples
    --------
    >>> from npbloom.interop import from_thinc, to_thinc
    >>> layer = from_thinc(np.arange(100.0).reshape(100, 1), 50, seed=3)
    >>> np.array_equal(to_thinc(layer, 50, seed=3), layer.weight)
    True
    >>> to_thinc(layer, 50, seed=4)
    Traceback (most recent call last):
    ValueError: `layer` must read the rows that Thinc's hash gives; id 0 reads [34, 76, 37, 33],
    not [67, 49, 63, 10].
    """
    if not isinstance(layer, BloomEmbedding):
        raise TypeError(f"`layer` must be a BloomEmbedding, not {type(layer).__name__}.")
    if layer.num_hash_functions != COLUMNS or layer.combine != "sum" or layer.padding_idx is not None:
        raise ValueError("`layer` must sum four rows and have no padding id, as Thinc does.")
    wanted = thinc_hash_rows(ids, layer.compressed_num_embeddings, seed)
    if wanted.shape != (layer.num_embeddings, COLUMNS):
        raise ValueError(f"`ids` must be the keys of {layer.num_embeddings} ids, not of shape {wanted.shape[:-1]}.")
    rows = layer.hash_rows(np.arange(layer.num_embeddings))
    wrong = np.flatnonzero((rows != wanted).any(axis=1))
    if wrong.size:
        at = int(wrong[0])
        raise ValueError(
            f"`layer` must read the rows that Thinc's hash gives; id {at} reads {rows[at].tolist()}, not {wanted[at].tolist()}."
        )
    return exported(weight_of(layer), copy, convert)
