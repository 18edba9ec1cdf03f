"""The forward alone, hashing included, against torch's and FBGEMM's forward of given rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks import ids as draws
from benchmarks.benchmark import Benchmark, Measured, Target, at_least
from benchmarks.contenders import peers, same_work
from benchmarks.measuring import Call, Settings, interleave, threads
from benchmarks.report import tables
from benchmarks.results import Case, Result
from benchmarks.topics import steps


def functions(weight: Any, rows: Any) -> dict[str, Call]:
    """Return torch's functions on npbloom's own array: the sum of rows, and of one row the copy."""
    found: dict[str, Call] = {"torch": lambda: torch.nn.functional.embedding_bag(rows, weight, mode="sum")}
    if rows.shape[1] == 1:
        flat = rows[:, 0]
        found["torch_embedding"] = lambda: torch.nn.functional.embedding(flat, weight)
    return found


def run(settings: Settings) -> Measured:
    """Measure both ways to find four probes, and one probe, on both kinds of ids."""
    sized, cases = steps.sizes(settings), []
    hashed, _ = steps.problem("uniform", sized)
    table = hashed.hash_rows(np.arange(hashed.num_embeddings))
    ways = {("computed before", sized["k"]): {"hash_table": table}, ("on the fly", sized["k"]): {}, ("on the fly", 1): {}}
    for kind in draws.KINDS:
        for (way, probes), options in ways.items():
            layer, batch = steps.problem(kind, {**sized, "k": probes}, **options)
            found = peers.contenders(layer, "sgd", [batch], fbgemm=settings.fbgemm)
            same_work.check(found)
            calls: dict[str, Call] = {table.name: table.forward for table in found if table.name != "torch"}
            calls |= functions(torch.from_numpy(layer.weight), torch.from_numpy(batch.rows))
            for count in settings.threads:
                with threads(count):
                    samples = interleave(calls, settings.rounds_or(31))
                labels = {"ids": kind, "k": probes, "hashes": way, "threads": count}
                cases.append(Case(labels, samples, {"touched rows": len(batch.touched)}))
    sized["k"] = [sized["k"], 1]
    return Measured({**sized, "id distributions": [draws.WORDS[kind] for kind in draws.KINDS]}, cases)


def show(result: Result) -> str:
    """Return one table."""
    labels = {"ids": "ids", "k": "k", "hashes": "hashes", "threads": "threads"}
    return tables.comparison(result.cases, labels, ("torch", "torch_embedding", "fbgemm"))


def targets(result: Result) -> list[Target]:
    """
    Return targets against torch, with hashing as layers do by default, at the largest number of
    threads.
    """
    words = "torch embedding_bag, rows given"
    return [
        at_least(f"forward, k = {case.labels['k']}, {case.labels['ids']} ids", words, 1.0, case.ratio("torch"))
        for case in result.all(hashes="on the fly", threads=result.threads)
    ]


BENCHMARK = Benchmark(
    name="forward",
    title="Forward, hashing included",
    measures=(
        "npbloom finds the rows by hashing each id, as layers do by default, or in a table of them (`hash_table`); "
        "`torch.nn.functional.embedding_bag` and FBGEMM's module are given them. torch reads npbloom's own array. "
        "With k = 1 `embedding_bag` sums one row, and `embedding` copies it."
    ),
    run=run,
    tables=show,
    targets=targets,
)
