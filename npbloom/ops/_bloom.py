"""Options of Bloom lookups: a HashSpec that fits its table, and the way to combine k rows."""

from __future__ import annotations

from typing import Any

from npbloom import _check
from npbloom._kernels.lookup import Combine
from npbloom.types import FloatArray, HashSpec

COMBINE = ("sum", "mean", "concat")


def check_combine(combine: Any, dim: int, num_hash_functions: int) -> str:
    """Check one of the three words; "concat" needs k to divide d (L21)."""
    _check.choice(combine, "combine", COMBINE)
    if combine == "concat" and dim % num_hash_functions:
        raise ValueError(
            f"`combine='concat'` needs a number of hash functions that divides the embedding dimension {dim}, "
            f"not {num_hash_functions}."
        )
    return str(combine)


def check_hashing(hashing: Any) -> HashSpec:
    """Raise a TypeError unless `hashing` is a HashSpec."""
    if not isinstance(hashing, HashSpec):
        raise TypeError(f"`hashing` must be a HashSpec, not {type(hashing).__name__}.")
    return hashing


def bloom_table(weight: Any, hashing: HashSpec, combine: str) -> FloatArray:
    """Return a table that fits the hashing and the combination."""
    table = _check.table(weight)
    check_hashing(hashing)
    if table.shape[0] != hashing.num_rows:
        raise ValueError(f"`weight` must have {hashing.num_rows} rows, as `hashing` says, not {table.shape[0]}.")
    check_combine(combine, table.shape[1], hashing.num_hash_functions)
    return table


def reserved_row(hashing: HashSpec) -> int:
    """Return the row that adds nothing: 0 with a padding id, else none, -1 (L22)."""
    return -1 if hashing.padding_idx is None else 0


def slices_of(hashing: HashSpec, combine: str) -> int:
    """Return the number of slices of a row, one for each probe: k for "concat", else 1 (L21)."""
    return hashing.num_hash_functions if combine == "concat" else 1


def divisor_of(hashing: HashSpec, combine: str) -> float:
    """Return the divisor of the sum over probes: k for "mean", else 1."""
    return float(hashing.num_hash_functions) if combine == "mean" else 1.0


def combination(hashing: HashSpec, combine: str) -> Combine:
    """Return the options by which kernels combine the rows of an id (L21, L22)."""
    return Combine(reserved_row(hashing), divisor_of(hashing, combine), combine == "concat")
