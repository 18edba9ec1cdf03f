"""
Methods that store the vectors of n ids in the parameters of ratio * n vectors.

No method compresses the biases, one number an id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.accuracy_study.composites import ImportanceWeighted, LowRank, QuotientTimesRemainder
from npbloom import BloomEmbedding, ScaledEmbedding
from npbloom.coding import frequent_hash_table


@dataclass(frozen=True)
class Sizes:
    """Ids, columns, ratio and counts that a table is made for."""

    ids: int
    dim: int
    ratio: float
    counts: np.ndarray  # occurrences of each id in the training interactions

    @property
    def rows(self) -> int:
        """Number of rows of a compressed table."""
        return int(self.ratio * self.ids)


Maker = Callable[[Sizes, np.random.Generator], Any]


def full(sizes: Sizes, rng: np.random.Generator) -> ScaledEmbedding:
    """Return a table with one row for each id."""
    return ScaledEmbedding(sizes.ids, sizes.dim, padding_idx=0, rng=rng)


def hashed(combine: str, k: int) -> Maker:
    """
    Return a maker of tables with Spotlight's hash, whose k rows are combined as `combine` says.
    """

    def make(sizes: Sizes, rng: np.random.Generator) -> BloomEmbedding:
        return BloomEmbedding(
            sizes.ids, sizes.dim, num_hash_functions=k, combine=combine, num_rows=sizes.rows, padding_idx=0, rng=rng
        )

    return make


def sum_of_small_rows(sizes: Sizes, rng: np.random.Generator) -> BloomEmbedding:
    """
    Return a sum of rows whose vectors start with the spread of a full table's: 4 rows at 1 / (d
    sqrt 4) each.
    """
    weight = (rng.standard_normal((sizes.rows, sizes.dim)) / (sizes.dim * 2)).astype(np.float32)
    weight[0] = 0
    return BloomEmbedding(sizes.ids, sizes.dim, num_rows=sizes.rows, padding_idx=0, weight=weight)


def frequent(k: int, share: float) -> Maker:
    """
    Return a maker of tables with exact rows for frequent ids.

    The other ids take slices of hashed rows, or whole rows with k = 1.
    """

    def make(sizes: Sizes, rng: np.random.Generator) -> BloomEmbedding:
        table = frequent_hash_table(sizes.counts, sizes.rows, k, share=share)
        return BloomEmbedding(
            sizes.ids, sizes.dim, num_rows=sizes.rows, hash_table=table, combine="concat", padding_idx=0, rng=rng
        )

    return make


def _quotient_heights(sizes: Sizes) -> tuple[int, int]:
    """Return the heights of the tables of quotients and of remainders, together at most `rows`."""
    for divisor in range(2, sizes.ids):
        quotients = -(-sizes.ids // divisor)
        if quotients + divisor <= sizes.rows - 1:
            return quotients, divisor
    raise ValueError("no divisor leaves so few rows")


def quotient_plus_remainder(sizes: Sizes, rng: np.random.Generator) -> BloomEmbedding:
    """Return a sum of two rows for each id. Two ids share at most one of them (Shi et al. 2019)."""
    quotients, divisor = _quotient_heights(sizes)
    ids = rng.permutation(sizes.ids)  # ids are numbered by first occurrence; neighbours must not share a row for that
    table = np.stack([1 + ids // divisor, 1 + quotients + ids % divisor], axis=1)
    return BloomEmbedding(sizes.ids, sizes.dim, num_rows=sizes.rows, hash_table=table, padding_idx=0, rng=rng)


def quotient_times_remainder(sizes: Sizes, rng: np.random.Generator) -> QuotientTimesRemainder:
    """Return the product of the two rows instead of the sum, as the authors advise."""
    return QuotientTimesRemainder(rng.permutation(sizes.ids), *_quotient_heights(sizes), sizes.dim, rng)


def importance(sizes: Sizes, rng: np.random.Generator) -> ImportanceWeighted:
    """
    Return two rows with a learned weight each for every id (Svenstrup et al. 2017).

    The weights count as parameters.
    """
    rows = int((sizes.ratio * sizes.dim - 2) * sizes.ids / sizes.dim)
    return ImportanceWeighted(sizes.ids, rows, 2, sizes.dim, rng)


def low_rank(sizes: Sizes, rng: np.random.Generator) -> LowRank:
    """Return a short vector for each id, which a matrix widens to d columns."""
    rank = max(1, round(sizes.ratio * sizes.dim * sizes.ids / (sizes.ids + sizes.dim)))
    return LowRank(sizes.ids, rank, sizes.dim, rng)


FACTORIZATION: dict[str, Maker] = {
    "full": full,
    "sum, k=4 (Spotlight)": hashed("sum", 4),
    "sum, k=2": hashed("sum", 2),
    "sum, k=4, rows at 1/(d sqrt k)": sum_of_small_rows,
    "mean, k=4": hashed("mean", 4),
    "one hash": hashed("sum", 1),
    "concat, k=2": hashed("concat", 2),
    "concat, k=4": hashed("concat", 4),
    "frequent half exact, one hash": frequent(1, 0.5),
    "frequent half exact, concat k=4": frequent(4, 0.5),
    "frequent 9/10 exact, one hash": frequent(1, 0.9),
    "frequent 9/10 exact, concat k=4": frequent(4, 0.9),
    "importance weights, k=2": importance,
    "quotient + remainder": quotient_plus_remainder,
    "quotient x remainder": quotient_times_remainder,
    "low rank": low_rank,
}
