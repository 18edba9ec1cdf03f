"""Cases for golden vectors: structures with values from a stream of integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import stored
from npbloom.conformance.cases.structures import Structure
from npbloom.conformance.cases.values import divisors
from npbloom.conformance.vectors.source import Array, Source

LARGE = 2**32 + 1  # a factor whose multiples float32 does not hold
WEIGHTS = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])


def integers(*values: Any) -> Array:
    """Return ids or offsets."""
    return np.array(values, dtype=np.int64)


def embedding(rows: int, ids: Array, padding_idx: int | None = None, frequency: bool = False, **options: Any) -> Structure:
    """Return a lookup of one row for each id."""
    fields = {"ids": ids, "padding_idx": padding_idx, "scale_grad_by_freq": frequency, "norm_type": 2.0}
    return Structure("embedding", rows, {**fields, **options})


def bag(rows: int, ids: Array, offsets: Array | None, mode: str, **options: Any) -> Structure:
    """Return bags of ids."""
    fields = {"padding_idx": None, "scale_grad_by_freq": False, "norm_type": 2.0, "include_last_offset": False}
    return Structure("bag", rows, {"ids": ids, "offsets": offsets, "mode": mode, **fields, **options})


def bloom(rows: int, ids: Array, count: int, hashes: int, padding_idx: int | None = None, share: bool = True) -> Structure:
    """Return a lookup through hashed rows."""
    fields = {
        "ids": ids,
        "num_embeddings": count,
        "num_hash_functions": hashes,
        "padding_idx": padding_idx,
        "share_padding_row": share,
    }
    return Structure("bloom", rows, fields)


def has_odd_divisors(structure: Structure) -> bool:
    """Return True if a divisor of the structure is no power of two: no float is its reciprocal."""
    divisor = divisors(structure)
    return bool(divisor & (divisor - 1))


def whole(
    structure: Structure, source: Source, width: int = 2, dtype: str = "float32", weighted: bool = False, factor: int = 1
) -> Case:
    """
    Return small integers times every divisor and a factor.

    No sum, product or quotient rounds, in any order.
    """
    base = divisors(structure) * factor
    terms = structure.fields["ids"].size * structure.fields.get("num_hash_functions", 1) + 1
    if base * 3 * (structure.rows + 1) * terms * 4 > (2**24 if dtype == "float32" else 2**53):
        raise ValueError(f"The integers of this structure grow too large to be exact in {dtype}.")
    shape = (*structure.outputs, width)
    values = {
        "weight": source.ranks(structure.rows, width) * source.signs((structure.rows, width)) * base,
        "grad_out": source.integers(1, 4, shape) * source.signs(shape) * base,
    }
    if weighted:
        values["per_sample_weights"] = WEIGHTS[source.integers(0, len(WEIGHTS), structure.fields["ids"].shape)]
    return structure.case(dtype, **{name: stored(array, dtype) for name, array in values.items()})


def wide(structure: Structure, source: Source, width: int = 3, weighted: bool = False) -> Case:
    """Return floats of a wide range, in float32."""
    shapes = {"weight": (structure.rows, width), "grad_out": (*structure.outputs, width)}
    if weighted:
        shapes["per_sample_weights"] = structure.fields["ids"].shape
    return structure.case("float32", **{name: stored(source.floats(shape), "float32") for name, shape in shapes.items()})


def zeroed(case: Case, row: int) -> Case:
    """Return the case with a padding row of zeros, as layers have it."""
    weight = case.weight.copy()
    weight[row] = 0
    return case.replace(weight=weight)
