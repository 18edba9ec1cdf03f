"""The kit as a pytest suite: one test for each check and backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from npbloom.conformance._check import PROFILES
from npbloom.conformance._check import check as run
from npbloom.conformance.cases.backend import Backend
from npbloom.conformance.checks.registry import selected
from npbloom.conformance.report.report import CheckResult
from npbloom.conformance.runner.run_check import Check

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def parametrize(
    backends: Iterable[Backend],
    expected_failures: Mapping[str, str] | None = None,
    *,
    profile: str = "fast",
    seed: int = 0,
    only: str | None = None,
) -> Decorator:
    """
    Make a pytest function run every check on every backend.

    Its argument ``check`` is a function without arguments.

    Parameters
    ----------
    backends : iterable of Backend
        The implementations under test.
    expected_failures : dict of str to str, optional
        Names of checks that are known to fail, each with the reason. Those tests are expected
        failures, and fail if the check passes. ``bag.sum`` names the check of every backend,
        ``torch-cpu-bag.sum`` that of the backend `torch-cpu`.
    profile : {"fast", "full", "nightly"}
        As in `check`.
    seed : int, default 0
        As in `check`.
    only : str, optional
        As in `check`.

    Returns
    -------
    callable
        A decorator: ``pytest.mark.parametrize`` with one test for each check, with ids like
        ``torch-cpu-bag.sum``.

    Raises
    ------
    TypeError, ValueError
        A backend is no Backend, two have the same name, or `expected_failures`, `profile` or `only`
        names something that does not exist.

    Notes
    -----
    A check that a backend declines is skipped, with the reason. If the backend declines all of
    them, the tests fail, since a run that checked nothing must not pass. Pytest is imported when
    this function is called.

    Examples
    --------
    >>> class Nothing(Backend):
    ...     name = "nothing"
    >>> @parametrize([Nothing()], expected_failures={"hash.rows": "not written yet"}, only="hash.*")
    ... def test_conformance(check):
    ...     check()
    >>> [parameter.id for parameter in test_conformance.pytestmark[0].args[1]]
    ['nothing-hash.rows', 'nothing-hash.negative_ids', 'nothing-hash.seeds', 'nothing-hash.padding']
    """
    import pytest

    if profile not in PROFILES:
        raise ValueError(f"`profile` must be one of {', '.join(map(repr, PROFILES))}, not {profile!r}.")
    tested = list(backends)
    for backend in tested:
        if not isinstance(backend, Backend):
            raise TypeError(f"`backends` must be Backend objects, not {backend!r}.")
    names = [backend.name for backend in tested]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"`backends` must have names of their own, not {name!r} twice.")
    checks = selected(only)
    expected = dict(expected_failures or {})
    _know(expected, names, [each.name for each in selected(None)])
    options = {"profile": profile, "seed": seed}
    tests = []
    for backend in tested:
        guard = DeclineGuard(backend, checks, options)
        for each in checks:
            name = f"{backend.name}-{each.name}"
            reason = expected.get(name, expected.get(each.name))
            tests.append(pytest.param(_Test(backend, each.name, reason, guard, options), id=name))
    return pytest.mark.parametrize("check", tests)


def _know(expected: Iterable[str], backends: Iterable[str], checks: Iterable[str]) -> None:
    """Raise a ValueError for an expected failure that names no test."""
    known = {*checks, *(f"{backend}-{check}" for backend in backends for check in checks)}
    for name in expected:
        if name not in known:
            raise ValueError(f"There is no check named {name!r}; `npbloom verify --list` names them.")


class DeclineGuard:
    """A guard against a backend that declines all checks; it runs them once, on demand."""

    def __init__(self, backend: Backend, checks: list[Check], options: dict[str, Any]) -> None:
        self._backend, self._checks, self._options = backend, checks, options
        self.seen: bool | None = None

    def answers(self) -> bool:
        """Return True if the backend answers a check: run checks until one is not declined."""
        if self.seen is None:
            self.seen = any(
                run(self._backend, only=each.name, shrink=False, **self._options).results[0].status != "declined"
                for each in self._checks
            )
        return self.seen


class _Test:
    """One check of one backend as a pytest test."""

    def __init__(self, backend: Backend, name: str, reason: str | None, guard: DeclineGuard, options: dict[str, Any]) -> None:
        self._backend, self._name, self._reason = backend, name, reason
        self._guard, self._options = guard, options

    def __call__(self) -> None:
        """Run the check and report its result to pytest."""
        import pytest

        expected = {self._name: self._reason} if self._reason is not None else None
        result = run(self._backend, only=self._name, expected_failures=expected, **self._options).results[0]
        if result.status != "declined":
            self._guard.seen = True
        if result.status == "passed":
            return
        if result.status == "xfailed":
            pytest.xfail(result.message)
        if result.status == "declined" and self._guard.answers():
            pytest.skip(f"{self._backend.name} {self._name}: {result.message}")
        pytest.fail(_sentences(self._backend, result), pytrace=False)

    def __repr__(self) -> str:
        return f"<check {self._name} of {self._backend.name}>"


def _sentences(backend: Backend, result: CheckResult) -> str:
    """Return the message of the fault and the program that shows it."""
    if result.status == "declined":
        return f"{backend.name} declines every check: nothing was asked. {result.name}: {result.message}"
    head = f"{backend.name} {result.name}: {result.status}: {result.message}"
    return f"{head}\n\n{result.snippet}" if result.snippet else head
