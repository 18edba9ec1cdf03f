"""Output gradients to RowGrad: the backward passes, and the gradients of per-sample weights."""

from __future__ import annotations

import numpy as np

from npbloom import _check, _parallel
from npbloom._kernels import lookup as kernels
from npbloom.ops._backward import (
    bag_contributions,
    bloom_bag_contributions,
    bloom_contributions,
    embedding_contributions,
)
from npbloom.ops._bags import read_bloom_bags, read_table_bags
from npbloom.ops._bloom import bloom_table, combination
from npbloom.ops._ids import rows_of
from npbloom.types import MAX_IDS, ArrayLike, FloatArray, HashSpec, RowGrad

__all__ = [
    "bloom_backward",
    "bloom_bag_backward",
    "bloom_bag_backward_weights",
    "embedding_backward",
    "embedding_bag_backward",
    "embedding_bag_backward_weights",
]


def embedding_backward(
    ids: ArrayLike,
    grad_out: ArrayLike,
    num_rows: int,
    *,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> RowGrad:
    r"""
    Compute the gradient of `embedding_forward` with respect to the table.

    Parameters
    ----------
    ids : int array, any shape
        The ids that were looked up.
    grad_out : float array, shape ids.shape + (d,)
        Gradient of the loss with respect to the output.
    num_rows : int
        Height of the table.
    padding_idx : int, optional
        Row that has no gradient. May be negative: counted from the end.
    scale_grad_by_freq : bool, default False
        Divide each row's gradient by how often its id occurs in the batch.

    Returns
    -------
    RowGrad
        ``rows`` (u,), sorted and distinct; ``values`` (u, d), in grad_out's own dtype if that is
        float32 or float64, else float64.

    Raises
    ------
    TypeError
        `ids` is not an integer array or `grad_out` not a real floating one.
    IndexError
        An id is out of range.
    ValueError
        The shape of `grad_out` or an option is wrong.

    Notes
    -----
    Duplicates add up (L7), in input order and runs of sixteen (L5). Exactly the looked-up rows
    without padding occur, also where their gradient is zero (L24). Nothing is written to.

    Examples
    --------
    >>> grad = embedding_backward([2, 0, 2], [[1.0], [10.0], [100.0]], 3)
    >>> grad.rows, grad.values
    (array([0, 2]), array([[ 10.],
           [101.]]))
    """
    height = _check.positive_int(num_rows, "num_rows")
    if height > MAX_IDS:
        raise ValueError(f"`num_rows` must be at most 2**63, not {height}.")
    return embedding_contributions(ids, grad_out, height, padding_idx, scale_grad_by_freq).to_row_grad()


def embedding_bag_backward(
    weight: FloatArray,
    indices: ArrayLike,
    grad_out: ArrayLike,
    offsets: ArrayLike | None = None,
    per_sample_weights: ArrayLike | None = None,
    *,
    mode: str = "mean",
    padding_idx: int | None = None,
    include_last_offset: bool = False,
    scale_grad_by_freq: bool = False,
) -> RowGrad:
    r"""
    Compute the gradient of `embedding_bag_forward` with respect to the table.

    Parameters
    ----------
    weight : float32 or float64 array, shape (m, d)
        The table as it is now: a maximum is differentiated at its current winners (L25).
    indices : int array
        As in `embedding_bag_forward`.
    grad_out : float array, shape (bags, d)
        Gradient of the loss with respect to the output; rounded to the dtype of the table first.
    offsets, per_sample_weights, mode, padding_idx, include_last_offset : optional
        As in `embedding_bag_forward`.
    scale_grad_by_freq : bool, default False
        Divide each row's gradient by how often its id occurs in the whole batch, padding not
        counted, in every mode.

    Returns
    -------
    RowGrad
        ``rows`` (u,), sorted and distinct; ``values`` (u, d) in the dtype of the table.

    Raises
    ------
    TypeError, IndexError, ValueError
        As `embedding_bag_forward`, and for the shape or kind of `grad_out`.

    Notes
    -----
    - Each entry contributes ``((G_b / count_b) * w_i) / frequency``, summed in input order (L5,
      L11). torch refuses frequencies for max, and its CPU bag uses the wrong id's count.
    - In a maximum the first maximal entry takes the gradient (L17); the other rows occur with zeros
      (L24).

    Examples
    --------
    >>> table = np.zeros((3, 1))
    >>> embedding_bag_backward(table, [0, 1, 1], [[1.0], [10.0]], [0, 1], mode="mean").values
    array([[ 1.],
           [10.]])
    """
    table = _check.table(weight)
    padding = _check.padding_row(padding_idx, table.shape[0])
    options = (mode, padding, include_last_offset, scale_grad_by_freq)
    return bag_contributions(table, indices, grad_out, offsets, per_sample_weights, *options).to_row_grad()


def embedding_bag_backward_weights(
    weight: FloatArray,
    indices: ArrayLike,
    grad_out: ArrayLike,
    offsets: ArrayLike | None = None,
    *,
    padding_idx: int | None = None,
    include_last_offset: bool = False,
) -> FloatArray:
    r"""
    Compute the gradient of a bag sum with respect to its per-sample weights.

    Parameters
    ----------
    weight : float32 or float64 array, shape (m, d)
        The table as it is now.
    indices : int array
        As in `embedding_bag_forward`.
    grad_out : float array, shape (bags, d)
        Gradient of the loss with respect to the output; rounded to the dtype of the table first.
    offsets, padding_idx, include_last_offset : optional
        As in `embedding_bag_forward`.

    Returns
    -------
    array, shape of indices
        The dot product of each entry's bag gradient with its row, 0 for padding; in the dtype of
        the table (L18).

    Raises
    ------
    TypeError, IndexError, ValueError
        As `embedding_bag_forward`, and for the shape or kind of `grad_out`.

    Notes
    -----
    The products are added in float64 in eight partial sums, and rounded once (L5).

    Examples
    --------
    >>> table = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> embedding_bag_backward_weights(table, [0, 1], [[10.0, 1.0]], [0])
    array([12., 34.])
    """
    table = _check.table(weight)
    padding = _check.padding_row(padding_idx, table.shape[0])
    bags = read_table_bags(table, indices, offsets, None, "sum", padding, include_last_offset)
    grad = _check.grad_out(grad_out, (bags.size,), table.shape[1], table.dtype)
    out = np.empty(bags.ids.size, dtype=table.dtype)
    arrays = (_check.read_only(table), bags.ids, bags.indptr, grad, bags.padding, out)
    _parallel.run_range(kernels.bag_dot_range, bags.bounds(table.shape[1]), *arrays)
    return out.reshape(bags.shape)


def bloom_backward(ids: ArrayLike, grad_out: ArrayLike, hashing: HashSpec, *, combine: str = "sum") -> RowGrad:
    r"""
    Compute the gradient of `bloom_forward` with respect to the table.

    With :math:`y_i = \sum_j W_{r_{ij}}`, where :math:`r_{ij}` is probe j of id i, the gradient of
    row :math:`q` is the sum of :math:`\partial L / \partial y_i` over every pair :math:`(i, j)`
    with :math:`r_{ij} = q`.

    Parameters
    ----------
    ids : int array, any shape
        The ids that were looked up.
    grad_out : float array, shape ids.shape + (d,)
        Gradient of the loss with respect to the output of `bloom_forward`.
    hashing : HashSpec
        How ids become rows.
    combine : {"sum", "mean", "concat"}
        As in `bloom_forward`.

    Returns
    -------
    RowGrad
        ``rows`` (u,), sorted and distinct; ``values`` (u, d), in grad_out's own dtype if that is
        float32 or float64, else float64. With "concat" the rows are slices ``r * k + j`` of
        ``weight.reshape(m * k, d // k)``.

    Raises
    ------
    TypeError
        `ids` is not an integer array, `grad_out` not a real floating one, or `hashing` no HashSpec.
    IndexError
        An id is out of range.
    ValueError
        The shape of `grad_out` or `combine` is wrong.

    Notes
    -----
    - Duplicates add up (L7). Order and rounding: L5, L6. Empty batch: ``u == 0``. Nothing is
      written to.
    - "mean" divides each contribution by k before the sum (L5). The reserved row of a padding id
      never occurs (L22).

    Examples
    --------
    >>> table = np.array([[0, 3], [3, 3]])          # both probes of id 1 meet row 3
    >>> bloom_backward([0, 1], [[1.0, 10.0], [2.0, 20.0]], HashSpec(2, 4, table=table)).values
    array([[ 1., 10.],
           [ 5., 50.]])
    """
    return bloom_contributions(ids, grad_out, hashing, combine).to_row_grad()


def bloom_bag_backward(
    weight: FloatArray,
    indices: ArrayLike,
    grad_out: ArrayLike,
    hashing: HashSpec,
    offsets: ArrayLike | None = None,
    per_sample_weights: ArrayLike | None = None,
    *,
    mode: str = "mean",
    include_last_offset: bool = False,
    combine: str = "sum",
) -> RowGrad:
    r"""
    Compute the gradient of `bloom_bag_forward` with respect to the table.

    Parameters
    ----------
    weight : float32 or float64 array, shape (hashing.num_rows, d)
        The table as it is now: a maximum is differentiated at its current winners (L25).
    indices : int array
        As in `bloom_bag_forward`.
    grad_out : float array, shape (bags, d)
        Gradient of the loss with respect to the output; rounded to the dtype of the table first.
    hashing : HashSpec
        How ids become rows.
    offsets, per_sample_weights, mode, include_last_offset, combine : optional
        As in `bloom_bag_forward`.

    Returns
    -------
    RowGrad
        As `bloom_backward`, in the dtype of the table.

    Raises
    ------
    TypeError, IndexError, ValueError
        As `bloom_bag_forward`, and for the shape or kind of `grad_out`.

    Notes
    -----
    Each id sends ``((G_b / count_b) * w_i)``, over k for combine "mean", to its probes in order (i,
    j) (L23b).

    Examples
    --------
    >>> spec = HashSpec(2, 4, table=[[1, 2], [3, 3]])
    >>> grad = bloom_bag_backward(np.zeros((4, 1)), [0, 1], [[1.0]], spec, [0], mode="mean")
    >>> grad.rows, grad.values
    (array([1, 2, 3]), array([[0.5],
           [0.5],
           [1. ]]))
    """
    table = bloom_table(weight, hashing, combine)
    options = (mode, include_last_offset, combine)
    return bloom_bag_contributions(table, indices, grad_out, hashing, offsets, per_sample_weights, *options).to_row_grad()


def bloom_bag_backward_weights(
    weight: FloatArray,
    indices: ArrayLike,
    grad_out: ArrayLike,
    hashing: HashSpec,
    offsets: ArrayLike | None = None,
    *,
    include_last_offset: bool = False,
    combine: str = "sum",
) -> FloatArray:
    r"""
    Compute the gradient of a Bloom bag sum with respect to its per-sample weights.

    Parameters
    ----------
    weight : float32 or float64 array, shape (hashing.num_rows, d)
        The table as it is now.
    indices : int array
        As in `bloom_bag_forward`.
    grad_out : float array, shape (bags, d)
        Gradient of the loss with respect to the output; rounded to the dtype of the table first.
    hashing : HashSpec
        How ids become rows.
    offsets, include_last_offset, combine : optional
        As in `bloom_bag_forward`.

    Returns
    -------
    array, shape of indices
        The dot product of each entry's bag gradient with its Bloom vector, 0 for padding
        (L18, L23b).

    Raises
    ------
    TypeError, IndexError, ValueError
        As `bloom_bag_forward`, and for the shape or kind of `grad_out`.

    Examples
    --------
    >>> table = np.array([[0.0], [1.0], [10.0], [100.0]])
    >>> spec = HashSpec(2, 4, table=[[1, 2], [3, 3]])
    >>> bloom_bag_backward_weights(table, [0, 1], [[2.0]], spec, [0])
    array([ 22., 400.])
    """
    table = bloom_table(weight, hashing, combine)
    bags = read_bloom_bags(table, indices, hashing, offsets, None, "sum", include_last_offset)
    grad = _check.grad_out(grad_out, (bags.size,), table.shape[1], table.dtype)
    rows = rows_of(bags.ids, hashing)
    out = np.empty(bags.ids.size, dtype=table.dtype)
    options = combination(hashing, combine)
    arrays = (_check.read_only(table), bags.ids, rows, bags.indptr, grad, bags.padding, options, out)
    bounds = bags.bounds(table.shape[1] * rows.shape[1])
    vector = ((1, table.shape[1]), table.dtype)
    _parallel.run_range(kernels.bloom_bag_dot_range, bounds, *arrays, scratch=[vector])
    return out.reshape(bags.shape)
