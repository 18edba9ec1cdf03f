"""The registry of checks: each has a name, a sentence that it asserts, and a law."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

from npbloom.conformance.runner.check_run import CheckRun
from npbloom.conformance.runner.run_check import Check

CHECKS: dict[str, Check] = {}


def register(name: str, law: str, sentence: str, keys: tuple[str, ...] = ("out",)) -> Callable[..., Callable[[CheckRun], None]]:
    """Register a function as a check; its operation is the first part of the name."""

    def enter(run: Callable[[CheckRun], None]) -> Callable[[CheckRun], None]:
        if name in CHECKS:
            raise ValueError(f"A check named {name!r} exists already.")
        CHECKS[name] = Check(name, law, sentence, name.partition(".")[0], keys, run)
        return run

    return enter


def selected(only: str | None) -> list[Check]:
    """
    Return the checks whose names match a pattern like ``bag.*``; all without a pattern.

    Commas separate several patterns.
    """
    patterns = [part.strip() for part in only.split(",")] if only else ["*"]
    found = [check for check in CHECKS.values() if any(fnmatchcase(check.name, pattern) for pattern in patterns)]
    if not found:
        raise ValueError(f"`only` must match at least one check, not {only!r}; `npbloom verify --list` names them.")
    return found
