"""One row for each id: `ScaledEmbedding` and `ZeroEmbedding`."""

from __future__ import annotations

from typing import Any, final

import numpy.typing as npt

from npbloom import _check
from npbloom.layers._plain import PlainTable
from npbloom.ops._backward import Contributions, embedding_contributions
from npbloom.ops._forward import gather, norm_limits
from npbloom.types import ArrayLike, FloatArray, Rng, RowGrad


class _Embedding(PlainTable):
    """`ScaledEmbedding` and `ZeroEmbedding` but for their initial values."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        dtype: npt.DTypeLike | None = None,
        rng: Rng = None,
        weight: FloatArray | None = None,
    ) -> None:
        self._set_sizes(num_embeddings, embedding_dim, padding_idx, scale_grad_by_freq)
        self.sparse = _check.flag(sparse, "sparse")
        self._options = {
            "padding_idx": self.padding_idx,
            "max_norm": max_norm,
            "norm_type": norm_type,
            "scale_grad_by_freq": self.scale_grad_by_freq,
            "sparse": self.sparse,
        }
        self._set_plain(max_norm, norm_type, dtype, rng, weight)

    def forward(self, ids: ArrayLike) -> FloatArray:
        """
        Look up one row for each id.

        Parameters
        ----------
        ids : int array, any shape
            Each in ``[0, num_embeddings)``.

        Returns
        -------
        array, shape ids.shape + (embedding_dim,)
            Copies of the rows; the padding row as it is stored (L9).

        Raises
        ------
        TypeError, IndexError
            `ids` is not an integer array, or out of range.

        Notes
        -----
        With `max_norm` the looked-up rows are scaled in the table first (L10); else nothing is
        written.
        """
        table, array = self.checked_table(), _check.ids(ids, "ids", self.num_embeddings)
        return gather(table, array, None if self.max_norm is None else norm_limits(table, self.max_norm, self.norm_type))

    __call__ = forward

    def backward(self, ids: ArrayLike, grad_out: ArrayLike, *, sparse: bool | None = None) -> RowGrad | FloatArray:
        """
        Gradient of `forward` with respect to the table.

        Parameters
        ----------
        ids : int array, any shape
            The ids that were looked up; there is no hidden last input.
        grad_out : float array, shape ids.shape + (embedding_dim,)
            Gradient of the loss with respect to the output; rounded to the dtype of the table
            first.
        sparse : bool, optional
            For this call, instead of the layer's own setting.

        Returns
        -------
        RowGrad or array, shape (num_embeddings, embedding_dim)
            Sparse: the looked-up rows. Else an array of the table's shape, zeros elsewhere. Never
            the padding row.

        Raises
        ------
        TypeError, IndexError, ValueError
            `ids` or `grad_out` do not fit.

        Notes
        -----
        L7, L9, L11, L12, L24.
        """
        sparse = self.sparse if sparse is None else _check.flag(sparse, "sparse")
        return self._gradient(self._contributions(ids, grad_out), sparse)

    def _contributions(self, ids: Any, grad_out: Any) -> Contributions:
        return embedding_contributions(
            ids,
            grad_out,
            self.num_embeddings,
            self.padding_idx,
            self.scale_grad_by_freq,
            dim=self.embedding_dim,
            dtype=self.dtype,
        )


@final
class ScaledEmbedding(_Embedding):
    """
    Embedding with normal initial values of standard deviation ``1 / embedding_dim``.

    It is Spotlight's default layer.

    Parameters
    ----------
    num_embeddings : int
        Number of ids, and rows of the table.
    embedding_dim : int
        Length of a row.
    padding_idx : int, optional
        Row that has no gradient and that no optimizer moves; starts at zero. May be negative:
        counted from the end.
    max_norm : float, optional
        Rows looked up whose norm exceeds it are scaled down to it, in the table, during `forward`.
    norm_type : float, default 2
        The p of that norm, greater than 0, ``inf`` included.
    scale_grad_by_freq : bool, default False
        Divide each row's gradient by how often its id occurs in the batch.
    sparse : bool, default False
        Whether `backward` returns a RowGrad. `Optimizer.update` always works on touched rows.
    dtype : float32 or float64, optional
        Of the table; float32 by default, with `weight` its own.
    rng : numpy.random.Generator or int, optional
        Source of the initial values; None: fresh entropy. The same seed gives the same table for
        any number of threads.
    weight : array, shape (num_embeddings, embedding_dim), optional
        A table to adopt without a copy, a memmap too; a read-only one gives a layer that can only
        look up.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range.

    Notes
    -----
    L8 to L12. torch.nn.Embedding starts from standard deviation 1.

    Examples
    --------
    >>> layer = ScaledEmbedding(3, 2, weight=np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]))
    >>> layer.forward([[1, 2]])
    array([[[2., 3.],
            [4., 5.]]])
    >>> layer.backward([1, 1], [[1.0, 0.0], [10.0, 0.0]])
    array([[ 0.,  0.],
           [11.,  0.],
           [ 0.,  0.]])
    """


@final
class ZeroEmbedding(_Embedding):
    """
    Embedding that starts at zero, for biases.

    Everything but the initial values is as in `ScaledEmbedding`.

    Parameters
    ----------
    num_embeddings, embedding_dim, padding_idx : int
        As in `ScaledEmbedding`.
    max_norm, norm_type, scale_grad_by_freq, sparse : optional
        As in `ScaledEmbedding`.
    dtype, rng, weight : optional
        As in `ScaledEmbedding`; there is nothing to draw, so `rng` decides nothing.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> ZeroEmbedding(3, 1).forward([2])
    array([[0.]], dtype=float32)
    """

    _zero = True
