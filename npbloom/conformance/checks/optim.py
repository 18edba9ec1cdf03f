"""Checks of optimizers: one step on a table and its state, and several steps of one session."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.optim import (
    WIDTHS,
    Batch,
    Traits,
    batches,
    drawn_batches,
    exact_step,
    fresh,
    full_range_step,
)
from npbloom.conformance.checks.registry import register
from npbloom.conformance.expected.bounds import Expected
from npbloom.conformance.expected.optim import OPTIMIZERS, exactly_after, roughly_after
from npbloom.conformance.runner.answers import Failure, copies_of
from npbloom.conformance.runner.check_run import CheckRun

Keys = tuple[str, ...]
BOTH = ("weight", "state")
POWERS = (1, 2, 4)  # widths by which a mean of squares divides exactly
PLAIN = Traits()


# ---- judging -------------------------------------------------------------------------------------


def judge(run: CheckRun, case: Case, expected: dict[str, Expected], keys: Keys) -> None:
    """Run one step and compare."""
    compare(run, case, run.ask(case), expected, keys)


def compare(run: CheckRun, case: Case, outputs: Outputs, expected: dict[str, Expected], keys: Keys) -> None:
    """
    Judge table and state array by array.

    A failure names the gradients of the row that is wrong.
    """
    state = outputs.get("state", {})
    found = {**outputs, **{f"state[{name!r}]": array for name, array in state.items()}}
    names = [name for name in expected if name.partition("[")[0] in keys]
    try:
        run.compare(case, found, expected, names)
    except Failure as failure:
        raise Failure(case, f"{failure.message}{in_words(case, found, expected, names)}") from None


def in_words(case: Case, found: dict[str, Any], expected: dict[str, Expected], names: list[str]) -> str:
    """Return a sentence with the number of gradients of the wrong row, and their values."""
    for name in names:
        if name not in found or expected[name].value.ndim == 0:
            continue
        off = ~(np.abs(found[name].astype(np.float64) - expected[name].value) <= expected[name].tolerance)
        off &= ~(np.isnan(found[name]) & np.isnan(expected[name].value))
        lines = np.flatnonzero(off.reshape(len(off), -1).any(axis=1))
        if lines.size:
            row = int(lines[0])
            values = case.values[case.rows == row]
            if not len(values):
                return f"; row {row} was not named"
            shown = ", ".join(_short(value) for value in values[:3])
            return f"; row {row} was named {len(values)} times, with {shown}{', ...' if len(values) > 3 else ''}"
    return ""


def _short(line: Any) -> str:
    """Return the first numbers of a gradient."""
    return f"[{', '.join(f'{value:.6g}' for value in line[:4])}{', ...' if len(line) > 4 else ''}]"


def widths(op: str) -> tuple[int, ...]:
    """Return widths of tables in which an operation can be exact."""
    return POWERS if op == "rowwise_adagrad" else WIDTHS


def on_exact_steps(run: CheckRun, op: str, traits: Traits, keys: Keys, repeated: bool = False) -> None:
    """Run every small batch; dtypes, widths and values take turns."""
    run.stage("exact")
    rng, number = run.rng(), 0
    for _ in range(max(1, run.budget.drawn // 12)):
        for batch in batches(repeated):
            case = exact_step(
                op, run.dtypes[number % len(run.dtypes)], batch, widths(op)[number // len(run.dtypes) % 3], rng, traits
            )
            judge(run, case, exactly_after(case), keys)
            number += 1


def on_wide_steps(run: CheckRun, op: str, traits: Traits, keys: Keys) -> None:
    """Run every width up to two registers, in every dtype."""
    for width in widths(op):
        for dtype in run.dtypes:
            case = exact_step(op, dtype, Batch(3, np.array([2, 0], dtype=np.int64)), width, run.rng(width), traits)
            judge(run, case, exactly_after(case), keys)


def step_check(op: str, name: str, law: str, sentence: str, keys: Keys, *traits: Traits, repeated: bool = False) -> None:
    """
    Register a check of one step on all small batches that have the traits.

    State is judged if it comes back.
    """

    def body(run: CheckRun) -> None:
        for each in traits:
            on_exact_steps(run, op, each, keys, repeated)
            on_wide_steps(run, op, each, keys)

    register(f"{op}.{name}", law, sentence, keys[:1])(body)


# ---- one step ------------------------------------------------------------------------------------

step_check("sgd", "step", "L28", "w -= lr * g in the rows that are named.", ("weight",), PLAIN)
step_check("sgd", "momentum", "L28", "w -= lr * (momentum * buf + g).", ("weight",), Traits(momentum=True))
step_check("sgd", "momentum_buffer", "L28", "buf = momentum * buf + g, weight decay included.", ("state",), Traits(momentum=True))
step_check(
    "sgd",
    "weight_decay",
    "L28",
    "g += weight_decay * w, before momentum, in the rows that are named.",
    BOTH,
    Traits(decay=True),
    Traits(decay=True, momentum=True),
)
step_check("adagrad", "step", "L29", "w -= lr * g / sqrt(sum) with the sum after this step.", ("weight",), PLAIN)
step_check("adagrad", "sum", "L29", "sum += g * g.", ("state",), PLAIN)
step_check("adagrad", "eps", "L29", "eps is added to the root, not under it.", ("weight",), Traits(eps=True))
step_check(
    "adagrad",
    "lr_decay",
    "L29",
    "The rate is lr / (1 + steps before this one * lr_decay).",
    ("weight",),
    Traits(lr_decay=True),
)
step_check("adagrad", "weight_decay", "L29", "g += weight_decay * w, before the square.", BOTH, Traits(decay=True, eps=True))
step_check(
    "adagrad",
    "initial_accumulator_value",
    "L29",
    "The initial value is in the sum already: a step does not add it.",
    BOTH,
    Traits(initial=True),
)
step_check("rowwise_adagrad", "step", "L30", "w -= lr * g / sqrt(sum) with the row's sum after this step.", ("weight",), PLAIN)
step_check("rowwise_adagrad", "sum", "L30", "The row's sum grows by the mean of g * g over its columns.", ("state",), PLAIN)
step_check("rowwise_adagrad", "eps", "L30", "eps is added to the root, not under it.", ("weight",), Traits(eps=True))
step_check(
    "rowwise_adagrad", "weight_decay", "L30", "g += weight_decay * w, before the square.", BOTH, Traits(decay=True, eps=True)
)
step_check(
    "adam",
    "step",
    "L31",
    "w -= lr * m / sqrt(v) with the moments after this step, so late that corrections are 1.",
    ("weight",),
    PLAIN,
)
step_check("adam", "moments", "L31", "m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g * g.", ("state",), PLAIN)
step_check("adam", "eps", "L31", "eps is added to the root, after bias correction.", ("weight",), Traits(eps=True, first=True))
step_check("adam", "weight_decay", "L31", "g += weight_decay * w, before the moments.", BOTH, Traits(decay=True, eps=True))

for _op, _traits in {
    "sgd": (PLAIN, Traits(momentum=True, decay=True)),
    "adagrad": (PLAIN,),
    "rowwise_adagrad": (PLAIN,),
    "adam": (PLAIN,),
}.items():
    step_check(
        _op,
        "duplicates",
        "L26",
        "Gradients of a row are added before anything else is done with them.",
        BOTH,
        *_traits,
        repeated=True,
    )
for _op, _traits in {
    "sgd": (Traits(zero=True, momentum=True), Traits(zero=True, decay=True)),
    "adagrad": (Traits(zero=True, decay=True, eps=True),),
    "rowwise_adagrad": (Traits(zero=True, decay=True, eps=True),),
    "adam": (Traits(zero=True),),
}.items():

    def _zero(run: CheckRun, op: str = _op, traits: tuple[Traits, ...] = _traits) -> None:
        for each in traits:
            for repeated in (False, True):
                on_exact_steps(run, op, each, BOTH, repeated)

    register(
        f"{_op}.zero_gradient",
        "L27",
        "A row that is named is updated, decay and moments included, also where its gradients are zero or cancel.",
        ("weight",),
    )(_zero)


@register("adam.bias_correction", "L31", "Moments are divided by 1 - beta**step, counting this step.", ("weight",))
def bias_correction(run: CheckRun) -> None:
    """Run first steps exactly, and the second to the twentieth within their bounds."""
    on_exact_steps(run, "adam", Traits(first=True), ("weight",))
    run.stage("bounded")
    for dtype in run.dtypes:
        for step in (1, 2, 3, 9, 19):
            batch = Batch(3, np.array([2, 0], dtype=np.int64))
            case = full_range_step("adam", dtype, batch, 4, run.rng(step))
            assert case.options is not None
            assert case.state is not None
            case = case.replace(
                state={**case.state, "step": np.array(step)},
                options={**case.options, "betas": (0.75, 0.9375), "eps": 0.0, "weight_decay": 0.0},
            )
            judge(run, case, roughly_after(case, run.backend.profile[dtype]), ("weight",))


for _op in ("adagrad", "adam"):

    @register(f"{_op}.step_count", "L31", "`step` grows by one with every call, an empty batch included.", ("state",))
    def step_count(run: CheckRun, op: str = _op) -> None:
        """Run several counts, and batches with several rows, with the same row twice, and empty."""
        run.stage("exact")
        for before in (0, 1, 2, 999):
            for rows in ([1], [0, 1, 2], [1, 1], []):
                batch = Batch(3, np.array(rows, dtype=np.int64))
                case = full_range_step(op, run.dtypes[0], batch, 2, run.rng(before))
                assert case.state is not None
                case = case.replace(state={**case.state, "step": np.array(before)})
                outputs = run.ask(case)
                if "state" in outputs:
                    run.compare(case, {"step": outputs["state"]["step"]}, {"step": Expected(np.array(before + 1.0))}, ("step",))


for _op in OPTIMIZERS:

    @register(f"{_op}.untouched", "L27", "Rows that are not named keep the bits of table and state.", ("weight",))
    def untouched(run: CheckRun, op: str = _op) -> None:
        """Run floats that use every bit, in tables of which a few rows are named."""

        def body(drawn: tuple[int, list[Batch]], rng: np.random.Generator, dtype: str) -> None:
            case = full_range_step(op, dtype, drawn[1][0], drawn[0], rng)
            outputs = run.ask(case)
            unnamed = ~np.isin(np.arange(len(case.weight)), case.rows)
            befores = {"weight": case.weight, **(case.state or {})}
            afters = {**outputs.get("state", {}), **{key: outputs[key] for key in ("weight",) if key in outputs}}
            for name in afters.keys() & befores.keys() - {"step"}:
                run.judged += 1
                moved = (afters[name] != befores[name]).reshape(len(unnamed), -1).any(axis=1) & unnamed
                if moved.any():
                    where = "`weight`" if name == "weight" else f"`state[{name!r}]`"
                    raise Failure(case, f"row {int(np.flatnonzero(moved)[0])} was not named, but its {where} has changed")

        run.draw("bounded", drawn_batches(1, 1), body)

    @register(f"{_op}.empty", "L27", "An empty batch changes nothing but the count of steps.", ("weight",))
    def empty(run: CheckRun, op: str = _op) -> None:
        """Run empty batches, in tables of several widths."""
        run.stage("exact")
        for number, width in enumerate(WIDTHS[:4]):
            for dtype in run.dtypes:
                case = full_range_step(op, dtype, Batch(3, np.zeros(0, dtype=np.int64)), width, run.rng(number))
                judge(run, case, exactly_after(case), BOTH)

    @register(f"{_op}.nan", "L33", "A NaN in a gradient arrives where it belongs, and nowhere else.", ("weight",))
    def nan(run: CheckRun, op: str = _op) -> None:
        """Run one NaN among finite gradients."""
        run.stage("exact")
        for dtype in run.dtypes:
            for place in range(3):
                batch = Batch(3, np.array([2, 0, 2], dtype=np.int64))
                case = exact_step(op, dtype, batch, 2, run.rng(place), PLAIN)
                case.values[place, 1] = np.nan
                judge(run, case, exactly_after(case), BOTH)

    @register(f"{_op}.precision", "L32", "Floats of any size: an update rounds eight times in the table's dtype.", ("weight",))
    def precision(run: CheckRun, op: str = _op) -> None:
        """Run common hyperparameters, first steps, and thousands of gradients for one row."""

        def body(drawn: tuple[int, list[Batch]], rng: np.random.Generator, dtype: str) -> None:
            case = full_range_step(op, dtype, drawn[1][0], drawn[0], rng)
            case = fresh(case) if rng.random() < 0.3 else case
            judge(run, case, roughly_after(case, run.backend.profile[dtype]), BOTH)

        run.draw("bounded", drawn_batches(1, 1), body)
        run.stage("thresholds")
        for dtype in run.dtypes:
            for size in (*run.budget.sizes, 3000):
                rows = (np.arange(size, dtype=np.int64) * 7 + size) % 5
                case = full_range_step(op, dtype, Batch(6, rows), 3, run.rng(size))
                judge(run, case, roughly_after(case, run.backend.profile[dtype]), BOTH)
            case = tall(full_range_step(op, dtype, Batch(3, np.array([0, 1, 2, 2, 0], dtype=np.int64)), 1, run.rng(1)))
            judge(run, case, roughly_after(case, run.backend.profile[dtype]), BOTH)

    @register(f"{_op}.determinism", "L6", "The same step gives the same bits again, and no answer changes later.", ("weight",))
    def determinism(run: CheckRun, op: str = _op) -> None:
        """Run a step, another one that names the same rows, and the first one again."""
        run.stage("metamorphic")
        for number, batch in enumerate(batches(repeated=True)):
            case = full_range_step(op, run.dtypes[number % len(run.dtypes)], batch, 3, run.rng(number))
            outputs = run.ask(case)
            if not outputs:
                continue
            kept = flat(copies_of(outputs))
            other = case.replace(weight=-2 * case.weight, values=-4 * case.values)
            judge(run, other, roughly_after(other, run.backend.profile[case.dtype]), BOTH)
            for key, array in flat(outputs).items():
                if array.tobytes() != kept[key].tobytes():
                    raise Failure(case, f"`{key}` of an earlier answer changed when the next step was run")
            again = flat(run.ask(case))
            for key, before in kept.items():
                if key not in again or again[key].tobytes() != before.tobytes():
                    raise Failure(case, f"`{key}` differs between two runs of the same step")


def tall(case: Case) -> Case:
    """
    Return a case whose table of 3 rows is repeated until two bytes cannot count its rows.

    The step names the rows at 0, 65,536 and the end.
    """
    state = {name: array if name == "step" else np.concatenate([array] * 22_000) for name, array in (case.state or {}).items()}
    return case.replace(weight=np.concatenate([case.weight] * 22_000), state=state, rows=np.array([0, 65_536, 65_999])[case.rows])


def flat(outputs: Outputs) -> dict[str, Any]:
    """Return the arrays of an answer, those of the state by name."""
    state = outputs.get("state", {})
    arrays = {key: value for key, value in outputs.items() if key != "state"}
    return {**arrays, **{f"state[{name!r}]": array for name, array in state.items()}}


# ---- several steps -------------------------------------------------------------------------------


def several_steps(run: CheckRun, op: str) -> None:
    """
    Run two sessions side by side.

    Each step starts where the last one of its own session ended.
    """

    def body(drawn: tuple[int, list[Batch]], rng: np.random.Generator, dtype: str) -> None:
        width, steps = drawn
        first = [full_range_step(op, dtype, steps[0], width, rng) for _ in range(2)]
        first[0] = fresh(first[0]) if rng.random() < 0.5 else first[0]
        sessions = [OpenSession(run, case) for case in first]
        for number, batch in enumerate(steps):
            for session in sessions[: 1 + (number % 2 == 0)]:
                values = session.case.values if not number else full_range_step(op, dtype, batch, width, rng).values
                session.advance(batch.rows, values)

    run.draw("stateful", drawn_batches(2, 5), body)


class OpenSession:
    """One session, with its table and state after the last step."""

    def __init__(self, run: CheckRun, case: Case) -> None:
        self.run, self.case, self.now = run, case, case
        self.session = run.open_session(case)
        self.steps: tuple[Case, ...] = ()

    def advance(self, rows: Any, values: Any) -> None:
        """Take one more step, and judge it from the outputs of the last one."""
        if self.session is None:
            return
        step = Case(self.case.op, self.case.dtype, rows=rows, values=values, options=self.case.options)
        self.now = self.now.replace(rows=rows, values=values)
        self.steps = (*self.steps, step)
        try:
            outputs = self.run.take_step(self.session, self.now, step)
        except Failure as failure:
            raise Failure(self.case, f"step {len(self.steps)} {failure.message}", self.steps) from None
        if "weight" not in outputs or (self.case.state and "state" not in outputs):
            self.session = None  # the start of the next step is unknown
            return
        expected = roughly_after(self.now, self.run.backend.profile[self.case.dtype])
        try:
            compare(self.run, self.now, outputs, expected, BOTH)
        except Failure as failure:
            raise Failure(self.case, f"step {len(self.steps)}: {failure.message}", self.steps) from None
        self.now = self.now.replace(weight=outputs["weight"], state=outputs.get("state", {}))


for _op in OPTIMIZERS:
    register(
        f"{_op}.several_steps",
        "L27",
        "Each step starts from the table and state that the last one left, for rows that come and go.",
        ("weight",),
    )(lambda run, op=_op: several_steps(run, op))
