"""Right optimizers with other types, orders and associations: none may ever fail."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from npbloom.conformance.cases.backend import Unsupported
from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.floats import stored, to_bfloat16
from npbloom.conformance.expected.optim import OPTIMIZERS
from tests.conformance.mutants.orders import STORAGE, Profile, claims
from tests.conformance.mutants.right import Right
from tests.conformance.mutants.updates import Array, Moved, Options, State


class UpdatesOnly(Right):
    """Optimizers only, with arithmetic in the table's dtype."""

    name = "table-updates"

    def run(self, case: Case) -> Outputs:
        if case.op not in OPTIMIZERS:
            raise Unsupported("optimizers only")
        return super().run(case)

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        rows, total = super().coalesced(case)
        return rows, stored(total, case.dtype)

    def arithmetic(self, case: Case) -> Any:
        return case.weight.dtype.type


class WideState(UpdatesOnly):
    """State in float64 for every table, and returned so."""

    name = "wide-state"

    def updated(self, case: Case, move: Any) -> Outputs:
        kept: State = {}

        def keeping(*arguments: Any) -> Moved:
            taken, after = move(*arguments)
            kept.update(after)
            return taken, after

        outputs = super().updated(case, keeping)
        for name, array in kept.items():
            wide = np.array((case.state or {})[name], dtype=np.float64)
            wide[np.unique(case.rows)] = array
            outputs["state"][name] = wide
        return outputs

    def arithmetic(self, case: Case) -> Any:
        return np.float64


class ReversedUpdates(UpdatesOnly):
    """Sums of a row's gradients in the table's dtype, from the last to the first."""

    name = "reversed-updates"
    profile: ClassVar[Profile] = STORAGE

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        rows, place = np.unique(case.rows, return_inverse=True)
        total = np.zeros((len(rows), case.weight.shape[1]), dtype=case.weight.dtype)
        np.add.at(total, place[::-1], case.values[::-1])
        return rows, total


class DenseUpdates(UpdatesOnly):
    """
    Updates of all rows in steps without momentum, decay and moments, where this is the same (L27).
    """

    name = "dense-updates"

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        rows, total = super().coalesced(case)
        options = case.options or {}
        if case.op == "adam" or options["weight_decay"] or options.get("momentum"):
            return rows, total
        dense = np.zeros(case.weight.shape)
        dense[rows] = total
        return np.arange(len(dense)), dense


class SingleUpdates(UpdatesOnly):
    """Updates in the table's dtype, associated as in torch."""

    name = "single-updates"
    profile: ClassVar[Profile] = STORAGE

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        rows, place = np.unique(case.rows, return_inverse=True)
        total = np.zeros((len(rows), case.weight.shape[1]), dtype=case.weight.dtype)
        np.add.at(total, place, case.values)
        return rows, total

    def adagrad_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        total = state["sum"] + g * g
        return self.rate(options, step) * (g / self.root(total, options["eps"])), {"sum": total}

    def moments(self, options: Options, g: Array, state: State) -> tuple[Array, Array]:
        beta1, beta2 = options["betas"]
        first = state["exp_avg"] + (1 - beta1) * (g - state["exp_avg"])
        return first, beta2 * state["exp_avg_sq"] + ((1 - beta2) * g) * g

    def adam_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        first, second = self.moments(options, g, state)
        one, two = self.corrections(options, step)
        root = np.sqrt(second) / float(np.sqrt(two)) + options["eps"]
        return options["lr"] / one * first / root, {"exp_avg": first, "exp_avg_sq": second}


class NarrowUpdates(SingleUpdates):
    """
    Updates with scalars in the table's dtype, too.

    Powers are repeated products, and decay is folded into the table.
    """

    name = "narrow-updates"

    def arithmetic(self, case: Case) -> Any:
        self.real, self.folded = case.weight.dtype.type, None
        return self.real

    real: Any = np.float32
    folded: Array | None = None

    def decayed(self, options: Options, w: Array, g: Array) -> Array:
        if "momentum" not in options:
            return super().decayed(options, w, g)
        decay = self.real(options["weight_decay"])
        if options["momentum"]:
            return decay * w + g
        lr = self.real(options["lr"])
        self.folded = w * (self.real(1) - lr * decay) - lr * g
        return g

    def moved(self, w: Array, taken: Array) -> Array:
        return w - taken if self.folded is None else self.folded

    def rate(self, options: Options, step: int) -> float:
        rate: float = self.real(options["lr"]) / (self.real(1) + self.real(step) * self.real(options["lr_decay"]))
        return rate

    def adagrad_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        total = state["sum"] + g * g
        return g * (self.rate(options, step) / self.root(total, options["eps"])), {"sum": total}

    def mean_square(self, g: Array) -> Array:
        return narrow_mean(g)

    def rowwise_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        total = state["sum"] + self.mean_square(g)
        return (options["lr"] / self.root(total, options["eps"]))[:, None] * g, {"sum": total}

    def moments(self, options: Options, g: Array, state: State) -> tuple[Array, Array]:
        beta1, beta2 = (self.real(beta) for beta in options["betas"])
        first = beta1 * state["exp_avg"] + (self.real(1) - beta1) * g
        return first, beta2 * state["exp_avg_sq"] + (self.real(1) - beta2) * (g * g)

    def adam_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        first, second = self.moments(options, g, state)
        one, two = (self.real(1) - self.power(beta, step + 1) for beta in options["betas"])
        rate = self.real(options["lr"]) * np.sqrt(two) / one
        root = np.sqrt(second) + self.real(options["eps"]) * np.sqrt(two)
        return rate * first / root, {"exp_avg": first, "exp_avg_sq": second}

    def power(self, beta: float, exponent: int) -> Any:
        """Return a power by repeated products."""
        product = self.real(1)
        for _ in range(exponent):
            product = product * self.real(beta)
        return product


def narrow_mean(g: Array) -> Array:
    """Return the mean of squares; each square is divided before the sum."""
    mean: Array = np.cumsum(g * g / g.dtype.type(g.shape[1]), axis=1, dtype=g.dtype)[:, -1]
    return mean


class HalfUpdates(UpdatesOnly):
    """Tables of 16 bits with arithmetic in float32."""

    name = "half-updates"
    profile: ClassVar[Profile] = claims("float32", "float16", "bfloat16")

    def arithmetic(self, case: Case) -> Any:
        return np.float32


class AllHalfUpdates(ReversedUpdates):
    """Tables of float16 with arithmetic in float16."""

    name = "all-half-updates"
    profile: ClassVar[Profile] = claims("float16", "float16")

    def mean_square(self, g: Array) -> Array:
        return narrow_mean(g)


class Brain(np.ndarray[Any, Any]):
    """An array that rounds every operation to bfloat16."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Return the float32 result, rounded."""
        plain = [np.asarray(item, dtype=np.float32) if isinstance(item, Brain) else item for item in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        return to_bfloat16(np.asarray(result, dtype=np.float32)).view(Brain) if method == "__call__" else result


class AllBrainUpdates(UpdatesOnly):
    """Tables of bfloat16 with arithmetic in bfloat16; gradients are added in float32."""

    name = "all-brain-updates"
    profile: ClassVar[Profile] = claims("float32", "bfloat16")

    def updated(self, case: Case, move: Any) -> Outputs:
        def rounded(options: Options, g: Array, state: State, step: int) -> Moved:
            brains = {name: array.view(Brain) for name, array in state.items()}
            scalars = {key: value if key == "betas" else to_bfloat16(np.float32(value)).item() for key, value in options.items()}
            moved: Moved = move(scalars, to_bfloat16(g).view(Brain), brains, step)
            return moved

        return super().updated(case, rounded)

    def mean_square(self, g: Array) -> Array:
        return to_bfloat16(super().mean_square(np.asarray(g, dtype=np.float32))).view(Brain)


UPDATES = (
    *(UpdatesOnly, WideState, ReversedUpdates, DenseUpdates, SingleUpdates, NarrowUpdates),
    *(HalfUpdates, AllHalfUpdates, AllBrainUpdates),
)
