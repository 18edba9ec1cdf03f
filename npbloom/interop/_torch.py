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
    A layer around the table of a `torch.nn.Embedding` or `torch.nn.EmbeddingBag`.

    Parameters
    ----------
    state_dict : dict of str to array or tensor
        What ``module.state_dict()`` returns, of the module or of a model around it.
    layer : type
        `ScaledEmbedding` or `ZeroEmbedding` for an ``Embedding``, `ScaledEmbeddingBag` for an
        ``EmbeddingBag``.
    prefix : str, default ""
        What stands before ``weight``, its dot included: ``"item_embeddings."``.
    copy : bool, default True
        False: share memory with the tensor, so that training here trains it there.
    **options
        The layer's: `padding_idx`, `max_norm`, `mode` and so on. A state dict does not hold them;
        torch's names and meaning are the same.

    Returns
    -------
    ScaledEmbedding, ZeroEmbedding or ScaledEmbeddingBag
        Its lookups are the bits of torch's; sums and means of bags are rounded once (L5), and
        torch's in each step.

    Raises
    ------
    TypeError, ValueError
        There is no such key, the table is neither float32 nor float64, or an option does not fit.

    Examples
    --------
    >>> from npbloom.interop import from_torch
    >>> state_dict = {"items.weight": np.array([[0.0, 1.0], [2.0, 3.0]]), "head.bias": np.array([4.0])}
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
    The state dict of a `torch.nn.Embedding` or `torch.nn.EmbeddingBag` with a layer's table.

    Parameters
    ----------
    layer : ScaledEmbedding, ZeroEmbedding or ScaledEmbeddingBag
        Its options are the module's, under the same names, and not part of a state dict.
    prefix : str, default ""
        What stands before ``weight``, its dot included.
    copy : bool, default True
        False: the table itself.
    convert : callable, optional
        Applied to the array: ``torch.from_numpy`` gives what ``module.load_state_dict`` takes.

    Returns
    -------
    dict of str to array
        ``{"weight": table}``.

    Raises
    ------
    TypeError
        The layer is a hashed one: see `to_spotlight`.

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
