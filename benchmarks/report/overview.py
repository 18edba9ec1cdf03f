"""
The page for users: a dozen lines, how far npbloom is ahead or behind in each, and the worst cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import machine
from benchmarks.benchmark import Target
from benchmarks.report import tables
from benchmarks.results import OURS, Case, Result, median
from benchmarks.topics import BENCHMARKS, startup, table_size

PEERS = ("torch", "torch_module", "torch_embedding", "fbgemm", "sklearn", "scipy", "spotlight")

Results = Mapping[str, Result]
Machines = Mapping[str, Results]


@dataclass(frozen=True)
class Line:
    """A kind of work against a peer: all cases of a benchmark that have these labels."""

    work: str
    peer: str
    benchmark: str
    labels: dict[str, str | int]

    def ratios(self, results: Results) -> list[float]:
        """
        Return the peer's time over npbloom's in every cell.

        Cells differ in the kind of ids and the number of threads.
        """
        found = results[self.benchmark].all(**self.labels) if self.benchmark in results else []
        return [case.ratio(self.peer) for case in found if self.peer in case.samples]


HASHED: dict[str, str | int] = {"hashes": "on the fly"}
LINES = (
    Line("step, SGD", "fbgemm", "steps", {"optimizer": "sgd"}),
    Line("step, SGD", "torch", "steps", {"optimizer": "sgd"}),
    Line("step, Adagrad", "fbgemm", "steps", {"optimizer": "adagrad"}),
    Line("step, Adagrad", "torch", "steps", {"optimizer": "adagrad"}),
    Line("step, row-wise Adagrad", "fbgemm", "steps", {"optimizer": "rowwise_adagrad"}),
    Line("step, Adam", "torch", "steps", {"optimizer": "adam"}),
    Line("forward, four probes", "fbgemm", "forward", {**HASHED, "k": 4}),
    Line("forward, four probes", "torch", "forward", {**HASHED, "k": 4}),
    Line("forward, one probe", "torch", "forward", {**HASHED, "k": 1}),
    Line("forward, bags of ids", "torch", "bags", {"work": "forward"}),
    Line("forward, 32 ids, four probes", "torch", "small_batches", {"work": "forward", "batch": 32, "layer": "bloom"}),
    Line("forward, 32 ids, plain", "torch", "small_batches", {"work": "forward", "batch": 32, "layer": "plain"}),
    Line("epoch of a recommender, Bloom", "spotlight", "recommender", {"layers": "bloom"}),
)


def measured(machines: Machines) -> list[Line]:
    """Return the lines that some machine has."""
    return [line for line in LINES if any(line.ratios(results) for results in machines.values())]


def headings(machines: Machines) -> list[str]:
    """
    Return each machine's processor and instruction set, and the folder's name if two are alike.
    """
    found = [machine.words(next(iter(results.values())).machine) for results in machines.values()]
    return [words if found.count(words) == 1 else f"{words}: {name}" for words, name in zip(found, machines, strict=True)]


def span(values: list[float]) -> str:
    """Return the least and the largest ratio, the least in bold if the peer is faster there."""
    if not values:
        return ""
    low, high = (tables.times(value) for value in (min(values), max(values)))
    return f"{f'**{low}**' if min(values) < 1 else low} to {high}"


def lines(machines: Machines) -> str:
    """Return the table of lines, a column for each machine."""
    rows = [
        [line.work, tables.name(line.peer), *(span(line.ratios(results)) for results in machines.values())]
        for line in measured(machines)
    ]
    return tables.markdown(["work", "beside", *headings(machines)], rows, 2)


def _growth(results: Results, kind: str) -> str:
    """Return how many times as long a step takes on the highest table as on the lowest."""
    if "table_size" not in results:
        return ""
    result = results["table_size"]
    heights = [int(value) for value in result.values("rows")]
    low, high = (result.one(layer=kind, rows=height, threads=result.threads) for height in (min(heights), max(heights)))
    return f"{tables.times(median(table_size.growth(low, high)))}"


def _first_step(results: Results, cache: str) -> str:
    """Return the seconds from the end of the import to the end of a first step."""
    return tables.seconds(median(startup.until_trained(results["startup"].one(cache=cache)))) if "startup" in results else ""


def alone(machines: Machines) -> str:
    """Return the table of figures that have no peer."""
    every = list(machines.values())
    rows = [
        ["step on 10,000,000 rows in times of one on 100,000, plain", *(_growth(results, "plain") for results in every)],
        ["the same, Bloom", *(_growth(results, "bloom") for results in every)],
        ["first step of a process, kernels compiled before", *(_first_step(results, "warm") for results in every)],
        ["first step after the installation", *(_first_step(results, "empty") for results in every)],
    ]
    return tables.markdown(["npbloom alone", *headings(machines)], rows)


def cells(results: Results) -> list[tuple[float, str, str, Case]]:
    """Return ratio, benchmark, peer and case of every cell with a peer, the least ratio first."""
    found = [
        (case.ratio(peer), name, peer, case)
        for name in BENCHMARKS
        if name in results and name != "memory"
        for case in results[name].cases
        for peer in PEERS
        if peer in case.samples and OURS in case.samples
    ]
    return sorted(found, key=lambda cell: cell[0])


def _case(name: str, case: Case) -> str:
    """Return a case in words: the benchmark, then its labels."""
    labels = ", ".join(f"{label} {tables.name(value)}" for label, value in case.labels.items() if label != "work")
    return f"{case.labels.get('work', name)}: {labels}"


def worst(results: Results) -> str:
    """Return in how many cells a peer is faster, and the worst cell of each table that has such."""
    found = cells(results)
    behind = [cell for cell in found if cell[0] < 1]
    first = {name: cell for cell in reversed(behind) for name in [cell[1]]}  # the least ratio comes last and stays
    rows = [
        [BENCHMARKS[name].title, _case(name, case), tables.name(peer), tables.times(ratio)]
        for ratio, name, peer, case in sorted(first.values(), key=lambda cell: cell[0])
    ]
    text = f"A peer is faster in {len(behind)} of {len(found)} cells. The worst of each table:\n\n"
    return text + tables.markdown(["table", "case", "beside", "its time / npbloom's"], rows, 3)


def wanted(results: Results) -> list[Target]:
    """Return all targets, in the order of the benchmarks."""
    return [target for name, benchmark in BENCHMARKS.items() if name in results for target in benchmark.targets(results[name])]


def page(machines: Machines) -> str:
    """Return the text between the markers of README.md."""
    if not machines:
        return "Nothing has been measured yet.\n"
    parts = [
        "![The peers' time in times of npbloom's, a line for each kind of work](results/overview.png)\n",
        "A peer's time in times of npbloom's, least and largest of all cells: uniform and zipf ids, all numbers of threads. "
        "Bold: the peer is faster.\n",
        lines(machines),
        alone(machines),
        "## The worst cells\n",
    ]
    for heading, results in zip(headings(machines), machines.values(), strict=True):
        targets = wanted(results)
        held = f"{sum(each.held for each in targets)} of {len(targets)} [targets](details.md) are held."
        parts += [f"{heading}. {worst(results)}", held + "\n"]
    return "\n".join(parts)
