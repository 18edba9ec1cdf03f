"""The paper's coder on plain arrays.

`npbloom.coding.BloomCoder` documents what each function does, under the same name. A HashSpec
without a padding id has the bits of items: its rows are bits here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from npbloom import _arrays, _check, _parallel
from npbloom._kernels import coding as kernels
from npbloom.ops._ids import rows_of
from npbloom.ops._instances import distinct_values, read_excluded, read_instances
from npbloom.types import FloatArray, HashSpec, IntArray

__all__ = ["draw_table", "encode", "encode_dense", "log_likelihood", "top_k", "with_cooccurrence"]

ITEMS: Final = 2**16  # items whose bits are held at once
TILE: Final = 256  # items whose scores are held at once, for each group of instances
ENTRIES: Final = 2**24  # log-probabilities held at once in the order in which they are summed
PAIRS: Final = 2**16  # pairs whose draws are held at once


def draw_table(num_items: int, num_bits: int, num_hashes: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Return bits of every item, each row drawn without replacement (L35)."""
    table = np.empty((num_items, num_hashes), dtype=np.int32)
    for j in range(num_hashes):
        table[:, j] = rng.integers(0, num_bits - j, size=num_items)
    _parallel.run_range(kernels.distinct_rows_range, num_items, table)
    return table


# ---- encoding ------------------------------------------------------------------------------------


def encode(items: Any, hashing: HashSpec, offsets: Any = None) -> tuple[IntArray, IntArray]:
    """
    Return the distinct bits of each instance in increasing order, flat (L36).

    Also return where each instance starts.
    """
    ids, starts = read_instances(items, offsets, hashing.num_embeddings)
    bits, ends = distinct_values(rows_of(ids, hashing).reshape(-1), starts * hashing.num_hash_functions, hashing.num_rows)
    return bits, ends[:-1]


def encode_dense(items: Any, hashing: HashSpec, offsets: Any = None, *, dtype: Any = np.float32) -> npt.NDArray[Any]:
    """Return zeros and ones, a row for each instance: 1 where a bit is set, however often (L36)."""
    kind = np.dtype(dtype)
    if kind.kind not in "biuf":
        raise ValueError(f"`dtype` must be of real numbers or bool, not {kind}.")
    ids, starts = read_instances(items, offsets, hashing.num_embeddings)
    dense = np.zeros((len(starts) - 1, hashing.num_rows), dtype=kind)
    dense[np.repeat(np.arange(len(dense)), np.diff(starts))[:, np.newaxis], rows_of(ids, hashing)] = 1
    return dense


# ---- likelihoods ---------------------------------------------------------------------------------


def _check_log_probs(log_probs: Any, num_bits: int) -> FloatArray:
    """Return checked rows of log-probabilities of the bits."""
    values = _check.floats(log_probs, "log_probs", None)
    if values.ndim != 2 or values.shape[1] != num_bits:
        raise ValueError(f"`log_probs` must have shape (n, {num_bits}), not {values.shape}.")
    return values


def _check_prior(prior: Any, num_items: int) -> FloatArray | None:
    """Return the number that each item's sum begins with, in float64; None is 0 for all."""
    if prior is None:
        return None
    values = _check.floats(prior, "prior", np.dtype(np.float64))
    _check.shape(values, "prior", (num_items,))
    return values


def _item_blocks(hashing: HashSpec, prior: FloatArray | None) -> Iterator[tuple[int, npt.NDArray[np.int32], FloatArray]]:
    """
    Yield some items at a time.

    A block has the number of its first item, the bits of all, and the numbers that their sums begin
    with.
    """
    zeros = _check.read_only(np.zeros(min(ITEMS, hashing.num_embeddings) if prior is None else 0))
    for first in range(0, hashing.num_embeddings, ITEMS):
        last = min(first + ITEMS, hashing.num_embeddings)
        if hashing._rows is not None:
            rows = hashing._rows[first:last]
        else:
            rows = rows_of(_check.read_only(np.arange(first, last, dtype=np.int64)), hashing)
        yield (first, _check.read_only(rows), zeros[: last - first] if prior is None else prior[first:last])


def _column_blocks(log_probs: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """
    Yield some instances at a time, in groups: (groups, bits, WIDTH).

    The log-probabilities of a group for one bit lie side by side.
    """
    step = kernels.WIDTH * max(1, ENTRIES // (kernels.WIDTH * log_probs.shape[1]))
    for first in range(0, len(log_probs), step):
        block = log_probs[first : first + step]
        groups = -(-len(block) // kernels.WIDTH)
        columns = _arrays.zeros((groups, log_probs.shape[1], kernels.WIDTH), log_probs.dtype)
        for g in range(groups):
            part = block[g * kernels.WIDTH : (g + 1) * kernels.WIDTH]
            columns[g, :, : len(part)] = part.T
        yield slice(first, first + len(block)), _check.read_only(columns)


def _tiles(columns: FloatArray) -> FloatArray:
    """Return room for the scores of a tile of items, for each group."""
    return np.empty((len(columns), TILE, kernels.WIDTH), dtype=columns.dtype)


def log_likelihood(log_probs: Any, hashing: HashSpec, prior: Any = None) -> FloatArray:
    """
    Return the sum over each item's bits, from its prior on, (n, num_items) (L37).

    There is one sum for each row of log-probabilities.
    """
    values = _check_log_probs(log_probs, hashing.num_rows)
    begins = _check_prior(prior, hashing.num_embeddings)
    out = np.empty((len(values), hashing.num_embeddings), dtype=values.dtype)
    for where, columns in _column_blocks(values):
        tile = _tiles(columns)
        for first, rows, own in _item_blocks(hashing, begins):
            _parallel.run_range(kernels.likelihood_range, len(columns), columns, rows, own, first, tile, out[where], grain=1)
    return out


def top_k(log_probs: Any, hashing: HashSpec, k: int, exclude: Any = None, prior: Any = None) -> tuple[IntArray, FloatArray]:
    """Return the k items of highest score in each row, and their scores, (n, k) each (L38)."""
    values = _check_log_probs(log_probs, hashing.num_rows)
    begins = _check_prior(prior, hashing.num_embeddings)
    count = _check.positive_int(k, "k")
    if count > hashing.num_embeddings:
        raise ValueError(f"`k` must be at most the number of items, {hashing.num_embeddings}, not {count}.")
    excluded, starts = read_excluded(exclude, len(values), hashing.num_embeddings)
    scores, items = (
        np.empty((len(values), count), dtype=values.dtype),
        np.empty((len(values), count), dtype=np.int64),
    )
    for where, columns in _column_blocks(values):
        padded = len(columns) * kernels.WIDTH
        part = np.pad(starts[where.start : where.stop + 1], (0, padded - (where.stop - where.start)), mode="edge")
        heaps = (
            np.empty((padded, count), values.dtype),
            np.empty((padded, count), np.int64),
            np.zeros(padded, np.int64),
        )
        limits, tile = np.full((len(columns), kernels.WIDTH), np.nan, values.dtype), _tiles(columns)
        for first, rows, own in _item_blocks(hashing, begins):
            arrays = (columns, rows, own, first, excluded, part, tile, limits, *heaps)
            _parallel.run_range(kernels.top_k_range, len(columns), *arrays, grain=1)
        _parallel.run_range(kernels.order_range, padded, *heaps, grain=64)
        scores[where], items[where] = (heap[: where.stop - where.start] for heap in heaps[:2])
    return items, scores


# ---- co-occurrence -------------------------------------------------------------------------------


def _pairs(members: IntArray, starts: IntArray, num_candidates: int, least: int) -> IntArray:
    """
    Return pairs of items that are together in at least `least` instances, (3, pairs).

    The rows are the count, one item, and a greater one.
    """
    ends = np.repeat(starts[1:], np.diff(starts))
    places = np.argsort(members, kind="stable")
    place_starts = np.append(0, np.cumsum(np.bincount(members, minlength=num_candidates)))
    following = np.append(0, np.cumsum((ends - np.arange(len(members)) - 1)[places]))
    bounds = _parallel.balanced_bounds(following[place_starts], 2**16)
    arrays = (members, ends, places, place_starts, least)
    sizes = np.zeros(num_candidates, dtype=np.int64)
    _parallel.run_range(kernels.count_pairs_range, bounds, *arrays, sizes, scratch=[((2, num_candidates), np.float64)])
    pair_starts = np.append(0, np.cumsum(sizes))
    pairs = np.empty((3, int(pair_starts[-1])), dtype=np.int64)
    _parallel.run_range(
        kernels.list_pairs_range, bounds, *arrays, pair_starts, pairs, scratch=[((2, num_candidates), np.float64)]
    )
    return pairs


def _cooccurring(items: IntArray, starts: IntArray, num_items: int) -> tuple[IntArray, IntArray]:
    """
    Return the pairs of items that occur together more often than an item on average (L39).

    The rarest pair comes first.
    """
    events, ends = distinct_values(items, starts, num_items)
    least = len(events) // num_items + 1
    # A pair is no more frequent than its items.
    frequent = np.flatnonzero(np.bincount(events, minlength=num_items) >= least)
    kept = np.isin(events, frequent, assume_unique=False)
    counts = np.append(0, np.cumsum(kept))
    members = np.searchsorted(frequent, events[kept])
    together, first, second = _pairs(members, counts[ends], len(frequent), least)
    order = np.argsort(together, kind="stable")
    return frequent[first[order]], frequent[second[order]]


def with_cooccurrence(items: Any, hashing: HashSpec, offsets: Any, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """
    Return the table in which items that occur together often share a bit (L39).

    This is algorithm 1 of the paper.
    """
    num_items, k = hashing.num_embeddings, hashing.num_hash_functions
    ids, starts = read_instances(items, offsets, num_items)
    table = rows_of(_check.read_only(np.arange(num_items, dtype=np.int64)), hashing)
    firsts, seconds = _cooccurring(ids, starts, num_items)
    used = np.empty(2 * k, dtype=np.int64)
    for start in range(0, len(firsts), PAIRS):
        part = slice(start, start + PAIRS)
        draws = rng.random((len(firsts[part]), 3))
        kernels.share_range(table, hashing.num_rows, firsts[part], seconds[part], draws, used, 0, len(draws))
    return table
