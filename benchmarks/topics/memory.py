"""Peak memory of a training step beyond table, state and the batch itself."""

from __future__ import annotations

from benchmarks import huge_pages, programs
from benchmarks.benchmark import Benchmark, Measured, Target
from benchmarks.measuring import Settings
from benchmarks.report import tables
from benchmarks.results import Case, Result
from benchmarks.topics import steps

CONTENDERS = {
    "npbloom": steps.OPTIMIZERS,
    "fbgemm": ("sgd", "adagrad", "rowwise_adagrad"),
    "torch": ("sgd", "adagrad", "adam"),
    "torch_dense": ("sgd", "adagrad", "adam"),
}


def run(settings: Settings) -> Measured:
    """Measure in a process for each contender, optimizer and round."""
    sized, number = steps.sizes(settings), max(settings.threads)
    words = [str(value) for value in (sized["ids"], sized["ids a batch"], number)]
    cases = []
    for optimizer in steps.OPTIMIZERS:
        samples: dict[str, list[float]] = {}
        for _ in range(1 if settings.quick else 2):
            for name, offered in CONTENDERS.items():
                if optimizer in offered and (settings.fbgemm or name != "fbgemm"):
                    found = programs.run("-m", "benchmarks.programs.memory_step", name, optimizer, *words)
                    huge_pages.note(found["pages"])
                    samples.setdefault(name, []).append(found["peak"])
        cases.append(Case({"optimizer": optimizer, "threads": number}, samples, {"table": found["table"]}))
    return Measured({**sized, "id distribution": "uniform", "threads": number}, cases)


def show(result: Result) -> str:
    """Return a table with a row an optimizer."""
    names = [name for name in CONTENDERS if any(name in case.samples for case in result.cases)]
    rows = [
        [tables.name(case.labels["optimizer"]), tables.megabytes(case.facts["table"])]
        + [tables.megabytes(case.median(name)) if name in case.samples else "" for name in names]
        for case in result.cases
    ]
    return tables.markdown(["optimizer", "table", *(tables.name(name) for name in names)], rows)


def targets(result: Result) -> list[Target]:
    """Return no target: no figure was asked for."""
    return []


BENCHMARK = Benchmark(
    name="memory",
    title="Memory of a step",
    measures=(
        "How much the resident memory of a process grows at most during a step: the output, and whatever is made on the way. "
        "Table, state, ids and gradients are there before. The same for all: the kernel's record of the peak, reset before the "
        "step, in a process of its own ([memory_step.py](programs/memory_step.py))."
    ),
    run=run,
    tables=show,
    targets=targets,
)
