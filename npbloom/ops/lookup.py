"""Rows -> vectors: `embedding_forward`, `embedding_bag_forward`, `bloom_forward`, `bloom_bag_forward`."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom import _arrays, _check, _parallel
from npbloom._kernels import lookup as kernels
from npbloom.ops._bags import GRAIN, Bags, read_bags
from npbloom.ops._pairs import distinct_rows
from npbloom.ops.hashing import check_ids, check_range, checked_rows_range, rows_of
from npbloom.types import ArrayLike, FloatArray, HashSpec, IntArray

COMBINE = ("sum", "mean", "concat")
BLOCK = 16384  # ids looked up at a time: their probes stay in the second cache


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
        `weight` is no table, or an option is out of its range, or `max_norm` meets a read-only table.

    Notes
    -----
    - Bits are copied: NaN payloads and -0.0 survive (L5). Nothing wraps (L2).
    - `max_norm` renormalises each distinct row once, the padding row included as in torch (L10), and only after every
      check: torch 2.13 renormalises rows first and raises later (L3).

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


def gather(table: FloatArray, array: IntArray, limits: tuple[float, float] | None = None) -> FloatArray:
    """Rows of a table, scaled before where there are limits; each part of the ids is checked by the thread that looks it up."""
    num_rows, dim = table.shape
    out = _arrays.empty((array.size, dim), table.dtype)
    if limits is not None:
        array = _check.apart(check_ids(array, num_rows, "ids"), table)
        renormalise(table, array.reshape(-1), limits)
    flat, seen = array.reshape(-1), _check.read_only(table)

    def look_up(lo: int, hi: int) -> None:
        check_range(array, num_rows, "ids", lo, hi)
        kernels.gather_range(seen, flat, out, lo, hi)

    _parallel.run_blocks(look_up, flat.size, max(1, GRAIN // dim), BLOCK)
    return out.reshape((*array.shape, dim))


def norm_limits(table: FloatArray, max_norm: Any, norm_type: Any) -> tuple[float, float] | None:
    """The checked pair (max_norm, norm_type), or None without max_norm."""
    power = _check.positive(norm_type, "norm_type")
    if max_norm is None:
        return None
    limit = _check.at_least_zero(max_norm, "max_norm")
    _check.writable(table, "weight", "with `max_norm`, which scales rows in place")
    return limit, power


def renormalise(table: FloatArray, flat: IntArray, limits: tuple[float, float]) -> None:
    """Scale the distinct rows that `flat` names, where their norm exceeds the limit (L10)."""
    if flat.size == 0:
        return
    touched = distinct_rows(flat, table.shape[0])
    grain = max(1, GRAIN // table.shape[1])
    _parallel.run_range(kernels.renorm_range, touched.size, table, touched, *limits, grain=grain)


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
        For 1-D indices: where each bag starts. It starts at 0 and never decreases; the last bag runs to the end.
    per_sample_weights : float array, shape of indices, optional
        A factor for each entry; only with ``mode="sum"``. Rounded to the dtype of the table first.
    mode : {"mean", "sum", "max"}
        How a bag is reduced.
    padding_idx : int, optional
        Entries with this id are left out of sum, count and maximum. May be negative: counted from the end.
    include_last_offset : bool, default False
        The last entry of `offsets` is the number of indices and no bag. Without effect on 2-D indices.
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
    L13 to L18. Sums run in float64 in input order and are rounded once (L5). The maximum is the first maximal entry's
    value; a NaN in a bag makes its result NaN, whatever its position (torch's result depends on it).

    Examples
    --------
    >>> table = np.array([[1.0], [10.0], [100.0]])
    >>> embedding_bag_forward(table, [0, 1, 1, 2], [0, 1, 1], mode="sum")     # the second bag is empty
    array([[  1.],
           [  0.],
           [120.]])
    """
    table = _check.table(weight)
    limits = norm_limits(table, max_norm, norm_type)
    padding = _check.padding_row(padding_idx, table.shape[0])
    return bag_vectors(table, indices, offsets, per_sample_weights, mode, padding, include_last_offset, limits)


def bag_vectors(
    table: FloatArray,
    indices: Any,
    offsets: Any,
    per_sample_weights: Any,
    mode: str,
    padding: int,
    include_last_offset: bool,
    limits: tuple[float, float] | None,
) -> FloatArray:
    """What `embedding_bag_forward` returns, of a checked table."""
    bags = read_bags(
        indices,
        offsets,
        per_sample_weights,
        mode=mode,
        padding=padding,
        include_last_offset=include_last_offset,
        num_embeddings=table.shape[0],
        dtype=table.dtype,
    )
    return bag_output(table, bags, limits)[0]


def bag_output(table: FloatArray, bags: Bags, limits: tuple[float, float] | None = None) -> tuple[FloatArray, IntArray | None]:
    """The reduced bags, and for ``max`` the entry that won each dimension (-1: none); rows are scaled before (L10)."""
    dim = table.shape[1]
    out = _arrays.empty((bags.size, dim), table.dtype)
    winners = np.empty((bags.size, dim), dtype=np.int64) if bags.mode == "max" else None
    if limits is not None:
        bags = bags.apart(table)
        renormalise(table, bags.ids, limits)
    table = _check.read_only(table)
    if winners is not None:
        arrays: tuple[Any, ...] = (table, bags.ids, bags.starts, bags.padding, winners, out)
        _parallel.run_chunks(kernels.bag_max_range, bags.bounds(dim), *arrays)
        return out, winners
    arrays = (table, bags.ids, bags.starts, bags.weights, bags.mode == "mean", bags.padding, out)
    _parallel.run_chunks(kernels.bag_sum_range, bags.bounds(dim), *arrays)
    return out, None


def bloom_forward(weight: FloatArray, ids: ArrayLike, hashing: HashSpec, *, combine: str = "sum") -> FloatArray:
    r"""
    Look up Bloom embeddings: the k rows that each id's hashes name, combined into one vector.

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
        `weight` does not fit `hashing`, or `combine` is unknown, or "concat" meets a k that does not divide d.

    Notes
    -----
    - L20 to L22. Spotlight's readme says average, its code sums; so does the default here.
    - With a padding id its output is zero, and probes of the reserved row 0 add zero, whatever is stored there.
    - Sums run in float64 from +0.0 in order of the probes and are rounded once (L5).

    References
    ----------
    .. [1] J. Serrà, A. Karatzoglou, "Getting deep recommenders fit: Bloom embeddings for sparse binary input/output
       networks", RecSys 2017.

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


def bloom_output(table: FloatArray, array: IntArray, hashing: HashSpec, combine: str) -> FloatArray:
    """Bloom vectors; a thread checks, hashes and looks up a block of ids at a time, and no other trip to it is made."""
    dim = table.shape[1]
    out = _arrays.empty((array.size, dim), table.dtype)
    seen, reserved = _check.read_only(table), reserved_row(hashing)
    divisor = divisor_of(hashing, combine)

    def look_up(lo: int, hi: int) -> None:
        rows = checked_rows_range(array, hashing, "ids", lo, hi)
        part = out if hi - lo == array.size else out[lo:hi]
        if combine == "concat":
            kernels.bloom_concat_range(seen, rows, reserved, part, 0, hi - lo)
        else:
            kernels.bloom_sum_range(seen, rows, reserved, divisor, part, 0, hi - lo)

    work = dim if combine == "concat" else dim * hashing.num_hash_functions
    _parallel.run_blocks(look_up, array.size, max(1, GRAIN // work), BLOCK)
    return out.reshape((*array.shape, dim))


def check_combine(combine: Any, dim: int, num_hash_functions: int) -> str:
    """One of the three words; "concat" needs k to divide d (L21)."""
    _check.choice(combine, "combine", COMBINE)
    if combine == "concat" and dim % num_hash_functions:
        raise ValueError(
            f"`combine='concat'` needs a number of hash functions that divides the embedding dimension {dim}, "
            f"not {num_hash_functions}."
        )
    return str(combine)


def check_hashing(hashing: Any) -> HashSpec:
    """A TypeError unless `hashing` is a HashSpec."""
    if not isinstance(hashing, HashSpec):
        raise TypeError(f"`hashing` must be a HashSpec, not {type(hashing).__name__}.")
    return hashing


def bloom_table(weight: Any, hashing: HashSpec, combine: str) -> FloatArray:
    """A table that fits the hashing and the combination."""
    table = _check.table(weight)
    check_hashing(hashing)
    if table.shape[0] != hashing.num_rows:
        raise ValueError(f"`weight` must have {hashing.num_rows} rows, as `hashing` says, not {table.shape[0]}.")
    check_combine(combine, table.shape[1], hashing.num_hash_functions)
    return table


def reserved_row(hashing: HashSpec) -> int:
    """The row that adds nothing: 0 with a padding id, else none, -1 (L22)."""
    return -1 if hashing.padding_idx is None else 0


def divisor_of(hashing: HashSpec, combine: str) -> float:
    """What the sum over probes is divided by: k for "mean", else 1."""
    return float(hashing.num_hash_functions) if combine == "mean" else 1.0


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
    Look up bags of Bloom embeddings and reduce each bag to one vector: a user as the mean of hashed items.

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
    The vector of each id stays in float64, unrounded; a bag is rounded once (L23b). An id all of whose probes meet the
    reserved row is still an entry: it counts in a mean, and is a zero vector in a maximum.

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


def read_bloom_bags(
    table: FloatArray,
    indices: Any,
    hashing: HashSpec,
    offsets: Any,
    per_sample_weights: Any,
    mode: str,
    include_last_offset: bool,
) -> Bags:
    """Bags of hashed ids, checked."""
    return read_bags(
        indices,
        offsets,
        per_sample_weights,
        mode=mode,
        padding=-1 if hashing.padding_idx is None else hashing.padding_idx,
        include_last_offset=include_last_offset,
        num_embeddings=hashing.num_embeddings,
        dtype=table.dtype,
    )


def bloom_bag_output(
    table: FloatArray, bags: Bags, rows: Any, hashing: HashSpec, combine: str
) -> tuple[FloatArray, IntArray | None]:
    """The reduced bags, and for ``max`` the entry that won each dimension (-1: none)."""
    dim = table.shape[1]
    out = _arrays.empty((bags.size, dim), table.dtype)
    bounds = bags.bounds(dim * rows.shape[1])
    table = _check.read_only(table)
    how = (bags.padding, reserved_row(hashing), divisor_of(hashing, combine), combine == "concat")
    if bags.mode == "max":
        winners = np.empty((bags.size, dim), dtype=np.int64)
        arrays: tuple[Any, ...] = (table, bags.ids, rows, bags.starts, *how, winners, out)
        _parallel.run_chunks(kernels.bloom_bag_max_range, bounds, *arrays, scratch=(2, dim))
        return out, winners
    arrays = (table, bags.ids, rows, bags.starts, bags.weights, bags.mode == "mean", *how, out)
    _parallel.run_chunks(kernels.bloom_bag_sum_range, bounds, *arrays, scratch=(2, dim))
    return out, None
