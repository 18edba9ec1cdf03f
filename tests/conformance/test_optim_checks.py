"""
Tests of the optimizers' checks.

Their expectations are right, right variants pass, and failures name the fault.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from npbloom.conformance import Case, CheckResult, Unsupported, check
from npbloom.conformance.cases.floats import stored
from npbloom.conformance.cases.optim import Batch, Traits, batches, exact_step, full_range_step
from npbloom.conformance.checks.registry import CHECKS
from npbloom.conformance.expected.optim import OPTIMIZERS, after, exactly_after, roughly_after
from npbloom.conformance.runner.check_run import Budget
from npbloom.conformance.runner.run_check import run_check
from npbloom.optimizers import BY_NAME
from tests.conformance.mutants import MUTANTS, Right
from tests.conformance.mutants.right_updates import UPDATES

STEPS = [name for name, each in CHECKS.items() if each.op in OPTIMIZERS]
ONLY = ",".join(f"{op}.*" for op in OPTIMIZERS)
NAMED = {mutant.name: mutant for mutant in MUTANTS}
DTYPES = ("float16", "bfloat16", "float32", "float64")
FEATURES = {
    "sgd": ("momentum", "decay"),
    "adagrad": ("decay", "eps", "lr_decay", "initial"),
    "rowwise_adagrad": ("decay", "eps"),
    "adam": ("decay", "eps", "first"),
}


def examine(backend: Any, name: str) -> CheckResult:
    """Run one check with a small budget. It must not break: a broken check has found nothing."""
    result = run_check(backend, CHECKS[name], Budget(drawn=8, sizes=(769,), shrink=False), 0)
    assert "the check itself broke" not in result.message
    return result


# ---- expectations by hand ------------------------------------------------------------------------


def by_hand(op: str, weight: Any, rows: Any, values: Any, state: dict[str, Any], **options: Any) -> dict[str, list[Any]]:
    """Return the expected table and state after a step, as lists."""
    arrays = {name: np.array(array) for name, array in state.items()}
    case = Case(
        op, "float64", weight=np.array(weight), rows=np.array(rows), values=np.array(values), state=arrays, options=options
    )
    return {key: value.tolist() for key, value in after(case).items()}


def test_sgd_adds_gradients_then_decays_then_remembers() -> None:
    # g = 2 + 1 + 0.5 * 4 = 5; buf = 0.5 * 6 + 5 = 8; w = 4 - 0.25 * 8; row 1 is not named
    got = by_hand(
        *("sgd", [[4.0], [9.0]], [0, 0], [[2.0], [1.0]], {"momentum_buffer": [[6.0], [7.0]]}),
        **{"lr": 0.25, "momentum": 0.5, "weight_decay": 0.5},
    )
    assert got == {"weight": [[2.0], [9.0]], "state['momentum_buffer']": [[8.0], [7.0]]}


def test_adagrad_squares_the_sum_and_counts_steps_before() -> None:
    # g = 1 + 3 = 4; sum = 9 + 16; rate = 8 / (1 + 3 * 1) = 2; w = 5 - 2 * 4 / (5 + 3)
    got = by_hand(
        *("adagrad", [[5.0]], [0, 0], [[1.0], [3.0]], {"sum": [[9.0]], "step": 3}),
        **{"lr": 8.0, "lr_decay": 1.0, "weight_decay": 0.0, "initial_accumulator_value": 4.0, "eps": 3.0},
    )
    assert got == {"weight": [[4.0]], "state['sum']": [[25.0]], "state['step']": 4.0}


def test_rowwise_adagrad_takes_the_mean_of_squares() -> None:
    # mean(1, 49) = 25; sum = 144 + 25 = 13 ** 2; w = 1 - 8 * (1, 7) / (13 + 3)
    got = by_hand("rowwise_adagrad", [[1.0, 1.0]], [0], [[1.0, 7.0]], {"sum": [144.0]}, lr=8.0, weight_decay=0.0, eps=3.0)
    assert got == {"weight": [[0.5, -2.5]], "state['sum']": [169.0]}


def test_adam_corrects_both_moments() -> None:
    # m = 0.5 * 1 + 0.5 * 1 = 1, corrected 2; v = 0.75 * 16 + 0.25 * 1 = 12.25, corrected 49;
    # w = 1 - 2 * 2 / (7 + 1)
    state = {"exp_avg": [[1.0]], "exp_avg_sq": [[16.0]], "step": 0}
    got = by_hand("adam", [[1.0]], [0], [[1.0]], state, lr=2.0, betas=(0.5, 0.75), eps=1.0, weight_decay=0.0)
    assert got == {"weight": [[0.5]], "state['exp_avg']": [[1.0]], "state['exp_avg_sq']": [[12.25]], "state['step']": 1.0}


# ---- cases ---------------------------------------------------------------------------------------


def traits_of(op: str) -> list[Traits]:
    """Return no trait, each single trait, and zero gradients."""
    zero = {"decay": True} if op != "adam" else {}
    return [Traits(), *(Traits(**{name: True}) for name in FEATURES[op]), Traits(zero=True, eps=op != "sgd", **zero)]


@pytest.mark.parametrize("op", OPTIMIZERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_steps_end_on_numbers_that_the_dtype_holds(op: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    for number, batch in enumerate([*batches(False), *batches(True)]):
        for traits in traits_of(op):
            case = exact_step(op, dtype, batch, (1, 2, 4)[number % 3], rng, traits)
            for name, array in case.arrays().items():
                assert np.isfinite(array).all(), name
            for key, value in after(case).items():
                assert key == "state['step']" or (stored(value, dtype) == value).all(), (key, case)


@pytest.mark.parametrize("op", OPTIMIZERS)
def test_exact_steps_have_the_traits_they_are_asked_for(op: str) -> None:
    rng = np.random.default_rng(2)
    batch = Batch(4, np.array([3, 1, 3], dtype=np.int64))
    for name in FEATURES[op]:
        case = exact_step(op, "float32", batch, 2, rng, Traits(**{name: True}))
        option = {"decay": "weight_decay", "initial": "initial_accumulator_value"}.get(name, name)
        assert case.options is not None
        assert case.options[option] > 0 if option in case.options else int(case.state["step"]) == 0, name
        for key, array in case.state.items():
            assert key == "step" or (array[[0, 2]] != 0).all(), "rows that are not named have a state to keep"
    cancelled = exact_step(op, "float32", batch, 2, rng, Traits(zero=True, decay=op != "adam", eps=op != "sgd"))
    assert (cancelled.values[0] + cancelled.values[2] == 0).all()
    assert (cancelled.values[1] == 0).all()
    assert not np.array_equal(after(cancelled)["weight"][3], cancelled.weight[3])


@pytest.mark.parametrize("op", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_are_a_few_roundings_wide_and_leave_no_element_blind(op: str, dtype: str) -> None:
    unit = {"float32": 2.0**-24, "float64": 2.0**-53}[dtype]
    batch = Batch(5, np.array([4, 0, 2], dtype=np.int64))
    for seed in range(20):
        case = full_range_step(op, dtype, batch, 4, np.random.default_rng(seed))
        # `1 - beta2` in the table's dtype costs up to 1000 roundings. SGD's terms cancel: they are
        # larger than their sum.
        limit = 1200 if op == "adam" and case.options["betas"][0] == 0.9 else {"sgd": 700}.get(op, 100)
        for key, expected in roughly_after(case, {"forward": "float64", "backward": "float64"}).items():
            if key == "state['step']":
                continue
            before = case.weight if key == "weight" else case.state[key[7:-2]]
            size = np.maximum(np.abs(expected.value), np.abs(before)) + (case.options["lr"] if key == "weight" else 0)
            assert (expected.tolerance[[1, 3]] == 0).all(), "rows that are not named are exact"
            assert not expected.blind.any()
            assert (expected.tolerance[[0, 2, 4]] > 0).all()
            assert (expected.tolerance <= limit * unit * size).all(), (key, expected.tolerance / size / unit)


def test_an_update_below_the_roundoff_of_its_table_is_blind() -> None:
    options = {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}
    values = np.array([[1.0, 1e-9]], dtype=np.float32)
    case = Case("sgd", weight=np.ones((1, 2), np.float32), rows=np.array([0]), values=values, state={}, options=options)
    expected = roughly_after(case, {"forward": "float32", "backward": "float32"})["weight"]
    assert expected.blind.tolist() == [[False, True]]


# ---- right variants and faults -------------------------------------------------------------------


def by_day(backend: Right) -> Any:
    """Return a right variant; by day run the usual one, another order, and few bits."""
    usual = backend.name in ("right", "reversed-updates", "narrow-updates", "half-updates")
    return pytest.param(backend, id=backend.name, marks=() if usual else pytest.mark.nightly)


@pytest.mark.parametrize("backend", [by_day(kind()) for kind in (Right, *UPDATES)])
def test_right_variants_pass(backend: Right) -> None:
    results = [examine(backend, name) for name in STEPS]
    assert [(each.name, each.status, each.message) for each in results if each.status != "passed"] == []
    blind, elements = sum(each.elements_blind for each in results), sum(each.elements for each in results)
    assert blind <= 0.03 * elements
    assert all(each.examples for each in results)


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        ("rate-decays-early", {"adagrad.lr_decay"}),
        ("eps-inside", {"adagrad.eps", "rowwise_adagrad.eps", "adam.eps"}),
        ("initial-value-added", {"adagrad.initial_accumulator_value"}),
        ("no-corrections", {"adam.bias_correction", "adam.eps"}),  # the cases of `adam.eps` are first steps
        ("nesterov", {"sgd.momentum"}),
        ("sum-of-squares", {f"rowwise_adagrad.{name}" for name in ("sum", "step", "eps", "nan")}),  # all that use the sum
        ("nan-skipped", {f"{op}.nan" for op in OPTIMIZERS}),
        ("empty-batch-is-no-step", {f"{op}.{name}" for op in ("adagrad", "adam") for name in ("empty", "step_count")}),
    ],
)
def test_a_fault_is_named_precisely(fault: str, names: set[str]) -> None:
    """Run the checks of single features: exactly those of the fault's feature fail."""
    whole = ("precision", "several_steps", "determinism", "weight_decay", "zero_gradient", "duplicates")
    about = {name.partition(".")[0] for name in names}
    asked = [name for name in STEPS if name.partition(".")[2] not in whole and name.partition(".")[0] in about]
    assert {name for name in asked if examine(NAMED[fault], name).status == "failed"} == names


def test_a_failure_says_which_row_is_wrong_and_what_arrived_there() -> None:
    result = examine(NAMED["last-entry-wins"], "sgd.duplicates")
    assert "`weight[0, 0]` is" in result.message
    assert "row 0 was named 2 times, with [" in result.message
    assert result.stage == "exact"


# ---- missing state, damaged outputs, blind elements ----------------------------------------------


class TableOnly(Right):
    """A backend that returns no state."""

    def run(self, case: Case) -> dict[str, Any]:
        """Return the table only."""
        return {"weight": super().run(case)["weight"]}


def test_state_that_does_not_come_back_is_not_exercised() -> None:
    statuses = {name: examine(TableOnly(), name).status for name in STEPS}
    assert statuses["adagrad.step"] == statuses["adam.duplicates"] == statuses["sgd.several_steps"] == "passed"
    silent = {name for name, status in statuses.items() if status == "not-exercised"}
    counted = {"adagrad.step_count", "adam.step_count"}
    state = {"sgd.momentum_buffer", "adagrad.sum", "rowwise_adagrad.sum", "adam.moments", *counted}
    assert state <= silent
    assert silent - state <= {f"{op}.several_steps" for op in OPTIMIZERS}
    assert set(statuses.values()) == {"passed", "not-exercised"}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda outputs: {}, ""),
        (lambda outputs: None, "must return a dict"),
        (lambda outputs: {**outputs, "weight": outputs["weight"][:, :0]}, "`weight` must have shape"),
        (lambda outputs: {**outputs, "weight": outputs["weight"].tolist()}, "`weight` must be a NumPy array"),
        (lambda outputs: {**outputs, "weight": outputs["weight"].astype(int)}, "`weight` must be"),
        (lambda outputs: {**outputs, "weight": outputs["weight"] * np.nan}, "`weight[0, 0]` is nan"),
        (lambda outputs: {**outputs, "state": {}}, "`state` lacks"),
        (lambda outputs: {**outputs, "state": {"sum": np.zeros(1)}}, "`state` lacks"),
        (lambda outputs: {**outputs, "state": 3}, "`state` must be a dict"),
        (
            lambda outputs: {**outputs, "state": {**outputs["state"], "exp_avg": outputs["state"]["exp_avg"][0]}},
            "`state['exp_avg']` must have shape",
        ),
        (
            lambda outputs: {**outputs, "state": {**outputs["state"], "exp_avg": outputs["state"]["exp_avg"].astype(np.float16)}},
            "`state['exp_avg']` must be",
        ),
    ],
)
def test_an_answer_that_is_none_is_a_sentence(damage: Any, words: str) -> None:
    class Damaged(Right):
        def run(self, case: Case) -> Any:
            return damage(super().run(case))

    for name in ("adam.weight_decay", "adam.several_steps"):
        result = examine(Damaged(), name)
        assert result.status == ("failed" if words else "not-exercised")
        assert words in result.message


class Writes(Right):
    """A backend that writes to the caller's table."""

    def run(self, case: Case) -> dict[str, Any]:
        """Take the step in place."""
        outputs = super().run(case)
        case.weight[...] = outputs["weight"]
        return outputs


def test_a_step_on_the_callers_arrays_fails() -> None:
    assert "wrote to its input `weight`" in examine(Writes(), "sgd.step").message


class Declines(Right):
    """A backend without Adam."""

    def run(self, case: Case) -> dict[str, Any]:
        """Run all operations but Adam."""
        if case.op == "adam":
            raise Unsupported("no Adam")
        return super().run(case)


def test_an_optimizer_that_is_not_offered_is_declined() -> None:
    report = check(Declines(), only="adam.*", shrink=False)
    assert {result.status for result in report.results} == {"declined"}
    assert {result.message for result in report.results} == {"no Adam"}
    assert not report.ok


class Coarse(Right):
    """A backend that claims sums in float16: thousands of large gradients get no useful bound."""

    profile: ClassVar[dict[str, dict[str, str]]] = {"float32": {"forward": "float16", "backward": "float16"}}


def test_blind_elements_are_counted() -> None:
    result = examine(Coarse(), "sgd.precision")
    assert result.status == "passed"
    assert 0 < result.elements_blind < result.elements
    assert examine(Right(), "sgd.precision").elements_blind == 0


# ---- several steps -------------------------------------------------------------------------------


def test_a_failure_of_a_session_is_a_program_of_its_steps() -> None:
    result = check(NAMED["gradients-pile-up"], only="rowwise_adagrad.several_steps").results[0]
    assert result.status == "failed"
    assert result.message.startswith("step 2: ")
    assert result.snippet.count("session.step(") == 2, "shrunk to two steps"
    scope: dict[str, Any] = {"print": lambda *words: scope.setdefault("printed", []).append(words)}
    exec(result.snippet, scope)
    assert len(scope["printed"]) == 2


def test_sessions_are_judged_from_what_they_returned_last() -> None:
    """Blame the step that rounds its table to float16, and not the step after it."""

    class Coarser(Right):
        def run(self, case: Case) -> dict[str, Any]:
            outputs = super().run(case)
            return {**outputs, "weight": outputs["weight"].astype(np.float16).astype(case.weight.dtype)}

    assert examine(Coarser(), "sgd.several_steps").message.startswith("step 1: ")


def test_expectations_and_cases_name_every_constructor_argument() -> None:
    for op, kind in BY_NAME.items():
        case = full_range_step(op, "float32", Batch(2, np.array([1], dtype=np.int64)), 1, np.random.default_rng(0))
        assert case.options is not None
        assert set(case.options) == set(kind.hyperparameters)
        assert {"weight", *(f"state[{name!r}]" for name in case.state)} == set(exactly_after(case))


def test_only_names_the_optimizers() -> None:
    assert {result.name for result in check(Right(), only=ONLY, shrink=False, stop_on_failure=True).results} == set(STEPS)
