"""Expected outputs of a lookup, by `npbloom.reference` in float64, with their bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npbloom import reference
from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import ROUNDOFF, SMALLEST
from npbloom.conformance.expected.bounds import Expected, absolute, sum_error, sum_gamma, wide
from npbloom.types import HashSpec, RowGrad

Array = np.ndarray[Any, Any]
Keys = tuple[str, ...]

FORWARD, GRADIENT = {"out", "weight"}, {"grad_weight", "rows"}
EVERY = ("out", "weight", "grad_weight", "rows", "grad_per_sample_weights")


def spec_of(case: Case) -> HashSpec:
    """Return the hashing of a Bloom case."""
    assert case.num_embeddings is not None
    assert case.num_hash_functions is not None
    return HashSpec(
        case.num_embeddings,
        len(case.weight),
        case.num_hash_functions,
        case.padding_idx,
        bool(case.share_padding_row),
    )


def embedding(case: Case, keys: Keys = EVERY) -> dict[str, Array]:
    """Return the outputs of an `embedding` case."""
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
    """Return a RowGrad as the dense gradient and the rows that it touches."""
    return {"grad_weight": grad.to_dense(), "rows": grad.rows}


def bag(case: Case, keys: Keys = EVERY) -> dict[str, Array]:
    """Return the outputs of a `bag` case."""
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
    """
    Return the outputs of a `bloom`, `bloom_mean` or `bloom_concat` case.

    The rows of the gradient of `bloom_concat` are slices (L21).
    """
    spec, combine = spec_of(case), COMBINES[case.op]
    outputs: dict[str, Array] = {}
    if FORWARD & set(keys):
        outputs["out"] = reference.bloom_forward(wide(case.weight), case.ids, spec, combine=combine)
    if GRADIENT & set(keys):
        outputs |= _gradient(reference.bloom_backward(case.ids, wide(case.grad_out), spec, combine=combine))
        outputs["grad_weight"] = outputs["grad_weight"].reshape(case.weight.shape)
    return outputs


def hash_rows(case: Case, keys: Keys = EVERY) -> dict[str, Array]:
    """
    Return the outputs of a `hash` case: the signed floor-mod of one hash for each seed.

    The padding id reads row 0.
    """
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
SELECTED = ("embedding", "bloom_concat")  # operations that copy values instead of adding them


def exactly(case: Case, keys: Keys = EVERY) -> dict[str, Expected]:
    """Return the outputs of a lookup whose arithmetic does not round: no tolerance."""
    return {key: Expected(value) for key, value in LOOKUPS[case.op](case, keys).items()}


def roughly(case: Case, profile: dict[str, str], keys: Keys = EVERY) -> dict[str, Expected]:
    """
    Return the outputs of a lookup on full-range floats, each element with the bound of its error.

    A sum of n terms in an accumulator of unit roundoff a is within ``gamma * A``,
    ``gamma = (n + 4) a / (1 - (n + 4) a)``, where A is the same sum of absolute values. Storing the
    result adds the table's own roundoff. An element is blind if the bound exceeds half of a term of
    average size: it cannot detect one term too many.
    """
    values = LOOKUPS[case.op](case, keys)
    sizes = LOOKUPS[case.op](absolute(case, values.get("weight")), keys)
    found: dict[str, Expected] = {}
    for key, value in values.items():
        if key == "rows":
            found[key] = Expected(value)
        elif key == "weight":
            found[key] = Expected(value, _renormalizing(case) * np.abs(value) + SMALLEST[case.dtype] * (value != 0))
        elif key == "out" and (case.mode == "max" or case.op in SELECTED):
            found[key] = Expected(
                value, _renormalizing(case) * np.abs(value) + SMALLEST[case.dtype] * (case.max_norm is not None)
            )
        else:
            found[key] = _sum_within(case, key, value, sizes[key], profile["forward" if key == "out" else "backward"])
    return found


def _renormalizing(case: Case) -> float:
    """Return the relative error of a row that was scaled: a norm, a quotient and a product."""
    return 0.0 if case.max_norm is None else 20 * ROUNDOFF[case.dtype]


def _sum_within(case: Case, key: str, value: Array, size: Array, accumulator: str) -> Expected:
    """Return a sum with the bound of its error; without terms it must be zero."""
    terms = case.weight.shape[1] if key == "grad_per_sample_weights" else max(1, np.asarray(case.ids).size)
    terms *= case.num_hash_functions or 1
    stored = _renormalizing(case) * size + 2 * ROUNDOFF[case.dtype] * np.abs(value) + 4 * SMALLEST[case.dtype] * (terms + 1)
    bound = sum_error(size, sum_gamma(terms, accumulator, 4), stored)
    return Expected(value, bound, (size > 0) & (bound > 0.5 * size / terms))
