"""Rows to vectors: lookups of rows, of bags of rows, and of hashed ids."""

from __future__ import annotations

from npbloom import _check
from npbloom.ops._bags import read_bloom_bags
from npbloom.ops._bloom import bloom_table
from npbloom.ops._forward import bag_vectors, bloom_bag_output, bloom_output, gather, norm_limits
from npbloom.ops._ids import rows_of
from npbloom.types import ArrayLike, FloatArray, HashSpec

__all__ = ["bloom_bag_forward", "bloom_forward", "embedding_bag_forward", "embedding_forward"]


def embedding_forward(weight: FloatArray, ids: ArrayLike, *, max_norm: float | None = None, norm_type: float = 2) -> FloatArray:
    r"""
    Look up one row of a table for each id.

    Parameters
    ----------
    weight : float32 or float64 array, shape (m, d)
        The table. Written to only with `max_norm`.
    ids : int array, any shape
        Rows to read, each in ``[0, m)``.
    max_norm : float, optional
        Rows looked up whose norm exceeds it are scaled down to it first, in the table.
    norm_type : float, default 2
        The p of the norm, greater than 0, ``inf`` included.

    Returns
    -------
    array, shape ids.shape + (d,)
        A copy of the rows, in the dtype of the table.

    Raises
    ------
    TypeError
        `ids` is not an integer array.
    IndexError
        An id is out of range.
    ValueError
        `weight` is no table, or an option is out of its range, or `max_norm` meets a read-only
        table.

    Notes
    -----
    - Bits are copied: NaN payloads and -0.0 survive (L5). Nothing wraps (L2).
    - `max_norm` renormalises each distinct row once, the padding row included as in torch (L10),
      and only after every check: torch 2.13 renormalises rows first and raises later (L3).

    Examples
    --------
    >>> table = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    >>> embedding_forward(table, [2, 0, 2])
    array([[4., 5.],
           [0., 1.],
           [4., 5.]])
    """
    table = _check.table(weight)
    array = _check.ids(ids, "ids", table.shape[0])
    limits = norm_limits(table, max_norm, norm_type)
    return gather(table, array, limits)


def embedding_bag_forward(
    weight: FloatArray,
    indices: ArrayLike,
    offsets: ArrayLike | None = None,
    per_sample_weights: ArrayLike | None = None,
    *,
    mode: str = "mean",
    padding_idx: int | None = None,
    include_last_offset: bool = False,
    max_norm: float | None = None,
    norm_type: float = 2,
) -> FloatArray:
    r"""
    Look up bags of rows and reduce each bag to one vector.

    Parameters
    ----------
    weight : float32 or float64 array, shape (m, d)
        The table. Written to only with `max_norm`.
    indices : int array, shape (n,) or (bags, length)
        Rows to read. Two dimensions: each row is a bag.
    offsets : int array, shape (bags,), optional
        For 1-D indices: where each bag starts. It starts at 0 and never decreases; the last bag
        runs to the end.
    per_sample_weights : float array, shape of indices, optional
        A factor for each entry; only with ``mode="sum"``. Rounded to the dtype of the table first.
    mode : {"mean", "sum", "max"}
        How a bag is reduced.
    padding_idx : int, optional
        Entries with this id are left out of sum, count and maximum. May be negative: counted from
        the end.
    include_last_offset : bool, default False
        The last entry of `offsets` is the number of indices and no bag. Without effect on 2-D
        indices.
    max_norm, norm_type : float
        As in `embedding_forward`.

    Returns
    -------
    array, shape (bags, d)
        In the dtype of the table. A bag with no entry, or with padding only, is zero.

    Raises
    ------
    TypeError
        Indices or offsets are not integers, or weights are not floating.
    IndexError
        An index is out of range.
    ValueError
        A shape, an offset or an option is wrong.

    Notes
    -----
    L13 to L18. Sums are taken in input order, in runs of sixteen (L5). The maximum is the
    first maximal entry's value; a NaN in a bag makes its result NaN, whatever its position (torch's
    result depends on it).

    Examples
    --------
    >>> table = np.array([[1.0], [10.0], [100.0]])
    >>> embedding_bag_forward(table, [0, 1, 1, 2], [0, 1, 1], mode="sum")  # the second bag is empty
    array([[  1.],
           [  0.],
           [120.]])
    """
    table = _check.table(weight)
    limits = norm_limits(table, max_norm, norm_type)
    padding = _check.padding_row(padding_idx, table.shape[0])
    return bag_vectors(table, indices, offsets, per_sample_weights, mode, padding, include_last_offset, limits)


def bloom_forward(weight: FloatArray, ids: ArrayLike, hashing: HashSpec, *, combine: str = "sum") -> FloatArray:
    r"""
    Look up Bloom embeddings: combine the k rows that each id's hashes name into one vector.

    Parameters
    ----------
    weight : float32 or float64 array, shape (hashing.num_rows, d)
        The table.
    ids : int array, any shape
        Ids, each in ``[0, hashing.num_embeddings)``.
    hashing : HashSpec
        How ids become rows.
    combine : {"sum", "mean", "concat"}
        Sum of the k rows, their mean, or slice j of width d/k from the row of probe j.

    Returns
    -------
    array, shape ids.shape + (d,)
        In the dtype of the table.

    Raises
    ------
    TypeError
        `ids` is not an integer array or `hashing` no HashSpec.
    IndexError
        An id is out of range.
    ValueError
        `weight` does not fit `hashing`, or `combine` is unknown, or "concat" meets a k that does
        not divide d.

    Notes
    -----
    - L20 to L22. Spotlight's readme says average, its code sums; so does the default here.
    - With a padding id its output is zero, and probes of the reserved row 0 add zero, whatever is
      stored there.
    - Sums run from +0.0 in order of the probes, in runs of sixteen (L5).

    References
    ----------
    .. [1] J. Serrà, A. Karatzoglou, "Getting deep recommenders fit: Bloom embeddings for sparse
       binary input/output networks", RecSys 2017.

    Examples
    --------
    >>> table = np.array([[0.0], [1.0], [10.0], [100.0]])
    >>> spec = HashSpec(2, 4, table=[[1, 2], [3, 3]])         # both probes of id 1 meet row 3
    >>> bloom_forward(table, [0, 1], spec)
    array([[ 11.],
           [200.]])
    """
    table = bloom_table(weight, hashing, combine)
    return bloom_output(table, _check.ids(ids, "ids", hashing.num_embeddings), hashing, combine)


def bloom_bag_forward(
    weight: FloatArray,
    indices: ArrayLike,
    hashing: HashSpec,
    offsets: ArrayLike | None = None,
    per_sample_weights: ArrayLike | None = None,
    *,
    mode: str = "mean",
    include_last_offset: bool = False,
    combine: str = "sum",
) -> FloatArray:
    r"""
    Look up bags of Bloom embeddings and reduce each bag to one vector.

    A user, for example, is the mean of hashed items.

    Parameters
    ----------
    weight : float32 or float64 array, shape (hashing.num_rows, d)
        The table.
    indices : int array, shape (n,) or (bags, length)
        Ids, each in ``[0, hashing.num_embeddings)``; entries with the padding id are left out.
    hashing : HashSpec
        How ids become rows.
    offsets, per_sample_weights, mode, include_last_offset : optional
        As in `embedding_bag_forward`.
    combine : {"sum", "mean", "concat"}
        As in `bloom_forward`.

    Returns
    -------
    array, shape (bags, d)
        In the dtype of the table.

    Raises
    ------
    TypeError, IndexError, ValueError
        As `embedding_bag_forward` and `bloom_forward`.

    Notes
    -----
    The terms of a bag are its ids' vectors (L23b). An id all of
    whose probes meet the reserved row is still an entry: it counts in a mean, and is a zero vector
    in a maximum.

    Examples
    --------
    >>> table = np.array([[0.0], [1.0], [10.0], [100.0]])
    >>> spec = HashSpec(2, 4, table=[[1, 2], [3, 3]])
    >>> bloom_bag_forward(table, [0, 1, 1], spec, [0, 1], mode="mean")
    array([[ 11.],
           [200.]])
    """
    table = bloom_table(weight, hashing, combine)
    bags = read_bloom_bags(table, indices, hashing, offsets, per_sample_weights, mode, include_last_offset)
    return bloom_bag_output(table, bags, rows_of(bags.ids, hashing), hashing, combine)[0]
