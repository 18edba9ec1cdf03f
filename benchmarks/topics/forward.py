"""The forward alone, hashing included, against torch's and FBGEMM's forward of given rows."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import ids as draws
from benchmarks.benchmark import Benchmark, Measured, Target, at_least
from benchmarks.contenders import peers, same_work
from benchmarks.measuring import Settings, interleave, threads
from benchmarks.report import tables
from benchmarks.results import Case, Result
from benchmarks.topics import steps


def run(settings: Settings) -> Measured:
    """Measure both ways to find the probes, on both kinds of ids."""
    sized, cases = steps.sizes(settings), []
    for kind in draws.KINDS:
        hashed, _ = steps.problem(kind, sized)
        rows = hashed.hash_rows(np.arange(hashed.num_embeddings))
        for way, table in {"computed before": rows, "on the fly": None}.items():
            layer, batch = steps.problem(kind, sized, hash_table=table)
            found = peers.contenders(layer, "sgd", [batch], fbgemm=settings.fbgemm)
            same_work.check(found)
            calls = {table.name: table.forward for table in found if table.name != "torch"}
            weight, rows = torch.from_numpy(layer.weight), torch.from_numpy(batch.rows)
            calls["torch"] = lambda rows=rows, weight=weight: torch.nn.functional.embedding_bag(rows, weight, mode="sum")
            for count in settings.threads:
                with threads(count):
                    samples = interleave(calls, settings.rounds_or(31))
                cases.append(Case({"ids": kind, "hashes": way, "threads": count}, samples, {"touched rows": len(batch.touched)}))
    return Measured({**sized, "id distributions": [draws.WORDS[kind] for kind in draws.KINDS]}, cases)


def show(result: Result) -> str:
    """Return one table."""
    return tables.comparison(result.cases, {"ids": "ids", "hashes": "hashes", "threads": "threads"}, ("torch", "fbgemm"))


def targets(result: Result) -> list[Target]:
    """
    Return targets against torch, with hashing as layers do by default, at the largest number of
    threads.
    """
    return [
        at_least(f"forward, {kind} ids", "torch embedding_bag, rows given", 1.0, case.ratio("torch"))
        for kind in result.values("ids")
        for case in [result.one(ids=kind, hashes="on the fly", threads=result.threads)]
    ]


BENCHMARK = Benchmark(
    name="forward",
    title="Forward, hashing included",
    measures=(
        "npbloom finds the rows by hashing each id, as layers do by default, or in a table of them (`hash_table`); "
        "`torch.nn.functional.embedding_bag` and FBGEMM's module are given them. torch reads npbloom's own array."
    ),
    run=run,
    tables=show,
    targets=targets,
)
