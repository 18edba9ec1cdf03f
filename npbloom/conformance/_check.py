"""The run of checks against a backend: by default each in a child process."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace

from npbloom.conformance.cases.backend import POLICIES, Backend
from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import ACCUMULATORS
from npbloom.conformance.checks.registry import selected
from npbloom.conformance.report.report import CheckResult, Report
from npbloom.conformance.runner.check_run import Budget
from npbloom.conformance.runner.isolation import Job, isolated
from npbloom.conformance.runner.run_check import Check, run_check

PROFILES = {
    "fast": Budget(drawn=25),
    "full": Budget(drawn=250, sizes=(1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 767, 768, 769, 1023, 1025, 3072)),
    "nightly": Budget(drawn=2500, sizes=(*range(1, 130), 255, 257, 767, 768, 769, 1023, 1025, 3071, 3072, 3073)),
}


def check(
    backend: Backend,
    profile: str = "fast",
    seed: int = 0,
    only: str | None = None,
    stop_on_failure: bool = False,
    shrink: bool = True,
    expected_failures: dict[str, str] | None = None,
    on_result: Callable[[CheckResult], None] | None = None,
    limit: float = 60.0,
) -> Report:
    """
    Check that a backend computes what the laws say.

    Parameters
    backend : Backend
        The implementation under test.
        The implementation under test.
    profile : {"fast", "full", "nightly"}
        Number of cases: for seconds, minutes or an hour.
    seed : int, default 0
        The same seed gives the same cases.
    only : str, optional
        A pattern like ``bag.*``, or several separated by commas.
    stop_on_failure : bool, default False
        Stop at the first check that fails.
    shrink : bool, default True
        Search for the smallest failing case.
    expected_failures : dict of str to str, optional
        Names of checks that are known to fail, each with the reason. One that passes is reported
        as ``xpassed``.
    on_result : callable, optional
        Called with each result as it arrives.
    limit : float, default 60
        Seconds that a backend may take for one case; after that it counts as hung. Ignored for a
        backend with `in_process`.

    Returns
    -------
    Report
        ``report.ok``, ``report.results``, ``print(report)``.

    Raises
    ------
    TypeError, ValueError
        `backend` is no Backend, a name is unknown, or the backend claims a dtype or policy that
        does not exist.

    Examples
    --------
    >>> class Zeros(Backend):
    ...     name, in_process = "zeros", True
    ...     def run(self, case):
    ...         if case.op != "hash":
    ...             return {}
    ...         return {"rows": np.zeros((len(case.ids), len(case.seeds)), dtype=int)}
    >>> report = check(Zeros(), only="hash.rows")
    >>> report.ok, report.results[0].status
    (False, 'failed')
    """
    if not isinstance(backend, Backend):
        raise TypeError(f"`backend` must be a Backend, not {type(backend).__name__}.")
    if profile not in PROFILES:
        raise ValueError(f"`profile` must be one of {', '.join(map(repr, PROFILES))}, not {profile!r}.")
    if not limit > 0:
        raise ValueError(f"`limit` must be above 0, not {limit}.")
    _check_claims(backend)
    chosen = selected(only)
    expected = dict(expected_failures or {})
    known = {each.name for each in selected(None)}
    for name in (*expected, *backend.omits):
        if name not in known:
            raise ValueError(f"There is no check named {name!r}; `npbloom verify --list` names them.")
    report = Report(backend.name, str(backend.version), profile, seed)
    jobs = [
        (each, replace(PROFILES[profile], shrink=shrink and each.name not in expected))
        for each in chosen
        if each.name not in backend.omits
    ]
    with closing(_results(backend, jobs, seed, limit)) as results:
        for each in chosen:
            omitted = backend.omits.get(each.name)
            result = next(results) if omitted is None else CheckResult(each.name, "declined", message=omitted)
            result.law, result.sentence = each.law, each.sentence
            report.results.append(_as_expected(result, expected))
            if on_result is not None:
                on_result(result)
            if stop_on_failure and result.status == "failed":
                break
    return report


def _check_claims(backend: Backend) -> None:
    """Raise a ValueError for a dtype, accumulator or policy that does not exist."""
    if not backend.profile:
        raise ValueError("`profile` of the backend must name at least one dtype.")
    for dtype, claims in backend.profile.items():
        if set(claims) != {"forward", "backward"}:
            raise ValueError(f"`profile[{dtype!r}]` must name an accumulator for 'forward' and 'backward', not {claims!r}.")
        for name in (dtype, *claims.values()):
            if name not in ACCUMULATORS:
                raise ValueError(f"`profile` must name accumulators of {', '.join(ACCUMULATORS)}, not {name!r}.")
    for name, value in backend.policy.items():
        if name not in POLICIES:
            raise ValueError(f"`policy` must name some of {', '.join(POLICIES)}, not {name!r}.")
        if value not in POLICIES[name]:
            raise ValueError(f"`policy[{name!r}]` must be one of {', '.join(map(repr, POLICIES[name]))}, not {value!r}.")


def _results(backend: Backend, jobs: list[Job], seed: int, limit: float) -> Generator[CheckResult, None, None]:
    """Yield the result of each check, from a child process unless the backend has `in_process`."""

    def run(each: Check, budget: Budget, watch: Callable[[Case], None] | None = None) -> CheckResult:
        return run_check(backend, each, budget, seed, watch)

    if backend.in_process or not hasattr(os, "fork"):
        for each, budget in jobs:
            yield run(each, budget)
    else:
        yield from isolated(backend, jobs, run, limit)


def _as_expected(result: CheckResult, expected: dict[str, str]) -> CheckResult:
    """Return the result with its status adjusted for an expected failure."""
    reason = expected.get(result.name)
    if reason is not None and result.status == "failed":
        result.status, result.message = "xfailed", f"expected: {reason}; {result.message}"
    elif reason is not None and result.status == "passed":
        result.status, result.message = "xpassed", f"expected: {reason}, but it passed"
    return result
