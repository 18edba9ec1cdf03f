"""The classes of a benchmark, its cases and its targets; `benchmarks/topics` lists the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.measuring import Settings
from benchmarks.results import Case, Result


@dataclass(frozen=True)
class Measured:
    """What a benchmark hands back: the sizes it used, and its cases."""

    sizes: dict[str, Any]
    cases: list[Case]


@dataclass(frozen=True)
class Target:
    """One figure that was asked for: work, against what, the figure, what was measured, and whether it is enough."""

    work: str
    against: str
    wanted: str
    measured: str
    held: bool


@dataclass(frozen=True)
class Benchmark:
    """A topic: how to measure it and how to show it."""

    name: str
    title: str
    measures: str  # a sentence or two under the title: what is timed, what is not
    run: Callable[[Settings], Measured]
    tables: Callable[[Result], str]  # Markdown
    targets: Callable[[Result], list[Target]]


def at_least(work: str, against: str, factor: float, measured: float) -> Target:
    """A target of the kind: so many times as fast as somebody."""
    return Target(work, against, f"at least {factor:g}x", f"{measured:.2f}x", measured >= factor)


def at_most(work: str, against: str, limit: float, measured: float, unit: str = "x") -> Target:
    """A target of the kind: no more than so many times as long, or so many seconds."""
    gap = "" if unit == "x" else " "
    return Target(work, against, f"at most {limit:g}{gap}{unit}", f"{measured:.2f}{gap}{unit}", measured <= limit)
