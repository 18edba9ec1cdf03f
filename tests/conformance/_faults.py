"""Faults of optimizer steps, each by the name of the check that must find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npbloom.conformance import Case, Session
from tests.conformance._steps import OPERATIONS, Array, Keeping, Plain, State

FAULTS: list[tuple[str, type[Plain]]] = []


def fault(*checks: str) -> Callable[[type[Plain]], type[Plain]]:
    """Enter a backend under the checks that must fail for it; a name without an operation stands for all four."""

    def enter(kind: type[Plain]) -> type[Plain]:
        for check in checks:
            FAULTS.extend((name, kind) for name in ([check] if "." in check else [f"{op}.{check}" for op in OPERATIONS]))
        return kind

    return enter


def without(case: Case, **options: Any) -> Case:
    """A case with some options changed."""
    return case.replace(options={**case.options, **{key: value for key, value in options.items() if key in case.options}})


# ---- gradients --------------------------------------------------------------------------------------------------------


@fault("duplicates")
class LastWins(Plain):
    """Of several gradients for a row the last one is taken."""

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        """No sum."""
        rows = np.unique(case.rows)
        return rows, np.array([case.values[np.flatnonzero(case.rows == row)[-1]] for row in rows]).reshape(
            -1, *case.values.shape[1:]
        )


@fault("duplicates")
class OneByOne(Plain):
    """Each entry is a step of its own: a sum of squares instead of the square of a sum (SGD with momentum: twice)."""

    def run(self, case: Case) -> dict[str, Any]:
        """As many steps as entries."""
        if not len(case.rows):
            return super().run(case)
        for at in range(len(case.rows)):
            outputs = super().run(case.replace(rows=case.rows[at : at + 1], values=case.values[at : at + 1]))
            step = {"step": case.state["step"]} if "step" in case.state and at + 1 < len(case.rows) else {}
            case = case.replace(weight=outputs["weight"], state={**outputs["state"], **step})
        return outputs


@fault("sgd.zero_gradient", "adagrad.zero_gradient", "rowwise_adagrad.zero_gradient", "adam.zero_gradient")
class SkipsZeros(Plain):
    """Rows are found by looking for gradients that are not zero."""

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        """Through a dense gradient."""
        rows, total = super().coalesced(case)
        some = (total != 0).any(axis=1)
        return rows[some], total[some]


@fault("untouched")
class Dense(Plain):
    """All rows are updated, those that are not named with a gradient of zero, and the rate is added to them as well."""

    def run(self, case: Case) -> dict[str, Any]:
        """Every row is named."""
        rows = np.arange(len(case.weight))
        outputs = super().run(
            case.replace(rows=np.append(rows, case.rows), values=np.concatenate([np.zeros_like(case.weight), case.values]))
        )
        untouched = ~np.isin(rows, case.rows)
        outputs["weight"][untouched] *= np.float32(1 - 2**-20)  # also where decay and momentum are 0
        return outputs


@fault("sgd.untouched", "adam.untouched")
class DenseMoments(Plain):
    """State of all rows decays."""

    def run(self, case: Case) -> dict[str, Any]:
        """Every row is named."""
        zeros = np.zeros_like(case.weight)
        return super().run(
            case.replace(rows=np.append(np.arange(len(zeros)), case.rows), values=np.concatenate([zeros, case.values]))
        )


@fault("empty")
class FailsOnNothing(Plain):
    """An unbound name after a loop that did not run."""

    def run(self, case: Case) -> dict[str, Any]:
        """A NameError."""
        for row in case.rows:
            last = row
        assert last >= 0
        return super().run(case)


@fault("adagrad.empty", "adam.empty", "adagrad.step_count", "adam.step_count")
class EmptyIsNoStep(Plain):
    """An empty batch returns early."""

    def run(self, case: Case) -> dict[str, Any]:
        """Nothing, not even the count."""
        if not len(case.rows):
            return {"weight": case.weight.copy(), "state": {name: np.array(array) for name, array in case.state.items()}}
        return super().run(case)


@fault("nan")
class Sanitised(Plain):
    """NaN gradients become zeros."""

    def run(self, case: Case) -> dict[str, Any]:
        """A well-meant filter."""
        return super().run(case.replace(values=np.nan_to_num(case.values)))


@fault("precision")
class Half(Plain):
    """Arithmetic in float16."""

    def run(self, case: Case) -> dict[str, Any]:
        """Rounded once is enough to see it."""
        outputs = super().run(case)
        outputs["weight"] = outputs["weight"].astype(np.float16).astype(case.weight.dtype)
        return outputs


@fault("precision")
class Stops(Plain):
    """Gradients added in float16: a sum of thousands stops."""

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        """One after the other."""
        rows = np.unique(case.rows)
        total = np.zeros((len(rows), case.weight.shape[1]), dtype=np.float16)
        for row, value in zip(case.rows, case.values, strict=True):
            total[np.searchsorted(rows, row)] += value.astype(np.float16)
        return rows, total.astype(case.weight.dtype)


@fault("determinism", "several_steps")
class Cached(Plain):
    """The coalesced gradient is kept for batches that name the same rows."""

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[Array, Array]] = {}

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        """Stale after the first."""
        key = case.rows.tobytes() + repr((case.dtype, case.weight.shape)).encode()
        return self._kept.setdefault(key, super().coalesced(case))


@fault("determinism")
class Reused(Plain):
    """One output buffer for each shape."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[Any, ...], Array] = {}

    def run(self, case: Case) -> dict[str, Any]:
        """The next answer overwrites the last one."""
        outputs = super().run(case)
        buffer = self._buffers.setdefault((case.dtype, case.weight.shape), outputs["weight"])
        buffer[...] = outputs["weight"]
        return {**outputs, "weight": buffer}


@fault("determinism")
class Noisy(Plain):
    """Stochastic rounding."""

    def run(self, case: Case) -> dict[str, Any]:
        """A last bit that depends on nothing."""
        outputs = super().run(case)
        ulps = np.spacing(outputs["weight"]) * np.random.default_rng().integers(0, 2, case.weight.shape)
        return {**outputs, "weight": outputs["weight"] + ulps}


# ---- rules ------------------------------------------------------------------------------------------------------------


@fault("step")
class Ascends(Plain):
    """The wrong sign."""

    def run(self, case: Case) -> dict[str, Any]:
        """Up instead of down."""
        outputs = super().run(case)
        return {**outputs, "weight": 2 * case.weight - outputs["weight"]}


@fault("sgd.momentum")
class Nesterov(Plain):
    """The momentum of the step after."""

    def sgd(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """``g + momentum * buf``."""
        if not options["momentum"]:
            return super().sgd(options, w, g, state, step)
        buffer = options["momentum"] * state["momentum_buffer"] + g
        return w - options["lr"] * (g + options["momentum"] * buffer), {"momentum_buffer": buffer}


@fault("sgd.momentum", "sgd.momentum_buffer")
class Dampened(Plain):
    """A gradient that counts for ``1 - momentum``."""

    def sgd(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """As moments do."""
        return super().sgd(options, w, g * (1 - options["momentum"]), state, step)


@fault("weight_decay")
class NoDecay(Plain):
    """Weight decay is accepted and ignored."""

    def decayed(self, options: dict[str, Any], w: Array, g: Array) -> Array:
        """Nothing."""
        return g


@fault("adagrad.weight_decay", "rowwise_adagrad.weight_decay", "adam.weight_decay", "sgd.weight_decay")
class Decoupled(Plain):
    """Decay of the table itself, as in AdamW; plain SGD cannot tell."""

    def run(self, case: Case) -> dict[str, Any]:
        """``w -= lr * decay * w``."""
        outputs = super().run(without(case, weight_decay=0.0))
        shrunk = case.options["lr"] * case.options["weight_decay"] * case.weight
        touched = np.isin(np.arange(len(case.weight)), case.rows)
        outputs["weight"] = np.where(touched[:, None], outputs["weight"] - shrunk, outputs["weight"]).astype(case.weight.dtype)
        return outputs


@fault("adagrad.step", "rowwise_adagrad.step")
class OldSum(Plain):
    """The root of the sum before this step; eps saves it from dividing by zero."""

    def adagrad(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """The sum itself is right."""
        old = np.sqrt(state["sum"]) + max(options["eps"], 1e-10)
        return w - self.rate(options, step) * g / old, super().adagrad(options, w, g, state, step)[1]

    def rowwise_adagrad(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """The sum itself is right."""
        old = np.sqrt(state["sum"]) + max(options["eps"], 1e-10)
        return w - options["lr"] * g / old[:, None], super().rowwise_adagrad(options, w, g, state, step)[1]


@fault("adagrad.sum", "rowwise_adagrad.sum", "adam.moments", "sgd.momentum_buffer")
class StateAsItWas(Plain):
    """State that comes back as it was given."""

    def run(self, case: Case) -> dict[str, Any]:
        """The table is right."""
        state = {name: np.array(array) for name, array in case.state.items()}
        return {**super().run(case), "state": state}


@fault("rowwise_adagrad.sum", "rowwise_adagrad.step")
class SumOfSquares(Plain):
    """A row's sum grows by the sum of squares, not by their mean."""

    def mean(self, g: Array) -> Array:
        """Not divided."""
        return np.square(g).sum(axis=1)


@fault("rowwise_adagrad.sum")
class SquareOfMean(Plain):
    """Squared after the mean."""

    def mean(self, g: Array) -> Array:
        """Signs cancel."""
        return np.square(g.mean(axis=1))


@fault("adagrad.eps", "rowwise_adagrad.eps", "adam.eps")
class EpsInside(Plain):
    """eps under the root."""

    def run(self, case: Case) -> dict[str, Any]:
        """As if the sum were larger."""
        if case.op == "sgd":
            return super().run(case)
        real, eps = np.float64, case.options["eps"]
        plain = without(case, eps=0.0)
        right = super().run(plain)
        name = "exp_avg_sq" if case.op == "adam" else "sum"
        two = 1 - case.options["betas"][1] ** (int(case.state["step"]) + 1) if case.op == "adam" else 1.0
        total = right["state"][name].astype(real) / two
        factor = np.sqrt(total / (total + eps))
        factor = factor[:, None] if factor.ndim == 1 else factor
        moved = case.weight + (right["weight"].astype(real) - case.weight) * factor
        return {**right, "weight": moved.astype(case.weight.dtype)}


@fault("adagrad.eps", "rowwise_adagrad.eps", "adam.eps")
class FixedEps(Plain):
    """eps is not read."""

    def run(self, case: Case) -> dict[str, Any]:
        """Its default is taken."""
        return super().run(without(case, eps=1e-8))


@fault("adagrad.lr_decay")
class NoRateDecay(Plain):
    """lr_decay is accepted and ignored."""

    def rate(self, options: dict[str, Any], step: int) -> float:
        """Constant."""
        return options["lr"]


@fault("adagrad.lr_decay")
class RateDecaysEarly(Plain):
    """Counts this step."""

    def rate(self, options: dict[str, Any], step: int) -> float:
        """One too many."""
        return super().rate(options, step + 1)


@fault("adagrad.initial_accumulator_value")
class AddsInitialValue(Plain):
    """The initial value is added in every step."""

    def run(self, case: Case) -> dict[str, Any]:
        """It is in the state already."""
        if case.op != "adagrad":
            return super().run(case)
        return super().run(
            case.replace(state={**case.state, "sum": case.state["sum"] + case.options["initial_accumulator_value"]})
        )


@fault("adagrad.step_count", "adam.step_count")
class CountsEntries(Plain):
    """Counts gradients, not calls."""

    def counted(self, case: Case, step: int) -> int:
        """One for each entry."""
        return step + len(case.rows)


@fault("adam.bias_correction")
class CorrectsLate(Plain):
    """Corrections of one step later."""

    def corrections(self, options: dict[str, Any], step: int) -> tuple[float, float]:
        """Counted twice."""
        return super().corrections(options, step + 1)


@fault("adam.bias_correction")
class Uncorrected(Plain):
    """No correction."""

    def corrections(self, options: dict[str, Any], step: int) -> tuple[float, float]:
        """Divisors of 1."""
        return 1.0, 1.0


@fault("adam.step")
class AlwaysFirst(Plain):
    """The step count is not read."""

    def corrections(self, options: dict[str, Any], step: int) -> tuple[float, float]:
        """Those of the first step."""
        return super().corrections(options, 0)


@fault("adam.moments", "adam.step")
class OneBeta(Plain):
    """beta1 for both moments."""

    def moments(self, options: dict[str, Any], g: Array, state: State) -> tuple[Array, Array]:
        """beta2 is not read."""
        return super().moments({**options, "betas": options["betas"][:1] * 2}, g, state)


@fault("adam.eps")
class EpsBeforeCorrection(Plain):
    """As torch's SparseAdam: eps is added to the uncorrected root."""

    def adam(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """eps grows with the correction."""
        two = self.corrections(options, step)[1]
        return super().adam({**options, "eps": options["eps"] / np.sqrt(two)}, w, g, state, step)


# ---- memory -----------------------------------------------------------------------------------------------------------


def forgetful(damage: Callable[[Case, dict[str, Any]], tuple[Array, State]]) -> type[Plain]:
    """A backend whose single steps are right, and whose sessions remember the wrong thing."""

    class Forgetful(Plain):
        def session(self, case: Case) -> Session:
            """Right for one step."""
            return Keeping(self, case, damage)

    return Forgetful


def _zeros(first: Case, outputs: dict[str, Any]) -> tuple[Array, State]:
    """State is allocated anew."""
    return outputs["weight"], {name: np.zeros_like(array) for name, array in outputs["state"].items()}


def _same_state(first: Case, outputs: dict[str, Any]) -> tuple[Array, State]:
    """State of the start."""
    return outputs["weight"], first.state


def _same_table(first: Case, outputs: dict[str, Any]) -> tuple[Array, State]:
    """Table of the start."""
    return first.weight, outputs["state"]


FORGETS: list[tuple[str, type[Plain]]] = [
    *((f"{op}.several_steps", forgetful(_zeros)) for op in OPERATIONS),
    *((f"{op}.several_steps", forgetful(_same_state)) for op in OPERATIONS),
    *((f"{op}.several_steps", forgetful(_same_table)) for op in OPERATIONS),
]


class Accumulates(Plain):
    """The gradient of the last step is not cleared."""

    def session(self, case: Case) -> Session:
        """It is added to this one's."""
        backend = self

        class Kept(Session):
            last: Case | None = None

            def step(self, case: Case) -> dict[str, Any]:
                whole = case
                if self.last is not None:
                    rows = np.append(self.last.rows, case.rows)
                    whole = case.replace(rows=rows, values=np.concatenate([self.last.values, case.values]))
                self.last = case
                return super().step(whole)

        return Kept(backend, case)


class Shared(Plain):
    """All sessions of one shape work on one state."""

    def __init__(self) -> None:
        self._states: dict[Any, State] = {}

    def session(self, case: Case) -> Session:
        """Side by side they disturb each other."""
        states = self._states

        class Kept(Session):
            def step(self, step: Case) -> dict[str, Any]:
                key = (case.op, case.dtype, case.weight.shape)
                self._state = states.get(key, self._state)
                outputs = super().step(step)
                states[key] = outputs["state"]
                return outputs

        return Kept(self, case)


FORGETS += [(f"{op}.several_steps", Accumulates) for op in OPERATIONS]
FORGETS += [(f"{op}.several_steps", Shared) for op in OPERATIONS]
FAULTS += FORGETS
