"""The base of Bloom layers: their options, the height of the table, and the hash."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Final, final

from npbloom import _check, ops
from npbloom.layers._table import Layer
from npbloom.ops._bloom import check_combine, slices_of
from npbloom.types import MAX_IDS, MAX_TABLE_ROWS, ArrayLike, HashSpec, IntArray, Rng, as_integer

LARGEST_HEIGHT = 2**100  # rows; a message spells out fewer
RETIRED: Final = (
    "`precompute_hashes` has no effect any more and will be removed: ids are hashed when they are looked up, which is faster. "
    "Leave it out; rows of your own go into `hash_table`."
)


def warn_precompute(precompute_hashes: Any) -> None:
    """Warn a caller, two calls up, who sets the retired argument."""
    if precompute_hashes is not None:
        warnings.warn(RETIRED, DeprecationWarning, stacklevel=3)


def table_height(num_embeddings: int, compression_ratio: Any, num_rows: Any, padded: bool) -> int:
    """Height of the table, by ratio or as given (L19); the ValueError says what is possible."""
    ratio = _check.positive(compression_ratio, "compression_ratio")
    if math.isinf(ratio):
        raise ValueError("`compression_ratio` must be finite, not inf.")
    fewest = 2 if padded else 1
    if num_rows is not None:
        height = as_integer(num_rows, "num_rows")
        if not fewest <= height <= MAX_TABLE_ROWS:
            why = " (row 0 is reserved for padding)" if padded else ""
            raise ValueError(f"`num_rows` must lie in [{fewest}, 2**31]{why}, not {height}.")
        if ratio != 0.2 and not height <= ratio * num_embeddings < height + 1:
            raise ValueError(f"`compression_ratio` must be left out where `num_rows` is given, not {ratio:g}.")
        return height
    height = int(min(ratio * num_embeddings, LARGEST_HEIGHT))
    if height < fewest:
        why = ", one of them reserved for padding" if padded else ""
        raise ValueError(
            f"`compression_ratio` {ratio:g} of {num_embeddings} ids leaves {height} rows; it takes at least {fewest}{why}: "
            f"a ratio of {_nearest_ratio(fewest, num_embeddings, 1):.3g} or more, or `num_rows`."
        )
    if height > MAX_TABLE_ROWS:
        rows = height if height < LARGEST_HEIGHT else f"{ratio * num_embeddings:g}"
        raise ValueError(
            f"`compression_ratio` {ratio:g} of {num_embeddings} ids makes {rows} rows; at most 2**31 are possible: "
            f"a ratio of {_nearest_ratio(MAX_TABLE_ROWS, num_embeddings, -1):.3g} or less, or `num_rows`."
        )
    return height


def _nearest_ratio(rows: int, num_embeddings: int, up: int) -> float:
    """The ratio of three digits nearest to the bound: at least (`up` 1) or at most (-1) `rows`."""
    unit = 10.0 ** (math.floor(math.log10(rows / num_embeddings)) - 2)
    steps = round(rows / num_embeddings / unit)
    while up * (int(float(f"{steps * unit:.3g}") * num_embeddings) - rows) < 0:
        steps += up
    return float(f"{steps * unit:.3g}")


@dataclass(frozen=True)
class BloomOptions:
    """Arguments that decide the rows of an id, as given; `BloomEmbedding` documents them."""

    num_embeddings: int
    embedding_dim: int
    compression_ratio: float
    num_hash_functions: int
    padding_idx: int | None
    num_rows: int | None
    hash_table: Any
    combine: str
    share_padding_row: bool

    def hashing(self) -> HashSpec:
        """Check what decides the rows, and return the hash with the height of the table (L19)."""
        size = _check.positive_int(self.num_embeddings, "num_embeddings")
        _check.positive_int(self.embedding_dim, "embedding_dim")
        if size > MAX_IDS:
            raise ValueError(f"`num_embeddings` must lie in [1, 2**63], not {size}.")
        height = table_height(size, self.compression_ratio, self.num_rows, self.padding_idx is not None)
        share = _check.flag(self.share_padding_row, "share_padding_row")
        return HashSpec(size, height, self.num_hash_functions, self.padding_idx, share, self.hash_table)


class BloomTable(Layer):
    """A table that ids reach through hashes."""

    hashing: HashSpec
    combine: str
    num_hash_functions: int
    compression_ratio: float
    compressed_num_embeddings: int

    def _set_bloom(self, given: BloomOptions, dtype: Any, rng: Rng, weight: Any, **own: Any) -> None:
        """Check everything, then make or adopt the table; `own` are options of this layer only."""
        self.hashing = spec = given.hashing()
        self.num_embeddings = spec.num_embeddings
        self.embedding_dim = int(given.embedding_dim)
        self.padding_idx = spec.padding_idx
        self.num_hash_functions = spec.num_hash_functions
        self.compressed_num_embeddings = spec.num_rows
        by_ratio = given.num_rows is None
        self.compression_ratio = float(given.compression_ratio) if by_ratio else spec.num_rows / spec.num_embeddings
        self.combine = check_combine(given.combine, self.embedding_dim, spec.num_hash_functions)
        self._options = {
            **({"compression_ratio": self.compression_ratio} if by_ratio else {"num_rows": spec.num_rows}),
            "num_hash_functions": spec.num_hash_functions,
            "padding_idx": spec.padding_idx,
            "combine": self.combine,
            "share_padding_row": spec.share_padding_row,
            **own,
        }
        self._set_table(spec.num_rows, self.embedding_dim, dtype, rng, weight)

    @final
    @property
    def reserved_rows(self) -> range:
        """Rows of the table that are never trained: row 0 with a padding id, else none."""
        return range(0) if self.padding_idx is None else range(1)

    @final
    @property
    def num_slices(self) -> int:
        """Gradient rows in one row of the table: k where probes are concatenated, else 1 (L21)."""
        return slices_of(self.hashing, self.combine)

    @final
    @property
    def share_padding_row(self) -> bool:
        """True where ids other than the padding id may probe the reserved row 0."""
        return self.hashing.share_padding_row

    @final
    def hash_rows(self, ids: ArrayLike) -> IntArray:
        """
        The table rows that ids read.

        Parameters
        ----------
        ids : int array, any shape
            Each in ``[0, num_embeddings)``.

        Returns
        -------
        int64 array, shape ids.shape + (num_hash_functions,)
            Probe by probe; zeros for the padding id.

        Raises
        ------
        TypeError, IndexError
            `ids` is not an integer array, or out of range.

        Notes
        -----
        L20 to L22. Bit-compatible with Spotlight's hash.
        """
        return ops.hash_rows(ids, self.hashing)
