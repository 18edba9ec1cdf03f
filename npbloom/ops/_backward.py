"""Backward passes on checked arguments: which part of an output gradient lands on which row, and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from npbloom import _arrays, _check, _parallel
from npbloom._kernels import scatter as kernels
from npbloom.ops._bags import Bags, read_bags, read_bloom_bags
from npbloom.ops._bloom import check_combine, check_hashing, divisor_of, reserved_row, slices_of
from npbloom.ops._forward import bag_output, bloom_bag_output
from npbloom.ops._ids import check_range, checked_rows_range, rows_of
from npbloom.ops._pairs import Pairs, Part, split_pairs
from npbloom.types import FloatArray, HashSpec, IntArray, RowGrad


class Terms(NamedTuple):
    """
    What kernels sum to gradients of rows: ``grad[owner[source]] * weights[source]`` over a row's sources.

    Without sources the gradient of row q is ``grad[q]``; without owners a source is its own; without weights they are 1.
    """

    grad: FloatArray
    sources: npt.NDArray[Any] | None = None
    owner: IntArray | None = None
    weights: FloatArray | None = None
    starts: IntArray | None = None  # of each row's sources, and the end


@dataclass(frozen=True)
class Contributions:
    """
    Which parts of an output gradient land on which touched row, not yet summed.

    `to_row_grad` writes the sums into a RowGrad; a fused optimizer step takes them as they come and never holds them.
    """

    pairs: Pairs
    grad: FloatArray  # (outputs, width): slices of an output follow each other where sources name slices
    num_rows: int  # rows of the gradient: slices where probes are concatenated
    dtype: np.dtype[Any]  # of the gradient; `grad` may be float64 already divided by a mean's count
    slices: int = 1  # slices of one row of `grad` that must be told apart by the row they land on
    owner: IntArray | None = None  # output of each source; None: the source is the output
    weights: FloatArray | None = None  # (entries,) factors
    winners: IntArray | None = None  # (outputs, d) the entry that takes the gradient
    divisor: float = 1.0
    by_frequency: bool = False

    @property
    def width(self) -> int:
        """Columns of a gradient row."""
        return int(self.grad.shape[1]) // self.slices

    @property
    def plain(self) -> bool:
        """Whether a row's gradient is just the sum of its sources' rows, each times its factor."""
        return self.slices == 1 and self.divisor == 1.0 and not self.by_frequency and self.winners is None

    def terms(self, part: Part) -> Terms:
        """What kernels sum where this is plain."""
        return Terms(self.grad, part.sources, self.owner, self.weights, part.starts)

    def sum_into(self, part: Part, values: FloatArray, acc: FloatArray, lo: int, hi: int) -> None:
        """Write the gradients of ``part.touched[lo:hi]`` into the first rows of `values`; `acc` is a float64 row to sum in."""
        if self.plain:
            kernels.sum_rows_range(*self.terms(part), values, lo, hi)
            return
        how = (self.owner, self.weights, self.winners, None if self.divisor == 1.0 else self.divisor, self.by_frequency)
        where = (self.grad, part.sources, part.starts, part.touched, self.slices)
        kernels.sum_terms_range(*where, *how, values, acc, lo, hi)

    def to_row_grad(self) -> RowGrad:
        """Sum everything."""
        parts = self.pairs.sort_and(lambda part: part)
        ends = np.cumsum([0, *(part.touched.size for part in parts)])
        values = _arrays.empty((int(ends[-1]), self.width), self.dtype)

        def task(part: Part, lo: int, hi: int) -> None:
            self.sum_into(part, values[lo:hi], np.empty((1, self.width)), 0, hi - lo)

        _parallel.run_tasks([partial(task, *each) for each in zip(parts, ends.tolist(), ends[1:].tolist(), strict=False)])
        touched = parts[0].touched if len(parts) == 1 else np.concatenate([part.touched for part in parts])
        return RowGrad(touched, values, self.num_rows)


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
    """What `embedding_backward` sums; `dim` and `dtype` are the table's where there is one."""
    padding = _check.padding_row(padding_idx, num_rows)
    by_frequency = _check.flag(scale_grad_by_freq, "scale_grad_by_freq")
    array = _check.ids(ids, "ids", num_rows)
    grad = _check.grad_out(grad_out, array.shape, dim, dtype)
    column = array.reshape(-1, 1)

    def rows_range(lo: int, hi: int) -> IntArray:
        check_range(array, num_rows, "ids", lo, hi)
        return column[lo:hi]

    pairs = split_pairs(rows_range, array.size, 1, num_rows, work=grad.shape[1], reserved=padding)
    return Contributions(pairs, grad, num_rows, grad.dtype, by_frequency=by_frequency)


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
    """What `embedding_bag_backward` sums."""
    by_frequency = _check.flag(scale_grad_by_freq, "scale_grad_by_freq")
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
    grad = _check.grad_out(grad_out, (bags.size,), table.shape[1], table.dtype)
    winners = bag_output(table, bags)[1] if mode == "max" else None
    rows = bags.ids.reshape(-1, 1)
    return _from_bags(bags, grad, rows, table.shape[0], padding, winners=winners, by_frequency=by_frequency)


def _from_bags(
    bags: Bags, grad: FloatArray, rows: Any, num_rows: int, reserved: int, *, slices: int = 1, **how: Any
) -> Contributions:
    """
    Contributions of bags: sources are entries where weights or winners must be told apart, else whole bags.

    A mean's gradient is divided once for each bag, not once for each entry: the same float64 quotient (L5).
    """
    dtype, owner = grad.dtype, bags.owner()
    by_entry = bags.weights is not None or bags.mode == "max"
    spread = slices > 1 and not by_entry
    if bags.mode == "mean":
        grad = _check.read_only(grad / np.maximum(bags.counts(), 1)[:, None])
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
        owner=None if by_entry else owner,
        spread=spread,
    )
    return Contributions(
        pairs,
        grad,
        num_rows * slices,
        dtype,
        slices if by_entry else 1,
        owner=owner if by_entry else None,
        weights=bags.weights,
        **how,
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
    """What `bloom_backward` sums; `dim` and `dtype` are the table's where there is one."""
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
    return Contributions(pairs, grad, hashing.num_rows * slices, grad.dtype, divisor=divisor_of(hashing, combine))


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
    """What `bloom_bag_backward` sums."""
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
