"""Layers to and from the state dicts of Spotlight; plain layers are as in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from npbloom.interop._arrays import Convert, entry, exported, keys_of, table_of, weight_of
from npbloom.interop._torch import KINDS, Plain, from_torch, to_torch
from npbloom.layers import BloomEmbedding, ScaledEmbedding
from npbloom.types import WIDE_IDS


def from_spotlight(
    state_dict: Mapping[str, Any],
    num_embeddings: int | None = None,
    *,
    num_hash_functions: int = 4,
    prefix: str = "",
    copy: bool = True,
) -> BloomEmbedding | ScaledEmbedding:
    """
    Return a layer around the table of a layer of Spotlight.

    Parameters
    ----------
    state_dict : dict of str to array or tensor
        State dict of the layer, or of a network around it, from ``state_dict()``.
    num_embeddings : int, optional
        Number of ids. It is required for Spotlight's ``BloomEmbedding``, whose table does not have
        it.
    num_hash_functions : int, default 4
        Spotlight's argument of that name. It must be 4 for a plain layer, which does not hash.
    prefix : str, default ""
        Text before ``weight`` or ``embeddings.weight``, with its dot: ``"_user_embeddings."``.
    copy : bool, default True
        If False, share memory with the tensor.

    Returns
    -------
    BloomEmbedding or ScaledEmbedding
        A BloomEmbedding if there is a key ``embeddings.weight``, else a ScaledEmbedding. Ids read
        the same rows as in Spotlight, bit for bit; their sum is L5's.

    Raises
    ------
    TypeError, ValueError
        There is no such key, the table is neither float32 nor float64, or row 0 is not zero. In the
        last case Spotlight had ``bag=True`` or a ``padding_idx`` other than 0, with which it
        computes wrong vectors.

    Notes
    -----
    Read Spotlight's ``ZeroEmbedding`` with ``from_torch(state_dict, ZeroEmbedding, prefix=...)``.

    Examples
    --------
    >>> from npbloom.interop import from_spotlight
    >>> state_dict = {"embeddings.weight": np.array([[0.0], [1.0], [2.0]])}
    >>> layer = from_spotlight(state_dict, num_embeddings=10)
    >>> layer.hash_rows([0, 1]), layer.forward([0, 1]).ravel()
    (array([[0, 0, 0, 0],
           [2, 0, 2, 1]]), array([0., 5.]))
    """
    key = f"{prefix}embeddings.weight"
    if f"{prefix}weight" in keys_of(state_dict) and key not in state_dict:
        if num_hash_functions != 4:
            raise ValueError(f"`num_hash_functions` must be left out for a plain layer, not {num_hash_functions}.")
        layer = from_torch(state_dict, ScaledEmbedding, prefix=prefix, copy=copy)
        if num_embeddings not in (None, layer.num_embeddings):
            raise ValueError(f"`num_embeddings` must be the height of the table, {layer.num_embeddings}, not {num_embeddings}.")
        return layer
    table = table_of(entry(state_dict, key), key, copy)
    if num_embeddings is None:
        raise ValueError(f"`num_embeddings` must be given: {key!r} is a table that ids are hashed into.")
    if table[0].any():
        raise ValueError(
            f"`{key}` must have zeros in row 0, the padding row: with bag=True, or a padding_idx other than 0, Spotlight's own "
            "vectors are wrong."
        )
    return BloomEmbedding(
        num_embeddings, table.shape[1], num_rows=len(table), num_hash_functions=num_hash_functions, weight=table
    )


def to_spotlight(
    layer: BloomEmbedding | Plain, *, prefix: str = "", copy: bool = True, convert: Convert | None = None
) -> dict[str, Any]:
    """
    Return the state dict of the layer of Spotlight with the same name.

    Parameters
    ----------
    layer : BloomEmbedding, ScaledEmbedding, ZeroEmbedding or ScaledEmbeddingBag
        Layer to export. A hashed one must be one that Spotlight can express.
    prefix : str, default ""
        Text before the key, with its dot.
    copy : bool, default True
        If False, return the table itself.
    convert : callable, optional
        Function that is applied to the array. ``torch.from_numpy`` gives what ``load_state_dict``
        takes.

    Returns
    -------
    dict of str to array
        ``{"embeddings.weight": table}`` for a BloomEmbedding, else ``{"weight": table}``.

    Raises
    ------
    TypeError
        Spotlight has no such layer.
    ValueError
        The layer has what Spotlight lacks: a hash table, another way to combine, another padding
        id, or more than 2**31 ids.

    Notes
    -----
    Spotlight computes the height of its table as ``int(compression_ratio * num_embeddings)``. For a
    layer with `num_rows` the ratio ``(num_rows + 0.5) / num_embeddings`` gives that height. Row 0
    is exported as zeros, which is its value in lookups (L22).

    Examples
    --------
    >>> from npbloom.interop import to_spotlight
    >>> list(to_spotlight(nb.BloomEmbedding(10, 2, rng=0), prefix="items."))
    ['items.embeddings.weight']
    """
    if isinstance(layer, KINDS):
        return to_torch(layer, prefix=prefix, copy=copy, convert=convert)
    if not isinstance(layer, BloomEmbedding):
        raise TypeError(f"`layer` must be a layer that Spotlight has, not {type(layer).__name__}.")
    for name, given, needed in (
        ("hash_table", layer.hashing.table is not None, False),
        ("combine", layer.combine, "sum"),
        ("padding_idx", layer.padding_idx, 0),
        ("share_padding_row", layer.share_padding_row, True),
        ("num_embeddings", min(layer.num_embeddings, WIDE_IDS + 1), min(layer.num_embeddings, WIDE_IDS)),
    ):
        if given != needed:
            raise ValueError(f"`layer` must be one that Spotlight has, too: its `{name}` is another.")
    table = weight_of(layer)
    if table[0].any():
        if not copy:
            raise ValueError("`copy` must be True for a table whose row 0 is not zero: Spotlight would read it.")
        table = np.concatenate([np.zeros_like(table[:1]), table[1:]])
        copy = False
    return {f"{prefix}embeddings.weight": exported(table, copy, convert)}
