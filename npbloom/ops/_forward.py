"""Forward passes on checked arguments, for layers and for the backward passes of a maximum."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from npbloom import _arrays, _check, _parallel
from npbloom._kernels import lookup as kernels
from npbloom._kernels import norms
from npbloom.ops._bags import GRAIN, Bags, read_table_bags
from npbloom.ops._bloom import combination, divisor_of, reserved_row
from npbloom.ops._ids import check_ids, check_range, checked_rows_range
from npbloom.ops._pairs import distinct_rows
from npbloom.types import FloatArray, HashSpec, IntArray, RowArray

BLOCK = 16384  # ids looked up at a time: their probes stay in the second cache


def gather(table: FloatArray, array: IntArray, limits: tuple[float, float] | None = None) -> FloatArray:
    """
    Return rows of a table, scaled first where there are limits.

    Each part of the ids is checked by the thread that looks it up.
    """
    num_rows, dim = table.shape
    out = _arrays.empty((array.size, dim), table.dtype)
    if limits is not None:
        array = _check.apart(check_ids(array, num_rows, "ids"), table)
        renormalise(table, array.reshape(-1), limits)
    flat, seen, streams = array.reshape(-1), _check.read_only(table), _arrays.streams(out)

    def look_up(lo: int, hi: int) -> None:
        check_range(array, num_rows, "ids", lo, hi)
        kernels.gather_range(seen, flat, streams, out, lo, hi)

    _parallel.run_blocks(look_up, flat.size, max(1, GRAIN // dim), BLOCK)
    return out.reshape((*array.shape, dim))


def norm_limits(table: FloatArray, max_norm: Any, norm_type: Any) -> tuple[float, float] | None:
    """Return the checked pair (max_norm, norm_type), or None without max_norm."""
    power = _check.positive(norm_type, "norm_type")
    if max_norm is None:
        return None
    limit = _check.at_least_zero(max_norm, "max_norm")
    _check.writable(table, "weight", "with `max_norm`, which scales rows in place")
    return limit, power


def renormalise(table: FloatArray, flat: IntArray, limits: tuple[float, float]) -> None:
    """Scale the distinct rows that `flat` names where their norm exceeds the limit (L10)."""
    if flat.size == 0:
        return
    touched = distinct_rows(flat, table.shape[0])
    grain = max(1, GRAIN // table.shape[1])
    _parallel.run_range(norms.renorm_range, touched.size, table, touched, *limits, grain=grain)


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
    """Return the result of `embedding_bag_forward`, of a checked table."""
    bags = read_table_bags(table, indices, offsets, per_sample_weights, mode, padding, include_last_offset)
    return bag_output(table, bags, limits)[0]


def bag_output(table: FloatArray, bags: Bags, limits: tuple[float, float] | None = None) -> tuple[FloatArray, IntArray | None]:
    """
    Return the reduced bags, and for ``max`` the entry that won each dimension (-1: none).

    Rows are scaled before (L10).
    """
    dim = table.shape[1]
    out = _arrays.empty((bags.size, dim), table.dtype)
    winners = np.empty((bags.size, dim), dtype=np.int64) if bags.mode == "max" else None
    if limits is not None:
        bags = bags.apart(table)
        renormalise(table, bags.ids, limits)
    table = _check.read_only(table)
    if winners is not None:
        arrays: tuple[Any, ...] = (table, bags.ids, bags.indptr, bags.padding, winners, out)
        _parallel.run_range(kernels.bag_max_range, bags.bounds(dim), *arrays)
        return out, winners
    arrays = (table, bags.ids, bags.indptr, bags.weights, bags.mode == "mean", bags.padding, out)
    _parallel.run_range(kernels.bag_sum_range, bags.bounds(dim), *arrays)
    return out, None


def bloom_output(table: FloatArray, array: IntArray, hashing: HashSpec, combine: str) -> FloatArray:
    """
    Return Bloom vectors.

    A thread checks, hashes and looks up a block of ids in one task.
    """
    out = bloom_vectors(table, array.size, partial(checked_rows_range, array, hashing, "ids"), hashing, combine)
    return out.reshape((*array.shape, table.shape[1]))


def bloom_vectors(
    table: FloatArray, size: int, rows_of: Callable[[int, int], RowArray], hashing: HashSpec, combine: str
) -> FloatArray:
    """
    Return Bloom vectors (size, d) of ids (L21).

    ``rows_of(lo, hi)`` returns the rows (hi - lo, k) that ids ``[lo, hi)`` probe, in the thread
    that looks them up.
    """
    dim = table.shape[1]
    out = _arrays.empty((size, dim), table.dtype)
    seen, reserved = _check.read_only(table), reserved_row(hashing)
    divisor, streams = divisor_of(hashing, combine), _arrays.streams(out)

    def look_up(lo: int, hi: int) -> None:
        rows = rows_of(lo, hi)
        part = out if hi - lo == size else out[lo:hi]
        if combine == "concat":
            kernels.bloom_concat_range(seen, rows, reserved, part, 0, hi - lo)
        else:
            kernels.bloom_sum_range(seen, rows, reserved, divisor, streams, part, 0, hi - lo)

    work = dim if combine == "concat" else dim * hashing.num_hash_functions
    _parallel.run_blocks(look_up, size, max(1, GRAIN // work), BLOCK)
    return out


def bloom_bag_output(
    table: FloatArray, bags: Bags, rows: Any, hashing: HashSpec, combine: str
) -> tuple[FloatArray, IntArray | None]:
    """Return the reduced bags, and for ``max`` the entry that won each dimension (-1: none)."""
    dim = table.shape[1]
    out = _arrays.empty((bags.size, dim), table.dtype)
    bounds = bags.bounds(dim * rows.shape[1])
    table = _check.read_only(table)
    options = combination(hashing, combine)
    if bags.mode == "max":
        winners = np.empty((bags.size, dim), dtype=np.int64)
        arrays: tuple[Any, ...] = (table, bags.ids, rows, bags.indptr, bags.padding, options, winners, out)
        _parallel.run_range(kernels.bloom_bag_max_range, bounds, *arrays, scratch=[((1, dim), table.dtype)])
        return out, winners
    arrays = (
        table,
        bags.ids,
        rows,
        bags.indptr,
        bags.weights,
        bags.mode == "mean",
        bags.padding,
        options,
        out,
    )
    scratch = [((2, dim), table.dtype), ((1, dim), np.float64)]
    _parallel.run_range(kernels.bloom_bag_sum_range, bounds, *arrays, scratch=scratch)
    return out, None
