"""What `BloomEmbedding` and `BloomEmbeddingBag` share: the table's height, the hash, and probes computed before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npbloom import _check, ops
from npbloom.layers._table import Layer
from npbloom.ops._bloom import check_combine
from npbloom.ops._ids import rows_of
from npbloom.types import MAX_IDS, MAX_TABLE_ROWS, ArrayLike, HashSpec, IntArray, Rng, as_integer

LARGEST_HEIGHT = 2**100  # rows up to which a table that is too high has its number of rows in the message
MOST_POSSIBLE = 2**32  # entries beyond which `precompute_hashes=True` is refused


def table_height(num_embeddings: int, compression_ratio: Any, num_rows: Any, padded: bool) -> int:
    """``int(compression_ratio * num_embeddings)``, or `num_rows`; a ValueError that says what would do (L19)."""
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
    """The ratio of three digits nearest to the one sought that leaves at least (`up` 1) or at most (-1) so many rows."""
    unit = 10.0 ** (math.floor(math.log10(rows / num_embeddings)) - 2)
    steps = round(rows / num_embeddings / unit)
    while up * (int(float(f"{steps * unit:.3g}") * num_embeddings) - rows) < 0:
        steps += up
    return float(f"{steps * unit:.3g}")


class BloomTable(Layer):
    """A table that ids reach through hashes."""

    hashing: HashSpec  # how ids become rows, as given
    combine: str

    def _set_bloom(
        self,
        num_embeddings: int,
        embedding_dim: int,
        compression_ratio: float,
        num_hash_functions: int,
        padding_idx: int | None,
        num_rows: int | None,
        hash_table: Any,
        combine: str,
        share_padding_row: bool,
        precompute_hashes: bool | None,
        dtype: Any,
        rng: Rng,
        weight: Any,
    ) -> None:
        """Check everything, then make or adopt the table."""
        self.num_embeddings = _check.positive_int(num_embeddings, "num_embeddings")
        self.embedding_dim = _check.positive_int(embedding_dim, "embedding_dim")
        if self.num_embeddings > MAX_IDS:
            raise ValueError(f"`num_embeddings` must lie in [1, 2**63], not {self.num_embeddings}.")
        height = table_height(self.num_embeddings, compression_ratio, num_rows, padding_idx is not None)
        share = _check.flag(share_padding_row, "share_padding_row")
        if precompute_hashes is not None:
            _check.flag(precompute_hashes, "precompute_hashes")
            if hash_table is not None:
                raise ValueError(f"`precompute_hashes` must be None with a `hash_table`, not {precompute_hashes}.")
        self.hashing = HashSpec(self.num_embeddings, height, num_hash_functions, padding_idx, share, hash_table)
        self.padding_idx = self.hashing.padding_idx
        self.num_hash_functions = self.hashing.num_hash_functions
        self.compressed_num_embeddings = height
        self.compression_ratio = height / self.num_embeddings if num_rows is not None else float(compression_ratio)
        self.combine = check_combine(combine, self.embedding_dim, self.num_hash_functions)
        self._precompute = self._decide(precompute_hashes)
        self._options = {
            **({"compression_ratio": self.compression_ratio} if num_rows is None else {"num_rows": height}),
            "num_hash_functions": self.num_hash_functions,
            "padding_idx": self.padding_idx,
            "combine": self.combine,
            "share_padding_row": share,
            "precompute_hashes": precompute_hashes,
        }
        self._lookup = self._with_probes()
        self._set_table(height, self.embedding_dim, dtype, rng, weight)

    def _decide(self, wanted: bool | None) -> bool:
        """Whether probes are computed before: only where wanted, since hashing is faster than reading them (DESIGN.md)."""
        if not wanted:
            return False
        entries = self.num_embeddings * self.num_hash_functions
        if entries > MOST_POSSIBLE:
            raise ValueError(
                f"`precompute_hashes` must not be True for {self.num_embeddings} ids: {entries} probes do not fit, "
                f"at most {MOST_POSSIBLE} do."
            )
        return True

    def _with_probes(self) -> HashSpec:
        """The spec that lookups use: with every id's rows in a table where that was decided. Same bits (L21)."""
        if not self._precompute:
            return self.hashing
        ids = _check.read_only(np.arange(self.num_embeddings, dtype=np.int64))
        return self.hashing.with_rows(rows_of(ids, self.hashing))

    @property
    def _reserved(self) -> range:
        return range(0) if self.padding_idx is None else range(1)

    @property
    def _slices(self) -> int:
        return self.num_hash_functions if self.combine == "concat" else 1

    @property
    def share_padding_row(self) -> bool:
        """Whether ids other than the padding id may probe the reserved row 0."""
        return self.hashing.share_padding_row

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
        return ops.hash_rows(ids, self._lookup)

    def __getstate__(self) -> dict[str, Any]:
        """Probes computed before are left out."""
        state = super().__getstate__()
        del state["_lookup"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compute them again."""
        super().__setstate__(state)
        self.__dict__["_lookup"] = self._with_probes()
