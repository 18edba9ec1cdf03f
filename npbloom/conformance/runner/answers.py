"""Outputs of a backend: validation, comparison, and a sentence about the first wrong element."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.conformance.cases.case import BLOOMS, Case, Outputs, copied, rows_shape
from npbloom.conformance.cases.floats import STORED
from npbloom.conformance.expected.bounds import Expected

Array = np.ndarray[Any, Any]


class Failure(AssertionError):
    """A wrong answer of a backend, with the case and a sentence about it."""

    def __init__(self, case: Case | None, message: str, steps: tuple[Case, ...] = ()) -> None:
        super().__init__(message)
        self.case, self.message, self.steps = case, message, steps


def _same_bits(left: Array, right: Array) -> bool:
    """Return True if two arrays have the same shape, dtype and bytes."""
    return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()


def check_untouched(case: Case, given_case: Case, when: str = "") -> None:
    """Raise a Failure if the backend has changed an input."""
    after = given_case.arrays()
    for name, before in case.arrays().items():
        if name not in after or not _same_bits(np.asarray(before), np.asarray(after[name])):
            raise Failure(case, f"wrote to its input `{name}` {when}".rstrip())
    if case.options != given_case.options:
        raise Failure(case, f"wrote to its input `options` {when}".rstrip())


def as_outputs(case: Case, outputs: Any) -> Outputs:
    """
    Return the outputs after a check of kind, shape and dtype.

    A pair (rows, values) gains its dense gradient.
    """
    if not isinstance(outputs, dict):
        raise Failure(case, f"must return a dict of arrays, not {type(outputs).__name__}")
    found: Outputs = {}
    known = _shapes(case).keys() | {"rows", "values", "hash", "state"}
    for key, value in outputs.items():
        if key not in known:
            continue  # a backend may return more outputs than needed
        if key == "state":
            found["state"] = _as_state(case, value)
        elif not isinstance(value, np.ndarray):
            raise Failure(case, f"`{key}` must be a NumPy array, not {type(value).__name__}")
        else:
            found[key] = value
    for key in found.keys() & _shapes(case).keys():
        _check_float(case, key, found[key], _shapes(case)[key])
    if case.op in ("embedding", "bag", *BLOOMS, "bloom64") and ("rows" in found or "values" in found):
        _add_dense(case, found)
    return found


def _as_state(case: Case, state: Any) -> dict[str, Array]:
    """Return the state as arrays; its keys and shapes must be those before the step."""
    if not isinstance(state, dict):
        raise Failure(case, f"`state` must be a dict of arrays, not {type(state).__name__}")
    before = case.state or {}
    arrays = {key: np.asarray(value) for key, value in state.items()}
    for key in before.keys() - arrays.keys():
        raise Failure(case, f"`state` lacks {key!r}")
    for key, array in arrays.items():
        if key in before and array.shape != np.shape(before[key]):
            raise Failure(case, f"`state[{key!r}]` must have shape {np.shape(before[key])}, not {array.shape}")
        if array.dtype.kind not in "fiu":
            raise Failure(case, f"`state[{key!r}]` must be numbers, not {array.dtype}")
        # The step count may be of any dtype.
        if key in before and key != "step" and np.asarray(before[key]).dtype.kind == "f":
            _check_float(case, f"state[{key!r}]", array, np.shape(before[key]))
    return arrays


def _shapes(case: Case) -> dict[str, tuple[int, ...]]:
    """Return the shape of every floating output."""
    if case.weight is None:
        return {}
    shapes = {"weight": case.weight.shape, "grad_weight": case.weight.shape}
    if case.grad_out is not None:
        shapes["out"] = case.grad_out.shape
    if case.per_sample_weights is not None:
        shapes["grad_per_sample_weights"] = case.per_sample_weights.shape
    return shapes


def _check_float(case: Case, key: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise a Failure if an output has the wrong shape, or a dtype that cannot hold the result."""
    if array.shape != shape:
        raise Failure(case, f"`{key}` must have shape {shape}, not {array.shape}")
    if array.dtype.kind != "f" or not np.can_cast(np.dtype(STORED[case.dtype]), array.dtype, "safe"):
        raise Failure(case, f"`{key}` must be {case.dtype} or wider, not {array.dtype}")


def _add_dense(case: Case, found: Outputs) -> None:
    """
    Check a pair (rows, values) and add its dense gradient.

    Rows may be in any order, and may repeat.
    """
    if "rows" not in found or "values" not in found:
        raise Failure(case, "must return `rows` and `values` together")
    rows, values = found["rows"], found["values"]
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise Failure(case, f"`rows` must be a 1-D integer array, not {rows.ndim}-D {rows.dtype}")
    height, width = rows_shape(case)
    _check_float(case, "values", values, (len(rows), width))
    if rows.size and not (rows.min() >= 0 and rows.max() < height):
        raise Failure(case, f"`rows` must lie in [0, {height}), not {rows[(rows < 0) | (rows >= height)][0]}")
    dense = np.zeros((height, width))
    np.add.at(dense, rows, values.astype(np.float64))
    dense = dense.reshape(case.weight.shape)
    found.setdefault("grad_weight", dense)
    found["dense"] = dense


def compared(case: Case, key: str, got: Array, expected: Expected) -> int:
    """
    Return the number of blind elements.

    Raise a Failure that names the first wrong element, if there is one.
    """
    if key == "rows":
        got, value = np.asarray(got), np.asarray(expected.value)
        if got.shape != value.shape:
            raise Failure(case, f"`rows` must have shape {value.shape}, not {got.shape}")
        wrong = got != value
    else:
        got, value = got.astype(np.float64), np.asarray(expected.value, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            near = np.abs(got - value) <= expected.tolerance
        near |= np.isnan(expected.tolerance)
        wrong = ~(near | (got == value) | (np.isnan(got) & np.isnan(value))) | (~np.isfinite(got) & np.isfinite(value))
    if wrong.any():
        raise Failure(case, _describe(key, got, value, wrong, expected))
    return 0 if expected.blind is None else int(np.count_nonzero(expected.blind))


def _describe(key: str, got: Array, value: Array, wrong: Array, expected: Expected) -> str:
    """
    Return a sentence like ``out[2, 0] is 5.0, expected 7.0``.

    It has the number of wrong elements, and the tolerance if there is one.
    """
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"[{', '.join(map(str, where))}]" if where else ""
    text = f"`{key}{place}` is {got[where].item()!r}, expected {value[where].item()!r}"
    allowed = np.broadcast_to(np.asarray(expected.tolerance, dtype=np.float64), value.shape)[where] if key != "rows" else 0
    if allowed:
        text += f" within {allowed:.3g}"
    count = int(np.count_nonzero(wrong))
    return text + (f" ({count} of {wrong.size} elements are wrong)" if count > 1 else "")


def copies_of(outputs: Outputs) -> Outputs:
    """Return the outputs with copies of their arrays."""
    return {key: copied(value) for key, value in outputs.items()}
