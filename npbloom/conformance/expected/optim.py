"""
Table and state after one optimizer step, by `npbloom.reference` in float64, with their bounds.

A bound is the formula evaluated on intervals. Each operation widens its interval by eight
roundings of the table's dtype, in any association. A gradient is as wide as its sum in the
accumulator that the backend claims.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom import reference
from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import ROUNDOFF, SMALLEST
from npbloom.conformance.expected.bounds import Expected, Interval, sum_gamma, wide
from npbloom.types import RowGrad

Array = np.ndarray[Any, Any]

OPTIMIZERS = ("sgd", "adagrad", "rowwise_adagrad", "adam")
ROUNDINGS = 8  # of one operation; storing the result, also in a wider table, adds its own


def coalesced(case: Case) -> RowGrad:
    """Return the gradient with the values of each row added up in float64, in input order (L26)."""
    rows, place = np.unique(case.rows, return_inverse=True)
    total = np.zeros((len(rows), case.weight.shape[1]))
    np.add.at(total, place, wide(case.values))
    return RowGrad(rows, total, len(case.weight))


def after(case: Case) -> dict[str, Array]:
    """Return table and state after the step, in float64: ``weight``, ``state['sum']`` and so on."""
    assert case.options is not None
    assert case.state is not None
    options, state = case.options, {name: wide(array) for name, array in case.state.items()}
    weight, grad, decay = wide(case.weight), coalesced(case), options["weight_decay"]
    step = int(case.state["step"]) if "step" in state else 0
    arrays: tuple[Array, ...]
    if case.op == "sgd":
        names: tuple[str, ...] = ("momentum_buffer",)
        momentum, buffer = options["momentum"], state.get("momentum_buffer")
        arrays = reference.sgd_update(weight, grad, options["lr"], momentum=momentum, weight_decay=decay, momentum_buffer=buffer)
    elif case.op == "adam":
        names = ("exp_avg", "exp_avg_sq")
        moments = (state["exp_avg"], state["exp_avg_sq"])
        more = {"betas": options["betas"], "eps": options["eps"], "weight_decay": decay}
        arrays = reference.adam_update(weight, *moments, grad, options["lr"], step + 1, **more)
    else:
        names = ("sum",)
        update = reference.adagrad_update if case.op == "adagrad" else reference.rowwise_adagrad_update
        rate = options["lr"] / (1 + step * options.get("lr_decay", 0.0))
        arrays = update(weight, state["sum"], grad, rate, eps=options["eps"], weight_decay=decay)
    found = {"weight": arrays[0], **{f"state[{name!r}]": array for name, array in zip(names, arrays[1:], strict=False)}}
    if "step" in state:
        found["state['step']"] = np.array(step + 1.0)
    return found


def exactly_after(case: Case) -> dict[str, Expected]:
    """Return the outputs of a step whose arithmetic does not round: no tolerance."""
    return {key: Expected(value) for key, value in after(case).items()}


@np.errstate(all="ignore")
def roughly_after(case: Case, profile: dict[str, str]) -> dict[str, Expected]:
    """Return the outputs of a step on full-range floats, each element with its error bound."""
    values = after(case)
    unit = roundoff(case.dtype)
    grad, size = _gradient(case, unit, profile["backward"])
    bounds = {"sgd": _sgd, "adagrad": _adagrad, "rowwise_adagrad": _rowwise, "adam": _adam}[case.op](case, grad, size, unit)
    touched = np.isin(np.arange(len(case.weight)), case.rows)
    before = {"weight": case.weight, **{f"state[{name!r}]": array for name, array in (case.state or {}).items()}}
    found = {}
    for key, value in values.items():
        if key not in bounds:
            found[key] = Expected(value)
            continue
        rows = touched.reshape(-1, *[1] * (value.ndim - 1))
        error = np.where(rows, np.maximum(value - bounds[key].lo, bounds[key].hi - value), 0.0)
        effect = np.abs(value - wide(before[key]))
        found[key] = Expected(value, error, ~(error <= 0.5 * effect) & (effect != 0) | ~np.isfinite(error))
    return found


def roundoff(dtype: str) -> float:
    """Return the unit roundoff; twice that of float64, in which the expected value rounds, too."""
    return ROUNDOFF[dtype] * (2 if dtype == "float64" else 1)


def _gradient(case: Case, unit: float, accumulator: str) -> tuple[Interval, Array]:
    """
    Return the coalesced gradient with weight decay, for all rows, and its sum of absolute values.
    """
    assert case.options is not None
    total, size = np.zeros(case.weight.shape), np.zeros(case.weight.shape)
    np.add.at(total, case.rows, wide(case.values))
    np.add.at(size, case.rows, np.abs(wide(case.values)))
    count = np.bincount(case.rows, minlength=len(size)).astype(np.float64)[:, None]
    # There are n - 1 additions, and storing a partial sum.
    twice = 2 if accumulator == "float64" else 1  # the expected sum rounds, too
    error = sum_gamma(twice * count, accumulator) * size + unit * np.abs(total)
    error[size == 0] = 0.0
    decay = options_decay(case)
    if decay:
        total = total + decay * wide(case.weight)
        size = size + decay * np.abs(wide(case.weight))
        error = error + 3 * unit * size
    return Interval.around(total, error), size


def options_decay(case: Case) -> float:
    """Return the weight decay of a case."""
    return float((case.options or {})["weight_decay"])


def _moved(case: Case, move: Interval, unit: float) -> Interval:
    """
    Return the table minus an update, with two roundings.

    The second one is that of a table that is kept in a wider type than it is returned in.
    """
    weight = wide(case.weight)
    slack = 2 * unit * (np.abs(weight) + np.maximum(np.abs(move.lo), np.abs(move.hi))) + 4 * SMALLEST[case.dtype]
    return Interval(weight - move.hi - slack, weight - move.lo + slack)


def _sgd(case: Case, grad: Interval, size: Array, unit: float) -> dict[str, Interval]:
    """
    Return intervals of ``buf = momentum * buf + g; w -= lr * buf``.

    The update is linear, so errors are shares of the sum of absolute values.
    """
    options, bounds = case.options or {}, {}
    if options["momentum"]:
        buffer = options["momentum"] * wide((case.state or {})["momentum_buffer"])
        size = size + np.abs(buffer)
        slack = ROUNDINGS * unit * size + 4 * SMALLEST[case.dtype]
        grad = Interval(grad.lo + buffer - slack, grad.hi + buffer + slack)
        bounds["state['momentum_buffer']"] = grad
    slack = ROUNDINGS * unit * (np.abs(wide(case.weight)) + options["lr"] * size)
    move = grad.scaled(options["lr"])
    bounds["weight"] = _moved(case, Interval(move.lo - slack, move.hi + slack), unit)
    return bounds


def _adagrad(case: Case, grad: Interval, size: Array, unit: float) -> dict[str, Interval]:
    """
    Return intervals of ``lr * g / (sqrt(sum + g * g) + eps)``.

    It grows with g, so its ends are those of g.
    """
    options, state = case.options or {}, case.state or {}
    total, step = wide(state["sum"]), int(state["step"])
    squares = grad.squared()
    rate = options["lr"] / (1 + step * options["lr_decay"])
    ends = [rate * end / (np.sqrt(total + end * end) + options["eps"]) for end in (grad.lo, grad.hi)]
    scalars = 4 if step and options["lr_decay"] else 0  # for a rate that is not computed in float64
    move = Interval(ends[0], ends[1]).grown((ROUNDINGS + scalars) * unit)
    new = Interval(total + squares.lo, total + squares.hi).grown(ROUNDINGS * unit)
    return {"weight": _moved(case, move, unit), "state['sum']": new}


def _rowwise(case: Case, grad: Interval, size: Array, unit: float) -> dict[str, Interval]:
    """
    Return intervals for one sum a row.

    A mean of d squares in the table's dtype has d roundings.
    """
    options, width = case.options or {}, case.weight.shape[1]
    total, squares = wide((case.state or {})["sum"]), grad.squared()
    mean = Interval(squares.lo.mean(axis=1), squares.hi.mean(axis=1)).grown((ROUNDINGS + width) * unit)
    new = Interval(total + mean.lo, total + mean.hi).grown(ROUNDINGS * unit)
    root = Interval(np.sqrt(new.lo)[:, None] + options["eps"], np.sqrt(new.hi)[:, None] + options["eps"])
    move = grad.scaled(options["lr"]).over(root).grown(ROUNDINGS * unit)
    return {"weight": _moved(case, move, unit), "state['sum']": new}


def _adam(case: Case, grad: Interval, size: Array, unit: float) -> dict[str, Interval]:
    """
    Return intervals of moments, each with its correction.

    The rounding of a beta that the dtype does not hold is relative to 1, not to ``1 - beta``.
    """
    options, state = case.options or {}, case.state or {}
    (beta1, beta2), step = options["betas"], int(state["step"]) + 1
    square = grad.squared()
    first = _moment(wide(state["exp_avg"]), grad, size, beta1, case.dtype, unit)
    second = _moment(wide(state["exp_avg_sq"]), square, square.hi, beta2, case.dtype, unit)
    second = Interval(np.maximum(second.lo, 0.0), second.hi)
    mean = first.over(_correction(beta1, step, case.dtype, unit))
    scaled = second.over(_correction(beta2, step, case.dtype, unit))
    root = Interval(np.sqrt(scaled.lo) + options["eps"], np.sqrt(scaled.hi) + options["eps"])
    move = mean.scaled(options["lr"]).over(root).grown(ROUNDINGS * unit)
    return {"weight": _moved(case, move, unit), "state['exp_avg']": first, "state['exp_avg_sq']": second}


def _moment(before: Array, new: Interval, size: Array, beta: float, dtype: str, unit: float) -> Interval:
    """Return the interval of ``beta * before + (1 - beta) * new``."""
    # ``before + (1 - beta) * (new - before)`` is allowed, too: the old moment may count in full.
    rest = 1 - beta
    slack = ROUNDINGS * unit * (np.abs(before) + rest * size) + _inexact(beta, dtype) * unit * size + 4 * SMALLEST[dtype]
    return Interval(beta * before + rest * new.lo - slack, beta * before + rest * new.hi + slack)


def _correction(beta: float, step: int, dtype: str, unit: float) -> Interval:
    """
    Return ``1 - beta**step``.

    In the worst case the power is a repeated product of a rounded beta.
    """
    power, value = beta**step, np.asarray(1 - beta**step)
    error = unit * value + power * (step - 1 + _inexact(beta, dtype) * step) * unit
    return Interval(np.maximum(value - error, 0.0), value + error)


def _inexact(beta: float, dtype: str) -> int:
    """Return 1 if the dtype does not hold the number, else 0."""
    mantissa, _ = np.frexp(beta)
    return int(float(mantissa) / ROUNDOFF[dtype] % 1 != 0)
