"""What a case's outputs are, by `npbloom.reference` in float64, and how far a right backend may be from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from npbloom import reference
from npbloom.conformance.cases.case import Case
from npbloom.types import HashSpec, RowGrad

Array = np.ndarray[Any, Any]
Keys = tuple[str, ...]

ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
FORWARD, GRADIENT = {"out", "weight"}, {"grad_weight", "rows"}
EVERY = ("out", "weight", "grad_weight", "rows", "grad_per_sample_weights")
SMALLEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}


@dataclass(frozen=True)
class Want:
    """The right value of an output, how far from it is right too, and which elements say nothing (blind)."""

    value: Array
    tolerance: Array | float = 0.0
    blind: Array | None = None


def spec_of(case: Case) -> HashSpec:
    """The hashing of a Bloom case."""
    assert case.num_embeddings is not None
    assert case.num_hash_functions is not None
    return HashSpec(
        case.num_embeddings,
        len(case.weight),
        case.num_hash_functions,
        case.padding_idx,
        bool(case.share_padding_row),
    )


def wide(array: Any) -> Any:
    """Values as float64; None stays None."""
    return None if array is None else np.asarray(array, dtype=np.float64)


def embedding(case: Case, keys: Keys = EVERY) -> dict[str, Array]:
    """Outputs of an `embedding` case."""
    weight, outputs = wide(case.weight), {}
    if FORWARD & set(keys):
        if case.max_norm is None:
            outputs["out"] = reference.embedding_forward(weight, case.ids)
        else:
            norm = {"max_norm": case.max_norm, "norm_type": 2.0 if case.norm_type is None else case.norm_type}
            outputs["out"], outputs["weight"] = reference.embedding_forward(weight, case.ids, **norm)
    if GRADIENT & set(keys):
        frequency = bool(case.scale_grad_by_freq)
        options: dict[str, Any] = {"padding_idx": case.padding_idx, "scale_grad_by_freq": frequency}
        outputs |= _gradient(reference.embedding_backward(case.ids, wide(case.grad_out), len(weight), **options))
    return outputs


def _gradient(grad: RowGrad) -> dict[str, Array]:
    """A RowGrad as the dense gradient and the rows that it touches."""
    return {"grad_weight": grad.to_dense(), "rows": grad.rows}


def bag(case: Case, keys: Keys = EVERY) -> dict[str, Array]:
    """Outputs of a `bag` case."""
    weight, grad_out, factors = wide(case.weight), wide(case.grad_out), wide(case.per_sample_weights)
    options: dict[str, Any] = {"padding_idx": case.padding_idx, "include_last_offset": bool(case.include_last_offset)}
    bags = {**options, "mode": case.mode}
    outputs: dict[str, Array] = {}
    if FORWARD & set(keys):
        if case.max_norm is None:
            outputs["out"] = reference.embedding_bag_forward(weight, case.ids, case.offsets, factors, **bags)
        else:
            bags_too = {**bags, "max_norm": case.max_norm, "norm_type": 2.0 if case.norm_type is None else case.norm_type}
            pair = reference.embedding_bag_forward(weight, case.ids, case.offsets, factors, **bags_too)
            outputs["out"], outputs["weight"] = pair
    arrays = (weight, case.ids, grad_out, case.offsets)
    if GRADIENT & set(keys):
        frequency = bool(case.scale_grad_by_freq)
        outputs |= _gradient(reference.embedding_bag_backward(*arrays, factors, **bags, scale_grad_by_freq=frequency))
    if factors is not None and "grad_per_sample_weights" in keys:
        outputs["grad_per_sample_weights"] = reference.embedding_bag_backward_weights(*arrays, **options)
    return outputs


def bloom(case: Case, keys: Keys = EVERY) -> dict[str, Array]:
    """Outputs of a `bloom`, `bloom_mean` or `bloom_concat` case, whose rows of a gradient are slices (L21)."""
    spec, combine = spec_of(case), COMBINES[case.op]
    outputs: dict[str, Array] = {}
    if FORWARD & set(keys):
        outputs["out"] = reference.bloom_forward(wide(case.weight), case.ids, spec, combine=combine)
    if GRADIENT & set(keys):
        outputs |= _gradient(reference.bloom_backward(case.ids, wide(case.grad_out), spec, combine=combine))
        outputs["grad_weight"] = outputs["grad_weight"].reshape(case.weight.shape)
    return outputs


def hash_rows(case: Case, keys: Keys = EVERY) -> dict[str, Array]:
    """Outputs of a `hash` case: signed floor-mod of one hash for each seed; the padding id reads row 0."""
    assert case.seeds is not None
    assert case.num_rows is not None
    words = np.asarray(case.ids).astype(np.int32)
    hashes = [reference.murmurhash3_32(words, seed).view(np.int32).astype(np.int64) for seed in case.seeds]
    rows = np.stack(hashes, axis=-1) % case.num_rows
    if case.padding_idx is not None:
        rows[np.asarray(case.ids) == case.padding_idx] = 0
    return {"rows": rows}


LOOKUPS: dict[str, Callable[..., dict[str, Array]]] = {
    "hash": hash_rows,
    "embedding": embedding,
    "bag": bag,
    "bloom": bloom,
    "bloom_mean": bloom,
    "bloom_concat": bloom,
}
COMBINES = {"bloom": "sum", "bloom64": "sum", "bloom_mean": "mean", "bloom_concat": "concat"}
SELECTED = ("embedding", "bloom_concat")  # operations whose outputs are selected, not summed


def exactly(case: Case, keys: Keys = EVERY) -> dict[str, Want]:
    """Outputs of a lookup whose arithmetic does not round: no tolerance."""
    return {key: Want(value) for key, value in LOOKUPS[case.op](case, keys).items()}


def roughly(case: Case, profile: dict[str, str], keys: Keys = EVERY) -> dict[str, Want]:
    """
    Outputs of a lookup on full-range floats, each element with the error that its sum may have.

    A sum of n terms in an accumulator of unit roundoff a is within ``gamma * A``, ``gamma = (n + 4) a / (1 - (n + 4) a)``,
    where A is the same sum of absolute values; storing the result adds the table's own roundoff. An element is blind where
    that exceeds half of a term of average size: it cannot tell a term too many.
    """
    values = LOOKUPS[case.op](case, keys)
    absolute = LOOKUPS[case.op](_absolute(case, values), keys)
    wants: dict[str, Want] = {}
    for key, value in values.items():
        if key == "rows":
            wants[key] = Want(value)
        elif key == "weight":
            wants[key] = Want(value, _renormalizing(case) * np.abs(value) + SMALLEST[case.dtype] * (value != 0))
        elif key == "out" and (case.mode == "max" or case.op in SELECTED):
            wants[key] = Want(value, _renormalizing(case) * np.abs(value) + SMALLEST[case.dtype] * (case.max_norm is not None))
        else:
            wants[key] = _sum_within(case, key, value, absolute[key], profile["forward" if key == "out" else "backward"])
    return wants


def _renormalizing(case: Case) -> float:
    """Relative error of a row that was scaled: a norm, a quotient and a product."""
    return 0.0 if case.max_norm is None else 20 * ROUNDOFF[case.dtype]


def _sum_within(case: Case, key: str, value: Array, size: Array, accumulator: str) -> Want:
    """A sum with the bound of its error; where there is no term, it must be zero."""
    terms = case.weight.shape[1] if key == "grad_per_sample_weights" else max(1, np.asarray(case.ids).size)
    terms *= case.num_hash_functions or 1
    bound = (gamma(terms, accumulator) + _renormalizing(case)) * size + 2 * ROUNDOFF[case.dtype] * np.abs(value)
    bound = np.where(size > 0, bound + 4 * SMALLEST[case.dtype] * (terms + 1), 0.0)
    return Want(value, bound, (size > 0) & (bound > 0.5 * size / terms))


def gamma(terms: int, accumulator: str) -> float:
    """Relative error of a sum of products in this accumulator, in any order, over the sum of absolute values."""
    error = (terms + 4) * ROUNDOFF[accumulator]
    return error / (1 - error) if error < 0.5 else np.inf


def _absolute(case: Case, values: dict[str, Array]) -> Case:
    """The case with absolute values, for the bound of a sum; a maximum keeps its table, which decides who wins."""
    changes: dict[str, Any] = {"grad_out": np.abs(case.grad_out), "max_norm": None}
    if case.mode != "max":
        changes["weight"] = np.abs(values.get("weight", case.weight))
    if case.per_sample_weights is not None:
        changes["per_sample_weights"] = np.abs(case.per_sample_weights)
    return case.replace(**changes)
