"""Time of an import, and of a first training step, each in an interpreter of its own."""

from __future__ import annotations

import tempfile

from benchmarks import huge_pages, programs
from benchmarks.benchmark import Benchmark, Measured, Target, at_most
from benchmarks.measuring import Settings, order
from benchmarks.report import tables
from benchmarks.results import Case, Result, median, quartiles

IMPORTS = {"npbloom": ("npbloom",), "numba and numpy": ("numba", "numpy")}
CACHES = {"warm": 0.3, "empty": 15.0}
PARTS = ("import", "build", "step")
FRESH_ROUNDS = 3


def imports(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of both imports, taking turns."""
    samples: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for turn in range(-1, rounds):  # the first turn warms the disk's cache
        for name in order(list(IMPORTS), turn):
            value = programs.run("-m", "benchmarks.programs.import_time", *IMPORTS[name])
            if turn >= 0:
                samples[name].append(value)
    return samples


def first_steps(rounds: int, fresh_rounds: int, number: int) -> dict[str, dict[str, list[float]]]:
    """
    Return the seconds of each part, with Numba's cache filled by a run before, and with an empty
    one.
    """
    samples: dict[str, dict[str, list[float]]] = {cache: {part: [] for part in PARTS} for cache in CACHES}

    def measure(cache: str, folder: str) -> None:
        words = ("-m", "benchmarks.programs.first_step")
        found = programs.run(*words, NUMBA_CACHE_DIR=folder, NPBLOOM_NUM_THREADS=str(number))
        huge_pages.note(found["pages"])
        for part, value in found["parts"].items():
            samples[cache][part].append(value)

    for _ in range(fresh_rounds):
        with tempfile.TemporaryDirectory() as folder:
            measure("empty", folder)
            for _ in range(-(-rounds // fresh_rounds)):
                measure("warm", folder)
    return samples


def run(settings: Settings) -> Measured:
    """Measure imports, then first steps."""
    number = max(settings.threads)
    rounds = settings.rounds_or(15)
    cases = [Case({"what": "import", "threads": number}, imports(rounds))]
    for cache, samples in first_steps(rounds, 1 if settings.quick else FRESH_ROUNDS, number).items():
        cases.append(Case({"what": "first step", "cache": cache, "threads": number}, samples))
    return Measured({"ids": 100_000, "d": 64, "ids a step": 4_096, "optimizer": "Adagrad", "threads": number}, cases)


def more(case: Case) -> float:
    """
    Return the seconds by which the import exceeds that of numba and numpy: the median of the
    rounds' differences.
    """
    ours, theirs = (case.samples[name] for name in IMPORTS)
    return median([a - b for a, b in zip(ours, theirs, strict=True)])


def until_trained(case: Case) -> list[float]:
    """Return the seconds from the end of the import to the end of the first step."""
    return [build + step for build, step in zip(case.samples["build"], case.samples["step"], strict=True)]


def show(result: Result) -> str:
    """Return two tables."""
    case = result.one(what="import")
    rows = [[name, *(tables.seconds(value) for value in quartiles(case.samples[name]))] for name in IMPORTS]
    first = tables.markdown(["import of", "lower quartile", "median", "upper quartile"], rows)
    rows = [
        [
            str(case.labels["cache"]),
            *(tables.seconds(case.median(part)) for part in PARTS),
            tables.seconds(median(until_trained(case))),
        ]
        for case in result.all(what="first step")
    ]
    second = tables.markdown(["Numba's cache", "import", "layer and optimizer", "first step", "the last two"], rows)
    return f"{first}\nThe median of the rounds' differences is {more(case):.3f} s.\n\n{second}"


def targets(result: Result) -> list[Target]:
    """
    Return targets for the import beyond numba's, and for both first steps.

    Making layer and optimizer counts to the step.
    """
    found = [at_most("import npbloom", "import numba, numpy", 0.15, more(result.one(what="import")), "s more")]
    for cache, limit in CACHES.items():
        words = {"warm": "kernels in Numba's cache", "empty": "fresh install: empty cache"}[cache]
        found.append(
            at_most("layer, optimizer and first step", words, limit, median(until_trained(result.one(cache=cache))), "s")
        )
    return found


BENCHMARK = Benchmark(
    name="startup",
    title="Import and first step",
    measures=(
        "Each sample is a process of its own. Imports are timed inside the process, without the interpreter's start, and take "
        "turns. The first step is that of a Bloom layer; a fresh install is an empty `NUMBA_CACHE_DIR`."
    ),
    run=run,
    tables=show,
    targets=targets,
)
