"""Layers to and from the state dicts of `torch.nn.Embedding` and `torch.nn.EmbeddingBag`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from npbloom.interop._arrays import Convert, entry, exported, table_of, weight_of
from npbloom.layers import ScaledEmbedding, ScaledEmbeddingBag, ZeroEmbedding

Plain = ScaledEmbedding | ZeroEmbedding | ScaledEmbeddingBag
Kind = TypeVar("Kind", ScaledEmbedding, ZeroEmbedding, ScaledEmbeddingBag)

KINDS = (ScaledEmbedding, ZeroEmbedding, ScaledEmbeddingBag)


def from_torch(state_dict: Mapping[str, Any], layer: type[Kind], *, prefix: str = "", copy: bool = True, **options: Any) -> Kind:
    """
    Return a layer around the table of a `torch.nn.Embedding` or `torch.nn.EmbeddingBag`.

    Parameters
    ----------
    state_dict : dict of str to array or tensor
        State dict of the module, or of a model around it, from ``state_dict()``.
    layer : type
        `ScaledEmbedding` or `ZeroEmbedding` for an ``Embedding``, `ScaledEmbeddingBag` for an
        ``EmbeddingBag``.
    prefix : str, default ""
        Text before ``weight``, with its dot: ``"item_embeddings."``.
    copy : bool, default True
        If False, share memory with the tensor, so that training here also trains it there.
    **options
        Options of the layer: `padding_idx`, `max_norm`, `mode` and so on. A state dict does not
        have them; names and meaning are torch's.

    Returns
    -------
    ScaledEmbedding, ZeroEmbedding or ScaledEmbeddingBag
        A layer with the same lookups as torch, bit for bit. Bags of more than 16 entries are added
        in runs (L5), so last bits may differ.

    Raises
    ------
    TypeError, ValueError
        There is no such key, the table is neither float32 nor float64, or an option does not fit.

    Examples
    --------
    >>> from npbloom.interop import from_torch
    >>> items, bias = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([4.0])
    >>> state_dict = {"items.weight": items, "head.bias": bias}
    >>> from_torch(state_dict, nb.ScaledEmbedding, prefix="items.").forward([1])
    array([[2., 3.]])
    """
    if layer not in KINDS:
        raise TypeError(f"`layer` must be one of {', '.join(kind.__name__ for kind in KINDS)}, not {layer!r}.")
    key = f"{prefix}weight"
    table = table_of(entry(state_dict, key), key, copy)
    return layer(*table.shape, weight=table, **options)


def to_torch(layer: Plain, *, prefix: str = "", copy: bool = True, convert: Convert | None = None) -> dict[str, Any]:
    """
    Return the state dict of a torch module with a layer's table.

    The module is a `torch.nn.Embedding` or `torch.nn.EmbeddingBag`.

    Parameters
    ----------
    layer : ScaledEmbedding, ZeroEmbedding or ScaledEmbeddingBag
        Layer to export. Its options are the module's, under the same names, and not part of a state
        dict.
    prefix : str, default ""
        Text before ``weight``, with its dot.
    copy : bool, default True
        If False, return the table itself.
    convert : callable, optional
        Function that is applied to the array. ``torch.from_numpy`` gives what
        ``module.load_state_dict`` takes.

    Returns
    -------
    dict of str to array
        ``{"weight": table}``.

    Raises
    ------
    TypeError
        The layer is hashed; use `to_spotlight`.

    Examples
    --------
    >>> from npbloom.interop import to_torch
    >>> to_torch(nb.ZeroEmbedding(2, 1), prefix="biases.")
    {'biases.weight': array([[0.],
           [0.]], dtype=float32)}
    """
    if not isinstance(layer, KINDS):
        raise TypeError(f"`layer` must be one of {', '.join(kind.__name__ for kind in KINDS)}, not {type(layer).__name__}.")
    return {f"{prefix}weight": exported(weight_of(layer), copy, convert)}
