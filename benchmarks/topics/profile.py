"""Time of a step by phase: a clock around every kernel, in the caller's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from benchmarks import ids as draws
from benchmarks.benchmark import Benchmark, Measured, Target
from benchmarks.contenders.ours import Ours
from benchmarks.measuring import Settings, interleave, threads
from benchmarks.report import tables
from benchmarks.results import Case, Result, median
from benchmarks.topics import steps
from npbloom._kernels import hashing, lookup, optim, pairs

PHASES: dict[str, tuple[tuple[Any, str], ...]] = {
    "check and hash, twice": ((hashing, "first_outside_range"), (hashing, "hash_rows_range")),
    "forward's sums": ((lookup, "bloom_sum_range"),),
    "split into buckets": ((pairs, "histogram_range"), (pairs, "partition_range")),
    "sort": ((pairs, "sort_buckets_range"),),
    "sum and step": tuple((optim, f"{name}_range") for name in steps.OPTIMIZERS),
}


@contextmanager
def clocks() -> Iterator[dict[str, float]]:
    """Yield the seconds that the kernels of each phase take within the block."""
    spent = dict.fromkeys(PHASES, 0.0)

    def clocked(kernel: Callable[..., Any], phase: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            begin = time.perf_counter()
            result = kernel(*arguments)
            spent[phase] += time.perf_counter() - begin
            return result

        return call

    with ExitStack() as stack:
        for phase, kernels in PHASES.items():
            for module, name in kernels:
                stack.enter_context(mock.patch.object(module, name, clocked(getattr(module, name), phase)))
        yield spent


def run(settings: Settings) -> Measured:
    """
    Measure every optimizer on both kinds of ids, on one thread.

    Two threads would share the clock.
    """
    sized, cases = steps.sizes(settings), []
    for kind in draws.KINDS:
        for optimizer in steps.OPTIMIZERS:
            layer, batch = steps.problem(kind, sized)
            ours = Ours(layer, optimizer, [batch])
            samples: dict[str, list[float]] = {phase: [] for phase in PHASES}
            with threads(1):
                whole = interleave({"npbloom": ours.step}, settings.rounds_or(15))["npbloom"]
                for _ in whole:
                    with clocks() as spent:
                        ours.step()
                    for phase, seconds in spent.items():
                        samples[phase].append(seconds)
            cases.append(Case({"ids": kind, "optimizer": optimizer, "threads": 1}, {"npbloom": whole, **samples}))
    return Measured({**sized, "id distributions": [draws.WORDS[kind] for kind in draws.KINDS]}, cases)


def show(result: Result) -> str:
    """Return a table with a row a step."""
    rows = []
    for case in result.cases:
        phases = [median(case.samples[phase]) for phase in PHASES]
        rest = max(case.median() - sum(phases), 0.0)
        words = [tables.name(case.labels[label]) for label in ("ids", "optimizer")]
        rows.append([*words, *(tables.seconds(each) for each in (*phases, rest, case.median()))])
    return tables.markdown(["ids", "optimizer", *PHASES, "all else", "step"], rows, words=2)


def targets(result: Result) -> list[Target]:
    """Return no target: this benchmark explains."""
    return []


BENCHMARK = Benchmark(
    name="profile",
    title="Where the time of a step goes",
    measures=(
        "Time in the kernels of a step on one thread, a clock around each. What is left is Python, allocation, and whatever a "
        "step without clocks spent more or less in its kernels."
    ),
    run=run,
    tables=show,
    targets=targets,
)
