"""Backward passes on checked arguments: gradients of touched rows, and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from npbloom import _arrays, _check, _parallel
from npbloom._kernels import scatter as kernels
from npbloom._kernels.segments import Segments
from npbloom.ops._bags import Bags, read_bloom_bags, read_table_bags
from npbloom.ops._bloom import check_combine, check_hashing, divisor_of, reserved_row, slices_of
from npbloom.ops._forward import bag_output, bloom_bag_output
from npbloom.ops._ids import check_range, checked_rows_range, rows_of
from npbloom.ops._pairs import Pairs, SortedPairs, split_pairs
from npbloom.types import FloatArray, HashSpec, IntArray, RowGrad


@dataclass(frozen=True)
class Contributions:
    """
    Parts of an output gradient by the touched row that they are added to, not yet summed.

    `to_row_grad` writes the sums into a RowGrad; a fused optimizer step takes them as they come and
    never holds them.
    """

    pairs: Pairs
    # (outputs, width): slices of an output follow each other where pairs name slices.
    grad: FloatArray
    num_rows: int  # rows of the gradient: slices where probes are concatenated
    slices: int = 1  # slices of one row of `grad` that are told apart by the row they land on
    bag_of: IntArray | None = None  # (entries,) the output of each entry; None: pairs name outputs
    weights: FloatArray | None = None  # (entries,) factors
    winners: IntArray | None = None  # (outputs, d) the entry that takes the gradient
    divisor: float = 1.0
    by_frequency: bool = False

    @property
    def width(self) -> int:
        """Return the number of columns of a gradient row."""
        return int(self.grad.shape[1]) // self.slices

    @property
    def plain(self) -> bool:
        """Return True if a row's gradient is the sum of rows of `grad`, each times its weight."""
        return self.slices == 1 and self.divisor == 1.0 and not self.by_frequency and self.winners is None

    def segments(self, part: SortedPairs) -> Segments:
        """Return the rows of `grad` that add up to the gradient of each of ``part.rows``."""
        return Segments(part.indptr, part.indices, self.bag_of, self.weights)

    def sum_into(self, part: SortedPairs, values: FloatArray, lo: int, hi: int) -> None:
        """Write the gradients of ``part.rows[lo:hi]`` into the first rows of `values`."""
        segments = self.segments(part)
        if self.plain:
            kernels.sum_rows_range(self.grad, segments, values, lo, hi)
            return
        kernels.sum_terms_range(
            self.grad,
            segments,
            part.rows,
            self.slices,
            self.winners,
            None if self.divisor == 1.0 else self.grad.dtype.type(self.divisor),
            self.by_frequency,
            values,
            np.empty((1, self.width), self.grad.dtype),
            np.empty((1, self.width)),
            lo,
            hi,
        )

    def to_row_grad(self) -> RowGrad:
        """Sum all contributions into a RowGrad."""
        parts = self.pairs.sort_and(lambda part: part)
        ends = np.cumsum([0, *(part.rows.size for part in parts)])
        values = _arrays.empty((int(ends[-1]), self.width), self.grad.dtype)

        def task(part: SortedPairs, lo: int, hi: int) -> None:
            self.sum_into(part, values[lo:hi], 0, hi - lo)

        _parallel.run_tasks([partial(task, *each) for each in zip(parts, ends.tolist(), ends[1:].tolist(), strict=False)])
        rows = parts[0].rows if len(parts) == 1 else np.concatenate([part.rows for part in parts])
        return RowGrad(rows, values, self.num_rows)


def embedding_contributions(
    ids: Any,
    grad_out: Any,
    num_rows: int,
    padding_idx: int | None,
    scale_grad_by_freq: bool,
    *,
    dim: int | None = None,
    dtype: np.dtype[Any] | None = None,
) -> Contributions:
    """
    Return the sums of `embedding_backward`.

    `dim` and `dtype` are those of a table, if there is one.
    """
    padding = _check.padding_row(padding_idx, num_rows)
    by_frequency = _check.flag(scale_grad_by_freq, "scale_grad_by_freq")
    array = _check.ids(ids, "ids", num_rows)
    grad = _check.grad_out(grad_out, array.shape, dim, dtype)
    column = array.reshape(-1, 1)

    def rows_range(lo: int, hi: int) -> IntArray:
        check_range(array, num_rows, "ids", lo, hi)
        return column[lo:hi]

    pairs = split_pairs(rows_range, array.size, 1, num_rows, work=grad.shape[1], reserved=padding)
    return Contributions(pairs, grad, num_rows, by_frequency=by_frequency)


def bag_contributions(
    table: FloatArray,
    indices: Any,
    grad_out: Any,
    offsets: Any,
    per_sample_weights: Any,
    mode: str,
    padding: int,
    include_last_offset: bool,
    scale_grad_by_freq: bool,
) -> Contributions:
    """Return the sums of `embedding_bag_backward`."""
    by_frequency = _check.flag(scale_grad_by_freq, "scale_grad_by_freq")
    bags = read_table_bags(table, indices, offsets, per_sample_weights, mode, padding, include_last_offset)
    grad = _check.grad_out(grad_out, (bags.size,), table.shape[1], table.dtype)
    winners = bag_output(table, bags)[1] if mode == "max" else None
    rows = bags.ids.reshape(-1, 1)
    return _from_bags(bags, grad, rows, table.shape[0], padding, winners=winners, by_frequency=by_frequency)


def _from_bags(
    bags: Bags, grad: FloatArray, rows: Any, num_rows: int, reserved: int, *, slices: int = 1, **options: Any
) -> Contributions:
    """
    Return contributions of bags.

    Pairs name entries where weights or winners differ by entry, else bags.

    A mean's gradient is divided once for each bag, not once for each entry: the same quotient (L5).
    """
    bag_of = bags.bag_of()
    by_entry = bags.weights is not None or bags.mode == "max"
    spread = slices > 1 and not by_entry
    if bags.mode == "mean":
        grad = _check.read_only(grad / np.maximum(bags.counts(), 1).astype(grad.dtype)[:, None])
    if spread:
        grad = grad.reshape(grad.shape[0] * slices, grad.shape[1] // slices)
    pairs = split_pairs(
        lambda lo, hi: rows[lo:hi],
        rows.shape[0],
        rows.shape[1],
        num_rows,
        work=grad.shape[1],
        slices=slices,
        reserved=reserved,
        bag_of=None if by_entry else bag_of,
        spread=spread,
    )
    return Contributions(
        pairs,
        grad,
        num_rows * slices,
        slices if by_entry else 1,
        bag_of=bag_of if by_entry else None,
        weights=bags.weights,
        **options,
    )


def bloom_contributions(
    ids: Any,
    grad_out: Any,
    hashing: HashSpec,
    combine: str,
    *,
    dim: int | None = None,
    dtype: np.dtype[Any] | None = None,
) -> Contributions:
    """
    Return the sums of `bloom_backward`.

    `dim` and `dtype` are those of a table, if there is one.
    """
    check_hashing(hashing)
    array = _check.ids(ids, "ids", hashing.num_embeddings)
    grad = _check.grad_out(grad_out, array.shape, dim, dtype)
    width = hashing.num_hash_functions
    check_combine(combine, grad.shape[1], width)
    slices = slices_of(hashing, combine)
    grad = grad.reshape(grad.shape[0] * slices, grad.shape[1] // slices)
    pairs = split_pairs(
        partial(checked_rows_range, array, hashing, "ids"),
        array.size,
        width,
        hashing.num_rows,
        work=grad.shape[1],
        slices=slices,
        reserved=reserved_row(hashing),
        spread=slices > 1,
    )
    return Contributions(pairs, grad, hashing.num_rows * slices, divisor=divisor_of(hashing, combine))


def bloom_bag_contributions(
    table: FloatArray,
    indices: Any,
    grad_out: Any,
    hashing: HashSpec,
    offsets: Any,
    per_sample_weights: Any,
    mode: str,
    include_last_offset: bool,
    combine: str,
) -> Contributions:
    """Return the sums of `bloom_bag_backward`."""
    bags = read_bloom_bags(table, indices, hashing, offsets, per_sample_weights, mode, include_last_offset)
    grad = _check.grad_out(grad_out, (bags.size,), table.shape[1], table.dtype)
    rows = rows_of(bags.ids, hashing)
    winners = bloom_bag_output(table, bags, rows, hashing, combine)[1] if mode == "max" else None
    return _from_bags(
        bags,
        grad,
        rows,
        hashing.num_rows,
        reserved_row(hashing),
        slices=slices_of(hashing, combine),
        winners=winners,
        divisor=divisor_of(hashing, combine),
    )
