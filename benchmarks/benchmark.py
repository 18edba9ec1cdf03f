"""
The classes of a benchmark, its cases and its targets.

`benchmarks/topics` lists the benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.measuring import Settings
from benchmarks.results import Case, Result


@dataclass(frozen=True)
class Measured:
    """Result of a benchmark's run: the sizes it used, and its cases."""

    sizes: dict[str, Any]
    cases: list[Case]


@dataclass(frozen=True)
class Target:
    """
    A figure that was asked for: work, opponent, wanted figure, measured figure, and if it is held.
    """

    work: str
    against: str
    wanted: str
    measured: str
    held: bool


@dataclass(frozen=True)
class Benchmark:
    """A topic: the functions that measure it and show it."""

    name: str
    title: str
    measures: str  # a sentence or two under the title about what is timed
    run: Callable[[Settings], Measured]
    tables: Callable[[Result], str]  # Markdown
    targets: Callable[[Result], list[Target]]


def at_least(work: str, against: str, factor: float, measured: float) -> Target:
    """Return a target of the kind "so many times as fast as the opponent"."""
    return Target(work, against, f"at least {factor:g}x", f"{measured:.2f}x", measured >= factor)


def at_most(work: str, against: str, limit: float, measured: float, unit: str = "x") -> Target:
    """Return a target of the kind "at most so many times as long" or "at most so many seconds"."""
    gap = "" if unit == "x" else " "
    return Target(work, against, f"at most {limit:g}{gap}{unit}", f"{measured:.2f}{gap}{unit}", measured <= limit)
