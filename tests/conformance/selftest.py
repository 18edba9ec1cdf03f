"""
The selftest of the kit: it must find every seeded fault and pass everything right.

``python check.py selftest`` runs all of it. ``python -m tests.conformance.selftest --matrix``
prints the table of docs/kill-matrix.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from npbloom.conformance._check import PROFILES, check
from npbloom.conformance.cases.backend import Backend
from npbloom.conformance.checks.registry import CHECKS
from npbloom.conformance.runner.run_check import Check, run_check
from tests.conformance.mutants import MUTANTS, NULL_BACKENDS, VARIANTS, Mutant

FAST_SHARE = 0.95  # least share of faults that the fast profile finds; the full one finds all
LIMIT = 2.0  # seconds until a null backend counts as hung
BROKEN = "the check itself broke"  # not a find


@dataclass
class MutantResult:
    """The profile and the checks that found one mutant."""

    mutant: Mutant
    profile: str = ""  # the profile that found it; empty if it survived
    killers: list[str] = field(default_factory=list)  # the first find, or for a matrix all of them


@dataclass
class SelfTest:
    """
    Results of the selftest.

    Attributes
    ----------
    results : list of MutantResult
        One for each mutant of the catalogue.
    idle : list of str
        Checks that found no fault.
    nulls : list of str
        Null backends that were `ok`, which is wrong.
    wrong : list of str
        Right variants that failed, each with the check and its message.
    seconds : float
        Wall-clock time.
    """

    results: list[MutantResult]
    idle: list[str]
    nulls: list[str]
    wrong: list[str]
    seconds: float

    @property
    def share(self) -> float:
        """Share of the catalogue that the fast profile finds."""
        return sum(result.profile == "fast" for result in self.results) / max(1, len(self.results))

    @property
    def ok(self) -> bool:
        """True if all gates hold."""
        survivors = any(not result.profile for result in self.results)
        return self.share >= FAST_SHARE and not survivors and not self.idle and not self.nulls and not self.wrong

    def __str__(self) -> str:
        """Return a summary, and every gate that does not hold."""
        found = sum(bool(result.profile) for result in self.results)
        lines = [
            f"{len(self.results)} seeded faults: the fast profile finds {self.share:.1%}, both {found / len(self.results):.1%}",
            f"{len(CHECKS)} checks, {len(self.idle)} of which find none",
            f"{len(NULL_BACKENDS)} null backends, {len(self.nulls)} of which are ok",
            f"{len(VARIANTS)} right variants, {len(self.wrong)} failures among them",
        ]
        lines += [f"survives: {result.mutant.name}: {result.mutant.sentence}" for result in self.results if not result.profile]
        lines += [f"finds nothing: {name}" for name in self.idle]
        lines += [f"ok, and must not be: {name}" for name in self.nulls]
        lines += [f"right, and failed: {text}" for text in self.wrong]
        return "\n".join([*lines, f"{'ok' if self.ok else 'NOT OK'} in {self.seconds:.0f} s"])

    def to_markdown(self) -> str:
        """Return a table of the faults: each with its origin and the checks that found it."""
        lines = ["| fault | what is wrong | origin | found in | by |", "|---|---|---|---|---|"]
        for result in self.results:
            mutant = result.mutant
            by = ", ".join(f"`{name}`" for name in result.killers)
            lines.append(f"| {mutant.name} | {mutant.sentence} | {mutant.origin} | {result.profile or 'survives'} | {by} |")
        return "\n".join(lines) + "\n"


def finds(each: Check, mutant: Backend, profile: str) -> bool:
    """Return true if a check finds a fault, without a search for the smallest case."""
    result = run_check(mutant, each, replace(PROFILES[profile], shrink=False), seed=0)
    return result.status == "failed" and not result.message.startswith(BROKEN)


def silent_checks(mutant: Mutant, names: Iterable[str] | None = None) -> list[str]:
    """Return the checks that do not find the fault, of these or of all that it names."""
    asked = mutant.caught_by if names is None else names
    return [name for name in asked if not any(finds(CHECKS[name], mutant, profile) for profile in ("fast", "full"))]


def likely(mutant: Mutant) -> list[Check]:
    """Return the checks of a fault's operations; those that must find it come first."""
    rest = [name for name in CHECKS if name not in mutant.caught_by and CHECKS[name].op in mutant.ops]
    return [CHECKS[name] for name in (*mutant.caught_by, *rest)]


def result_of(mutant: Mutant, matrix: bool) -> MutantResult:
    """Run check after check, until the first find or, for a matrix, to the end."""
    for profile in ("fast", "full"):
        killers: list[str] = []
        for each in likely(mutant):
            if finds(each, mutant, profile):
                killers.append(each.name)
                if not matrix:
                    break
        if killers:
            return MutantResult(mutant, profile, killers)
    return MutantResult(mutant)


def idle_checks(results: Iterable[MutantResult]) -> list[str]:
    """Return the checks that find no fault, not even one that names them."""
    busy = {name for result in results for name in result.killers}
    idle = []
    for name, each in CHECKS.items():
        if name in busy:
            continue
        claimed = [mutant for mutant in MUTANTS if name in mutant.caught_by]
        if not any(finds(each, mutant, profile) for profile in ("fast", "full") for mutant in claimed):
            idle.append(name)
    return idle


def ok_nulls() -> list[str]:
    """Return the names of the null backends that the kit calls ok."""
    reports = ((backend, check(backend, stop_on_failure=True, shrink=False, limit=LIMIT)) for backend in NULL_BACKENDS)
    return [backend.name for backend, report in reports if report.ok]


def failing_variants(
    variants: Iterable[Backend] = VARIANTS,
    checks: Iterable[Check] | None = None,
    drawn: int = 5,
    exhaustive: bool = False,
    seed: int = 0,
) -> list[str]:
    """
    Return the failures of right backends, each with its check and message.

    All checks run if none are given. The exhaustive small cases run on demand only.
    """
    budget = replace(PROFILES["fast"], drawn=drawn, exhaustive=exhaustive, shrink=False)
    asked = list(CHECKS.values() if checks is None else checks)
    failures = []
    for backend in variants:
        for each in asked:
            if each.name in backend.omits:
                continue
            result = run_check(backend, each, budget, seed)
            if result.status == "failed":
                failures.append(f"{backend.name}: {each.name}: {result.message}")
    return failures


def selftest(matrix: bool = False) -> SelfTest:
    """
    Run the selftest of the kit.

    Parameters
    ----------
    matrix : bool, default False
        Run every check of its operations on each mutant, instead of stopping at the first find.

    Returns
    -------
    SelfTest
        ``ok``, a summary as text, and ``to_markdown()``.
    """
    start = time.perf_counter()
    results = [result_of(mutant, matrix) for mutant in MUTANTS]
    return SelfTest(results, idle_checks(results), ok_nulls(), failing_variants(), time.perf_counter() - start)


def main(argv: list[str] | None = None) -> int:
    """Run the selftest and return the exit status: 0 if all gates hold, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.selftest", description="Does the kit find seeded faults?")
    parser.add_argument("--matrix", action="store_true", help="a table of which check finds which fault (default: a summary)")
    matrix = parser.parse_args(argv).matrix
    result = selftest(matrix)
    print(result.to_markdown() if matrix else result)
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
