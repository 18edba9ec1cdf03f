"""
Steps for checks of optimizers: the rows of a batch, and values for exact arithmetic.

No association can round the arithmetic of exact steps.

- Adagrad: choose a root c and a gradient b, and let the sum be ``c**2 - b**2``. The root of the
  new sum is then c; if the old sum is a square, this is a Pythagorean triple. eps makes
  ``c + eps`` a power of two, and the rate is one.
- Adam: choose second moments in the same way. The step is either the first, with ``1 - beta2``
  the square of a power of two, or so late that corrections are 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import stored

Array = np.ndarray[Any, Any]

# For each eps, roots at most 8 that it makes a power of two.
ROOTS = {0.0: (1, 2, 4, 8), 1.0: (1, 3, 7), 3.0: (1, 5)}
WIDTHS = (1, 2, 3, 4, 5, 8, 9, 16, 17)
LATE = 1000  # steps after which corrections of these betas are 1 in every dtype
# Steps and rate decays whose divisor is a power of two.
RATES = ((1, 1.0), (3, 1.0), (2, 0.5), (7, 1.0), (4, 0.25))
DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0},
    "adagrad": {"lr": 0.01, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
    "rowwise_adagrad": {"lr": 0.01, "weight_decay": 0.0, "eps": 1e-8},
    "adam": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
}


@dataclass(frozen=True)
class Traits:
    """Traits of a step; a trait that is not set does not occur in it."""

    momentum: bool = False
    decay: bool = False
    eps: bool = False
    lr_decay: bool = False
    initial: bool = False  # Adagrad's sums start above 0
    first: bool = False  # Adam's first step, where the corrections are not 1
    zero: bool = False  # gradients of named rows are zero


@dataclass(frozen=True)
class Batch:
    """The height of a table, and the rows that a step names, in order."""

    height: int
    rows: Array


def batches(repeated: bool) -> Iterator[Batch]:
    """
    Yield batches of at most 3 of at most 3 rows.

    With `repeated`, every one that names a row twice; else every one that does not.
    """
    for height in (1, 2, 3):
        for size in (1, 2, 3):
            for rows in product(range(height), repeat=size):
                if (len(set(rows)) < size) == repeated:
                    yield Batch(height, np.array(rows, dtype=np.int64))


@st.composite
def drawn_batches(draw: st.DrawFn, least: int, most: int) -> tuple[int, list[Batch]]:
    """
    Draw the width of a table, and batches that name its rows.

    Some batches repeat rows, and some are empty.
    """
    width = draw(st.sampled_from(WIDTHS))
    height = draw(st.sampled_from([1, 2, 3, 5, 16]))
    row = st.sampled_from([0, height - 1]) | st.integers(0, height - 1)
    drawn = draw(st.lists(st.lists(row, max_size=6), min_size=least, max_size=most))
    return width, [Batch(height, np.array(rows, dtype=np.int64)) for rows in drawn]


# ---- exact ---------------------------------------------------------------------------------------


@dataclass
class Step:
    """
    A step in small integers, for all rows.

    It holds the gradient that arrives at each row, weight decay included, and the other inputs.
    """

    options: dict[str, Any]
    weight: Array
    grad: Array
    state: dict[str, Array]
    scale: float  # of gradients and roots, a power of two


def exact_step(op: str, dtype: str, batch: Batch, width: int, rng: np.random.Generator, traits: Traits) -> Case:
    """
    Return a step in which every association is exact.

    For `rowwise_adagrad` the width must be a power of two, at most 4.
    """
    shape, named = (batch.height, width), np.isin(np.arange(batch.height), batch.rows)
    make = {"sgd": _sgd, "adagrad": _adagrad, "rowwise_adagrad": _rowwise, "adam": _adam}[op]
    step = make(shape, named, rng, traits)
    scale, decay = step.scale, step.options["weight_decay"]
    grad = step.grad * scale
    if decay and traits.zero:  # only the decay arrives
        if op == "sgd":
            grad = decay * step.weight
        else:
            step.weight = grad / decay
    arriving = grad - decay * step.weight
    state = {name: np.asarray(array) if name == "step" else stored(array, dtype) for name, array in step.state.items()}
    return Case(
        op,
        dtype,
        weight=stored(step.weight, dtype),
        rows=batch.rows,
        values=stored(_split(arriving, batch.rows, scale, rng), dtype),
        state=state,
        options={**DEFAULTS[op], **step.options},
    )


def _split(total: Array, rows: Array, scale: float, rng: np.random.Generator) -> Array:
    """Return one gradient for each entry of `rows`; those of a row add up to its total."""
    values = rng.integers(-3, 4, (len(rows), total.shape[1])) * scale
    for row in np.unique(rows):
        entries = np.flatnonzero(rows == row)
        values[entries[-1]] = total[row] - values[entries[:-1]].sum(axis=0)
    return values


def _nonzero(rng: np.random.Generator, largest: int, shape: tuple[int, ...]) -> Array:
    """Return integers between 1 and `largest` of either sign."""
    return np.asarray(rng.integers(1, largest + 1, shape) * rng.choice([-1, 1], shape))


def _sgd(shape: tuple[int, int], named: Array, rng: np.random.Generator, traits: Traits) -> Step:
    """Return a linear step of small integers; factors are powers of two or three quarters."""
    scale = float(rng.choice([0.25, 1.0, 4.0]))
    options = {
        "lr": float(rng.choice([0.25, 0.5, 1.0])),
        "momentum": float(rng.choice([0.5, 0.75])) if traits.momentum else 0.0,
        "weight_decay": float(rng.choice([0.25, 0.5])) if traits.decay else 0.0,
    }
    state = {"momentum_buffer": _nonzero(rng, 3, shape) * scale} if traits.momentum else {}
    weight = _nonzero(rng, 4, shape) * scale
    grad = np.zeros(shape) if traits.zero else _nonzero(rng, 3, shape)
    return Step(options, weight, grad, state, scale)


def _scale(rng: np.random.Generator, traits: Traits) -> float:
    """Return a scale of gradients; updates do not depend on it."""
    return 1.0 if traits.decay else float(rng.choice([0.25, 1.0, 4.0]))


def _eps(rng: np.random.Generator, traits: Traits) -> float:
    """Return an eps as large as gradients are, or 0."""
    return float(rng.choice([1.0, 3.0])) if traits.eps else 0.0


def _decay(traits: Traits) -> float:
    """Return a weight decay, or 0."""
    return 0.5 if traits.decay else 0.0


def _adagrad(shape: tuple[int, int], named: Array, rng: np.random.Generator, traits: Traits) -> Step:
    """Return roots, and gradients at most as large; rows that are not named have a sum, too."""
    scale, eps = _scale(rng, traits), _eps(rng, traits)
    step, lr_decay = RATES[rng.integers(len(RATES))] if traits.lr_decay else (int(rng.choice([0, 1, 5])), 0.0)
    roots = [root for root in ROOTS[eps] if root > 1] if traits.initial else ROOTS[eps]
    root = rng.choice(roots, shape)
    grad = np.minimum(rng.integers(1, 9, shape), root - traits.initial) * rng.choice([-1, 1], shape)
    options = {
        "lr": float(rng.choice([0.5, 1.0])) * (1 + step * lr_decay),
        "lr_decay": lr_decay,
        "weight_decay": _decay(traits),
        "initial_accumulator_value": scale**2 if traits.initial else 0.0,
        "eps": eps * scale,
    }
    total = np.where(named[:, None], root**2 - grad**2, root**2) * scale**2
    return Step(options, _weight(rng, shape), grad, {"sum": total, "step": np.array(step)}, scale)


def _weight(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return even numbers, so that half of each is an integer."""
    return 2 * _nonzero(rng, 2, shape)


def _rowwise(shape: tuple[int, int], named: Array, rng: np.random.Generator, traits: Traits) -> Step:
    """
    Return a step with a root for each row, which its mean square does not exceed.

    In some rows the two are equal, as in a first step.
    """
    scale, eps = _scale(rng, traits), _eps(rng, traits)
    root = rng.choice([root for root in ROOTS[eps] if root >= 4] if eps < 1 or eps == 3 else [7], shape[0])
    grad = np.where(rng.random((shape[0], 1)) < 0.3, root[:, None] * rng.choice([-1, 1], shape), _nonzero(rng, 4, shape))
    mean = (grad**2).mean(axis=1)
    total = np.where(named, root**2 - mean, root**2) * scale**2
    options = {"lr": float(rng.choice([0.5, 1.0])), "weight_decay": _decay(traits), "eps": eps * scale}
    return Step(options, _weight(rng, shape), grad, {"sum": total}, scale)


@cache
def _second_moments(eps: float, beta2: float, first: bool, zero: bool) -> Array:
    """
    Return all (root, gradient, old second moment) whose corrected second moment is root squared.

    All of them are integers.
    """
    found = []
    for root, grad in product(ROOTS[eps], range(9)):
        before = ((1 - beta2 if first else 1.0) * root**2 - (1 - beta2) * grad**2) / beta2
        if before >= 0 and before == int(before) and (grad == 0) == zero:
            found.append((root, grad, int(before)))
    return np.array(found)


def _adam(shape: tuple[int, int], named: Array, rng: np.random.Generator, traits: Traits) -> Step:
    """
    Return the first step from any moments, or a late one.

    Some moments are zero, as before a first step.
    """
    scale, eps = _scale(rng, traits), 1.0 if traits.zero else _eps(rng, traits)
    beta1, beta2 = float(rng.choice([0.5, 0.75])), 0.75 if traits.first else float(rng.choice([0.5, 0.75]))
    triples = _second_moments(eps, beta2, traits.first, traits.zero)
    _, grad, second = np.moveaxis(triples[rng.integers(len(triples), size=shape)], -1, 0)
    options = {
        "lr": float(rng.choice([1.0, 2.0])),
        "betas": (beta1, beta2),
        "eps": eps * scale,
        "weight_decay": _decay(traits),
    }
    state = {
        "exp_avg": _nonzero(rng, 3, shape) * scale,
        "exp_avg_sq": np.where(named[:, None], second, 7) * scale**2,
        "step": np.array(0 if traits.first else LATE),
    }
    return Step(options, _weight(rng, shape), grad * rng.choice([-1, 1], shape), state, scale)


# ---- bounded -------------------------------------------------------------------------------------


def full_range_step(op: str, dtype: str, batch: Batch, width: int, rng: np.random.Generator) -> Case:
    """
    Return a step with floats over several octaves and common hyperparameters.

    They are chosen so that an update is as large as its table.
    """
    narrow = dtype in ("float16", "bfloat16")
    reach = 1 if dtype == "float16" else 4
    shape = (batch.height, width)

    def floats(size: tuple[int, ...], factor: float = 1.0) -> Array:
        sizes = np.ldexp(rng.uniform(0.5, 1.0, size), rng.integers(1 - reach, 1 + reach, size))
        # The square of the smallest does not underflow.
        return np.asarray(sizes * rng.choice([-1, 1], size) * factor)

    lr = float(rng.choice([0.5, 0.1, 0.01] if not narrow else [0.5, 0.25]))
    decay = float(rng.choice([0.0, 0.25, 0.01]))
    options: dict[str, Any] = {**DEFAULTS[op], "lr": lr, "weight_decay": decay}
    state: dict[str, Array] = {}
    if op == "sgd":
        options["momentum"] = float(rng.choice([0.0, 0.5, 0.9]))
        if options["momentum"]:
            state["momentum_buffer"] = floats(shape)
    else:
        options["eps"] = float(rng.choice([0.125, 1.0] if narrow else [DEFAULTS[op]["eps"], 1e-3, 0.5]))
    if op in ("adagrad", "rowwise_adagrad"):
        state["sum"] = floats(shape if op == "adagrad" else shape[:1]) ** 2
    if op == "adagrad":
        options["lr_decay"] = float(rng.choice([0.0, 0.5, 0.01]))
    if op == "adam":
        options["betas"] = _betas(narrow, rng)
        state |= {"exp_avg": floats(shape), "exp_avg_sq": floats(shape) ** 2}
    if op in ("adagrad", "adam"):
        state["step"] = np.array(int(rng.choice([0, 1, 2, 9])))
    return Case(
        op,
        dtype,
        weight=stored(floats(shape, lr), dtype),
        rows=batch.rows,
        values=stored(floats((len(batch.rows), width)), dtype),
        state={name: array if name == "step" else stored(array, dtype) for name, array in state.items()},
        options=options,
    )


def _betas(narrow: bool, rng: np.random.Generator) -> tuple[float, float]:
    """Return betas that every dtype holds, or common ones."""
    if narrow or rng.random() < 0.5:
        return float(rng.choice([0.0, 0.5, 0.75, 0.875])), float(rng.choice([0.5, 0.75, 0.9375]))
    return 0.9, float(rng.choice([0.99, 0.999]))


def fresh(case: Case) -> Case:
    """Return the same step as the first of a new table, with newly allocated state."""
    state = {name: np.zeros_like(array) for name, array in (case.state or {}).items()}
    return case.replace(state=state)
