"""Bags of ids: indices, offsets and weights, checked once and flat (L13 to L18)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npbloom import _check, _parallel
from npbloom.ops._ids import check_ids
from npbloom.types import FloatArray, HashSpec, IntArray

GRAIN = 2**19  # table elements to read below which a second thread does not pay: 100 us of work
MODES = ("sum", "mean", "max")


class Bags(NamedTuple):
    """Bags of ids: bag b holds ``ids[indptr[b]:indptr[b + 1]]``."""

    shape: tuple[int, ...]  # of the indices as they were given
    ids: IntArray  # (n,)
    indptr: IntArray  # (bags + 1,)
    weights: FloatArray | None  # (n,) in the table's dtype
    mode: str
    padding: int  # the id that is left out, or -1

    @property
    def size(self) -> int:
        """Return the number of bags."""
        return len(self.indptr) - 1

    def apart(self, table: FloatArray) -> Bags:
        """
        Return these bags, with copies of the arrays that share memory with `table`.

        The table is written to before the arrays are read.
        """
        ids = _check.apart(self.ids, table)
        weights = None if self.weights is None else _check.apart(self.weights, table)
        return self if ids is self.ids and weights is self.weights else self._replace(ids=ids, weights=weights)

    def bag_of(self) -> IntArray:
        """Return the bag of each entry."""
        return np.repeat(np.arange(self.size), np.diff(self.indptr))

    def counts(self) -> FloatArray:
        """Return the number of entries of each bag that are not padding, as float64 (L16)."""
        seen = np.append(0, np.cumsum(self.ids != self.padding))
        counts: FloatArray = (seen[self.indptr[1:]] - seen[self.indptr[:-1]]).astype(np.float64)
        return counts

    def bounds(self, work: int) -> list[int]:
        """
        Split the bags into parts by entries.

        `work` is the cost of an entry in table elements.
        """
        return _parallel.balanced_bounds(self.indptr, max(1, GRAIN // work), _parallel.PIECES)


def read_bags(
    indices: Any,
    offsets: Any,
    per_sample_weights: Any,
    *,
    mode: str,
    padding: int,
    include_last_offset: bool,
    num_embeddings: int,
    dtype: np.dtype[Any],
) -> Bags:
    """Check everything that describes bags, before anything is written (L3)."""
    _check.choice(mode, "mode", MODES)
    _check.flag(include_last_offset, "include_last_offset")
    array = _check.ids(indices, "indices", num_embeddings)
    starts = _check.offsets(offsets, array, include_last_offset)
    weights = _check.per_sample_weights(per_sample_weights, array, mode, dtype)
    check_ids(array, num_embeddings, "indices")
    return Bags(array.shape, array.reshape(-1), starts, weights, mode, padding)


def read_table_bags(
    table: FloatArray,
    indices: Any,
    offsets: Any,
    per_sample_weights: Any,
    mode: str,
    padding: int,
    include_last_offset: bool,
) -> Bags:
    """Check and return bags of rows of a table."""
    return read_bags(
        indices,
        offsets,
        per_sample_weights,
        mode=mode,
        padding=padding,
        include_last_offset=include_last_offset,
        num_embeddings=table.shape[0],
        dtype=table.dtype,
    )


def read_bloom_bags(
    table: FloatArray,
    indices: Any,
    hashing: HashSpec,
    offsets: Any,
    per_sample_weights: Any,
    mode: str,
    include_last_offset: bool,
) -> Bags:
    """Check and return bags of hashed ids."""
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
