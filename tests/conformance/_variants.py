"""Right variants of optimizer steps: other associations, other types, other orders; none of them may fail a check."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from npbloom.conformance import Case
from npbloom.conformance.cases.floats import to_bfloat16
from tests.conformance._steps import OPERATIONS, Array, Plain, State, claims


class Wide(Plain):
    """All arithmetic in float64, rounded at the end."""

    name, real = "wide", np.float64


class WideState(Wide):
    """State in float64 whatever the table is, and returned so."""

    name = "wide-state"

    def kept(self, case: Case, array: Array) -> Array:
        """Not rounded to the table's dtype."""
        return array.astype(np.float64)


class Reversed(Plain):
    """Gradients added in the table's dtype, last one first."""

    name = "reversed"
    profile: ClassVar[dict[str, dict[str, str]]] = {**claims("float32", "float32"), **claims("float64", "float64")}

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        """One row after the other, from the end."""
        rows = np.unique(case.rows)
        total = np.zeros((len(rows), case.weight.shape[1]), dtype=case.weight.dtype)
        for at in range(len(case.rows) - 1, -1, -1):
            total[np.searchsorted(rows, case.rows[at])] += case.values[at]
        return rows, total


class DenseGradient(Plain):
    """All rows are updated where that changes nothing: without momentum, decay and moments (L27)."""

    name = "dense-gradient"

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        """A gradient of zeros for rows that are not named."""
        rows, total = super().coalesced(case)
        if case.op == "adam" or case.options["weight_decay"] or case.options.get("momentum"):
            return rows, total
        dense = np.zeros_like(case.weight)
        dense[rows] = total
        return np.arange(len(dense)), dense


class Torch(Plain):
    """Torch's associations: rates divided first, roots divided by roots, interpolated means."""

    name = "torch-like"

    def sgd(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """``w + (-lr) * g``."""
        real = w.dtype.type
        if options["momentum"]:
            g = state["momentum_buffer"] * real(options["momentum"]) + g
            state = {"momentum_buffer": g}
        return w + real(-options["lr"]) * g, state

    def adagrad(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """``g / std`` first."""
        real = w.dtype.type
        total = state["sum"] + g * g
        return w - real(self.rate(options, step)) * (g / (np.sqrt(total) + real(options["eps"]))), {"sum": total}

    def moments(self, options: dict[str, Any], g: Array, state: State) -> tuple[Array, Array]:
        """The first by ``m + (1 - beta) * (g - m)``."""
        real, (beta1, beta2) = g.dtype.type, options["betas"]
        first = state["exp_avg"] + real(1 - beta1) * (g - state["exp_avg"])
        return first, state["exp_avg_sq"] * real(beta2) + (real(1 - beta2) * g) * g

    def adam(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """``lr / correction1`` and ``sqrt(v) / sqrt(correction2)``."""
        real = w.dtype.type
        first, second = self.moments(options, g, state)
        one, two = self.corrections(options, step)
        root = np.sqrt(second) / real(np.sqrt(two)) + real(options["eps"])
        return w - real(options["lr"] / one) * first / root, {"exp_avg": first, "exp_avg_sq": second}


class Narrow(Torch):
    """Scalars in the table's dtype, too, powers by repeated products, decay folded into the table."""

    name = "narrow"

    def sgd(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """Without momentum ``w * (1 - lr * decay) - lr * g``: here g is still without decay."""
        real = w.dtype.type
        lr, decay = real(options["lr"]), real(options["weight_decay"])
        if options["momentum"]:
            g = real(options["momentum"]) * state["momentum_buffer"] + (decay * w + g)
            return w - lr * g, {"momentum_buffer": g}
        return w * (real(1) - lr * decay) - lr * g, {}

    def decayed(self, options: dict[str, Any], w: Array, g: Array) -> Array:
        """SGD does it itself."""
        return g if "momentum" in options else super().decayed(options, w, g)

    def adagrad(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """The rate in the table's dtype."""
        real = w.dtype.type
        rate = real(options["lr"]) / (real(1) + real(step) * real(options["lr_decay"]))
        total = state["sum"] + g * g
        return w - g * (rate / (np.sqrt(total) + real(options["eps"]))), {"sum": total}

    def mean(self, g: Array) -> Array:
        """Divided before it is added up."""
        width = g.dtype.type(g.shape[1])
        return np.cumsum(g * g / width, axis=1, dtype=g.dtype)[:, -1]

    def rowwise_adagrad(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """One multiplier for a row."""
        real = w.dtype.type
        total = state["sum"] + self.mean(g)
        return w - (real(options["lr"]) / (np.sqrt(total) + real(options["eps"])))[:, None] * g, {"sum": total}

    def moments(self, options: dict[str, Any], g: Array, state: State) -> tuple[Array, Array]:
        """``1 - beta`` of rounded betas."""
        real = g.dtype.type
        beta1, beta2 = (real(beta) for beta in options["betas"])
        first = beta1 * state["exp_avg"] + (real(1) - beta1) * g
        return first, beta2 * state["exp_avg_sq"] + (real(1) - beta2) * (g * g)

    def adam(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """One rate for both corrections, and an eps to go with it."""
        real = w.dtype.type
        first, second = self.moments(options, g, state)
        powers = [real(1), real(1)]
        for _ in range(step + 1):
            powers = [power * real(beta) for power, beta in zip(powers, options["betas"], strict=True)]
        one, two = (real(1) - power for power in powers)
        root = np.sqrt(two)
        rate = real(options["lr"]) * root / one
        return w - rate * first / (np.sqrt(second) + real(options["eps"]) * root), {"exp_avg": first, "exp_avg_sq": second}


class Half(Plain):
    """Tables of 16 bits with arithmetic in float32."""

    name, real = "half", np.float32
    profile = claims("float32", "float16", "bfloat16")


class AllHalf(Reversed):
    """float16 throughout."""

    name = "all-half"
    profile = claims("float16", "float16")
    mean = Narrow.mean


class Brain(np.ndarray):
    """An array in which every operation rounds to bfloat16."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """The operation on float32, rounded."""
        plain = [np.asarray(item, dtype=np.float32) if isinstance(item, Brain) else item for item in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        return to_bfloat16(np.asarray(result, dtype=np.float32)).view(Brain) if method == "__call__" else result


class AllBrain(Plain):
    """bfloat16 throughout; gradients are added in float32."""

    name = "all-brain"
    profile = claims("float32", "bfloat16")

    def __getattribute__(self, name: str) -> Any:
        """Each operation on arrays and scalars of bfloat16."""
        method = super().__getattribute__(name)
        if name not in OPERATIONS:
            return method

        def rounded(options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
            brains = {key: array.view(Brain) for key, array in state.items()}
            scalars = {key: value if key == "betas" else to_bfloat16(np.float32(value)).item() for key, value in options.items()}
            return method(scalars, w.view(Brain), g.view(Brain), brains, step)

        return rounded

    def mean(self, g: Array) -> Array:
        """In float32, rounded once."""
        return to_bfloat16(super().mean(np.asarray(g, dtype=np.float32))).view(Brain)


VARIANTS = (Plain, Wide, WideState, Reversed, DenseGradient, Torch, Narrow, Half, AllHalf, AllBrain)
