"""Other dimensions, numbers of probes, dtypes and threads. There must be no cliff."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import npbloom as nb
from benchmarks import ids as draws
from benchmarks.benchmark import Benchmark, Measured, Target
from benchmarks.contenders import peers, same_work
from benchmarks.contenders.table import Batch
from benchmarks.measuring import Settings, interleave, threads
from benchmarks.report import tables
from benchmarks.results import OURS, Case, Result

DIMS, PROBES = (16, 33, 64, 128, 256), (1, 2, 3, 4, 8)
DTYPES = {"float32": np.float32, "float64": np.float64}
WORKS = ("forward", "Adagrad step")


def problems(dim: int, dtype: str, num_rows: int, count: int) -> Iterator[tuple[int, Any, Batch]]:
    """Yield a layer and a batch for each number of probes, all on one table."""
    rng = np.random.default_rng(dim)
    weight = rng.standard_normal((num_rows, dim), dtype=DTYPES[dtype]) / DTYPES[dtype](dim)
    weight[0] = 0
    grad_out = rng.standard_normal((count, dim), dtype=DTYPES[dtype])
    for probes in PROBES:
        layer = nb.BloomEmbedding(5 * num_rows, dim, num_rows=num_rows, num_hash_functions=probes, weight=weight)
        ids, rows = draws.draw_for(layer, "uniform", count, rng)
        yield probes, layer, Batch(ids, grad_out, rows)


def run(settings: Settings) -> Measured:
    """Measure every combination, against torch."""
    num_rows, count = (2_000, 512) if settings.quick else (100_000, 16_384)
    cases = []
    for dtype in DTYPES:
        for dim in DIMS:
            for probes, layer, batch in problems(dim, dtype, num_rows, count):
                found = peers.contenders(layer, "adagrad", [batch], fbgemm=False)
                same_work.check(found)
                for number in settings.threads:
                    for work in WORKS:
                        calls = {table.name: table.forward if work == "forward" else table.step for table in found}
                        with threads(number):
                            samples = interleave(calls, settings.rounds_or(5))
                        labels = {"work": work, "dtype": dtype, "d": dim, "k": probes, "threads": number}
                        cases.append(Case(labels, samples, {"touched rows": len(batch.touched)}))
    sized = {"ids a batch": count, "rows": num_rows, "d": list(DIMS), "k": list(PROBES), "id distribution": "uniform"}
    return Measured(sized, cases)


def per_value(result: Result, case: Case, contender: str = OURS) -> float:
    """Return nanoseconds for each id, probe and column."""
    values = result.sizes["ids a batch"] * int(case.labels["k"]) * int(case.labels["d"])
    return case.median(contender) / values * 1e9


def show(result: Result) -> str:
    """
    Return grids of npbloom's nanoseconds at the largest number of threads, with the ratio to torch
    in brackets.
    """
    text = []
    for work in WORKS:
        for dtype in DTYPES:
            rows = []
            for dim in DIMS:
                found = [result.one(work=work, dtype=dtype, d=dim, k=k, threads=result.threads) for k in PROBES]
                rows.append(
                    [str(dim), *(f"{per_value(result, case):.2f} ({tables.times(case.ratio('torch'))})" for case in found)]
                )
            header = [f"{work}, {dtype}: d", *(f"k = {probes}" for probes in PROBES)]
            text.append(tables.markdown(header, rows))
    return "\n".join(text) + "\n" + _worst(result)


def _worst(result: Result) -> str:
    """Return the least favourable cell of each kind of work."""
    lines = []
    for work in WORKS:
        case = min(result.all(work=work), key=lambda each: each.ratio("torch"))
        labels = ", ".join(f"{name} {value}" for name, value in case.labels.items() if name != "work")
        lines.append(f"{work}: least ahead of torch with {labels}, {tables.times(case.ratio('torch'))}.")
    return "\n".join(lines) + "\n"


def targets(result: Result) -> list[Target]:
    """Return the one target: no step is slower than torch's. No other figure was asked for."""
    case = min(result.all(work="Adagrad step"), key=lambda each: each.ratio("torch"))
    worst = case.ratio("torch")
    where = (
        f"worst of d, k, dtype, threads: {case.labels['d']}, {case.labels['k']}, {case.labels['dtype']}, {case.labels['threads']}"
    )
    return [Target(f"step, Adagrad, {where}", "torch, sparse, the same sizes", "no cliff", f"{worst:.2f}x", worst >= 1)]


BENCHMARK = Benchmark(
    name="sweep",
    title="Other sizes",
    measures=(
        "Nanoseconds for each id, probe and column: of npbloom, and in brackets how many times as long torch takes, which is "
        "given the rows."
    ),
    run=run,
    tables=show,
    targets=targets,
)
