"""The base of layers with one row for each id: padding and max_norm."""

from __future__ import annotations

from typing import Any, final

from npbloom import _check
from npbloom.layers._table import Layer
from npbloom.ops._forward import norm_limits
from npbloom.ops._steps import reserved_rows
from npbloom.types import Rng


class PlainTable(Layer):
    """A table with one row for each id."""

    max_norm: float | None
    norm_type: float
    scale_grad_by_freq: bool
    _padding: int  # the padding row, -1 for none

    def _set_sizes(self, num_embeddings: Any, embedding_dim: Any, padding_idx: Any, scale_grad_by_freq: Any) -> None:
        """Check and keep the arguments that come first."""
        self.num_embeddings = _check.positive_int(num_embeddings, "num_embeddings")
        self.embedding_dim = _check.positive_int(embedding_dim, "embedding_dim")
        self._padding = _check.padding_row(padding_idx, self.num_embeddings)
        self.padding_idx = None if padding_idx is None else self._padding
        self.scale_grad_by_freq = _check.flag(scale_grad_by_freq, "scale_grad_by_freq")

    def _set_plain(self, max_norm: float | None, norm_type: float, dtype: Any, rng: Rng, weight: Any) -> None:
        """Make or adopt the table. Comes last in a constructor."""
        self.max_norm, self.norm_type = max_norm, norm_type
        self._set_table(self.num_embeddings, self.embedding_dim, dtype, rng, weight)
        norm_limits(self._weight, max_norm, norm_type)

    @final
    @property
    def reserved_rows(self) -> range:
        """Rows of the table that are never trained: the padding row, or none."""
        return reserved_rows(self._padding)

    @final
    @property
    def num_slices(self) -> int:
        """Gradient rows that one row of the table makes: 1."""
        return 1
