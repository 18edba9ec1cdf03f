"""Values for a structure: exact in any order of summation, identities, or full-range floats."""

from __future__ import annotations

from math import lcm
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import ACCUMULATORS, INTEGERS, stored
from npbloom.conformance.cases.structures import Features, Structure

Array = np.ndarray[Any, Any]


def divisors(structure: Structure) -> int:
    """
    Return a number that every count of the structure divides.

    Counts are the entries of a mean, the occurrences of an id, and the probes of a mean.
    """
    ids = structure.fields["ids"]
    padding = structure.fields.get("padding_idx")
    kept = ids.ravel() if padding is None else ids.ravel()[ids.ravel() != padding % structure.rows]
    common = 1
    if structure.fields.get("scale_grad_by_freq") and kept.size:
        common = lcm(*(int(count) for count in np.unique(kept, return_counts=True)[1]))
    if structure.fields.get("mode") == "mean":
        counts = [max(1, int(size)) for size in _bag_sizes(structure)]
        common *= lcm(*counts) if counts else 1
    if structure.op == "bloom_mean":
        common *= structure.fields["num_hash_functions"]
    return common


def _bag_sizes(structure: Structure) -> Array:
    """Return the number of entries of each bag, without padding."""
    ids, offsets = structure.fields["ids"], structure.fields.get("offsets", np.zeros(0, dtype=np.int64))
    padding = structure.fields.get("padding_idx")
    counted = np.ones(ids.shape, dtype=int) if padding is None else (ids != padding % structure.rows).astype(int)
    if ids.ndim == 2:
        sizes: Array = counted.sum(axis=1)
        return sizes
    ends = np.append(0, np.cumsum(counted))
    bounds = offsets if structure.fields["include_last_offset"] and len(offsets) else np.append(offsets, ids.size)
    bounds = bounds.astype(np.int64)
    return np.asarray(ends[bounds[1:]] - ends[bounds[:-1]])


def divides_exactly(case: Case) -> bool:
    """Return True if all counts of a case are powers of two, whose reciprocals are exact."""
    product = divisors(Structure(case.op, len(case.weight), case.given()))
    return product & (product - 1) == 0


def exact(
    structure: Structure, features: Features, dtype: str, width: int, rng: np.random.Generator, claims: dict[str, str]
) -> Case | None:
    """
    Return small integers times every divisor; None if they are too large.

    All sums, products and quotients are exact in any order.
    """
    base, width = divisors(structure), width * structure.slices
    terms = max(1, structure.fields["ids"].size) * structure.fields.get("num_hash_functions", 1)
    largest = terms * max(structure.rows, 3) * base
    # Weights are multiples of 0.5, at most 3; their gradients are sums over the columns.
    if features.weighted:
        largest = max(6 * largest, width * 3 * structure.rows * base * base)
    if largest > min(INTEGERS[name] for name in (dtype, *(ACCUMULATORS[claim][0] for claim in claims.values()))):
        return None
    # Each column is a shuffle: no two rows tie in a maximum, and no row repeats another.
    ranks = np.argsort(rng.random((structure.rows, width)), axis=0) + 1
    signs = np.where(rng.random((structure.rows, width)) < 0.5, -1, 1)
    weight = ranks * signs * base
    grad_out = rng.integers(-3, 4, (*structure.outputs, width))
    grad_out = np.where(grad_out == 0, 2, grad_out) * base
    return structure.case(
        dtype,
        weight=stored(weight, dtype),
        grad_out=stored(grad_out, dtype),
        **_weights(structure, features, dtype, rng, choices=np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])),
    )


def _weights(structure: Structure, features: Features, dtype: str, rng: np.random.Generator, choices: Array) -> dict[str, Any]:
    """Return per-sample weights if the features have them."""
    if not features.weighted:
        return {}
    return {"per_sample_weights": stored(rng.choice(choices, structure.fields["ids"].shape), dtype)}


def fingerprint(structure: Structure, dtype: str) -> tuple[Case, Case]:
    """
    Return two cases that reveal the whole operator.

    One has an identity as table, the other an identity as gradient.
    """
    outputs = int(np.prod(structure.outputs, dtype=int))
    scale, slices = divisors(structure), structure.slices  # each slice of a row is an identity
    forward = structure.case(
        dtype,
        weight=stored(np.tile(np.eye(structure.rows), slices) * scale, dtype),
        grad_out=stored(np.zeros((*structure.outputs, structure.rows * slices)), dtype),
    )
    width = max(outputs, 1) * slices
    backward = structure.case(
        dtype,
        weight=stored(np.zeros((structure.rows, width)), dtype),
        grad_out=stored(np.tile(np.eye(outputs, max(outputs, 1)), slices) * scale, dtype).reshape(*structure.outputs, width),
    )
    return forward, backward


def bounded(structure: Structure, features: Features, dtype: str, width: int, rng: np.random.Generator) -> Case:
    """
    Return floats over a wide range, so that order and accumulator make a difference.

    Tolerances come from an error bound.
    """
    reach, width = 3 if dtype == "float16" else 20, width * structure.slices

    def floats(shape: tuple[int, ...]) -> Array:
        mantissa = rng.standard_normal(shape)
        exponent = rng.integers(-reach, reach + 1, shape) if rng.random() < 0.5 else rng.integers(-2, 3, shape)
        return stored(np.ldexp(mantissa, exponent), dtype)

    values: dict[str, Any] = {"weight": floats((structure.rows, width)), "grad_out": floats((*structure.outputs, width))}
    if features.weighted:
        values["per_sample_weights"] = floats(structure.fields["ids"].shape)
    if features.max_norm:
        values["max_norm"] = float(rng.choice([0.25, 1.0, 4.0]))
    return structure.case(dtype, **values)


def normed(structure: Structure, features: Features, dtype: str, width: int, rng: np.random.Generator) -> Case:
    """
    Return rows well below and well above the limit of max_norm.

    No rounding decides which rows are scaled.
    """
    limit = float(rng.choice([0.5, 1.0, 3.0]))
    # The cube of a norm must fit a float16.
    above = (6.0, 8.0) if dtype == "float16" else (8.0, 20.0)
    weight = rng.standard_normal((structure.rows, width)) + 0.1
    norms = np.linalg.norm(weight, axis=1, keepdims=True)
    factor = rng.choice([0.1 / width, 0.3 / width, *above], (structure.rows, 1))
    return structure.case(
        dtype,
        weight=stored(weight / norms * limit * factor, dtype),
        grad_out=stored(np.zeros((*structure.outputs, width)), dtype),
        max_norm=limit,
        **_weights(structure, features, dtype, rng, choices=np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])),
    )
