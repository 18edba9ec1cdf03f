"""The base of layers of bags: their backward passes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from npbloom import _check
from npbloom.layers._table import Layer
from npbloom.ops._backward import Contributions
from npbloom.types import ArrayLike, FloatArray, RowGrad


class BagLayer(Layer):
    """A layer that reduces bags of ids to one vector each."""

    mode: str
    bag_arguments = ("offsets", "per_sample_weights")

    def backward(
        self,
        indices: ArrayLike,
        grad_out: ArrayLike,
        offsets: ArrayLike | None = None,
        per_sample_weights: ArrayLike | None = None,
        *,
        sparse: bool | None = None,
    ) -> RowGrad | FloatArray:
        """
        Gradient of `forward` with respect to the table.

        Parameters
        ----------
        indices : int array
            As in `forward`.
        grad_out : float array, shape (bags, embedding_dim)
            Gradient of the loss with respect to the output; rounded to the dtype of the table
            first.
        offsets, per_sample_weights : array, optional
            As in `forward`.
        sparse : bool, optional
            False for an array of the table's shape; a RowGrad by default (L12).

        Returns
        -------
        RowGrad or array, shape of the table
            Never the padding row. With "concat" a RowGrad's rows are slices of width d/k (L21). A
            maximum's gradient goes to its current winners (L25).

        Raises
        ------
        TypeError, IndexError, ValueError
            See `npbloom.ops.embedding_bag_backward` and `bloom_bag_backward`.
        """
        sparse = True if sparse is None else _check.flag(sparse, "sparse")
        return self._gradient(self._contributions(indices, grad_out, offsets, per_sample_weights), sparse)

    def backward_per_sample_weights(
        self, indices: ArrayLike, grad_out: ArrayLike, offsets: ArrayLike | None = None
    ) -> FloatArray:
        """
        Gradient of `forward` with respect to the weights of its entries; only for mode "sum" (L18).

        Parameters
        ----------
        indices : int array
            As in `forward`.
        grad_out : float array, shape (bags, embedding_dim)
            Gradient of the loss with respect to the output.
        offsets : int array, optional
            As in `forward`.

        Returns
        -------
        array, shape of indices
            Dot products of each entry's bag gradient with its row or vector, 0 for padding.

        Raises
        ------
        TypeError, IndexError, ValueError
            See `npbloom.ops.embedding_bag_backward_weights` and `bloom_bag_backward_weights`; a
            ValueError for modes that take no weights.
        """
        if self.mode != "sum":
            raise ValueError(f"`mode` must be 'sum' for gradients of per-sample weights, not {self.mode!r}.")
        return self._weight_gradients(indices, grad_out, offsets)

    @abstractmethod
    def _contributions(self, ids: Any, grad_out: Any, offsets: Any = None, per_sample_weights: Any = None) -> Contributions:
        """Check the arguments and pair each gradient with its rows."""

    @abstractmethod
    def _weight_gradients(self, indices: ArrayLike, grad_out: ArrayLike, offsets: ArrayLike | None) -> FloatArray:
        """Gradients of the per-sample weights of a sum."""
