"""The list of checks: each has a name, one sentence of what it asserts, and the law it stands for."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

from npbloom.conformance.runner.check_run import CheckRun
from npbloom.conformance.runner.run_check import Check

CHECKS: dict[str, Check] = {}


def register(name: str, law: str, sentence: str, keys: tuple[str, ...] = ("out",)) -> Callable[..., Callable[[CheckRun], None]]:
    """Enter a function into the list; its operation is the first part of the name."""

    def enter(run: Callable[[CheckRun], None]) -> Callable[[CheckRun], None]:
        if name in CHECKS:
            raise ValueError(f"A check named {name!r} exists already.")
        CHECKS[name] = Check(name, law, sentence, name.partition(".")[0], keys, run)
        return run

    return enter


def selected(only: str | None) -> list[Check]:
    """The checks whose names match a pattern like ``bag.*``, several separated by commas; all without one."""
    patterns = [part.strip() for part in only.split(",")] if only else ["*"]
    found = [check for check in CHECKS.values() if any(fnmatchcase(check.name, pattern) for pattern in patterns)]
    if not found:
        raise ValueError(f"`only` must match at least one check, not {only!r}; `npbloom verify --list` names them.")
    return found
