"""One check against one backend: ask, look at what comes back, compare, and say in words what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException, Unsatisfiable

from npbloom.conformance.cases.case import (
    BLOOMS,
    POLICIES,
    Backend,
    Case,
    Crashed,
    Outputs,
    Session,
    Unsupported,
    copied,
    rows_shape,
)
from npbloom.conformance.cases.values import STORED
from npbloom.conformance.expected.lookup import Want

Array = np.ndarray[Any, Any]


DECLINED = object()  # where an answer would be


class Failure(AssertionError):
    """A backend's answer is wrong; carries the case and the sentence."""

    def __init__(self, case: Case | None, message: str, steps: tuple[Case, ...] = ()) -> None:
        super().__init__(message)
        self.case, self.message, self.steps = case, message, steps


@dataclass
class Budget:
    """How much a profile spends on one check."""

    drawn: int  # Hypothesis examples of each lane
    exhaustive: bool = True
    sizes: tuple[int, ...] = (767, 768, 769)
    shrink: bool = True


@dataclass
class Exam:
    """The run of one check: it asks the backend, and counts what was really asked."""

    backend: Backend
    budget: Budget
    seed: int = 0
    examples: int = 0
    discarded: int = 0
    declined: int = 0  # cases, and the first reason
    reason: str = ""
    judged: int = 0
    elements: Counter[str] = field(default_factory=Counter)  # of each output, that were compared
    blind: Counter[str] = field(default_factory=Counter)  # and those of them that said nothing
    returned: set[str] = field(default_factory=set)  # outputs that came back at all
    draws: int = 0
    name: str = ""  # of the check
    lanes: list[str] = field(default_factory=list)
    watch: Callable[[Case], None] = lambda case: None  # told of every case before the backend gets it

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Dtypes the backend claims."""
        return tuple(self.backend.profile)

    def policy(self, name: str) -> str:
        """The backend's choice, or the default."""
        return self.backend.policy.get(name, POLICIES[name][0])

    def rng(self, number: int = 0) -> np.random.Generator:
        """A source of values that depends on the seed of the run and a number only."""
        return np.random.default_rng([self.seed, number])

    # ---- asking ---------------------------------------------------------------------------------------------------

    def ask(self, case: Case, *, counted: bool = True) -> Outputs:
        """The backend's outputs as plain arrays, none where it declines the case; a Failure where there is no usable answer."""
        return self.ask_own(case, counted=counted)[1]

    def ask_own(self, case: Case, *, counted: bool = True) -> tuple[Case, Outputs]:
        """The copy of the case that the backend was given, and its outputs; a Failure, too, where it wrote to that copy."""
        given_case = case.copy()
        outputs = self._answer(case, self.backend.run, given_case)
        if outputs is DECLINED:
            return given_case, {}
        self.examples += counted
        _check_untouched(case, given_case)
        found = _as_outputs(case, outputs)
        self.returned |= found.keys()
        return given_case, found

    def open(self, case: Case) -> Session | None:
        """A session that starts at the table and state of a case; None where the backend declines it."""
        session = self._answer(case, self.backend.session, case.copy())
        return None if session is DECLINED else session

    def take(self, session: Session, now: Case, step: Case) -> Outputs:
        """What a session returns for its next step, with arrays of its own; `now` is that step with table and state."""
        given_step = step.copy()
        outputs = self._answer(now, session.step, given_step)
        if outputs is DECLINED:
            return {}
        self.examples += 1
        _check_untouched(step, given_step)
        found = replaced(_as_outputs(now, outputs))
        self.returned |= found.keys()
        return found

    def _answer(self, case: Case, question: Callable[[Case], Any], given_case: Case) -> Any:
        """What a call returns, `DECLINED` where the backend declines it; a Failure where it raises."""
        self.watch(case)
        try:
            return question(given_case)
        except Unsupported as reason:
            self.decline(reason)
            return DECLINED
        except Crashed as error:
            raise Failure(case, str(error)) from None
        except (Exception, SystemExit) as error:
            raise Failure(case, f"raised {type(error).__name__}: {_first_line(error)}") from None

    def decline(self, reason: Unsupported) -> None:
        """Count a case that the backend does not offer: the check goes on with the others."""
        self.declined += 1
        self.reason = self.reason or str(reason) or "unsupported"

    def must_raise(self, case: Case, why: str, valid: Case) -> None:
        """A Failure unless the backend refuses the case, inputs untouched, and answers the valid one beside it."""
        if not self.ask(valid):
            return  # refusing everything is no refusal
        given_case = case.copy()
        self.watch(case)
        self.examples += 1
        try:
            outputs = self.backend.run(given_case)
        except Unsupported as reason:
            self.decline(reason)
            return
        except Crashed as error:  # what is dead has not refused
            raise Failure(case, f"must raise for {why}; {error}") from None
        except (Exception, SystemExit):  # any class counts as refusing
            self.judged += 1
            _check_untouched(case, given_case, "before it raised")
            return
        keys = ", ".join(sorted(map(str, outputs))) if isinstance(outputs, dict) else repr(outputs)
        raise Failure(case, f"did not raise for {why}; it returned {keys or 'nothing'}")

    # ---- comparing ------------------------------------------------------------------------------------------------

    def compare(self, case: Case, outputs: Outputs, wants: dict[str, Want], keys: Iterable[str]) -> None:
        """Judge the named outputs that are there; a Failure names the first element that is wrong."""
        for key in keys:
            if key in outputs and key in wants:
                self.judged += 1
                self.elements[key] += np.size(wants[key].value)
                self.blind[key] += _compare(case, key, outputs[key], wants[key])
                if key == "grad_weight" and "dense" in outputs:  # came back both ways: both must be right
                    _compare(case, "values", outputs["dense"], wants[key])

    # ---- drawing --------------------------------------------------------------------------------------------------

    def draw(self, lane: str, strategy: st.SearchStrategy[Any], body: Callable[[Any, np.random.Generator, str], None]) -> None:
        """Run `body` on drawn structures, values from a drawn seed, in every dtype the backend claims."""
        self.lane(lane)
        self.draws += 1
        count = self.budget.drawn
        start = crc32(f"{self.name} {self.draws} {self.seed}".encode())  # no two lanes draw the same
        drawn = st.tuples(strategy, st.integers(0, 2**16), st.sampled_from(self.dtypes))
        failures: list[Failure] = []

        def test(example: tuple[Any, int, str]) -> None:
            structure, number, dtype = example
            declined = self.declined
            try:
                body(structure, self.rng(number), dtype)
            except Unsupported as reason:
                if self.declined == declined:  # else it only says that an answer was missing
                    self.decline(reason)
            except Failure as failure:
                failures.append(failure)
                raise

        if not self.budget.shrink:
            for example in _examples((self.name, self.draws, repr(drawn), start, count), drawn):
                test(example)
            return
        try:
            _search(test, drawn, start, count, [Phase.generate, Phase.shrink])
        except Unsatisfiable:
            self.discarded += count
        except (HypothesisException, ExceptionGroup):  # a Failure that did not come again
            if not failures:
                raise
            first = failures[0]
            raise Failure(first.case, f"{first.message}; asked again, it was right", first.steps) from None

    def lane(self, name: str) -> None:
        """Note that the check has come to this lane."""
        if name not in self.lanes:
            self.lanes.append(name)


def _search(test: Callable[[Any], None], strategy: st.SearchStrategy[Any], start: int, count: int, phases: list[Phase]) -> None:
    """Let Hypothesis run a test: the same seed gives the same examples."""
    seed(start)(
        settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=phases,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )(given(strategy)(test))
    )()


_DRAWN: dict[Any, list[Any]] = {}  # the last few; a run without shrinking over many backends draws them once


def _examples(key: Any, strategy: st.SearchStrategy[Any]) -> list[Any]:
    """The examples that `_search` would try first, which do not depend on what is tested."""
    if key not in _DRAWN:
        examples: list[Any] = []
        _search(lambda example: examples.append(example), strategy, key[-2], key[-1], [Phase.generate])  # no built-in: it is read
        while len(_DRAWN) >= 16:
            del _DRAWN[next(iter(_DRAWN))]
        _DRAWN[key] = examples
    return _DRAWN[key]


def _first_line(error: BaseException) -> str:
    """The first line of an exception's text, shortened."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "(no message)"


def _same_bits(left: Array, right: Array) -> bool:
    """Whether two arrays of one shape and dtype hold the same bytes."""
    return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()


def _check_untouched(case: Case, given_case: Case, when: str = "") -> None:
    """A Failure where an input is not what it was."""
    after = given_case.arrays()
    for name, before in case.arrays().items():
        if name not in after or not _same_bits(np.asarray(before), np.asarray(after[name])):
            raise Failure(case, f"wrote to its input `{name}` {when}".rstrip())
    if case.options != given_case.options:
        raise Failure(case, f"wrote to its input `options` {when}".rstrip())


def _as_outputs(case: Case, outputs: Any) -> Outputs:
    """The outputs, each checked for kind, shape and dtype; a pair (rows, values) gains the dense gradient it stands for."""
    if not isinstance(outputs, dict):
        raise Failure(case, f"must return a dict of arrays, not {type(outputs).__name__}")
    found: Outputs = {}
    known = _shapes(case).keys() | {"rows", "values", "hash", "state"}
    for key, value in outputs.items():
        if key not in known:
            continue  # a backend may say more than it is asked
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
    """A dict of arrays with the keys and shapes of the state before the step."""
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
        if key in before and key != "step" and np.asarray(before[key]).dtype.kind == "f":  # a count may be in any dtype
            _check_float(case, f"state[{key!r}]", array, np.shape(before[key]))
    return arrays


def _shapes(case: Case) -> dict[str, tuple[int, ...]]:
    """The shape of every floating output."""
    if case.weight is None:
        return {}
    shapes = {"weight": case.weight.shape, "grad_weight": case.weight.shape}
    if case.grad_out is not None:
        shapes["out"] = case.grad_out.shape
    if case.per_sample_weights is not None:
        shapes["grad_per_sample_weights"] = case.per_sample_weights.shape
    return shapes


def _check_float(case: Case, key: str, array: Array, shape: tuple[int, ...]) -> None:
    """A Failure where an output has the wrong shape, or a dtype that cannot hold the result."""
    if array.shape != shape:
        raise Failure(case, f"`{key}` must have shape {shape}, not {array.shape}")
    if array.dtype.kind != "f" or not np.can_cast(np.dtype(STORED[case.dtype]), array.dtype, "safe"):
        raise Failure(case, f"`{key}` must be {case.dtype} or wider, not {array.dtype}")


def _add_dense(case: Case, found: Outputs) -> None:
    """Check a pair (rows, values) and add the dense gradient; rows may come in any order, and repeat."""
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


def _compare(case: Case, key: str, got: Array, want: Want) -> int:
    """A Failure with the first wrong element; the number of blind ones else."""
    if key == "rows":
        got, value = np.asarray(got), np.asarray(want.value)
        if got.shape != value.shape:
            raise Failure(case, f"`rows` must have shape {value.shape}, not {got.shape}")
        wrong = got != value
    else:
        got, value = got.astype(np.float64), np.asarray(want.value, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            near = np.abs(got - value) <= want.tolerance
        near |= np.isnan(want.tolerance)
        wrong = ~(near | (got == value) | (np.isnan(got) & np.isnan(value))) | (~np.isfinite(got) & np.isfinite(value))
    if wrong.any():
        raise Failure(case, _describe(key, got, value, wrong, want))
    return 0 if want.blind is None else int(np.count_nonzero(want.blind))


def _describe(key: str, got: Array, value: Array, wrong: Array, want: Want) -> str:
    """``out[2, 0] is 5.0, expected 7.0``, how many more, and the tolerance where there is one."""
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"[{', '.join(map(str, where))}]" if where else ""
    text = f"`{key}{place}` is {got[where].item()!r}, expected {value[where].item()!r}"
    allowed = np.broadcast_to(np.asarray(want.tolerance, dtype=np.float64), value.shape)[where] if key != "rows" else 0
    if allowed:
        text += f" within {allowed:.3g}"
    count = int(np.count_nonzero(wrong))
    return text + (f" ({count} of {wrong.size} elements are wrong)" if count > 1 else "")


def replaced(outputs: Outputs) -> Outputs:
    """Outputs with arrays of their own."""
    return {key: copied(value) for key, value in outputs.items()}
