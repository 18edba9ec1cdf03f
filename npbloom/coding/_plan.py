"""`plan`: collisions and memory of a Bloom table, and a suggested size and number of hashes."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from npbloom import _check
from npbloom.layers._bloom import table_height, warn_precompute
from npbloom.ops._bloom import COMBINE
from npbloom.optimizers import BY_NAME
from npbloom.types import MAX_IDS, MAX_TABLE_ROWS, SPOTLIGHT_SEEDS

SUGGESTED: Final = (2, 3, 4)  # the numbers of hashes that Serrà and Karatzoglou found best
FEW: Final = 1e-3  # greatest share of ids without a vector of their own in a suggestion
UNITS: Final = {
    "": 1,
    "b": 1,
    **{f"{c}b": 1000**n for n, c in enumerate("kmgt", 1)},
    **{f"{c}ib": 1024**n for n, c in enumerate("kmgt", 1)},
}


@dataclass(frozen=True)
class Plan:
    """
    A Bloom table that is not made yet: its size, its memory, and the expected collisions.

    Parameters
    ----------
    num_ids, embedding_dim : int
        Number of ids, and length of a vector.
    num_rows : int
        Height of the table.
    compression_ratio : float
        Number of rows for each id.
    num_hash_functions : int
        Number of rows that an id reads, k.
    combine : {"sum", "mean", "concat"}
        Operation that makes a vector of them.
    share_all : float
        Expected share of ids that have all probes, and so their vector, in common with another id.
    repeat_probe : float
        Expected share of ids of which two probes are the same row.
    touch_padding : float
        Expected share of ids with a probe on the row reserved for padding.
    ids_per_row : float
        Number of ids that read a row, on average.
    table_bytes, state_bytes : int
        Memory of the table and of the optimizer's state.
    full_bytes : int
        Memory of a table with a row for each id, and of its state.
    suggested_hashes : int
        Suggested k for a table of this memory or ratio.
    suggested_ratio : float
        Suggested ratio: the given one, or that of the highest table that fits the memory. It is 1
        if a row for each id fits, and no hashing is needed.

    See Also
    --------
    plan : Function that makes it.

    Examples
    --------
    >>> plan(1_000_000, 64, ratio=0.2).total_bytes
    153600000
    """

    num_ids: int
    embedding_dim: int
    num_rows: int
    compression_ratio: float
    num_hash_functions: int
    combine: str
    share_all: float
    repeat_probe: float
    touch_padding: float
    ids_per_row: float
    table_bytes: int
    state_bytes: int
    full_bytes: int
    suggested_hashes: int
    suggested_ratio: float

    @property
    def probe_bytes(self) -> int:
        """Deprecated: 0, since ids are hashed when they are looked up."""
        warnings.warn("`probe_bytes` is 0 and will be removed.", DeprecationWarning, stacklevel=2)
        return 0

    @property
    def total_bytes(self) -> int:
        """Bytes of table and state together."""
        return self.table_bytes + self.state_bytes


@dataclass(frozen=True)
class _Question:
    """Checked arguments of `plan`."""

    num_ids: int
    dim: int
    memory: int | None
    ratio: float
    combine: str
    optimizer: str | None
    dtype: np.dtype[Any]
    padded: bool
    share: bool

    def row_bytes(self, k: int) -> tuple[int, int]:
        """Return the bytes of a table's row, and of its state."""
        row = self.dim * self.dtype.itemsize
        if self.optimizer is None:
            return row, 0
        spec = BY_NAME[self.optimizer].state_spec((1, self.dim), self.dtype, k if self.combine == "concat" else 1)
        return row, sum(array.nbytes for array in spec.values() if array.shape)  # without counters

    @property
    def full_bytes(self) -> int:
        """Bytes of a table with a row for each id, and of its state."""
        return self.num_ids * sum(self.row_bytes(1))

    def height(self, k: int) -> int:
        """Return the number of rows of the table (L19)."""
        if self.memory is None:
            try:
                return table_height(self.num_ids, self.ratio, None, self.padded)
            except ValueError as error:
                raise ValueError(str(error).replace("`compression_ratio`", "`ratio`").replace(", or `num_rows`", "")) from None
        fewest = 2 if self.padded else 1
        rows = min(self.num_ids, MAX_TABLE_ROWS, self.memory // sum(self.row_bytes(k)))
        if rows < fewest:
            least = fewest * sum(self.row_bytes(k))
            raise ValueError(f"`memory` must be at least {least} bytes for {fewest} rows, not {self.memory}.")
        return rows

    def shares(self, k: int) -> tuple[float, float, float, float]:
        """
        Return three expected shares of ids, and the number of ids that read a row.

        The shares are those of ids that have all probes in common with another, that repeat a
        probe, and that touch the padding row.
        """
        rows = self.height(k)
        reached = rows - 1 if self.padded and not self.share else rows
        ids = max(1, self.num_ids - self.padded)
        touch = -math.expm1(k * math.log1p(-1 / rows)) if self.padded and self.share and rows > 1 else 0.0
        shared = share_all(ids, reached, k, ordered=self.combine == "concat")
        return shared, repeat_probe(reached, k), touch, ids * k / reached

    def suggestion(self) -> int:
        """
        Return the fewest hashes that leave few ids without a vector of their own.

        Numbers of hashes that do not fit the memory are not considered.
        """
        possible = [k for k in SUGGESTED if self.combine != "concat" or self.dim % k == 0] or [1]
        for number, k in enumerate(possible):
            try:
                if self.shares(k)[0] < FEW:
                    return k
            except ValueError:
                if number == 0:
                    raise
                return possible[number - 1]
        return possible[-1]


def plan(
    num_ids: int,
    dim: int,
    memory: int | float | str | None = None,
    ratio: float | None = None,
    *,
    num_hashes: int | None = None,
    combine: str = "sum",
    optimizer: str | None = "adam",
    dtype: npt.DTypeLike = np.float32,
    padding_idx: int | None = 0,
    share_padding_row: bool = True,
    precompute_hashes: bool | None = None,
) -> Plan:
    r"""
    Compute what to expect of a Bloom table before it is made.

    With n ids beside padding, k hash functions and m rows, each probe is a row drawn uniformly.
    With ``share_padding_row=False`` m does not count the row reserved for padding.

    - an id repeats a probe with probability :math:`1 - \prod_{j<k} (1 - j / m)`;
    - it touches the row reserved for padding with probability :math:`1 - (1 - 1/m)^k`;
    - it shares all probes with another id, in any order, with probability
      :math:`\sum_\lambda P_\lambda (1 - (1 - p_\lambda)^{n-1})`. Here :math:`\lambda` runs over the
      partitions of k, of L parts. :math:`p_\lambda = k! / (\prod_i \lambda_i! \, m^k)` is the
      probability of one multiset of rows that occur :math:`\lambda_i` times.
      :math:`P_\lambda = p_\lambda \, m (m-1) \cdots (m-L+1) / \prod_v c_v!` is that of all
      multisets of this kind, where :math:`c_v` parts equal v. With "concat" order matters, and the
      probability is :math:`1 - (1 - m^{-k})^{n-1}`.

    Parameters
    ----------
    num_ids : int
        Number of ids, padding included, up to ``2**63``.
    dim : int
        Length of a vector.
    memory : int, float or str, optional
        Bytes for table and optimizer state together, or a text such as ``"500 MB"`` or ``"2GiB"``.
        The table is the highest that fits, up to one row for each id.
    ratio : float, optional
        Rows for each id, instead of `memory`. Without either it is 0.2.
    num_hashes : int, optional
        Rows that an id reads, 1 to 24; by default the suggested number.
    combine : {"sum", "mean", "concat"}
        Operation as in `BloomEmbedding`.
    optimizer : str or None
        A key of `npbloom.optimizers.BY_NAME`, whose state takes memory; sgd without momentum has
        none.
    dtype : float32 or float64
        Dtype of the table.
    padding_idx, share_padding_row : optional
        Options as in `BloomEmbedding`; the value of the padding id makes no difference.
    precompute_hashes : bool, optional
        Deprecated, without effect.

    Returns
    -------
    Plan
        Sizes, bytes, expected shares and a suggestion.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range, or the memory is too small for any
        table.

    See Also
    --------
    npbloom.BloomEmbedding : The layer whose table is planned.

    Notes
    -----
    The suggested k is the smallest of 2, 3 and 4 (the best in Serrà and Karatzoglou, 2017) that
    leaves fewer than one id in a thousand without a vector of its own. If none does, it is the
    largest possible one ("concat" needs a k that divides `dim`). Distinct vectors say nothing about
    how well a model ranks: measure which ratio a task allows (``npbloom fit``).

    Examples
    --------
    >>> small = plan(1_000_000, 64, ratio=0.2, num_hashes=1)
    >>> small.num_rows, round(small.share_all, 3), round(small.ids_per_row)      # 1 - exp(-5)
    (200000, 0.993, 5)
    >>> round(1e6 * plan(1_000_000, 64, ratio=0.2, num_hashes=2).share_all)      # ids in a million
    50
    >>> fits = plan(1_000_000, 64, memory="100 MB")
    >>> fits.num_rows, fits.num_hash_functions, fits.total_bytes
    (130208, 2, 99999744)
    """
    warn_precompute(precompute_hashes)
    asked = _read_question(num_ids, dim, memory, ratio, combine, optimizer, dtype, padding_idx, share_padding_row)
    suggested = asked.suggestion()
    k = suggested if num_hashes is None else _check_hashes(num_hashes, asked)
    rows = asked.height(k)
    row_bytes, state_bytes = asked.row_bytes(k)
    return Plan(
        asked.num_ids,
        asked.dim,
        rows,
        rows / asked.num_ids if asked.memory is not None else asked.ratio,
        k,
        asked.combine,
        *asked.shares(k),
        rows * row_bytes,
        rows * state_bytes,
        asked.full_bytes,
        suggested,
        _suggested_ratio(asked, suggested),
    )


def _suggested_ratio(asked: _Question, k: int) -> float:
    """
    Return the ratio that was asked for, or the ratio for a memory.

    For a memory it is 1 if no table need be compressed, else that of the highest table that fits.
    """
    if asked.memory is None:
        return asked.ratio
    if asked.full_bytes <= asked.memory:
        return 1.0
    return asked.height(k) / asked.num_ids


def _read_question(
    num_ids: Any,
    dim: Any,
    memory: Any,
    ratio: Any,
    combine: Any,
    optimizer: Any,
    dtype: Any,
    padding_idx: Any,
    share: Any,
) -> _Question:
    """Check all arguments but the number of hashes."""
    size = _check.positive_int(num_ids, "num_ids")
    if size > MAX_IDS:
        raise ValueError(f"`num_ids` must lie in [1, 2**63], not {size}.")
    if memory is not None and ratio is not None:
        raise ValueError("`ratio` must be None with a `memory`: one of them decides the height of the table.")
    kind = np.dtype(dtype)
    if kind not in _check.FLOAT_DTYPES:
        raise ValueError(f"`dtype` must be float32 or float64, not {kind}.")
    if optimizer is not None:
        _check.choice(optimizer, "optimizer", tuple(BY_NAME))
    _check.padding_row(padding_idx, size)
    return _Question(
        size,
        _check.positive_int(dim, "dim"),
        None if memory is None else read_bytes(memory),
        0.2 if ratio is None else _check.positive(ratio, "ratio"),
        _check.choice(combine, "combine", COMBINE),
        optimizer,
        kind,
        padding_idx is not None,
        _check.flag(share, "share_padding_row"),
    )


def _check_hashes(num_hashes: Any, asked: _Question) -> int:
    """Return a number of hashes from 1 to 24, which for "concat" divides the dimension."""
    k = _check.positive_int(num_hashes, "num_hashes")
    if k > len(SPOTLIGHT_SEEDS):
        raise ValueError(f"`num_hashes` must lie in [1, {len(SPOTLIGHT_SEEDS)}], not {k}.")
    if asked.combine == "concat" and asked.dim % k:
        raise ValueError(f"`num_hashes` must divide the dimension, {asked.dim}, for 'concat', not {k}.")
    return k


def read_bytes(memory: int | float | str) -> int:
    """
    Return a number of bytes, given as a number or as text.

    Parameters
    ----------
    memory : int, float or str
        Bytes, or a number with B, kB, MB, GB, TB (thousands) or KiB, MiB, GiB, TiB, in any case.

    Returns
    -------
    int
        Bytes, at least 1.
    """
    if isinstance(memory, str):
        found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*", memory.lower())
        if found is None or found[2] not in UNITS:
            raise ValueError(f"`memory` must be bytes, or words such as '500 MB' or '2GiB', not {memory!r}.")
        memory = float(found[1]) * UNITS[found[2]]
    number = _check.positive(memory, "memory")
    if not 1 <= number < math.inf:
        raise ValueError(f"`memory` must be a finite number of bytes, at least 1, not {number:g}.")
    return int(number)


# ---- formulas ------------------------------------------------------------------------------------


def repeat_probe(num_rows: int, k: int) -> float:
    """Return the probability that two of k probes of m rows are the same row."""
    if k > num_rows:
        return 1.0
    return max(0.0, -math.expm1(sum(math.log1p(-j / num_rows) for j in range(k))))


def share_all(num_ids: int, num_rows: int, k: int, ordered: bool) -> float:
    """
    Return the probability that another id has the same probes.

    They are in the same order if `ordered`, else in any order: a sum over the partitions of k.
    """
    every = k * math.log(num_rows)  # the logarithm of the number of tuples
    if ordered:
        return _met(num_ids, -every)
    total = 0.0
    for parts in _partitions(k, k):
        if len(parts) > num_rows:
            continue
        orders = math.lgamma(k + 1) - sum(math.lgamma(part + 1) for part in parts)
        choices = sum(math.log(num_rows - i) for i in range(len(parts)))
        choices -= sum(math.lgamma(parts.count(part) + 1) for part in set(parts))
        total += math.exp(choices + orders - every) * _met(num_ids, orders - every)
    return min(total, 1.0)


def _met(num_ids: int, log_probability: float) -> float:
    """Return the probability that any of the other ids has an event of this probability."""
    probability = math.exp(min(log_probability, 0.0))
    if num_ids == 1:
        return 0.0
    return 1.0 if probability == 1.0 else -math.expm1((num_ids - 1) * math.log1p(-probability))


def _partitions(total: int, most: int) -> Iterator[tuple[int, ...]]:
    """Yield the ways to write a number as a sum of non-increasing parts, none above `most`."""
    if total == 0:
        yield ()
    for part in range(min(total, most), 0, -1):
        for rest in _partitions(total - part, part):
            yield (part, *rest)
