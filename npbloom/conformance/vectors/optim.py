"""
Golden vectors of optimizer steps: table and state before and after.

If an update rounds, its result is an interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import ROUNDOFF, SMALLEST, stored
from npbloom.conformance.expected.rationals import Interval, floats_within
from npbloom.conformance.vectors.build import integers
from npbloom.conformance.vectors.source import Array, Source
from npbloom.conformance.vectors.vector import Band, Vector, exact

HEIGHT, WIDTH = 5, 3
BATCHES = (
    (integers(3, 0, 3), "rows 3, 0, 3"),
    (integers(4, 1), "two rows"),
    (integers(2, 2, 2, 2), "one row, four times"),
    (integers(), "no rows"),
)
ROUNDINGS = 2  # of each operation: its own, and one for a stored scalar or another association


def vectors() -> Iterator[Vector]:
    """Yield steps whose arithmetic is exact in any association, then steps that round."""
    yield from _sgd()
    yield from _adagrad()
    yield from _rowwise_adagrad()
    yield from _adam()
    yield from _traits()


# ---- what a step gives, on intervals -------------------------------------------------------------


@dataclass
class Arithmetic:
    """
    Arithmetic on intervals: each operation widens its result by its rounding.

    If no operation of a case rounds, nothing is widened.
    """

    dtype: str
    rounds: bool

    def __call__(self, result: Interval) -> Interval:
        """Return the result of one operation."""
        return (
            result.widened(ROUNDINGS * Fraction(ROUNDOFF[self.dtype]), Fraction(SMALLEST[self.dtype])) if self.rounds else result
        )

    def scalar(self, result: Interval) -> Interval:
        """Return the result of an operation on hyperparameters, in double precision."""
        return result.widened(ROUNDINGS * Fraction(ROUNDOFF["float64"])) if self.rounds else result


Numbers = dict[tuple[int, ...], Interval]


def _numbers(array: Array) -> Numbers:
    """Return the elements of an array."""
    return {index: Interval.of(value.item()) for index, value in np.ndenumerate(array)}


def _summed(case: Case) -> Numbers:
    """
    Return the gradient of each row that occurs: the sum of its contributions (L26).

    These sums do not round in any case here.
    """
    total: Numbers = {}
    for row, values in zip(case.rows.tolist(), case.values, strict=True):
        for column, value in enumerate(values.tolist()):
            total[row, column] = total.get((row, column), Interval.of(0)) + Interval.of(value)
    return total


def step_of(case: Case, rounds: bool) -> dict[str, Any]:
    """Return the bands of table and state after a step."""
    assert case.options is not None
    assert case.state is not None
    op = Arithmetic(case.dtype, rounds)
    options, numbers = case.options, {name: _numbers(array) for name, array in case.state.items() if name != "step"}
    missing = np.isnan(case.values)
    weight, gradient = _numbers(case.weight), _summed(case.replace(values=np.where(missing, 0, case.values)))
    if options["weight_decay"]:
        decay = Interval.of(options["weight_decay"])
        gradient = {at: op(value + op(decay * weight[at])) for at, value in gradient.items()}
    step = int(case.state["step"]) + 1 if "step" in case.state else 0
    update = {"sgd": _after_sgd, "adagrad": _after_adagrad, "rowwise_adagrad": _after_rowwise, "adam": _after_adam}[case.op]
    for at, moved in update(op, options, gradient, numbers, step).items():
        weight[at] = op(weight[at] - moved)
    lost: Array = np.zeros(case.weight.shape, dtype=bool)
    np.logical_or.at(lost, case.rows, missing)
    if case.op == "rowwise_adagrad":
        lost |= lost.any(axis=1, keepdims=True)
    state: dict[str, Band] = {
        name: _band(numbers[name], array.shape, case.dtype, lost if array.ndim == 2 else np.asarray(lost.any(axis=1)))
        if name != "step"
        else exact(np.array(step), "int64")
        for name, array in case.state.items()
    }
    return {"weight": _band(weight, case.weight.shape, case.dtype, lost), **({"state": state} if state else {})}


def _band(numbers: Numbers, shape: tuple[int, ...], dtype: str, lost: Array) -> Band:
    """Return the floats of each interval; NaN where `lost` marks an element that met a NaN."""
    assert len(numbers) == prod(shape)
    low, high = floats_within([numbers[index] for index in np.ndindex(shape)], shape, dtype)
    low[lost] = high[lost] = np.nan
    return Band(low, high)


def _after_sgd(op: Arithmetic, options: dict[str, Any], gradient: Numbers, state: dict[str, Numbers], step: int) -> Numbers:
    """Return the moves of SGD (L28)."""
    lr, momentum = Interval.of(options["lr"]), Interval.of(options["momentum"])
    if options["momentum"]:
        buffer = state["momentum_buffer"]
        for at, value in gradient.items():
            buffer[at] = op(op(momentum * buffer[at]) + value)
        gradient = {at: buffer[at] for at in gradient}
    return {at: op(lr * value) for at, value in gradient.items()}


def _after_adagrad(op: Arithmetic, options: dict[str, Any], gradient: Numbers, state: dict[str, Numbers], step: int) -> Numbers:
    """Return the moves of Adagrad (L29)."""
    one, total = Interval.of(1), state["sum"]
    rate = op.scalar(Interval.of(options["lr"]) / op.scalar(one + Interval.of(step - 1) * Interval.of(options["lr_decay"])))
    moved = {}
    for at, value in gradient.items():
        total[at] = op(total[at] + op(value.squared()))
        moved[at] = op(op(rate * value) / op(op(total[at].sqrt()) + Interval.of(options["eps"])))
    return moved


def _after_rowwise(op: Arithmetic, options: dict[str, Any], gradient: Numbers, state: dict[str, Numbers], step: int) -> Numbers:
    """Return the moves of row-wise Adagrad (L30)."""
    rate, total, width = Interval.of(options["lr"]), state["sum"], 1 + max((at[1] for at in gradient), default=0)
    for row in {at[0] for at in gradient}:
        squares = Interval.of(0)
        for column in range(width):
            squares = op(squares + op(gradient[row, column].squared()))
        total[row,] = op(total[row,] + op(squares / Interval.of(width)))
    roots = {at[0]: op(op(total[at[0],].sqrt()) + Interval.of(options["eps"])) for at in gradient}
    return {at: op(op(rate * value) / roots[at[0]]) for at, value in gradient.items()}


def _after_adam(op: Arithmetic, options: dict[str, Any], gradient: Numbers, state: dict[str, Numbers], step: int) -> Numbers:
    """Return the moves of Adam (L31)."""
    one = Interval.of(1)
    first, second = state["exp_avg"], state["exp_avg_sq"]
    beta1, beta2 = (Interval.of(beta) for beta in options["betas"])
    rest1, rest2 = (op.scalar(one - beta) for beta in (beta1, beta2))
    bias1, bias2 = (op.scalar(one - op.scalar(beta.power(step))) for beta in (beta1, beta2))
    moved = {}
    for at, value in gradient.items():
        first[at] = op(op(beta1 * first[at]) + op(rest1 * value))
        second[at] = op(op(beta2 * second[at]) + op(rest2 * op(value.squared())))
        root = op(op(op(second[at] / bias2).sqrt()) + Interval.of(options["eps"]))
        moved[at] = op(op(Interval.of(options["lr"]) * op(first[at] / bias1)) / root)
    return moved


# ---- the vectors ---------------------------------------------------------------------------------


def _vector(case: Case, spec: str, note: str, rounds: bool) -> Vector:
    """Return a step with its bands; rows that the gradient does not name keep their bits."""
    flags = ["Duplicates"] if len(np.unique(case.rows)) < len(case.rows) else []
    flags += ["Lazy"] + (["Rounding"] if rounds else [])
    return Vector(case, spec, note, step_of(case, rounds), tuple(flags))


def _small(source: Source, *shape: int) -> Array:
    """Return integers between 1 and 4 of either sign."""
    return source.integers(1, 5, shape) * source.signs(shape)


def _case(op: str, dtype: str, weight: Array, rows: Array, values: Array, state: dict[str, Array], **options: Any) -> Case:
    """Return a step; `step` stays an integer."""
    kept = {name: np.array(array) if name == "step" else stored(array, dtype) for name, array in state.items()}
    return Case(op, dtype, weight=stored(weight, dtype), rows=rows, values=stored(values, dtype), state=kept, options=options)


def _floats(source: Source, dtype: str, *shape: int) -> Array:
    """Return floats around 1."""
    return stored(source.floats(shape, 2), dtype)


def _whole_gradients(source: Source, rows: Array) -> Array:
    """
    Return gradients with few bits, so that sums of a row's contributions are exact.

    The rest of a step may round.
    """
    return source.integers(1, 64, (len(rows), WIDTH)) * source.signs((len(rows), WIDTH)) / 16.0


def _sgd() -> Iterator[Vector]:
    """Yield steps without and with momentum and decay."""
    source = Source(50)
    for momentum in (0.0, 0.5):
        for decay in (0.0, 0.25):
            for rows, which in BATCHES:
                state = {"momentum_buffer": _small(source, HEIGHT, WIDTH)} if momentum else {}
                weight, values = _small(source, HEIGHT, WIDTH), _small(source, len(rows), WIDTH)
                case = _case("sgd", "float32", weight, rows, values, state, lr=0.5, momentum=momentum, weight_decay=decay)
                note = f"Momentum {momentum}, decay {decay}, {which}: exact in any association."
                yield _vector(case, "L26, L27, L28", note, rounds=False)
    for dtype in ("float32", "float64"):
        rows = BATCHES[0][0]
        weight, state = _floats(source, dtype, HEIGHT, WIDTH), {"momentum_buffer": _floats(source, dtype, HEIGHT, WIDTH)}
        options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
        case = _case("sgd", dtype, weight, rows, _whole_gradients(source, rows), state, **options)
        yield _vector(case, "L28, L32", "Hyperparameters that are no binary fractions.", rounds=True)


# (sum, gradient, eps): the new sum's root is an integer, and eps makes it a power of two
TRIPLES = ((9, 4, 3.0), (16, 3, 3.0), (25, 12, 3.0), (144, 5, 3.0), (0, 1, 3.0), (0, 5, 3.0), (0, -1, 3.0), (25, -12, 3.0))


def _triples(source: Source, *shape: int) -> tuple[Array, Array]:
    """Return sums and gradients; the new sum of each pair has an integer root."""
    chosen = np.array([triple[:2] for triple in TRIPLES])[source.integers(0, len(TRIPLES), shape)]
    return chosen[..., 0], chosen[..., 1]


def _adagrad() -> Iterator[Vector]:
    """Yield Pythagorean triples, where nothing rounds; duplicates; rate decay; first steps."""
    source = Source(51)
    options = {"lr": 0.5, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 3.0}
    for number, (rows, which) in enumerate(BATCHES):
        total, gradient = _triples(source, HEIGHT, WIDTH)
        state = {"sum": total, "step": np.array(number)}
        values = _split(source, gradient, rows)
        case = _case("adagrad", "float32", _small(source, HEIGHT, WIDTH), rows, values, state, **options)
        yield _vector(case, "L26, L27, L29", f"Integer roots, {which}: exact in any association.", rounds=False)
    for dtype in ("float32", "float64"):
        for more in ({"lr_decay": 0.125}, {"weight_decay": 0.01}, {"eps": 1e-10}, {"lr": 0.01, "eps": 0.1}):
            rows, fresh = BATCHES[0][0], "eps" in more
            state = {"sum": _floats(source, dtype, HEIGHT, WIDTH) ** 2 * (not fresh), "step": np.array(0 if fresh else 3)}
            weight, values = _floats(source, dtype, HEIGHT, WIDTH), _whole_gradients(source, rows)
            case = _case("adagrad", dtype, weight, rows, values, state, **{**options, "eps": 0.5, **more})
            note = f"{'A first' if fresh else 'The fourth'} step, {', '.join(f'{name} {value}' for name, value in more.items())}."
            yield _vector(case, "L29, L32", note, rounds=True)


def _split(source: Source, total: Array, rows: Array) -> Array:
    """Return contributions whose sums are the total of each row."""
    values = _small(source, len(rows), total.shape[1])
    for row in set(rows.tolist()):
        entries = np.flatnonzero(rows == row)
        values[entries[-1]] = total[row] - values[entries[:-1]].sum(axis=0)
    return values


def _rowwise_adagrad() -> Iterator[Vector]:
    """Yield steps with one sum a row."""
    source = Source(52)
    options = {"lr": 0.5, "weight_decay": 0.0, "eps": 3.0}
    for rows, which in BATCHES:
        total, gradient = _triples(source, HEIGHT)
        # Four equal squares, whose mean is one of them.
        spread = gradient[:, None] * source.signs((HEIGHT, 4))
        values = _split(source, spread, rows)
        case = _case("rowwise_adagrad", "float32", _small(source, HEIGHT, 4), rows, values, {"sum": total}, **options)
        yield _vector(case, "L26, L27, L30", f"Integer roots, {which}.", rounds=False)
    for dtype in ("float32", "float64"):
        for more in ({"weight_decay": 0.01}, {"eps": 1e-8}):
            rows = BATCHES[0][0]
            state = {"sum": _floats(source, dtype, HEIGHT) ** 2}
            weight, values = _floats(source, dtype, HEIGHT, WIDTH), _whole_gradients(source, rows)
            case = _case("rowwise_adagrad", dtype, weight, rows, values, state, **{**options, "eps": 0.5, **more})
            note = f"Means of squares that round, {', '.join(f'{name} {value}' for name, value in more.items())}."
            yield _vector(case, "L30, L32", note, rounds=True)


def _adam() -> Iterator[Vector]:
    """Yield first and later steps, with betas that are binary fractions, and common betas."""
    source = Source(53)
    for dtype, betas, spec in (
        ("float32", (0.5, 0.75), "L27, L31"),
        ("float32", (0.9, 0.999), "L31, L32"),
        ("float64", (0.9, 0.999), "L31, L32"),
    ):
        for step in (0, 1, 6):
            for decay in (0.0, 0.01):
                rows, which = BATCHES[(step + int(decay > 0)) % len(BATCHES)]
                first, second = _floats(source, dtype, HEIGHT, WIDTH), _floats(source, dtype, HEIGHT, WIDTH) ** 2
                if step == 0:
                    first, second = np.zeros_like(first), np.zeros_like(second)
                state = {"exp_avg": first, "exp_avg_sq": second, "step": np.array(step)}
                weight, values = _floats(source, dtype, HEIGHT, WIDTH), _whole_gradients(source, rows)
                options = {"lr": 0.125, "betas": betas, "eps": 0.0625 if step else 1e-8, "weight_decay": decay}
                case = _case("adam", dtype, weight, rows, values, state, **options)
                note = f"Step {step + 1}, betas {betas}, decay {decay}, {which}."
                yield _vector(case, spec, note, rounds=True)


def _traits() -> Iterator[Vector]:
    """Yield, for each optimizer, zero gradients, a NaN, and as many rows as columns."""
    source = Source(54)
    settings: dict[str, dict[str, Any]] = {
        "sgd": {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.25},
        "adagrad": {"lr": 0.5, "lr_decay": 0.0, "weight_decay": 0.25, "initial_accumulator_value": 0.5, "eps": 0.5},
        "rowwise_adagrad": {"lr": 0.5, "weight_decay": 0.25, "eps": 0.5},
        "adam": {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.5, "weight_decay": 0.0},
    }
    for op, options in settings.items():
        for what in ("zero gradients", "a NaN", "rows as many as columns"):
            rows = integers(4, 1, 2) if "many" in what else BATCHES[0][0]
            weight, values = _floats(source, "float32", HEIGHT, WIDTH), _whole_gradients(source, rows)
            if "zero" in what:
                values[:] = 0
            if "NaN" in what:
                values[1, 2] = np.nan
            state = {name: _floats(source, "float32", *shape) ** 2 for name, shape in _shapes_of(op).items()}
            state |= {"step": np.array(2)} if op in ("adagrad", "adam") else {}
            case = _case(op, "float32", weight, rows, values, state, **options)
            yield _vector(case, "L27, L33" if "NaN" in what else "L24, L27", f"{op}: {what}.", rounds=True)


def _shapes_of(op: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an optimizer's state, without its step."""
    table: tuple[int, ...] = (HEIGHT, WIDTH)
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "sgd": {"momentum_buffer": table},
        "adagrad": {"sum": table},
        "rowwise_adagrad": {"sum": (HEIGHT,)},
        "adam": {"exp_avg": table, "exp_avg_sq": table},
    }
    return shapes[op]
