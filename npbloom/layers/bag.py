"""One vector for each bag of ids: `ScaledEmbeddingBag`."""

from __future__ import annotations

from typing import Any, final

import numpy.typing as npt

from npbloom import _check, ops
from npbloom.layers._bag import BagLayer
from npbloom.layers._plain import PlainTable
from npbloom.ops._backward import Contributions, bag_contributions
from npbloom.ops._bags import MODES
from npbloom.ops._forward import bag_vectors, norm_limits
from npbloom.types import ArrayLike, FloatArray, Rng


@final
class ScaledEmbeddingBag(BagLayer, PlainTable):
    """
    Sum, mean or maximum of the embeddings of each bag of ids.

    No array of shape (n, embedding_dim) is made in between.

    Parameters
    ----------
    num_embeddings : int
        Number of ids, and rows of the table.
    embedding_dim : int
        Length of a row.
    max_norm, norm_type, scale_grad_by_freq : float, float, bool
        As in `ScaledEmbedding`; frequencies work in every mode and count the whole batch, padding
        left out (L11).
    mode : {"mean", "sum", "max"}
        How a bag is reduced.
    padding_idx : int, optional
        Entries with this id are left out of sum, count and maximum. May be negative: counted from
        the end.
    include_last_offset : bool, default False
        The last entry of `offsets` is the number of indices and no bag.
    dtype, rng, weight : optional
        As in `ScaledEmbedding`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range.

    Notes
    -----
    L8 to L18. Where torch differs: its CPU bag divides by the wrong id's count (pytorch#190063) and
    refuses frequencies for max; it accepts a last offset that ends early; a NaN's effect on its
    maximum depends on the position.

    Examples
    --------
    >>> layer = ScaledEmbeddingBag(3, 1, mode="sum", weight=np.array([[1.0], [10.0], [100.0]]))
    >>> layer.forward([0, 1, 1, 2], offsets=[0, 2])
    array([[ 11.],
           [110.]])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        *,
        padding_idx: int | None = None,
        include_last_offset: bool = False,
        dtype: npt.DTypeLike | None = None,
        rng: Rng = None,
        weight: FloatArray | None = None,
    ) -> None:
        self._set_sizes(num_embeddings, embedding_dim, padding_idx, scale_grad_by_freq)
        self.mode = _check.choice(mode, "mode", MODES)
        self.include_last_offset = _check.flag(include_last_offset, "include_last_offset")
        self._options = {
            "max_norm": max_norm,
            "norm_type": norm_type,
            "scale_grad_by_freq": self.scale_grad_by_freq,
            "mode": self.mode,
            "padding_idx": self.padding_idx,
            "include_last_offset": self.include_last_offset,
        }
        self._set_plain(max_norm, norm_type, dtype, rng, weight)

    def forward(
        self, indices: ArrayLike, offsets: ArrayLike | None = None, per_sample_weights: ArrayLike | None = None
    ) -> FloatArray:
        """
        Reduce each bag to one vector.

        Parameters
        ----------
        indices : int array, shape (n,) or (bags, length)
            Each in ``[0, num_embeddings)``. Two dimensions: each row is a bag, and `offsets` must
            be None.
        offsets : int array, shape (bags,), optional
            For 1-D indices: where each bag starts.
        per_sample_weights : float array, shape of indices, optional
            A factor for each entry; only with mode "sum".

        Returns
        -------
        array, shape (bags, embedding_dim)
            A bag with no entry, or with padding only, is zero.

        Raises
        ------
        TypeError, IndexError, ValueError
            See `npbloom.ops.embedding_bag_forward`.

        Notes
        -----
        L13 to L18. With `max_norm` the looked-up rows are scaled in the table first (L10); else
        nothing is written.
        """
        table = self.checked_table()
        limits = None if self.max_norm is None else norm_limits(table, self.max_norm, self.norm_type)
        options = (self.mode, self._padding, self.include_last_offset, limits)
        return bag_vectors(table, indices, offsets, per_sample_weights, *options)

    __call__ = forward

    def _weight_gradients(self, indices: ArrayLike, grad_out: ArrayLike, offsets: ArrayLike | None) -> FloatArray:
        return ops.embedding_bag_backward_weights(
            self.checked_table(),
            indices,
            grad_out,
            offsets,
            padding_idx=self.padding_idx,
            include_last_offset=self.include_last_offset,
        )

    def _contributions(self, ids: Any, grad_out: Any, offsets: Any = None, per_sample_weights: Any = None) -> Contributions:
        options = (self.mode, self._padding, self.include_last_offset, self.scale_grad_by_freq)
        return bag_contributions(self.checked_table(), ids, grad_out, offsets, per_sample_weights, *options)
