"""One check against one backend: run cases, validate outputs, compare, and describe faults."""

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

from npbloom.conformance.cases.backend import POLICIES, Backend, Crashed, Session, Unsupported
from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.expected.bounds import Expected
from npbloom.conformance.runner.answers import Failure, as_outputs, check_untouched, compared, copies_of

DECLINED = object()  # sentinel: the backend declined the case


@dataclass
class Budget:
    """Number and size of the cases that a profile spends on one check."""

    drawn: int  # Hypothesis examples for each stage
    exhaustive: bool = True
    sizes: tuple[int, ...] = (767, 768, 769)
    shrink: bool = True


@dataclass
class CheckRun:
    """The run of one check: it asks the backend, and counts the cases that it answered."""

    backend: Backend
    budget: Budget
    seed: int = 0
    examples: int = 0
    discarded: int = 0
    declined: int = 0  # number of cases; the first reason is below
    reason: str = ""
    judged: int = 0
    elements: Counter[str] = field(default_factory=Counter)  # elements compared, by output
    blind: Counter[str] = field(default_factory=Counter)  # blind elements among them, by output
    # Outputs that the backend returned at least once.
    returned: set[str] = field(default_factory=set)
    draws: int = 0
    name: str = ""  # of the check
    stages: list[str] = field(default_factory=list)
    # Called with every case before the backend gets it.
    watch: Callable[[Case], None] = lambda case: None

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Return the dtypes that the backend claims."""
        return tuple(self.backend.profile)

    def policy(self, name: str) -> str:
        """Return the backend's choice, or the default."""
        return self.backend.policy.get(name, POLICIES[name][0])

    def rng(self, number: int = 0) -> np.random.Generator:
        """Return a generator that depends on the seed of the run and a number only."""
        return np.random.default_rng([self.seed, number])

    # ---- asking ----------------------------------------------------------------------------------

    def ask(self, case: Case, *, counted: bool = True) -> Outputs:
        """
        Return the backend's outputs as arrays, or an empty dict if it declines the case.

        Raise a Failure if it gives no usable answer.
        """
        return self.ask_with_copy(case, counted=counted)[1]

    def ask_with_copy(self, case: Case, *, counted: bool = True) -> tuple[Case, Outputs]:
        """
        Return the copy of the case that the backend received, and its outputs.

        Raise a Failure if it gives no usable answer, or has written to that copy.
        """
        given_case = case.copy()
        outputs = self._answer(case, self.backend.run, given_case)
        if outputs is DECLINED:
            return given_case, {}
        self.examples += counted
        check_untouched(case, given_case)
        found = as_outputs(case, outputs)
        self.returned |= found.keys()
        return given_case, found

    def open_session(self, case: Case) -> Session | None:
        """
        Open a session that starts at the table and state of a case.

        Return None if the backend declines it.
        """
        session = self._answer(case, self.backend.session, case.copy())
        return None if session is DECLINED else session

    def take_step(self, session: Session, now: Case, step: Case) -> Outputs:
        """
        Return a copy of a session's outputs after its next step.

        `now` is that step with the table and state before it.
        """
        given_step = step.copy()
        outputs = self._answer(now, session.step, given_step)
        if outputs is DECLINED:
            return {}
        self.examples += 1
        check_untouched(step, given_step)
        found = copies_of(as_outputs(now, outputs))
        self.returned |= found.keys()
        return found

    def _answer(self, case: Case, question: Callable[[Case], Any], given_case: Case) -> Any:
        """
        Return the result of a call, or `DECLINED` if the backend declines it.

        Raise a Failure if the call raises anything else.
        """
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
        """Count a case that the backend does not offer; the check goes on with the others."""
        self.declined += 1
        self.reason = self.reason or str(reason) or "unsupported"

    def must_raise(self, case: Case, why: str, valid: Case) -> None:
        """
        Raise a Failure unless the backend refuses the case and answers a valid one like it.

        A backend that refuses must leave its inputs unchanged.
        """
        if not self.ask(valid):
            return  # a backend that refuses everything proves nothing
        given_case = case.copy()
        self.watch(case)
        self.examples += 1
        try:
            outputs = self.backend.run(given_case)
        except Unsupported as reason:
            self.decline(reason)
            return
        except Crashed as error:  # a dead program has not refused
            raise Failure(case, f"must raise for {why}; {error}") from None
        except (Exception, SystemExit):  # an exception of any class is a refusal
            self.judged += 1
            check_untouched(case, given_case, "before it raised")
            return
        keys = ", ".join(sorted(map(str, outputs))) if isinstance(outputs, dict) else repr(outputs)
        raise Failure(case, f"did not raise for {why}; it returned {keys or 'nothing'}")

    # ---- comparing -------------------------------------------------------------------------------

    def compare(self, case: Case, outputs: Outputs, expected: dict[str, Expected], keys: Iterable[str]) -> None:
        """Compare those named outputs that came back; a Failure names the first wrong element."""
        for key in keys:
            if key in outputs and key in expected:
                self.judged += 1
                self.elements[key] += np.size(expected[key].value)
                self.blind[key] += compared(case, key, outputs[key], expected[key])
                # Returned in both forms: both must be right.
                if key == "grad_weight" and "dense" in outputs:
                    compared(case, "values", outputs["dense"], expected[key])

    # ---- drawing ---------------------------------------------------------------------------------

    def draw(self, stage: str, strategy: st.SearchStrategy[Any], body: Callable[[Any, np.random.Generator, str], None]) -> None:
        """
        Run `body` on drawn structures, with values from a drawn seed, in claimed dtypes.
        """
        self.stage(stage)
        self.draws += 1
        count = self.budget.drawn
        # Different draws in every stage.
        start = crc32(f"{self.name} {self.draws} {self.seed}".encode())
        drawn = st.tuples(strategy, st.integers(0, 2**16), st.sampled_from(self.dtypes))
        failures: list[Failure] = []

        def test(example: tuple[Any, int, str]) -> None:
            structure, number, dtype = example
            declined = self.declined
            try:
                body(structure, self.rng(number), dtype)
            except Unsupported as reason:
                if self.declined == declined:  # already counted otherwise: an output was missing
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
        except (HypothesisException, ExceptionGroup):  # a Failure that did not reproduce
            if not failures:
                raise
            first = failures[0]
            raise Failure(first.case, f"{first.message}; asked again, it was right", first.steps) from None

    def stage(self, name: str) -> None:
        """Record that the check has reached this stage."""
        if name not in self.stages:
            self.stages.append(name)


def _search(test: Callable[[Any], None], strategy: st.SearchStrategy[Any], start: int, count: int, phases: list[Phase]) -> None:
    """Run a test with Hypothesis: the same seed gives the same examples."""
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


# The latest few, shared by runs without shrinking over many backends.
_DRAWN: dict[Any, list[Any]] = {}


def _examples(key: Any, strategy: st.SearchStrategy[Any]) -> list[Any]:
    """Return the examples that `_search` would try first; they do not depend on the backend."""
    if key not in _DRAWN:
        examples: list[Any] = []
        # A lambda, since Hypothesis reads the signature, which a built-in lacks.
        _search(lambda example: examples.append(example), strategy, key[-2], key[-1], [Phase.generate])
        while len(_DRAWN) >= 16:
            del _DRAWN[next(iter(_DRAWN))]
        _DRAWN[key] = examples
    return _DRAWN[key]


def _first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, shortened."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "(no message)"
