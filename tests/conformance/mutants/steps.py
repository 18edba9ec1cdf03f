"""Faults common to all optimizers: updated rows, weight decay, and memory between steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.conformance.cases.backend import Backend, Session
from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.floats import stored
from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.updates import Array, Moved, Options, State

OPS = ("sgd", "adagrad", "rowwise_adagrad", "adam")


def every(name: str) -> tuple[str, ...]:
    """Return the names of one check for all optimizers."""
    return tuple(f"{op}.{name}" for op in OPS)


class NotCoalesced(Mutant):
    """Each entry is a step of its own: a sum of squares instead of the square of a sum."""

    origin, caught_by = "tensorflow#28090", every("duplicates")

    def updated(self, case: Case, move: Any) -> Outputs:
        if len(case.rows) < 2:
            return super().updated(case, move)
        for at in range(len(case.rows)):
            outputs = super().updated(case.replace(rows=case.rows[at : at + 1], values=case.values[at : at + 1]), move)
            first = {"step": case.state["step"]} if case.state and "step" in case.state and at + 1 < len(case.rows) else {}
            case = case.replace(weight=outputs["weight"], state={**outputs["state"], **first})
        return outputs


class LastEntryWins(Mutant):
    """Of several gradients for a row the last is taken."""

    origin, caught_by = "dgl#2030", every("duplicates")

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        rows, place = np.unique(case.rows, return_inverse=True)
        total = np.zeros((len(rows), case.weight.shape[1]))
        total[place] = case.values
        return rows, total


class MeanOfEntries(Mutant):
    """Gradients of a row are averaged."""

    caught_by = every("duplicates")

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        rows, total = super().coalesced(case)
        return rows, total / np.array([np.count_nonzero(case.rows == row) for row in rows], dtype=float).reshape(-1, 1)


class ZeroRowsSkipped(Mutant):
    """A row whose gradient is zero is not updated."""

    origin, caught_by = "CNTK#2411", every("zero_gradient")

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        rows, total = super().coalesced(case)
        some = (total != 0).any(axis=1)
        return rows[some], total[some]


class AllRowsUpdated(Mutant):
    """Rows that are not named are updated with a gradient of zero."""

    origin, caught_by = "tensorflow#464", ("sgd.untouched", "adam.untouched")

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        rows, total = super().coalesced(case)
        dense = np.zeros(case.weight.shape)
        dense[rows] = total
        return np.arange(len(dense)), dense


class DecayOfAllRows(Mutant):
    """Weight decay acts on rows that are not named."""

    caught_by = every("untouched")

    def updated(self, case: Case, move: Any) -> Outputs:
        outputs = super().updated(case, move)
        others = ~np.isin(np.arange(len(case.weight)), case.rows)
        shrunk = case.weight[others] * (1 - (case.options or {})["lr"] * 0.001)
        outputs["weight"][others] = stored(shrunk, case.dtype)
        return outputs


class EmptyStepRaises(Mutant):
    """A batch without rows raises."""

    origin, caught_by = "synthetic: thinc's HashEmbed", every("empty")

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        if not len(case.rows):
            raise NameError("name 'grad' is not defined")
        return super().coalesced(case)


class EmptyBatchIsNoStep(Mutant):
    """A batch without rows is not counted as a step."""

    caught_by = ("adagrad.step_count", "adam.step_count", "adagrad.empty", "adam.empty")

    def counted(self, case: Case, step: int) -> int:
        return step + (len(case.rows) > 0)


class CountsRows(Mutant):
    """The number of steps grows by the number of rows."""

    caught_by = ("adagrad.step_count", "adam.step_count")

    def counted(self, case: Case, step: int) -> int:
        return step + len(case.rows)


class NaNSkipped(Mutant):
    """NaN in a gradient becomes zero."""

    caught_by = every("nan")

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        rows, total = super().coalesced(case)
        return rows, np.nan_to_num(total)


class Ascends(Mutant):
    """The step is added, not subtracted."""

    origin, caught_by = "Paddle#4184", every("step")

    def updated(self, case: Case, move: Any) -> Outputs:
        def backwards(*arguments: Any) -> Moved:
            taken, after = move(*arguments)
            return -taken, after

        return super().updated(case, backwards)


class HalfPrecision(Mutant):
    """The table is rounded to float16."""

    caught_by = every("precision")

    def updated(self, case: Case, move: Any) -> Outputs:
        outputs = super().updated(case, move)
        return {**outputs, "weight": outputs["weight"].astype(np.float16).astype(case.weight.dtype)}


class GradientsAddedInHalf(Mutant):
    """Gradients of a row are added in float16: a sum of thousands stops growing."""

    caught_by = every("precision")

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        rows, place = np.unique(case.rows, return_inverse=True)
        total = np.zeros((len(rows), case.weight.shape[1]), dtype=np.float16)
        np.add.at(total, place, case.values.astype(np.float16))
        return rows, total.astype(np.float64)


class StateKept(Mutant):
    """State is returned without its update."""

    caught_by = ("sgd.momentum_buffer", "adagrad.sum", "rowwise_adagrad.sum", "adam.moments")

    def updated(self, case: Case, move: Any) -> Outputs:
        return {**super().updated(case, move), "state": {name: np.array(array) for name, array in (case.state or {}).items()}}


class WritesState(Mutant):
    """The caller's state is updated in place."""

    caught_by = ("sgd.momentum", "adagrad.step", "rowwise_adagrad.step", "adam.step")

    def updated(self, case: Case, move: Any) -> Outputs:
        outputs = super().updated(case, move)
        for name, array in (case.state or {}).items():
            array[...] = outputs["state"][name]
        return outputs


class TableIsInput(Mutant):
    """The returned table is the caller's array."""

    caught_by = every("step")

    def updated(self, case: Case, move: Any) -> Outputs:
        outputs = super().updated(case, move)
        case.weight[...] = outputs["weight"]
        return {**outputs, "weight": case.weight}


# ---- weight decay --------------------------------------------------------------------------------


class DecayIgnored(Mutant):
    """weight_decay is accepted and ignored."""

    origin, caught_by = "synthetic: FBGEMM on CPU", every("weight_decay")

    def decayed(self, options: Options, w: Array, g: Array) -> Array:
        return g


class DecayTwice(Mutant):
    """Weight decay is added twice."""

    caught_by = every("weight_decay")

    def decayed(self, options: Options, w: Array, g: Array) -> Array:
        return super().decayed(options, w, super().decayed(options, w, g))


class DecayNegated(Mutant):
    """Weight decay is subtracted from the gradient."""

    caught_by = every("weight_decay")

    def decayed(self, options: Options, w: Array, g: Array) -> Array:
        result: Array = g - options["weight_decay"] * w
        return result


class DecayDecoupled(Mutant):
    """Weight decay shrinks the table, and is left out of the moments and sums."""

    origin, caught_by = "FBGEMM#718", every("weight_decay")  # SGD shows it with momentum only

    def updated(self, case: Case, move: Any) -> Outputs:
        options = case.options or {}
        rate = options["lr"] * options["weight_decay"]
        outputs = super().updated(case.replace(options={**options, "weight_decay": 0.0}), move)
        rows = np.unique(case.rows)
        outputs["weight"][rows] = stored(outputs["weight"][rows].astype(np.float64) - rate * case.weight[rows], case.dtype)
        return outputs


class DecayAfterStep(Mutant):
    """Weight decay is added to the step, and not to the moments and sums."""

    origin, caught_by = "pytorch#57090", ("sgd.weight_decay",)

    def sgd_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        taken, after = super().sgd_move(options, self.plain, state, step)
        return taken + options["lr"] * (g - self.plain), after

    def decayed(self, options: Options, w: Array, g: Array) -> Array:
        self.plain = g
        return super().decayed(options, w, g)


# ---- what is kept between steps ------------------------------------------------------------------


class Forgetful(Session):
    """A session that keeps only part of its table and state."""

    def __init__(self, backend: Backend, case: Case, table: bool, state: Any) -> None:
        super().__init__(backend, case)
        self._first, self._keeps_table, self._damage = case, table, state

    def step(self, case: Case) -> Outputs:
        """Take a right step, then damage the memory of it."""
        outputs = super().step(case)
        if not self._keeps_table:
            self._weight = self._first.weight
        self._state = self._damage(self._first.state, outputs["state"])
        return outputs


class StateForgotten(Mutant):
    """Each step starts from the state of the first."""

    caught_by = tuple(f"{op}.several_steps" for op in OPS)

    def session(self, case: Case) -> Session:
        return Forgetful(self, case, True, lambda first, last: first)


class StateZeroed(Mutant):
    """State is allocated anew in each step."""

    caught_by = tuple(f"{op}.several_steps" for op in OPS)

    def session(self, case: Case) -> Session:
        return Forgetful(self, case, True, lambda first, last: {name: np.zeros_like(array) for name, array in last.items()})


class StepsNotCounted(Mutant):
    """The number of steps never grows."""

    caught_by = ("adagrad.several_steps", "adam.several_steps")

    def session(self, case: Case) -> Session:
        return Forgetful(self, case, True, lambda first, last: {**last, **({"step": first["step"]} if "step" in first else {})})


class TableForgotten(Mutant):
    """Each step starts from the first table."""

    caught_by = tuple(f"{op}.several_steps" for op in OPS)

    def session(self, case: Case) -> Session:
        return Forgetful(self, case, False, lambda first, last: last)


class GradientsPileUp(Mutant):
    """The gradient of the last step is not cleared."""

    caught_by = tuple(f"{op}.several_steps" for op in OPS)

    def session(self, case: Case) -> Session:
        class Piling(Session):
            rows, values = np.zeros(0, dtype=np.int64), np.zeros((0, case.weight.shape[1]), dtype=case.weight.dtype)

            def step(self, now: Case) -> Outputs:
                self.rows, self.values = np.append(self.rows, now.rows), np.concatenate([self.values, now.values])
                return super().step(now.replace(rows=self.rows, values=self.values))

        return Piling(self, case)


class StateOfAnother(Mutant):
    """All sessions on tables of one shape share one state."""

    caught_by = every("several_steps")

    def __init__(self) -> None:
        self._states: dict[Any, State] = {}

    def session(self, case: Case) -> Session:
        states, shape = self._states, (case.op, case.dtype, case.weight.shape)

        class Sharing(Session):
            def step(self, now: Case) -> Outputs:
                self._state = states.get(shape, self._state)
                outputs = super().step(now)
                states[shape] = outputs["state"]
                return outputs

        return Sharing(self, case)


class CoalescedOnce(Mutant):
    """Sums are cached by the rows of a batch: another gradient gets the old sum."""

    caught_by = (*every("determinism"), *every("several_steps"))

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[Array, Array]] = {}

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        return self._kept.setdefault((case.rows.tobytes(), case.weight.shape, case.dtype), super().coalesced(case))


class TableReused(Mutant):
    """Returned tables of one shape share one array."""

    caught_by = every("determinism")

    def __init__(self) -> None:
        self._buffers: dict[Any, Array] = {}

    def updated(self, case: Case, move: Any) -> Outputs:
        outputs = super().updated(case, move)
        buffer = self._buffers.setdefault((case.weight.shape, case.dtype), outputs["weight"])
        buffer[...] = outputs["weight"]
        return {**outputs, "weight": buffer}


class StepByChance(Mutant):
    """The last bit of the table depends on chance."""

    caught_by = every("determinism")

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def updated(self, case: Case, move: Any) -> Outputs:
        outputs = super().updated(case, move)
        noise = np.spacing(outputs["weight"]) * self._rng.integers(0, 2, case.weight.shape)
        return {**outputs, "weight": (outputs["weight"] + noise).astype(case.weight.dtype)}
